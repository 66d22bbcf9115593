//! EVENT, the only message that is written for many receivers: once a publication for each
//! dialect among them. The broker's fan-out calls in here.
//!
//! Between peers of one codec the payload's bytes are copied as they arrived; nothing but `out`
//! is allocated.

use crate::codec::Writer;
use crate::dialect::{Codec, Dialect};
use crate::id::{PublicationId, SessionId, SubscriptionId};
use crate::message::Kind;
use crate::payload::Payload;
use crate::v1;

/// An event on its way to the subscribers of one subscription.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The concrete topic. Version 1 always shows it, version 2 only with `pattern`.
    pub topic: &'a str,
    /// Whose subscribers receive it. Version 1 does not show it.
    pub subscription: SubscriptionId,
    /// Shared by all events of the publication. Version 1 does not show it.
    pub publication: PublicationId,
    /// Whether the subscription is to a pattern, so that the topic must be told (WAMP v2
    /// specification, section "Pattern-based Subscription").
    pub pattern: bool,
    /// Who published it, where that is disclosed. Version 1 does not show it.
    pub publisher: Option<Publisher<'a>>,
    /// The arguments.
    pub payload: &'a Payload,
}

/// Who published an event (WAMP v2 specification, section "Publisher Identification").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct Publisher<'a> {
    pub session: SessionId,
    pub authid: Option<&'a str>,
    pub authrole: Option<&'a str>,
}

impl Event<'_> {
    /// Appends the message to `out`, which may already hold room for a transport's header.
    pub fn encode(&self, dialect: Dialect, out: &mut Vec<u8>) {
        // The rest of the message is short; one allocation is enough.
        out.reserve(self.payload.len() + self.topic.len() + 64);
        match dialect {
            Dialect::V1 => v1::event(self.topic, self.payload, out),
            Dialect::V2(codec) => self.encode_v2(codec, out),
        }
    }

    fn encode_v2(&self, codec: Codec, out: &mut Vec<u8>) {
        let mut writer = Writer::new(codec, out);
        writer.begin_list(4 + self.payload.trailing_len());
        writer.uint(Kind::Event.code());
        writer.uint(self.subscription.get());
        writer.uint(self.publication.get());
        self.write_details(&mut writer);
        self.payload.write_trailing(&mut writer);
        writer.end_list();
    }

    fn write_details(&self, writer: &mut Writer<'_>) {
        let publisher = self.publisher.as_ref();
        let authid = publisher.and_then(|publisher| publisher.authid);
        let authrole = publisher.and_then(|publisher| publisher.authrole);
        let len = [self.pattern, publisher.is_some(), authid.is_some(), authrole.is_some()]
            .into_iter()
            .map(usize::from)
            .sum();
        writer.begin_map(len);
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
        writer.end_map();
    }
}
