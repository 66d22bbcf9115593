//! Retained events: the newest event of a topic whose publisher has asked for it (the option `retain`),
//! for subscribers that ask for it (`get_retained`). A topic needs no history for one.
//!
//! WAMP v2 specification, section "Event Retention".

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::uri::MatchPolicy;

use super::replay::Recipient;
use super::stored::{Content, StoredEvent};
use super::wish::MayReceive;
use super::{RealmHistory, RecentEvents, TopicHistory};
use crate::event_frames::EventFrames;
use crate::publication::{self, Publication};

/// The maximum number of topics that are looked at for one pattern: the lock of the realm is held
/// meanwhile.
const MAX_TOPICS: usize = 1_024;

impl RecentEvents {
    /// Retains an event that is queued to its receivers, in place of the one before. Returns whether it
    /// is one that can be sent again.
    pub(crate) fn retain(&mut self, publication: &Publication<'_>, now: Duration) -> bool {
        let Some(content) = Content::of(publication, EventFrames::default()) else { return false };
        // It may be too long for the history.
        let is_recorded = publication.recording.is_some() && self.has_newest();
        let offset = if is_recorded { self.top() } else { 0 };
        self.touch(now);
        self.set_retained(Some(StoredEvent::measured(offset, now, publication.id, Some(content))));
        true
    }
}

impl StoredEvent {
    /// Returns the size of the payload in the encoding of its publisher.
    fn payload_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, |content| content.payload.len())
    }

    /// Returns the frame for one subscriber of the event as a retained one. It has no offset: the position
    /// of its receiver does not change.
    pub(super) fn retained_frame(
        &self,
        recipient: &Recipient<'_>,
        topic: &str,
        pattern: bool,
    ) -> Option<Bytes> {
        let Recipient { session, subscription, framing, .. } = recipient;
        let content = self.content.as_ref().filter(|_| self.admits(session))?;
        content.payload.check_translatable(session.dialect.codec()).ok()?;
        let mut event = content.event(topic, *subscription, self.id);
        (event.pattern, event.retained) = (pattern, true);
        let frame = publication::frame(&event, *framing, session.dialect);
        (frame.len() <= framing.max_bytes).then_some(frame)
    }
}

impl RealmHistory {
    /// Notes that a topic has a retained event.
    pub(crate) fn note_retained(&self, topic: &str) {
        let mut realms = self.all.realms();
        let Some(topics) = realms.get_mut(self.realm) else { return };
        if !topics.retained.contains(topic) {
            topics.retained.insert(topic.into());
        }
    }

    /// Returns the topics with a retained event that a pattern matches, in order: not all of them, if
    /// they are many.
    pub(super) fn retained(
        &self,
        pattern: &str,
        policy: MatchPolicy,
    ) -> Vec<(Arc<str>, Arc<TopicHistory>)> {
        let prefix = match policy {
            MatchPolicy::Exact | MatchPolicy::Prefix => pattern,
            MatchPolicy::Wildcard => literal_begin(pattern),
        };
        let realms = self.all.realms();
        let Some(topics) = realms.get(self.realm) else { return Vec::new() };
        let behind = (Bound::Included(prefix), Bound::Unbounded);
        let range = topics.retained.range::<str, _>(behind).take(MAX_TOPICS);
        let range = range.take_while(|topic| topic.starts_with(prefix));
        let matching = range.filter(|topic| policy.matches(pattern, topic));
        let found = matching.filter_map(|topic| topics.by_name.get_key_value(topic));
        found.map(|(topic, history)| (Arc::clone(topic), Arc::clone(history))).collect()
    }

    /// Returns the frames of the newest retained events that a subscriber of a pattern may receive, the
    /// oldest first.
    pub(crate) fn retained_frames(
        &self,
        (pattern, policy): (&str, MatchPolicy),
        may_receive: MayReceive<'_>,
        recipient: &Recipient<'_>,
    ) -> Vec<Bytes> {
        let limits = self.replay_limits();
        let mut all: Vec<_> = self.retained(pattern, policy);
        all.retain(|(topic, _)| may_receive(topic));
        all.sort_by_cached_key(|(_, history)| history.lock().retained().map(|event| event.at));
        let (mut frames, mut bytes) = (Vec::new(), 0);
        for (topic, history) in all.into_iter().rev() {
            let recent = history.lock();
            let Some(event) = recent.retained() else { continue };
            // Looked at before it is encoded: the lock of the realm is held. One that does not fit hides no
            // other.
            if frames.len() == limits.events || bytes + event.payload_bytes() > limits.bytes {
                continue;
            }
            let Some(frame) = event.retained_frame(recipient, &topic, true) else { continue };
            bytes += frame.len();
            if bytes > limits.bytes {
                break;
            }
            frames.push(frame);
        }
        frames.reverse();
        frames
    }
}

/// Returns the text with which all matches of a wildcard begin.
fn literal_begin(wildcard: &str) -> &str {
    let mut length = 0;
    for component in wildcard.split_inclusive('.') {
        if component == "." {
            break;
        }
        length += component.len();
    }
    wildcard.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_begin_of_a_wildcard_is_that_of_all_matches() {
        for (wildcard, begin) in
            [("a.b..d", "a.b."), (".b", ""), ("", ""), ("a.", "a."), ("a..", "a."), ("a.b", "a.b")]
        {
            assert_eq!(literal_begin(wildcard), begin, "{wildcard}");
        }
    }
}
