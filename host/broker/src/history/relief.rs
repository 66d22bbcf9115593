//! Relief: the topics that give up memory when `history.memory` is used up.
//!
//! The topics of clients above their share go first: a client that publishes to ever new topics loses its
//! own. Then those with the least [`Loss`] go, the topics longest without an event before the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{EventHistory, RecentEvents, Topics};
use crate::client_key::ClientKey;

/// The part of the memory, one in so many, that is freed at once when the limit is exceeded: finding
/// the topics takes a look at all of them.
const FREED_SHARE: usize = 8;

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

/// A topic, in the order in which they lose.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    loss: Loss,
    last: Duration,
    realm: usize,
    topic: Arc<str>,
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
                Candidate { loss, last, realm, topic }
            }));
        }
        found.sort_unstable();
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
        let mut used = if percent < 100 { used_by_client(&realms) } else { HashMap::new() };
        if used.values().any(|used| *used > share) {
            // Their least losses, and then their positions: these have no other bound.
            for loses in [Topics::lose, |topics: &mut Topics, topic: &str, _| topics.forget(topic)]
            {
                for Candidate { loss, realm, topic, .. } in &found {
                    if is_enough() {
                        return;
                    }
                    let Some(topics) = realms.get_mut(*realm) else { continue };
                    let Some((owner, before)) = topics.charged(topic) else { continue };
                    let Some(used) = used.get_mut(&owner).filter(|used| **used > share) else {
                        continue;
                    };
                    loses(topics, topic, *loss);
                    let after = topics.charged(topic).map_or(0, |(_, bytes)| bytes);
                    if after < before {
                        self.counts.evicted();
                        *used = used.saturating_sub(before - after);
                    }
                }
            }
        }
        for Candidate { loss, realm, topic, .. } in found {
            if is_enough() {
                break;
            }
            let Some(topics) = realms.get_mut(realm) else { continue };
            self.counts.evicted();
            topics.lose(&topic, loss);
        }
    }
}

/// Returns the memory of each client's topics.
fn used_by_client(realms: &[Topics]) -> HashMap<ClientKey, usize> {
    let mut used = HashMap::new();
    for history in realms.iter().flat_map(|topics| topics.by_name.values()) {
        let recent = history.lock();
        if let Some(owner) = recent.owner() {
            *used.entry(owner).or_default() += recent.memory_bytes();
        }
    }
    used
}

impl Topics {
    /// Makes a topic give up memory.
    fn lose(&mut self, topic: &str, loss: Loss) {
        match loss {
            Loss::Events => self.lose_events(topic),
            Loss::Nothing | Loss::Retained | Loss::Position => self.forget(topic),
        }
    }

    /// Returns the client for which the topic counts, and its memory.
    fn charged(&self, topic: &str) -> Option<(ClientKey, usize)> {
        let recent = self.by_name.get(topic)?.lock();
        Some((recent.owner()?, recent.memory_bytes()))
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
