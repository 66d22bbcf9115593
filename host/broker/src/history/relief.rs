//! Relief: the topics that give up memory when `history.memory` is used up.
//!
//! The topics of clients above their share go first: a client that publishes to ever new topics loses its
//! own. Positions without events may use a part of the memory, and the oldest of them go next, so that they
//! do not push new events out. Then the clients that use most lose events, and topics without a client, down
//! to one level: a quiet client keeps its events. In each step, those with the least [`Loss`] go first, and
//! of them the topics longest without an event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{EventHistory, RecentEvents, Topics};
use crate::client_key::ClientKey;

/// The part of the memory, one in so many, that is freed at once when the limit is exceeded: finding
/// the topics takes a look at all of them.
const FREED_SHARE: usize = 8;

/// The part of the memory, one in so many, that positions without events may use when it is exceeded.
const POSITION_SHARE: usize = 2;

/// What is lost if a topic has to give up memory, the least loss first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// A position that never had an event: a subscription makes one, so their number has no other bound.
    Nothing,
    /// A retained event of a topic without a history: any publisher can make one.
    Retained,
    Events,
    /// A position without events.
    Position,
}

/// The way in which a topic gives up memory.
type Loses = fn(&mut Topics, &str, Loss);

/// A topic that may give up memory.
struct Candidate {
    loss: Loss,
    last: Duration,
    realm: usize,
    topic: Arc<str>,
    owner: Option<ClientKey>,
    bytes: usize,
}

impl Loss {
    fn of(recent: &RecentEvents) -> Self {
        match (recent.had_events(), recent.is_empty(), recent.retained().is_some()) {
            (false, _, false) => Self::Nothing,
            (false, _, true) => Self::Retained,
            (true, true, false) => Self::Position,
            (true, ..) => Self::Events,
        }
    }
}

impl EventHistory {
    /// Frees memory if the limit is exceeded.
    pub(super) fn relieve(&self) {
        if !self.memory.is_exceeded() {
            return;
        }
        let mut realms = self.realms();
        let mut found = Vec::new();
        for (realm, topics) in realms.iter().enumerate() {
            found.extend(topics.by_name.iter().map(|(topic, history)| {
                let recent = history.lock();
                let (loss, last, topic) = (Loss::of(&recent), recent.last(), Arc::clone(topic));
                Candidate { loss, last, realm, topic, owner: recent.owner(), bytes: 0 }
            }));
        }
        found.sort_unstable_by(|a, b| {
            (a.loss, a.last, a.realm, &a.topic).cmp(&(b.loss, b.last, b.realm, &b.topic))
        });
        let enough = self.memory.limit() - self.memory.limit() / FREED_SHARE;
        let is_enough = || self.memory.bytes() <= enough;
        // Frames first: they can be made again.
        for Candidate { realm, topic, .. } in &found {
            if is_enough() {
                return;
            }
            if let Some(history) = realms.get(*realm).and_then(|it| it.by_name.get(topic)) {
                history.lock().forget_frames();
            }
        }
        let percent = usize::try_from(self.client_percent.load(Ordering::Relaxed)).unwrap_or(100);
        let share = self.memory.limit() / 100 * percent;
        // Without the frames that are gone.
        for it in &mut found {
            it.bytes = realms.get(it.realm).map_or(0, |topics| topics.memory_bytes(&it.topic));
        }
        let mut used = used_by_client(&found);
        let forget: Loses = |topics, topic, _| topics.forget(topic);
        if percent < 100 && used.values().any(|used| *used > share) {
            // Their least losses, and then their positions: these have no other bound.
            for loses in [Topics::lose as Loses, forget] {
                for it in &found {
                    if is_enough() {
                        return;
                    }
                    let used = it.owner.and_then(|owner| used.get_mut(&owner));
                    let Some(used) = used.filter(|used| **used > share) else { continue };
                    *used = used.saturating_sub(self.take(&mut realms, it, loses));
                }
            }
        }
        let positions = || found.iter().filter(|it| it.loss == Loss::Position);
        let bytes = |it: &Candidate| Some(realms.get(it.realm)?.memory_bytes(&it.topic));
        let mut position_bytes: usize = positions().filter_map(bytes).sum();
        for it in positions() {
            if is_enough() || position_bytes <= self.memory.limit() / POSITION_SHARE {
                break;
            }
            position_bytes -= self.take(&mut realms, it, forget);
        }
        let excess = self.memory.bytes().saturating_sub(enough);
        // Without shares, age alone counts.
        let level = if percent < 100 { level(&used, excess) } else { 0 };
        for spares in [true, false] {
            for it in &found {
                if is_enough() {
                    return;
                }
                let used = it.owner.and_then(|owner| used.get_mut(&owner));
                let is_spared = used.as_ref().is_some_and(|used| **used <= level);
                if spares && (is_spared || it.loss == Loss::Position) {
                    continue;
                }
                let freed = self.take(&mut realms, it, Topics::lose);
                if let Some(used) = used {
                    *used = used.saturating_sub(freed);
                }
            }
        }
    }

    /// Makes a topic give up memory, and returns how much.
    fn take(&self, realms: &mut [Topics], from: &Candidate, loses: Loses) -> usize {
        let Some(topics) = realms.get_mut(from.realm) else { return 0 };
        let before = topics.memory_bytes(&from.topic);
        loses(topics, &from.topic, from.loss);
        let freed = before.saturating_sub(topics.memory_bytes(&from.topic));
        if freed > 0 {
            self.counts.evicted();
        }
        freed
    }
}

/// Returns the memory of each client's topics.
fn used_by_client(found: &[Candidate]) -> HashMap<ClientKey, usize> {
    let mut used = HashMap::new();
    for Candidate { owner, bytes, .. } in found {
        if let Some(owner) = owner {
            *used.entry(*owner).or_default() += bytes;
        }
    }
    used
}

/// Returns the use at which all clients above it free so many bytes, if they give up what is above.
fn level(used: &HashMap<ClientKey, usize>, freed: usize) -> usize {
    let mut all: Vec<usize> = used.values().copied().collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let mut above = 0;
    for (count, used) in (1..).zip(&all) {
        above += used;
        let level = above.saturating_sub(freed) / count;
        if all.get(count).is_none_or(|next| *next <= level) {
            return level;
        }
    }
    0
}

impl Topics {
    /// Makes a topic give up memory.
    fn lose(&mut self, topic: &str, loss: Loss) {
        match loss {
            Loss::Events => self.lose_events(topic),
            Loss::Nothing | Loss::Retained | Loss::Position => self.forget(topic),
        }
    }

    /// Returns the memory of a topic.
    fn memory_bytes(&self, topic: &str) -> usize {
        self.by_name.get(topic).map_or(0, |history| history.lock().memory_bytes())
    }

    /// Removes the events of a topic; its position stays.
    fn lose_events(&mut self, topic: &str) {
        let Some(history) = self.by_name.get(topic) else { return };
        let mut recent = history.lock();
        recent.clear();
        recent.set_retained(None);
        drop(recent);
        self.retained.remove(topic);
    }
}
