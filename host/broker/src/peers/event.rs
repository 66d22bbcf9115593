//! Events between nodes: the publication as the publisher's node has it, with the arguments undecoded in
//! the publisher's codec. A receiving node filters its own sessions.

use std::collections::BTreeSet;

use bytes::Bytes;
use jackfield_wamp::dialect::Codec;
use jackfield_wamp::event::Publisher;
use jackfield_wamp::id::{PublicationId, RequestId, SessionId};
use jackfield_wamp::message::{Message, Publish, PublishOptions, ReceiverFilter};
use jackfield_wamp::payload::{MAX_DEPTH, Payload};

use super::bytes::{Input, codec_number, codec_of, put_bytes, put_list, put_u64};
use super::envelope::{self, Kind};
use crate::publication::{EventSource, Publication};

/// An event that was published on another node.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteEvent {
    /// The realm's name.
    pub realm: String,
    /// The topic.
    pub topic: String,
    /// The publication's id.
    pub id: PublicationId,
    /// Session, authid and role of the publisher, if it is disclosed.
    pub publisher: Option<(SessionId, String, String)>,
    /// A session that does not receive the event.
    pub except: Option<SessionId>,
    /// The publisher's restriction of the receivers.
    pub filter: Option<ReceiverFilter>,
    /// The handler's restriction of the receivers.
    pub narrowed: Option<ReceiverFilter>,
    /// Whether later subscribers are to get the event.
    pub retain: bool,
    /// The trust level, by the settings of the publisher's node.
    pub trustlevel: Option<u32>,
    /// The node of the publisher, and the number that it has given the event, if its topic has a history there.
    pub source: EventSource,
    /// The arguments.
    pub payload: Payload,
}

impl RemoteEvent {
    /// Returns the publisher, if it is disclosed.
    pub fn disclosed(&self) -> Option<Publisher<'_>> {
        let (session, authid, authrole) = self.publisher.as_ref()?;
        Some(Publisher { session: *session, authid: Some(authid), authrole: Some(authrole) })
    }

    pub(super) fn decode(content: Bytes) -> Option<Self> {
        let mut input = Input::new(content);
        let mut event = Self {
            realm: input.text()?,
            topic: input.text()?,
            id: PublicationId::new(input.u64()?)?,
            publisher: option(&mut input, |input| {
                Some((SessionId::new(input.u64()?)?, input.text()?, input.text()?))
            })?,
            except: option(&mut input, session)?,
            filter: option(&mut input, filter)?,
            narrowed: option(&mut input, filter)?,
            retain: false,
            trustlevel: None,
            source: EventSource::Here,
            payload: Payload::empty(Codec::Json),
        };
        let publish = publish(input)?;
        let PublishOptions { retain, trustlevel, .. } = publish.options;
        (event.retain, event.trustlevel, event.payload) = (retain, trustlevel, publish.payload);
        Some(event)
    }
}

/// Writes the records of a publication: its number, if it has one, and the event.
pub(super) fn records(realm: &str, publication: &Publication<'_>) -> Vec<Bytes> {
    let number = match publication.source {
        EventSource::Here => None,
        EventSource::Node(_, number) => number,
    };
    let number = number.map(|it| envelope::records(Kind::Number, &it.to_le_bytes()));
    let mut records = number.unwrap_or_default();
    records.extend(envelope::records(Kind::Event, &encode(realm, publication)));
    records
}

/// Writes the event of a publication.
fn encode(realm: &str, publication: &Publication<'_>) -> Vec<u8> {
    let Publication { topic, id, disclosed, except, filter, narrowed, .. } = publication;
    let Publication { retain, trustlevel, payload, .. } = publication;
    let mut out = Vec::with_capacity(realm.len() + topic.len() + payload.len() + HEAD_BYTES);
    put_bytes(realm.as_bytes(), &mut out);
    put_bytes(topic.as_bytes(), &mut out);
    put_u64(id.get(), &mut out);
    put_list(disclosed.iter(), &mut out, |publisher, out| {
        put_u64(publisher.session.get(), out);
        put_bytes(publisher.authid.unwrap_or_default().as_bytes(), out);
        put_bytes(publisher.authrole.unwrap_or_default().as_bytes(), out);
    });
    put_list(except.iter(), &mut out, |id, out| put_u64(id.get(), out));
    for filter in [filter, narrowed] {
        put_list(filter.iter(), &mut out, |filter, out| put_filter(filter, out));
    }
    // The arguments, as the message that has them. Nodes of older releases ignore further options.
    let codec = payload.codec();
    out.push(codec_number(codec));
    let (retain, trustlevel) = (retain.is_some(), *trustlevel);
    let options = PublishOptions { retain, trustlevel, ..PublishOptions::default() };
    let request = RequestId::default();
    let payload = Payload::clone(payload);
    let publish = Publish { request, options, topic: String::new(), payload };
    Message::Publish(publish).encode(codec, &mut out);
    out
}

/// The approximate size of an event besides names and arguments.
const HEAD_BYTES: usize = 96;

fn put_filter(filter: &ReceiverFilter, out: &mut Vec<u8>) {
    let ReceiverFilter { exclude, exclude_authid, exclude_authrole, .. } = filter;
    let ReceiverFilter { eligible, eligible_authid, eligible_authrole, .. } = filter;
    put_sessions(exclude, out);
    put_names(exclude_authid, out);
    put_names(exclude_authrole, out);
    put_list(eligible.iter(), out, put_sessions);
    put_list(eligible_authid.iter(), out, put_names);
    put_list(eligible_authrole.iter(), out, put_names);
}

fn put_sessions(sessions: &BTreeSet<SessionId>, out: &mut Vec<u8>) {
    put_list(sessions.iter(), out, |id, out| put_u64(id.get(), out));
}

fn put_names(names: &BTreeSet<String>, out: &mut Vec<u8>) {
    put_list(names.iter(), out, |name, out| put_bytes(name.as_bytes(), out));
}

fn filter(input: &mut Input) -> Option<ReceiverFilter> {
    Some(ReceiverFilter {
        exclude: input.list(session)?,
        exclude_authid: input.list(Input::text)?,
        exclude_authrole: input.list(Input::text)?,
        eligible: option(input, |input| input.list(session))?,
        eligible_authid: option(input, |input| input.list(Input::text))?,
        eligible_authrole: option(input, |input| input.list(Input::text))?,
    })
}

fn session(input: &mut Input) -> Option<SessionId> {
    SessionId::new(input.u64()?)
}

/// Reads a list of at most one item.
#[expect(clippy::option_option, reason = "the outer one is missing if the bytes are wrong")]
fn option<T>(input: &mut Input, item: impl FnMut(&mut Input) -> Option<T>) -> Option<Option<T>> {
    let mut items: Vec<T> = input.list(item)?;
    (items.len() <= 1).then(|| items.pop())
}

/// Reads the message with the arguments, and checks it as that of a client.
fn publish(mut input: Input) -> Option<Publish> {
    let codec = codec_of(input.u8()?)?;
    match Message::decode_within(codec, &input.rest(), MAX_DEPTH).ok()? {
        Message::Publish(publish) => Some(publish),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::publication::PatternAudience;

    fn full() -> (ReceiverFilter, Payload) {
        let names = |name: &str| BTreeSet::from([name.to_owned()]);
        let filter = ReceiverFilter {
            exclude: BTreeSet::from([SessionId::new(3).unwrap()]),
            exclude_authid: names("a"),
            exclude_authrole: names("b"),
            eligible: Some(BTreeSet::new()),
            eligible_authid: Some(names("c")),
            eligible_authrole: Some(names("d")),
        };
        (filter, Payload::from_json("[1]", r#"{"a":null}"#).unwrap())
    }

    fn publication<'a>(filter: &'a ReceiverFilter, payload: &'a Payload) -> Publication<'a> {
        let session = SessionId::new(7).unwrap();
        Publication {
            topic: "a.b",
            id: PublicationId::new(5).unwrap(),
            client: None,
            disclosed: Some(Publisher { session, authid: Some("joe"), authrole: Some("user") }),
            except: Some(session),
            filter: Some(filter),
            narrowed: None,
            patterns: PatternAudience::Everybody,
            overflow: None,
            recording: None,
            retain: Some(Duration::ZERO),
            trustlevel: Some(2),
            source: EventSource::Here,
            payload,
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let (filter, payload) = full();
        let publication = publication(&filter, &payload);
        let read = RemoteEvent::decode(encode("shop", &publication).into()).unwrap();
        assert_eq!((read.realm.as_str(), read.topic.as_str()), ("shop", "a.b"));
        assert_eq!((read.id, read.except), (publication.id, publication.except));
        let publisher = read.disclosed().unwrap();
        assert_eq!((publisher.session.get(), publisher.authid), (7, Some("joe")));
        assert_eq!((&read.filter, &read.narrowed), (&Some(filter.clone()), &None));
        assert_eq!((read.retain, read.trustlevel), (true, Some(2)));
        assert_eq!(read.payload, payload);
        let plain = encode("shop", &Publication { retain: None, trustlevel: None, ..publication });
        let plain = RemoteEvent::decode(plain.into()).unwrap();
        assert_eq!((plain.retain, plain.trustlevel), (false, None));
    }

    proptest! {
        #[test]
        fn survives_changed_bytes(cut in 0..200_usize, at in 0..200_usize, byte: u8) {
            let (filter, payload) = full();
            let mut bytes = encode("shop", &publication(&filter, &payload));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _any = RemoteEvent::decode(bytes.into());
        }
    }
}
