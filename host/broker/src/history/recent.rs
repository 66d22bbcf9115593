//! The recent events of one topic: offsets without a hole, and the newest events with their frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::SubscriptionId;
use jackfield_wamp::position::{Epoch, EventNumber, Place, Position};

use super::origins::Origins;
use super::stored::{Content, StoredEvent};
use super::{HistoryRule, Recording, SavedEvent, SentFrames};
use crate::client_key::ClientKey;
use crate::peers::Gone;
use crate::publication::Publication;
use crate::spread::spread;
use crate::total::Total;

/// The epoch and the newest events of a topic.
#[derive(Debug)]
pub(crate) struct RecentEvents {
    topic: Arc<str>,
    epoch: Epoch,
    /// The offset before the first event of the epoch.
    begin: u64,
    /// The offset of the newest event.
    top: u64,
    /// The time of the newest event, or of the begin.
    last: Duration,
    /// The maximum age, as of the last rule.
    age: Duration,
    /// The exact subscription whose id the frames of version 2 have. It keeps its id when its last
    /// subscriber leaves.
    subscription: Option<SubscriptionId>,
    /// The newest events, up to `top`, without a hole.
    events: VecDeque<StoredEvent>,
    /// The event that its publisher has retained; it may be older than the events.
    retained: Option<StoredEvent>,
    /// The memory of the events in bytes.
    bytes: usize,
    /// The part of it that is no frame: a reader, whose frames are made, does not change what is kept.
    content_bytes: usize,
    memory: Arc<Total>,
    /// The client of its first event, for which its memory counts.
    owner: Option<ClientKey>,
    /// The nodes of the events, in a cluster.
    origins: Option<Box<Origins>>,
    /// Whether the file of durable histories has the epoch and its newest events, without a hole.
    is_logged: bool,
}

/// The offset of the first event in a cluster: there is room for the events before it, when other nodes tell them. No
/// rule keeps more.
pub(super) const ROOM: u64 = 100_000;

/// The approximate memory of a topic besides its name.
const TOPIC_OVERHEAD_BYTES: usize = 256;

impl RecentEvents {
    pub(super) fn new(
        topic: &str,
        epoch: Epoch,
        begin: u64,
        now: Duration,
        memory: Arc<Total>,
        origins: Option<Origins>,
    ) -> Self {
        memory.replace(0, TOPIC_OVERHEAD_BYTES + topic.len());
        Self {
            topic: topic.into(),
            epoch,
            begin,
            top: begin,
            last: now,
            age: Duration::MAX,
            subscription: None,
            events: VecDeque::new(),
            retained: None,
            bytes: 0,
            content_bytes: 0,
            memory,
            owner: None,
            origins: origins.map(Box::new),
            is_logged: false,
        }
    }

    pub(crate) const fn set_owner(&mut self, owner: Option<ClientKey>) {
        self.owner = owner;
    }

    pub(crate) const fn owner(&self) -> Option<ClientKey> {
        self.owner
    }

    /// Returns all memory of the topic in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let retained = self.retained.as_ref().map_or(0, |event| event.bytes);
        self.bytes + retained + TOPIC_OVERHEAD_BYTES + self.topic.len()
    }

    pub(crate) const fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Notes that the file of durable histories has all of the epoch until now.
    pub(crate) const fn set_logged(&mut self) {
        self.is_logged = true;
    }

    /// Returns the offset of the oldest event, or the next one without events.
    pub(super) fn first(&self) -> u64 {
        self.events.front().map_or(self.top + 1, |event| event.offset)
    }

    /// Returns the position behind the newest event.
    pub(super) const fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top }
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) const fn top(&self) -> u64 {
        self.top
    }

    pub(super) const fn last(&self) -> Duration {
        self.last
    }

    /// Returns whether the epoch has had an event.
    pub(super) fn had_events(&self) -> bool {
        self.top > self.begin || !self.events.is_empty()
    }

    /// Returns the nodes of the events, in a cluster.
    pub(crate) fn origins(&self) -> Option<&Origins> {
        self.origins.as_deref()
    }

    pub(super) fn origins_mut(&mut self) -> Option<&mut Origins> {
        self.origins.as_deref_mut()
    }

    /// Returns whether the history has, or knows to be gone, every event of all nodes of the cluster.
    pub(crate) fn is_complete(&self) -> bool {
        self.origins().is_some_and(Origins::is_complete)
    }

    /// Returns the place behind an offset, for other nodes. The client has had later events besides, up to the
    /// numbers of their nodes.
    pub(super) fn place(
        &self,
        offset: u64,
        besides: &BTreeMap<u64, u64>,
        gone: Option<&Gone>,
    ) -> Option<Place> {
        let later = self.events.iter().rev().take_while(|event| event.offset > offset);
        self.origins()?.place(later.map(|event| event.number), besides, gone?)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns whether the newest event can be sent again.
    pub(super) fn has_newest(&self) -> bool {
        self.events.back().is_some_and(|event| !event.is_withheld())
    }

    /// Returns the event that its publisher has retained.
    pub(super) const fn retained(&self) -> Option<&StoredEvent> {
        self.retained.as_ref()
    }

    /// Replaces the retained event.
    pub(super) fn set_retained(&mut self, event: Option<StoredEvent>) {
        let before = std::mem::replace(&mut self.retained, event);
        let bytes = |event: &Option<StoredEvent>| event.as_ref().map_or(0, |it| it.bytes);
        self.memory.replace(bytes(&before), bytes(&self.retained));
    }

    /// Notes the time of an event.
    pub(super) const fn touch(&mut self, now: Duration) {
        self.last = now;
    }

    /// Returns the id of the topic's exact subscription, if it had one.
    pub(crate) const fn subscription(&self) -> Option<SubscriptionId> {
        self.subscription
    }

    /// Notes the id of the topic's exact subscription. Frames with another one are removed.
    pub(crate) fn set_subscription(&mut self, id: SubscriptionId) {
        if self.subscription.replace(id).is_some_and(|before| before != id) {
            self.forget_frames();
        }
    }

    /// Forgets all frames: they are made again where they are needed.
    pub(super) fn forget_frames(&mut self) {
        for event in &mut self.events {
            event.forget_frames();
        }
        self.recount();
    }

    /// Returns the offset of the next event.
    pub(crate) const fn next_offset(&self) -> u64 {
        self.top + 1
    }

    /// Appends an event that is queued to its receivers.
    pub(crate) fn append(
        &mut self,
        publication: &Publication<'_>,
        recording: &Recording,
        sent: Option<SentFrames>,
        number: Option<EventNumber>,
    ) {
        let Recording { rule, now, .. } = *recording;
        self.top += 1;
        self.last = now;
        let frames = sent.map(|sent| {
            self.set_subscription(sent.subscription);
            sent.frames
        });
        let content = Content::of(publication, frames.unwrap_or_default());
        let mut event = StoredEvent::within(&rule, self.top, now, publication.id, content);
        event.number = number;
        if let Some(origins) = &mut self.origins {
            origins.note(number);
        }
        self.bytes += event.bytes;
        self.content_bytes += event.content_bytes;
        self.memory.replace(0, event.bytes);
        self.events.push_back(event);
        self.trim(&rule, now);
    }

    /// Removes the oldest events beyond the rule.
    pub(super) fn trim(&mut self, rule: &HistoryRule, now: Duration) {
        self.age = rule.age;
        self.expire(now);
        while self.events.len() > rule.events || self.content_bytes > rule.bytes {
            self.remove_oldest();
        }
    }

    /// Removes events beyond the maximum age.
    pub(super) fn expire(&mut self, now: Duration) {
        while self.events.front().is_some_and(|it| it.at.saturating_add(self.age) < now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some(StoredEvent { bytes, content_bytes, number, .. }) = self.events.pop_front() else {
            return;
        };
        if let Some(origins) = &mut self.origins {
            origins.forget(number);
        }
        self.bytes -= bytes;
        self.content_bytes -= content_bytes;
        self.memory.replace(bytes, 0);
    }

    /// Removes all events; the position stays.
    pub(super) fn clear(&mut self) {
        self.memory.replace(self.bytes, 0);
        (self.bytes, self.content_bytes) = (0, 0);
        let events = std::mem::take(&mut self.events);
        if let Some(origins) = &mut self.origins {
            for event in &events {
                origins.forget(event.number);
            }
        }
    }

    /// Removes all events and begins another epoch. Offsets go on: no subscriber sees one twice.
    ///
    /// The epoch follows from the one before, which no other process has had. It is not for histories in
    /// a file: use [`RecentEvents::renew_as`].
    pub(crate) fn renew(&mut self) {
        self.renew_as(successor(self.epoch));
    }

    /// As [`RecentEvents::renew`], with a random epoch. The file may keep the epoch before, and a later
    /// process may go on with it: it must not make the same successor.
    pub(crate) fn renew_as(&mut self, epoch: Epoch) {
        self.clear();
        if let Some(origins) = &mut self.origins {
            origins.reset();
            self.top = self.top.max(ROOM);
        }
        self.begin = self.top;
        self.epoch = epoch;
        self.is_logged = false;
    }

    /// Returns the offset before the first event that is behind these numbers.
    pub(super) fn before_missing(&self, had: &BTreeMap<u64, u64>) -> u64 {
        let runs = self.origins().into_iter().flat_map(Origins::runs);
        let missing =
            runs.map(|(node, run)| had.get(&node).map_or(0, |had| run.last.saturating_sub(*had)));
        let mut missing = missing.fold(0, u64::saturating_add);
        let mut offset = self.top;
        for event in self.events.iter().rev() {
            if missing == 0 {
                break;
            }
            let is_missing = event
                .number
                .is_some_and(|it| had.get(&it.node).is_some_and(|had| it.number > *had));
            missing = missing.saturating_sub(u64::from(is_missing));
            offset = event.offset - 1;
        }
        offset
    }

    /// Returns the events behind an offset; `None` if one of them is gone.
    pub(super) fn behind(
        &mut self,
        offset: u64,
    ) -> Option<impl DoubleEndedIterator<Item = &mut StoredEvent>> {
        let first = self.first();
        let has_all = offset <= self.top && first <= offset.saturating_add(1);
        let passed = usize::try_from(offset.saturating_sub(first - 1)).unwrap_or(usize::MAX);
        has_all.then(|| self.events.iter_mut().skip(passed))
    }

    /// Takes the events of another process over.
    pub(super) fn restore(&mut self, events: Vec<SavedEvent>, top: u64) {
        self.top = top;
        let first = (top + 1).saturating_sub(events.len() as u64);
        let stored = (first..).zip(events).map(|(offset, it)| StoredEvent::restored(offset, it));
        self.events = stored.collect();
        self.recount();
    }

    /// Puts older events before those that there are, without a change of the latter. Returns `false` if there
    /// is no room.
    pub(super) fn prepend(&mut self, older: Vec<StoredEvent>) -> bool {
        let Some(mut offset) = (self.first() - 1).checked_sub(older.len() as u64) else {
            return false;
        };
        for event in older.into_iter().rev() {
            self.events.push_front(event);
        }
        for event in &mut self.events {
            offset += 1;
            event.offset = offset;
        }
        if let Some(retained) = &mut self.retained {
            // It may be one of them: no subscriber gets it twice.
            let event = self.events.iter().find(|event| event.id == retained.id);
            retained.offset = event.map_or(0, |event| event.offset);
        }
        self.recount();
        true
    }

    pub(super) fn stored(&self) -> impl DoubleEndedIterator<Item = &StoredEvent> {
        self.events.iter()
    }

    /// Returns all events, oldest first.
    pub(super) fn all(&mut self) -> impl DoubleEndedIterator<Item = &mut StoredEvent> {
        self.events.iter_mut()
    }

    pub(super) fn topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    /// Counts the memory of new frames.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.memory.replace(0, bytes);
    }

    /// Counts the memory again, after frames were removed.
    fn recount(&mut self) {
        let before = std::mem::take(&mut self.bytes);
        self.content_bytes = 0;
        for event in &mut self.events {
            event.measure();
            self.bytes += event.bytes;
            self.content_bytes += event.content_bytes;
        }
        self.memory.replace(before, self.bytes);
    }
}

impl Drop for RecentEvents {
    fn drop(&mut self) {
        self.set_retained(None);
        self.memory.replace(self.bytes + TOPIC_OVERHEAD_BYTES + self.topic.len(), 0);
    }
}

/// Returns an epoch that differs from all others as much as a random one.
const fn successor(epoch: Epoch) -> Epoch {
    Epoch::new(spread(epoch.get()))
}
