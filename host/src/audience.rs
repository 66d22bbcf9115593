//! The subscribers that hooks may query, in the realms of a server.

use std::sync::{Arc, OnceLock};

use jackfield_broker::Realm;
use jackfield_sandbox::{Audience, RealmId};
use jackfield_wamp::id::SessionId;

/// The realms, in the order of their ids. Set later, because plugins are loaded before realms
/// exist.
#[derive(Default)]
pub(crate) struct Subscribers(OnceLock<Vec<Arc<Realm>>>);

impl Subscribers {
    /// Sets the realms, once. No client is connected before, so no hook has used the audience.
    pub(crate) fn set(&self, realms: Vec<Arc<Realm>>) {
        let _first = self.0.set(realms);
    }

    fn realm(&self, token: RealmId) -> Option<&Arc<Realm>> {
        self.0.get()?.get(usize::try_from(token.0).ok()?)
    }
}

impl Audience for Subscribers {
    fn realm_name(&self, realm: RealmId) -> String {
        self.realm(realm).map_or_else(String::new, |realm| realm.name().to_owned())
    }

    fn subscribers(&self, realm: RealmId, topic: &str) -> Vec<u64> {
        let subscribers = self.realm(realm).map(|realm| realm.subscribers(topic));
        subscribers.unwrap_or_default().into_iter().map(SessionId::get).collect()
    }

    fn count(&self, realm: RealmId, topic: &str) -> u32 {
        let count = self.realm(realm).map_or(0, |realm| realm.count(topic));
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
