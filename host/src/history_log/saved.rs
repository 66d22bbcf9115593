//! Topics and events as the file has them.

use std::collections::HashMap;
use std::time::Duration;

use jackfield_broker::{PreparedEvent, SavedEvent, SavedTopic};
use jackfield_store::{HistoryChange, LoggedTopic, TopicKey};
use tracing::warn;

use crate::history_bytes::{decode_event, encode_event};

/// Histories by realm.
pub(crate) type Histories = HashMap<String, Vec<SavedTopic>>;

/// Returns the change that saves an event.
pub(crate) fn append(realm: &str, topic: &str, prepared: &PreparedEvent) -> HistoryChange {
    let PreparedEvent { epoch, offset, first, is_new, event, retained, .. } = prepared;
    HistoryChange::Append {
        key: TopicKey { realm: realm.to_owned(), topic: topic.to_owned(), epoch: *epoch },
        is_new: *is_new,
        first: *first,
        offset: *offset,
        at_ms: u64::try_from(event.at.as_millis()).unwrap_or(u64::MAX),
        event: encode_event(event),
        retained: retained.as_ref().map(encode_event),
    }
}

/// Returns the change that takes an event back.
pub(crate) fn rewind(realm: &str, topic: &str, prepared: &PreparedEvent) -> HistoryChange {
    let PreparedEvent { epoch, offset, is_new, retained, retained_before, .. } = prepared;
    let key = TopicKey { realm: realm.to_owned(), topic: topic.to_owned(), epoch: *epoch };
    if *is_new {
        return HistoryChange::Forget { key };
    }
    let before = || retained_before.as_ref().map(encode_event);
    HistoryChange::Rewind { key, offset: *offset, retained: retained.as_ref().map(|_| before()) }
}

/// Returns the histories in the file. A topic that cannot be read begins anew.
pub(super) fn decode(topics: Vec<LoggedTopic>) -> Histories {
    let mut all = Histories::new();
    for topic in topics {
        let (realm, name) = (topic.key.realm.clone(), topic.key.topic.clone());
        match saved(topic) {
            Some(saved) => all.entry(realm).or_default().push(saved),
            None => {
                warn!(name: "history.unreadable", realm, topic = name, "a durable history cannot be read, and begins anew");
            }
        }
    }
    all
}

fn saved(topic: LoggedTopic) -> Option<SavedTopic> {
    let LoggedTopic { key, top, last_ms, events, retained } = topic;
    let event = |bytes: Vec<u8>| -> Option<SavedEvent> { decode_event(&bytes) };
    Some(SavedTopic {
        topic: key.topic,
        epoch: key.epoch,
        top,
        last: Duration::from_millis(last_ms),
        events: events.into_iter().map(event).collect::<Option<_>>()?,
        retained: match retained {
            Some(retained) => Some(event(retained)?),
            None => None,
        },
    })
}
