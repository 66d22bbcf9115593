//! Encoding of EVENT, the only message with many receivers: once per publication and dialect. The
//! broker's fan-out calls it.
//!
//! Between peers of one codec the payload's bytes are copied as they arrived; only `out` is
//! allocated.

use crate::codec::CodecWriter;
use crate::dialect::{Codec, Dialect};
use crate::id::{PublicationId, SessionId, SubscriptionId};
use crate::message::MessageKind;
use crate::passthru::Passthru;
use crate::payload::Payload;
use crate::position::{EventNumber, Stream};
use crate::v1;

/// An event for the subscribers of one subscription.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The concrete topic. Version 1 always shows it, version 2 only with `pattern`.
    pub topic: &'a str,
    /// The subscription. Version 1 does not show it.
    pub subscription: SubscriptionId,
    /// The publication, shared by all its events. Version 1 does not show it.
    pub publication: PublicationId,
    /// Whether the subscription is to a pattern, so that the event must name its topic (WAMP v2
    /// specification, section "Pattern-based Subscription").
    pub pattern: bool,
    /// The publisher, if it is disclosed. Version 1 does not show it.
    pub publisher: Option<Publisher<'a>>,
    /// Older events of the subscription that this one replaces, because the subscriber has not read
    /// them; the detail `_replaced`. Version 1 does not show it.
    pub replaced: u64,
    /// The place in the history of the topic, from 1; 0 without a history: the detail `_offset`.
    /// Version 1 does not show it.
    pub offset: u64,
    /// The number of the event in a cluster: the detail `_at`. Version 1 does not show it.
    pub at: Option<EventNumber>,
    /// The answer to `_since`, in an event without arguments; the detail `_stream`. Version 1 does not
    /// show it.
    pub stream: Option<Stream<'a>>,
    /// Whether it is an event of the past that its publisher has retained. Version 1 does not show it.
    pub retained: bool,
    /// The trust level of the publication (WAMP v2 specification, section "Publication Trust Levels"). Version 1
    /// does not show it.
    pub trustlevel: Option<u32>,
    /// The arguments.
    pub payload: &'a Payload,
}

/// A disclosed publisher (WAMP v2 specification, section "Publisher Identification").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Publisher<'a> {
    pub session: SessionId,
    pub authid: Option<&'a str>,
    pub authrole: Option<&'a str>,
}

impl Event<'_> {
    /// Appends the message to `out`, which may already hold a transport's header.
    pub fn encode(&self, dialect: Dialect, out: &mut Vec<u8>) {
        // The rest of the message is short: one allocation is enough.
        out.reserve(self.payload.len() + self.topic.len() + 64);
        match dialect {
            Dialect::V1 => v1::event(self.topic, self.payload, out),
            Dialect::V2(codec) => self.encode_v2(codec, out),
        }
    }

    fn encode_v2(&self, codec: Codec, out: &mut Vec<u8>) {
        let mut writer = CodecWriter::new(codec, out);
        writer.begin_list(4 + self.payload.trailing_len());
        writer.uint(MessageKind::Event.code());
        writer.uint(self.subscription.get());
        writer.uint(self.publication.get());
        self.write_details(&mut writer);
        self.payload.write_trailing(&mut writer);
        writer.end_list();
    }

    fn write_details(&self, writer: &mut CodecWriter<'_>) {
        let publisher = self.publisher.as_ref();
        let authid = publisher.and_then(|publisher| publisher.authid);
        let authrole = publisher.and_then(|publisher| publisher.authrole);
        let (has_replaced, has_offset) = (self.replaced > 0, self.offset > 0);
        let passthru = self.payload.passthru();
        let len: usize = [
            self.pattern,
            publisher.is_some(),
            authid.is_some(),
            authrole.is_some(),
            has_replaced,
            has_offset,
            self.at.is_some(),
            self.stream.is_some(),
            self.retained,
            self.trustlevel.is_some(),
        ]
        .into_iter()
        .map(usize::from)
        .sum();
        let packed = passthru.map_or(0, |passthru| passthru.entries().count());
        writer.begin_map(len + packed);
        if self.pattern {
            writer.key("topic");
            writer.text(self.topic);
        }
        if let Some(publisher) = publisher {
            writer.key("publisher");
            writer.uint(publisher.session.get());
        }
        if let Some(authid) = authid {
            writer.key("publisher_authid");
            writer.text(authid);
        }
        if let Some(authrole) = authrole {
            writer.key("publisher_authrole");
            writer.text(authrole);
        }
        if has_replaced {
            writer.key("_replaced");
            writer.uint(self.replaced);
        }
        if has_offset {
            writer.key("_offset");
            writer.uint(self.offset);
        }
        if let Some(EventNumber { node, number }) = self.at {
            writer.key("_at");
            writer.begin_list(2);
            writer.text(&format!("{node:x}"));
            writer.uint(number);
            writer.end_list();
        }
        if let Some(stream) = &self.stream {
            writer.key("_stream");
            stream.write(writer);
        }
        if self.retained {
            writer.key("retained");
            writer.bool(true);
        }
        if let Some(level) = self.trustlevel {
            writer.key("trustlevel");
            writer.uint(level.into());
        }
        for (key, value) in passthru.into_iter().flat_map(Passthru::entries) {
            writer.key(key);
            writer.text(value);
        }
        writer.end_map();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::arbitrary::{self, recode};
    use crate::position::{Epoch, Position};

    fn event(payload: &Payload) -> Event<'_> {
        Event {
            topic: "acme/chat/1",
            subscription: SubscriptionId::new(7).unwrap(),
            publication: PublicationId::new(1 << 53).unwrap(),
            pattern: false,
            publisher: None,
            replaced: 0,
            offset: 0,
            at: None,
            stream: None,
            retained: false,
            trustlevel: None,
            payload,
        }
    }

    /// Compares the event in every dialect, translated to JSON.
    fn check(event: &Event<'_>, v1: &str, v2: &str) {
        for dialect in Dialect::ALL {
            let mut out = b"head".to_vec();
            event.encode(dialect, &mut out);
            assert_eq!(&out[..4], b"head");
            let json = recode(&out[4..], dialect.codec(), Codec::Json).unwrap();
            let expect = if dialect == Dialect::V1 { v1 } else { v2 };
            assert_eq!(String::from_utf8(json).unwrap(), expect, "{dialect:?}");
        }
    }

    #[test]
    fn encodes_events_in_every_dialect() {
        let none = Payload::empty(Codec::Cbor);
        check(&event(&none), r#"[8,"acme/chat/1",null]"#, "[36,7,9007199254740992,{}]");
        let one = Payload::from_json(r#"[{"text":"a/b"}]"#, "").unwrap();
        check(
            &event(&one),
            r#"[8,"acme/chat/1",{"text":"a/b"}]"#,
            r#"[36,7,9007199254740992,{},[{"text":"a/b"}]]"#,
        );
        let both = Payload::from_json("[1,2]", r#"{"k":"v"}"#).unwrap();
        check(
            &event(&both),
            r#"[8,"acme/chat/1",{"args":[1,2],"kwargs":{"k":"v"}}]"#,
            r#"[36,7,9007199254740992,{},[1,2],{"k":"v"}]"#,
        );
    }

    #[test]
    fn encodes_event_details() {
        let payload = Payload::empty(Codec::Json);
        let session = SessionId::new(42).unwrap();
        let publisher = Publisher { session, authid: Some("joe"), authrole: None };
        check(
            &Event { pattern: true, publisher: Some(publisher), ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"topic":"acme/chat/1","publisher":42,"publisher_authid":"joe"}]"#,
        );
        check(
            &Event { replaced: 3, ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"_replaced":3}]"#,
        );
        check(
            &Event { offset: 41, ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"_offset":41}]"#,
        );
        let at = Some(EventNumber { node: 0x1f, number: 9 });
        check(
            &Event { offset: 41, at, ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"_offset":41,"_at":["1f",9]}]"#,
        );
        check(
            &Event { pattern: true, retained: true, ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"topic":"acme/chat/1","retained":true}]"#,
        );
        check(
            &Event { trustlevel: Some(0), ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"trustlevel":0}]"#,
        );
    }

    #[test]
    fn shows_how_a_payload_is_packed() {
        let values = [Some("x_own"), None, Some("aes256gcm"), None].map(|it| it.map(str::to_owned));
        let passthru = Passthru::new(values).unwrap();
        let payload = Payload::from_json("[\"p\"]", "").unwrap().packed(passthru).unwrap();
        let mut out = Vec::new();
        event(&payload).encode(Dialect::V2(Codec::Json), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[36,7,9007199254740992,{"ppt_scheme":"x_own","ppt_cipher":"aes256gcm"},["p"]]"#
        );
    }

    #[test]
    fn encodes_answers_to_positions() {
        let payload = Payload::empty(Codec::Json);
        let position = Position { epoch: Epoch::new(0x9f3), offset: 41 };
        let stream = Stream { position: Some(position), place: None, recovered: true, replayed: 7 };
        check(
            &Event { stream: Some(stream), ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"_stream":{"epoch":"9f3","offset":41,"recovered":true,"replayed":7}}]"#,
        );
        let none = Stream { position: None, place: None, recovered: false, replayed: 0 };
        check(
            &Event { stream: Some(none), ..event(&payload) },
            r#"[8,"acme/chat/1",null]"#,
            r#"[36,7,9007199254740992,{"_stream":{"recovered":false,"replayed":0}}]"#,
        );
    }

    #[test]
    fn encodes_an_event_in_one_allocation() {
        let payload = Payload::from_json(&format!("[\"{}\"]", "x".repeat(1000)), "").unwrap();
        for dialect in [Dialect::V1, Dialect::V2(Codec::Json)] {
            let mut out = Vec::new();
            event(&payload).encode(dialect, &mut out);
            assert!(out.capacity() <= payload.len() + "acme/chat/1".len() + 64, "it has not grown");
        }
    }

    /// The broker relies on this factor: it does not measure payloads that are this many times
    /// shorter than its limit.
    const MAX_GROWTH: usize = 16;

    proptest! {
        #[test]
        fn no_codec_makes_a_payload_sixteen_times_as_long(
            payload in arbitrary::codec().prop_flat_map(arbitrary::payload),
        ) {
            for dialect in Dialect::ALL {
                let mut out = Vec::new();
                event(&payload).encode(dialect, &mut out);
                prop_assert!(out.len() <= payload.len() * MAX_GROWTH + 64, "{dialect:?}");
            }
        }
    }

    #[test]
    fn bounds_the_growth_of_values() {
        // CBOR: an empty byte string, -1, false, null, the smallest half float, a control
        // character.
        let worst: [&[u8]; 6] = [b"\x40", b"\x20", b"\xf4", b"\xf6", b"\xf9\x00\x01", b"\x61\x01"];
        for value in worst {
            let mut list = vec![0x99, 0x03, 0xe8];
            list.extend(value.repeat(1_000));
            for codec in [Codec::Json, Codec::MessagePack] {
                let length = recode(&list, Codec::Cbor, codec).unwrap().len();
                assert!(length <= list.len() * MAX_GROWTH, "{value:?}: {length} in {codec:?}");
            }
        }
    }
}
