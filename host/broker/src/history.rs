//! History: the recent events of topics, so that subscribers which were away get what they have
//! missed.
//!
//! One [`EventHistory`] belongs to all realms of a server, because one limit of memory applies to
//! them. Each topic with a history has a [`TopicHistory`]: an epoch, an offset for each event, and a
//! bounded queue of the newest events with their frames as they were sent.
//!
//! **Order.** The lock of a topic's history is held while its event is queued to the subscribers, so
//! that offsets and outboxes have one order. A subscription takes the write side of the realm's lock,
//! so no event of the realm is on its way while a session gets what it has missed.
//!
//! **Doubt.** A client is told "recovered" only if nothing in between is missing. Whatever cannot be
//! known makes a new epoch, or an event that is withheld.

mod counts;
mod durable;
mod mirror;
mod origins;
mod page;
mod recent;
mod relief;
mod replay;
mod retained;
mod saved;
mod search;
mod stored;
mod wish;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::position::Epoch;

use crate::node::NodeId;
use crate::recording::{HistoryRule, Recording, SentFrames};
use crate::spread::spread;
use crate::total::Total;

use counts::HistoryCounts;
pub use counts::HistoryNumbers;
pub use durable::{LoggedHistory, PreparedEvent};
pub use mirror::{Mirror, MirroredEvent};
pub(crate) use origins::Origins;
pub use page::{HistoryPage, PastEvent};
pub(crate) use recent::RecentEvents;
pub(crate) use replay::Recipient;
pub use replay::{ReplayLimits, ReplayRequest};
pub use saved::{SavedContent, SavedEvent, SavedTopic};
pub use search::{EventQuery, FoundEvents, UnknownPublication};
pub use wish::{MayReceive, RetainedWish};

/// The recent events of all topics of all realms, within one limit of memory.
#[derive(Debug)]
pub struct EventHistory {
    memory: Arc<Total>,
    /// The share of one client, in per cent.
    client_percent: AtomicU32,
    replay: Mutex<ReplayLimits>,
    /// Topics by realm. Held for a look-up; only locks of topics' histories are taken under it.
    realms: Mutex<Vec<Topics>>,
    counts: HistoryCounts,
}

/// The topics of one realm.
#[derive(Debug, Default)]
struct Topics {
    by_name: HashMap<Arc<str>, Arc<TopicHistory>>,
    /// The topics with a retained event, for patterns.
    retained: BTreeSet<Arc<str>>,
    /// The largest offset of the topics that were forgotten. New ones go on behind it: no subscriber
    /// sees an offset twice.
    forgotten: u64,
    /// The largest number of an event of this node, in a cluster, of those topics.
    forgotten_number: u64,
    /// The number of topics at which idle ones are looked for again.
    sweep_at: usize,
}

/// The part of one realm.
#[derive(Clone, Debug)]
pub(crate) struct RealmHistory {
    all: Arc<EventHistory>,
    realm: usize,
    /// This node, in a cluster.
    node: Option<u64>,
}

/// The history of one topic. The lock is held while an event is queued to all subscribers; only
/// outbox locks are taken under it.
#[derive(Debug)]
pub(crate) struct TopicHistory(Mutex<RecentEvents>);

/// The time for which the position of a topic without events is kept, so that a client that returns
/// is told the truth.
const POSITION_KEPT: Duration = Duration::from_hours(24);

/// The number of topics of a realm below which idle ones are not looked for.
const MIN_SWEEP: usize = 64;

impl EventHistory {
    /// Creates an empty history with a limit of memory in bytes.
    pub fn new(memory: usize, replay: ReplayLimits) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::new(Total::new(memory)),
            client_percent: AtomicU32::new(100),
            replay: Mutex::new(replay),
            realms: Mutex::default(),
            counts: HistoryCounts::default(),
        })
    }

    /// Replaces the limits. Events beyond a lower limit are removed at the next publication.
    pub fn set_limits(&self, memory: usize, replay: ReplayLimits) {
        self.memory.set_limit(memory);
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = replay;
    }

    /// Replaces the share of the memory that one client may use, in per cent: without one, 100.
    pub fn set_client_percent(&self, percent: u32) {
        self.client_percent.store(percent, Ordering::Relaxed);
    }

    /// Returns the numbers for operators.
    pub fn numbers(&self) -> HistoryNumbers {
        HistoryNumbers {
            topics: self.realms().iter().map(|topics| topics.by_name.len()).sum(),
            bytes: self.memory.bytes(),
            limit: self.memory.limit(),
            ..self.counts.numbers()
        }
    }

    fn replay_limits(&self) -> ReplayLimits {
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a realm.
    pub(crate) fn realm(self: &Arc<Self>) -> RealmHistory {
        let mut realms = self.realms();
        realms.push(Topics::default());
        RealmHistory { all: Arc::clone(self), realm: realms.len() - 1, node: None }
    }

    fn realms(&self) -> MutexGuard<'_, Vec<Topics>> {
        // Each change of the table is one statement.
        self.realms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 64 MiB, and the default limits of a replay.
impl Default for EventHistory {
    fn default() -> Self {
        let memory = Arc::new(Total::new(64 << 20));
        Self {
            memory,
            client_percent: AtomicU32::new(100),
            replay: Mutex::default(),
            realms: Mutex::default(),
            counts: HistoryCounts::default(),
        }
    }
}

impl RealmHistory {
    /// Returns the history of a topic, if it has one.
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<TopicHistory>> {
        self.all.realms().get(self.realm)?.by_name.get(topic).map(Arc::clone)
    }

    /// Returns the history of a topic. A new one has the epoch of `id`, which is random. It counts for no
    /// client before its first event.
    pub(crate) fn get_or_create(
        &self,
        topic: &str,
        id: PublicationId,
        now: Duration,
        is_subscribed: impl Fn(&str) -> bool,
    ) -> Arc<TopicHistory> {
        let mut realms = self.all.realms();
        let Some(topics) = realms.get_mut(self.realm) else {
            return Arc::new(TopicHistory::new(topic, id, 0, now, &self.all.memory, None));
        };
        if let Some(history) = topics.by_name.get(topic) {
            return Arc::clone(history);
        }
        topics.sweep(now, is_subscribed);
        let (begin, memory) = (topics.forgotten, &self.all.memory);
        let origins = self.node.map(|node| Origins::new(node, topics.forgotten_number));
        let history = TopicHistory::new(topic, id, begin, now, memory, origins);
        let history = Arc::new(history);
        topics.by_name.insert(topic.into(), Arc::clone(&history));
        history
    }

    /// Makes it that of a node of a cluster, before the first topic.
    pub(crate) fn join_cluster(&mut self, node: NodeId) {
        self.node = Some(node.0);
        if let Some(topics) = self.all.realms().get_mut(self.realm) {
            topics.forgotten = topics.forgotten.max(recent::ROOM);
        }
    }

    /// Ends the histories of topics: their events are removed, and they have a new epoch. `are_missing` says that
    /// this node may have published events without a history.
    pub(crate) fn end(&self, ends: impl Fn(&str) -> bool, are_missing: bool) {
        let realms = self.all.realms();
        let Some(topics) = realms.get(self.realm) else { return };
        for (topic, history) in &topics.by_name {
            if ends(topic) {
                let mut recent = history.lock();
                recent.renew();
                if let Some(origins) = recent.origins_mut().filter(|_| are_missing) {
                    origins.skip();
                }
            }
        }
    }

    pub(crate) fn relieve(&self) {
        self.all.relieve();
    }

    pub(crate) fn replay_limits(&self) -> ReplayLimits {
        self.all.replay_limits()
    }

    /// Counts a replay to a subscriber that is new.
    pub(crate) fn count_replay(&self, events: usize, is_recovered: Option<bool>) {
        self.all.counts.replayed(events, is_recovered);
    }
}

impl Topics {
    /// Forgets topics without events and subscribers after [`POSITION_KEPT`].
    fn sweep(&mut self, now: Duration, is_subscribed: impl Fn(&str) -> bool) {
        if self.by_name.len() < self.sweep_at.max(MIN_SWEEP) {
            return;
        }
        let is_idle = |history: &TopicHistory| {
            let mut recent = history.lock();
            recent.expire(now);
            recent.is_empty() && recent.retained().is_none() && recent.last() + POSITION_KEPT < now
        };
        let idle = self.by_name.iter().filter(|(topic, it)| !is_subscribed(topic) && is_idle(it));
        let idle: Vec<_> = idle.map(|(topic, _)| Arc::clone(topic)).collect();
        for topic in idle {
            self.forget(&topic);
        }
        self.sweep_at = self.by_name.len() * 2;
    }

    /// Forgets the position of a topic, unless a publication or a subscription uses it now.
    fn forget(&mut self, topic: &str) {
        let Some(history) = self.by_name.get(topic) else { return };
        if Arc::strong_count(history) == 1 {
            let recent = history.lock();
            self.forgotten = self.forgotten.max(recent.top());
            let number = recent.origins().map_or(0, Origins::last_own);
            self.forgotten_number = self.forgotten_number.max(number);
            drop(recent);
            self.by_name.remove(topic);
            self.retained.remove(topic);
        }
    }
}

impl TopicHistory {
    fn new(
        topic: &str,
        id: PublicationId,
        begin: u64,
        now: Duration,
        memory: &Arc<Total>,
        origins: Option<Origins>,
    ) -> Self {
        // Nodes of a cluster may begin theirs at the same event, and number the next ones in another order.
        let node = origins.as_ref().map_or(0, |origins| spread(origins.own()));
        let epoch = Epoch::new(id.get() ^ node);
        Self(Mutex::new(RecentEvents::new(topic, epoch, begin, now, Arc::clone(memory), origins)))
    }

    /// Returns whether clients can come back to a position in it: it has had events, or those of all nodes of a
    /// cluster are known.
    pub(crate) fn is_kept(&self) -> bool {
        let recent = self.lock();
        recent.had_events() || recent.is_complete()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RecentEvents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
