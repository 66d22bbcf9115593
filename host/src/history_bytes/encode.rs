//! Writes the file: numbers of eight bytes, texts and lists with their length before them.

use std::collections::BTreeSet;

use jackfield_broker::{Mirror, MirroredEvent, SavedContent, SavedEvent, SavedTopic};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::RequestId;
use jackfield_wamp::message::{Message, Publish, PublishOptions, ReceiverFilter};
use jackfield_wamp::payload::Payload;

use super::{SavedRealms, is_plain};

pub(crate) fn realms(all: &SavedRealms, out: &mut Vec<u8>) {
    list(all, out, |(name, topics), out| {
        bytes(name.as_bytes(), out);
        list(topics, out, topic);
    });
}

/// Returns one event.
pub(crate) fn encoded(saved: &SavedEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    event(saved, &mut bytes);
    bytes
}

/// Returns what a node tells of a topic.
pub(crate) fn encoded_mirror(mirror: &Mirror) -> Vec<u8> {
    let Mirror { gone, complete_since, nodes, events } = mirror;
    let mut out = Vec::new();
    number(*gone, &mut out);
    list(complete_since, &mut out, |digest, out| number(*digest, out));
    list(nodes, &mut out, |(node, before, last), out| {
        for it in [node.0, *before, *last] {
            number(it, out);
        }
    });
    list(events, &mut out, |MirroredEvent { node, number: own, event: saved }, out| {
        number(node.0, out);
        number(*own, out);
        event(saved, out);
    });
    out
}

fn topic(saved: &SavedTopic, out: &mut Vec<u8>) {
    let SavedTopic { topic, epoch, top, last, events, retained } = saved;
    bytes(topic.as_bytes(), out);
    number(*epoch, out);
    number(*top, out);
    time(*last, out);
    list(events, out, event);
    list(retained, out, event);
}

fn event(saved: &SavedEvent, out: &mut Vec<u8>) {
    let SavedEvent { at, id, content } = saved;
    time(*at, out);
    number(id.get(), out);
    let content = content.as_ref().filter(|it| is_plain(it));
    list(content, out, |SavedContent { payload: own, publisher, filters }, out| {
        payload(own, out);
        list(publisher, out, |(session, authid, authrole), out| {
            number(session.get(), out);
            bytes(authid.as_bytes(), out);
            bytes(authrole.as_bytes(), out);
        });
        list(filters, out, filter);
    });
}

/// Writes arguments as a message in their codec.
fn payload(payload: &Payload, out: &mut Vec<u8>) {
    let codec = payload.codec();
    let (request, options) = (RequestId::default(), PublishOptions::default());
    let publish = Publish { request, options, topic: String::new(), payload: payload.clone() };
    let mut message = Vec::new();
    Message::Publish(publish).encode(codec, &mut message);
    number(Dialect::V2(codec).index() as u64, out);
    bytes(&message, out);
}

fn filter(filter: &ReceiverFilter, out: &mut Vec<u8>) {
    let ReceiverFilter { exclude_authid, exclude_authrole, .. } = filter;
    let ReceiverFilter { eligible_authid, eligible_authrole, .. } = filter;
    names(exclude_authid, out);
    names(exclude_authrole, out);
    list(eligible_authid, out, names);
    list(eligible_authrole, out, names);
}

fn names(names: &BTreeSet<String>, out: &mut Vec<u8>) {
    list(names, out, |name, out| bytes(name.as_bytes(), out));
}

fn list<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(&T, &mut Vec<u8>),
) {
    let items: Vec<&T> = items.into_iter().collect();
    number(items.len() as u64, out);
    for it in items {
        item(it, out);
    }
}

fn time(time: std::time::Duration, out: &mut Vec<u8>) {
    number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), out);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}
