//! Realms of a server by name, each with the dispatch that handles its requests.
//!
//! Built by `server`. Connections and the API look realms up here; reloads and shutdowns apply to
//! all of them.

use std::collections::HashMap;
use std::sync::Arc;

use jackfield_broker::{CloseReason, Realm};

use crate::dispatch::Dispatch;
use crate::generation::Generation;

/// The realms that the configuration names: at least one.
pub(crate) struct Realms {
    by_name: HashMap<String, Arc<Dispatch>>,
    default: Arc<Dispatch>,
}

impl Realms {
    /// Creates the collection. The first realm is the default. `None` without any.
    pub(crate) fn new(dispatches: Vec<Arc<Dispatch>>) -> Option<Self> {
        let default = Arc::clone(dispatches.first()?);
        let by_name = |it: Arc<Dispatch>| (it.realm().name().to_owned(), it);
        Some(Self { by_name: dispatches.into_iter().map(by_name).collect(), default })
    }

    /// Returns the realm with this name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Dispatch>> {
        self.by_name.get(name).map(Arc::clone)
    }

    /// Returns the realm of clients that cannot name one: those of WAMP v1.
    pub(crate) fn default_realm(&self) -> Arc<Dispatch> {
        Arc::clone(&self.default)
    }

    /// Returns every realm.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Dispatch>> {
        self.by_name.values()
    }

    /// Returns the number of sessions in all realms.
    pub(crate) fn session_count(&self) -> usize {
        self.iter().map(|dispatch| dispatch.realm().session_count()).sum()
    }

    /// Ends every session.
    pub(crate) fn close_sessions(&self, reason: &CloseReason) {
        for session in self.iter().map(|dispatch| dispatch.realm()).flat_map(Realm::sessions) {
            session.close(reason.clone());
        }
    }

    /// Updates every realm for a new generation.
    pub(crate) fn reloaded(&self, old: &Arc<Generation>, new: &Generation) {
        for dispatch in self.iter() {
            dispatch.reloaded(Arc::clone(old), new);
        }
    }
}
