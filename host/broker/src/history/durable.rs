//! Durable histories: an event is saved to a file before it is delivered, so that no client ever sees an
//! event or a position that a restart does not know.
//!
//! The host saves. It prepares an event, which tells its place; saves it; and publishes it at that
//! place. Meanwhile it publishes no other durable event of the topic. If the place is not free any more,
//! because a reload has ended the history or has made it one that is not durable for a moment, the event is
//! prepared again.

use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::position::Position;

use super::stored::{Content, StoredEvent};
use super::{RealmHistory, RecentEvents, SavedEvent, TopicHistory};
use crate::event_frames::EventFrames;
use crate::publication::Publication;
use crate::recording::Recording;

/// An event that is to be saved, and its place in the history of its topic.
#[derive(Debug)]
pub struct PreparedEvent {
    /// The topic is not forgotten meanwhile.
    pub(crate) history: Arc<TopicHistory>,
    /// The number of the epoch.
    pub epoch: u64,
    /// The offset of the event.
    pub offset: u64,
    /// The offset of the oldest event that the history has now.
    pub first: u64,
    /// Whether the file has no earlier event of the epoch.
    pub is_new: bool,
    /// The event.
    pub event: SavedEvent,
    /// The retained event that the file is to have, if that changes.
    pub retained: Option<SavedEvent>,
    /// The retained event before.
    pub retained_before: Option<SavedEvent>,
}

/// What the file is to have of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedHistory {
    /// The number of the epoch.
    pub epoch: u64,
    /// The offset of the oldest event.
    pub first: u64,
    /// The offset of the newest event. A retained event behind it is not known here.
    pub top: u64,
    /// Whether there is a retained event.
    pub has_retained: bool,
}

impl TopicHistory {
    pub(crate) fn prepare(
        self: Arc<Self>,
        publication: &Publication<'_>,
        recording: &Recording,
    ) -> PreparedEvent {
        let Recording { rule, now, .. } = *recording;
        let mut recent = self.lock();
        recent.trim(&rule, now);
        let Position { epoch, offset: top } = recent.position();
        let content = Content::of(publication, EventFrames::default());
        let is_retained = publication.retain.is_some() && content.is_some();
        let whole = StoredEvent::measured(top + 1, now, publication.id, content);
        let retained_before = recent.retained().map(StoredEvent::save);
        let retained = if is_retained {
            Some(whole.save())
        } else {
            retained_before.clone().filter(|_| !recent.is_logged())
        };
        let event = StoredEvent::within(&rule, top + 1, now, publication.id, whole.content);
        let (first, is_new) = (recent.first(), !recent.is_logged());
        drop(recent);
        PreparedEvent {
            history: self,
            epoch: epoch.get(),
            offset: top + 1,
            // Earlier events are not in the file: it has no hole.
            first: if is_new { top + 1 } else { first },
            is_new,
            event: event.save(),
            retained,
            retained_before,
        }
    }
}

impl PreparedEvent {
    /// Returns whether the next event still has this place.
    pub(crate) fn fits(&self, recent: &RecentEvents) -> bool {
        let place = Position { offset: recent.next_offset(), ..recent.position() };
        (place.epoch.get(), place.offset) == (self.epoch, self.offset)
            && recent.is_logged() != self.is_new
    }
}

impl RealmHistory {
    /// Returns the durable histories of these topics.
    pub(crate) fn all_logged(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<(Arc<str>, Arc<TopicHistory>)> {
        let realms = self.all.realms();
        let Some(topics) = realms.get(self.realm) else { return Vec::new() };
        let logged = topics.by_name.iter();
        let logged = logged.filter(|(topic, it)| it.lock().is_logged() && wanted(topic));
        logged.map(|(topic, it)| (Arc::clone(topic), Arc::clone(it))).collect()
    }

    /// Returns what the file is to have of a topic, at most; `None` if it is not known here.
    pub(crate) fn logged(&self, topic: &str, now: Duration) -> Option<LoggedHistory> {
        let history = self.get(topic)?;
        let mut recent = history.lock();
        recent.expire(now);
        let epoch = recent.position().epoch.get();
        if !recent.is_logged() {
            // Its first event may be saved just now.
            return Some(LoggedHistory { epoch, first: 0, top: 0, has_retained: true });
        }
        let has_retained = recent.retained().is_some();
        Some(LoggedHistory { epoch, first: recent.first(), top: recent.top(), has_retained })
    }
}
