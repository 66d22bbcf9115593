//! Subscribers on other nodes, as the home of their topics' plugin knows them: its hooks count and list
//! them, and `on_unsubscribe` runs for those that leave or end with their node.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jackfield_broker::peers::NodeId;
use tokio::sync::Notify;

use super::decide::RemoteSession;

/// The subscribers on other nodes.
#[derive(Debug, Default)]
pub(crate) struct RemoteSubscribers {
    /// A std lock: a leaf, held for one look-up or change, or until those of a node are found.
    realms: RwLock<Realms>,
    /// The ends whose handlers are not informed yet. A std mutex: a leaf.
    ends: Mutex<Ends>,
    /// A handler was informed.
    informed: Notify,
}

/// The numbers of ends by realm, topic and session.
type Ends = HashMap<(String, Arc<str>, u64), usize>;

/// The topics of each realm.
type Realms = HashMap<String, HashMap<Arc<str>, Topic>>;

/// The subscribers of a topic by their session ids.
type Topic = BTreeMap<u64, Subscriber>;

#[derive(Debug)]
struct Subscriber {
    node: NodeId,
    plugin: Arc<str>,
    session: Arc<RemoteSession>,
}

/// A subscriber that has left, or has ended with its node.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) realm: String,
    pub(crate) topic: Arc<str>,
    pub(crate) session: Arc<RemoteSession>,
}

impl RemoteSubscribers {
    /// Adds a subscriber. Returns `false` if it is known already.
    pub(crate) fn add(
        &self,
        node: NodeId,
        plugin: &str,
        (realm, topic): (&str, &str),
        session: RemoteSession,
    ) -> bool {
        let (id, session) = (session.id, Arc::new(session));
        let subscriber = Subscriber { node, plugin: plugin.into(), session };
        let mut realms = self.write();
        let topics = realms.entry(realm.to_owned()).or_default();
        if let Some(subscribers) = topics.get_mut(topic) {
            return subscribers.insert(id, subscriber).is_none();
        }
        topics.insert(topic.into(), BTreeMap::from([(id, subscriber)]));
        true
    }

    /// Removes a subscriber, if its topic belongs to this plugin.
    pub(crate) fn remove(
        &self,
        plugin: &str,
        (realm, topic): (&str, &str),
        session: u64,
    ) -> Option<Ended> {
        let mut realms = self.write();
        let topics = realms.get_mut(realm)?;
        let (topic, subscribers) = topics.get_key_value(topic)?;
        subscribers.get(&session).filter(|it| *it.plugin == *plugin)?;
        let topic = Arc::clone(topic);
        let subscribers = topics.get_mut(&topic)?;
        let removed = subscribers.remove(&session)?;
        if subscribers.is_empty() {
            topics.remove(&topic);
        }
        Some(Ended { realm: realm.to_owned(), topic, session: removed.session })
    }

    /// Notes that the handler is to be informed of an end, before it is asked about the session again.
    pub(crate) fn begin_end(&self, ended: &Ended) {
        *self.lock_ends().entry(ended.key()).or_default() += 1;
    }

    /// Notes that the handler is informed.
    pub(crate) fn informed(&self, ended: &Ended) {
        let mut ends = self.lock_ends();
        if let Some(count) = ends.get_mut(&ended.key()) {
            *count -= 1;
            if *count == 0 {
                ends.remove(&ended.key());
            }
        }
        drop(ends);
        self.informed.notify_waiters();
    }

    /// Waits until the handler is informed of all earlier ends of a session's subscription.
    pub(crate) async fn after_ends(&self, realm: &str, topic: &str, session: u64) {
        let key = (realm.to_owned(), Arc::from(topic), session);
        loop {
            let mut informed = std::pin::pin!(self.informed.notified());
            informed.as_mut().enable();
            if !self.lock_ends().contains_key(&key) {
                return;
            }
            informed.await;
        }
    }

    /// Removes the subscribers of a node that has gone.
    pub(crate) fn remove_node(&self, node: NodeId) -> Vec<Ended> {
        self.take(|subscriber| subscriber.node == node)
    }

    /// Removes the subscribers of the topics of a plugin, which has its home elsewhere now.
    pub(crate) fn remove_plugin(&self, plugin: &str) {
        drop(self.take(|subscriber| *subscriber.plugin == *plugin));
    }

    /// Returns the number of subscribers of a topic.
    pub(crate) fn count(&self, realm: &str, topic: &str) -> usize {
        of(&self.read(), realm, topic).map_or(0, BTreeMap::len)
    }

    /// Returns the ids of the subscribers of a topic.
    pub(crate) fn sessions(&self, realm: &str, topic: &str) -> Vec<u64> {
        of(&self.read(), realm, topic).map_or_else(Vec::new, |it| it.keys().copied().collect())
    }

    /// Returns the topics of a realm that have subscribers on other nodes.
    pub(crate) fn topics(&self, realm: &str) -> Vec<Arc<str>> {
        self.read().get(realm).map_or_else(Vec::new, |it| it.keys().map(Arc::clone).collect())
    }

    fn take(&self, is_taken: impl Fn(&Subscriber) -> bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (realm, topics) in self.write().iter_mut() {
            topics.retain(|topic, subscribers| {
                subscribers.retain(|_, subscriber| {
                    if !is_taken(subscriber) {
                        return true;
                    }
                    let (topic, session) = (Arc::clone(topic), Arc::clone(&subscriber.session));
                    ended.push(Ended { realm: realm.clone(), topic, session });
                    false
                });
                !subscribers.is_empty()
            });
        }
        ended
    }

    fn lock_ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Realms> {
        self.realms.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Realms> {
        self.realms.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ended {
    fn key(&self) -> (String, Arc<str>, u64) {
        (self.realm.clone(), Arc::clone(&self.topic), self.session.id)
    }
}

fn of<'m>(realms: &'m Realms, realm: &str, topic: &str) -> Option<&'m Topic> {
    realms.get(realm)?.get(topic)
}
