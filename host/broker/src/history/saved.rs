//! Histories as values, for the file that the next start takes.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::message::ReceiverFilter;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::Epoch;

use super::origins::Origins;
use super::stored::{Content, StoredEvent, StoredPublisher};
use super::{RealmHistory, RecentEvents, TopicHistory};
use crate::event_frames::EventFrames;
use crate::total::Total;

/// The history of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTopic {
    /// The topic.
    pub topic: String,
    /// The number of the epoch.
    pub epoch: u64,
    /// The offset of the newest event.
    pub top: u64,
    /// The time of the newest event, since the Unix epoch.
    pub last: Duration,
    /// The newest events, up to `top`, without a hole.
    pub events: Vec<SavedEvent>,
    /// The event that its publisher has retained.
    pub retained: Option<SavedEvent>,
}

/// An event of a history.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedEvent {
    /// The time, since the Unix epoch.
    pub at: Duration,
    /// The publication's id.
    pub id: PublicationId,
    /// `None` if the event is withheld.
    pub content: Option<SavedContent>,
}

/// What is needed to send an event again. Session ids are those of sessions that have ended, so none is
/// saved but that of a disclosed publisher.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedContent {
    /// The arguments.
    pub payload: Payload,
    /// Session, authid and role of the publisher, if it is disclosed.
    pub publisher: Option<(SessionId, String, String)>,
    /// The restrictions of the receivers; all must admit one.
    pub filters: Vec<ReceiverFilter>,
}

impl RealmHistory {
    /// Returns the histories of all topics, also of those without an event yet: their clients have a
    /// position. Of a topic without a history, the retained event is returned. Durable ones are in their
    /// own file already.
    pub(crate) fn save(&self, has_history: impl Fn(&str) -> bool) -> Vec<SavedTopic> {
        let realms = self.all.realms();
        let Some(topics) = realms.get(self.realm) else { return Vec::new() };
        let mut all = Vec::new();
        for (topic, history) in &topics.by_name {
            let has_history = has_history(topic);
            let recent = history.lock();
            if recent.is_logged() {
                continue;
            }
            let mut saved = recent.save();
            drop(recent);
            if !has_history {
                saved.events.clear();
            }
            if has_history || saved.retained.is_some() {
                all.push(saved);
            }
        }
        all
    }

    /// Takes saved histories over, of topics that have none yet. `is_logged` says that the file of durable
    /// histories has them. A history that was saved at a clean stop replaces one of another epoch in that
    /// file, which had ended; the file may have later events of the same one.
    pub(crate) fn restore(&self, saved: Vec<SavedTopic>, is_logged: bool) {
        let mut realms = self.all.realms();
        let Some(topics) = realms.get_mut(self.realm) else { return };
        for one in saved {
            let name: Arc<str> = one.topic.as_str().into();
            let memory = &self.all.memory;
            let place = topics.by_name.entry(Arc::clone(&name));
            if let Entry::Occupied(place) = &place {
                let recent = place.get().lock();
                let has_ended = recent.is_logged() && recent.position().epoch.get() != one.epoch;
                if is_logged || !has_ended {
                    continue;
                }
            }
            if one.retained.is_some() {
                topics.retained.insert(name);
            } else {
                topics.retained.remove(&name);
            }
            let origins = self.node.map(|node| Origins::new(node, topics.forgotten_number));
            let history = TopicHistory::restored(one, memory, origins);
            if is_logged {
                history.lock().set_logged();
            }
            place.insert_entry(Arc::new(history));
        }
        drop(realms);
        self.relieve();
    }
}

impl TopicHistory {
    fn restored(saved: SavedTopic, memory: &Arc<Total>, origins: Option<Origins>) -> Self {
        let SavedTopic { topic, epoch, top, last, events, retained } = saved;
        let has_only_retained = events.is_empty() && retained.is_some();
        // One before the events: the epoch has had some.
        let had = if has_only_retained { 0 } else { events.len().max(1) as u64 };
        let begin = top.saturating_sub(had);
        let mut recent =
            RecentEvents::new(&topic, Epoch::new(epoch), begin, last, Arc::clone(memory), origins);
        recent.restore(events, top);
        let retained = retained.map(|it| {
            // It may be one of the events: no subscriber gets it twice.
            let event = recent.stored().find(|event| event.id == it.id);
            StoredEvent::restored(event.map_or(0, |event| event.offset), it)
        });
        recent.set_retained(retained);
        Self(recent.into())
    }
}

impl RecentEvents {
    fn save(&self) -> SavedTopic {
        SavedTopic {
            topic: self.topic().as_ref().to_owned(),
            epoch: self.position().epoch.get(),
            top: self.top(),
            last: self.last(),
            events: self.stored().map(StoredEvent::save).collect(),
            retained: self.retained().map(StoredEvent::save),
        }
    }
}

impl StoredEvent {
    pub(super) fn save(&self) -> SavedEvent {
        let content = self.content.as_ref().map(|content| {
            let Content { payload, publisher, filter, narrowed, except: _, frames: _ } = content;
            let publisher =
                publisher.as_ref().map(|StoredPublisher { session, authid, authrole }| {
                    (*session, authid.clone(), authrole.clone())
                });
            let filters = [filter, narrowed].into_iter().flatten();
            let filters = filters.map(|it| (**it).clone()).collect();
            SavedContent { payload: payload.clone(), publisher, filters }
        });
        SavedEvent { at: self.at, id: self.id, content }
    }

    pub(super) fn restored(offset: u64, saved: SavedEvent) -> Self {
        let SavedEvent { at, id, content } = saved;
        let content = content.map(|SavedContent { payload, publisher, filters }| {
            let mut filters = filters.into_iter().map(Box::new);
            Content {
                payload,
                publisher: publisher.map(|(session, authid, authrole)| StoredPublisher {
                    session,
                    authid,
                    authrole,
                }),
                except: None,
                filter: filters.next(),
                narrowed: filters.next(),
                frames: EventFrames::default(),
            }
        });
        Self::measured(offset, at, id, content)
    }
}
