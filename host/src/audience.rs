//! The subscribers that hooks may query, in the realms of a server. Those on other nodes are among them, if
//! the home of the plugin is here.

use std::sync::{Arc, OnceLock};

use jackfield_broker::Realm;
use jackfield_sandbox::{Audience, RealmId};
use jackfield_wamp::id::SessionId;

use crate::cluster::ClusterNode;
use crate::generation::CurrentGeneration;

/// The subscribers of topics.
#[derive(Default)]
pub(crate) struct Subscribers(OnceLock<Sources>);

/// The places where they are. Set later, because plugins are loaded before realms exist.
struct Sources {
    /// In the order of their ids.
    realms: Vec<Arc<Realm>>,
    /// The node, and the routes that say which plugins have a home.
    cluster: Option<(Arc<ClusterNode>, Arc<CurrentGeneration>)>,
}

impl Subscribers {
    /// Sets the realms and the node, once. No client is connected before, so no hook has used the
    /// audience.
    pub(crate) fn set(
        &self,
        realms: Vec<Arc<Realm>>,
        cluster: Option<(Arc<ClusterNode>, Arc<CurrentGeneration>)>,
    ) {
        let _first = self.0.set(Sources { realms, cluster });
    }

    fn realm(&self, token: RealmId) -> Option<&Arc<Realm>> {
        self.0.get()?.realms.get(usize::try_from(token.0).ok()?)
    }

    fn cluster(&self) -> Option<&(Arc<ClusterNode>, Arc<CurrentGeneration>)> {
        self.0.get()?.cluster.as_ref()
    }
}

impl Audience for Subscribers {
    fn realm_name(&self, realm: RealmId) -> String {
        self.realm(realm).map_or_else(String::new, |realm| realm.name().to_owned())
    }

    fn subscribers(&self, realm: RealmId, topic: &str) -> Vec<u64> {
        let Some(realm) = self.realm(realm) else { return Vec::new() };
        let mut all: Vec<_> = realm.subscribers(topic).into_iter().map(SessionId::get).collect();
        if let Some((cluster, _)) = self.cluster() {
            all.extend(cluster.homes().subscribers.sessions(realm.name(), topic));
        }
        all
    }

    fn count(&self, realm: RealmId, topic: &str) -> u32 {
        let Some(realm) = self.realm(realm) else { return 0 };
        let count = match self.cluster() {
            Some((cluster, generations)) => {
                let generation = generations.current();
                let has_home = generation.find(topic).is_some_and(|it| it.handler.has_home());
                cluster.count(realm, topic, has_home)
            }
            None => realm.count(topic),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
