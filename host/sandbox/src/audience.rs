//! Queries of hooks to the broker. The host implements them; a plugin's imports call them.

/// Opaque id of the realm of a call, handed back to [`Audience`]: topics are per realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RealmId(pub u64);

/// Realms, and the subscribers of their topics.
///
/// Called on the thread that runs the plugin: an implementation answers from memory and never
/// blocks.
pub trait Audience: Send + Sync {
    /// The name of the realm.
    fn realm_name(&self, realm: RealmId) -> String;

    /// The ids of the sessions that are subscribed to the topic now.
    fn subscribers(&self, realm: RealmId, topic: &str) -> Vec<u64>;

    /// The number of sessions that are subscribed to the topic now.
    fn count(&self, realm: RealmId, topic: &str) -> u32;
}

/// The audience of plugins that are loaded without being served: no topic has subscribers.
#[derive(Debug)]
pub struct NoSubscribers;

impl Audience for NoSubscribers {
    fn realm_name(&self, _: RealmId) -> String {
        String::new()
    }

    fn subscribers(&self, _: RealmId, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn count(&self, _: RealmId, _: &str) -> u32 {
        0
    }
}
