//! What a hook may ask the broker while it runs. The host implements it; the imports of a plugin
//! call it.

/// Which of the host's realms a call belongs to. The sandbox hands it back as it came: a topic
/// means something only within a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Realm(pub u64);

/// Who is subscribed to what.
///
/// Called while a plugin runs, on the thread that runs it: an implementation answers from memory
/// and never blocks.
pub trait Audience: Send + Sync {
    /// The ids of the sessions that are subscribed to the topic now.
    fn subscribers(&self, realm: Realm, topic: &str) -> Vec<u64>;

    /// How many sessions are subscribed to the topic now.
    fn count(&self, realm: Realm, topic: &str) -> u32;
}
