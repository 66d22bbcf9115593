//! Inquiries: a home is asked about all subscribers of this node. One runs at a time for a realm and a plugin.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The inquiries that run, by realm and plugin, and whether one has to begin again.
#[derive(Debug, Default)]
pub(crate) struct Inquiries(Mutex<HashMap<(String, String), bool>>);

impl Inquiries {
    /// Begins one. Returns `false` if it runs already: it begins again then.
    pub(crate) fn begin(&self, realm: &str, plugin: &str) -> bool {
        let key = (realm.to_owned(), plugin.to_owned());
        match self.lock().entry(key) {
            Entry::Occupied(mut running) => {
                running.insert(true);
                false
            }
            Entry::Vacant(place) => {
                place.insert(false);
                true
            }
        }
    }

    /// Ends one. Returns `false` if it has to begin again.
    pub(crate) fn end(&self, realm: &str, plugin: &str) -> bool {
        let mut running = self.lock();
        let key = (realm.to_owned(), plugin.to_owned());
        let is_repeated = running.get_mut(&key).is_some_and(std::mem::take);
        if !is_repeated {
            running.remove(&key);
        }
        !is_repeated
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inquiry_that_is_begun_again_runs_once_more() {
        let inquiries = Inquiries::default();
        assert!(inquiries.begin("realm1", "acme"));
        assert!(inquiries.begin("realm1", "other") && inquiries.begin("realm2", "acme"));
        assert!(!inquiries.begin("realm1", "acme") && !inquiries.begin("realm1", "acme"));
        assert!(!inquiries.end("realm1", "acme"), "it begins again");
        assert!(inquiries.end("realm1", "acme"), "once");
        assert!(inquiries.begin("realm1", "acme"));
    }
}
