//! Reads the file. `None` wherever it is not as [`super::encode`] writes it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::peers::NodeId;
use jackfield_broker::{Mirror, MirroredEvent, SavedContent, SavedEvent, SavedTopic};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::message::{Message, ReceiverFilter};
use jackfield_wamp::payload::Payload;

use super::SavedRealms;

/// The bytes that are left.
struct Input<'a>(&'a [u8]);

pub(crate) fn realms(bytes: &[u8]) -> Option<SavedRealms> {
    let mut input = Input(bytes);
    let realms = input.list(|input| Some((input.text()?, input.list(Input::topic)?)))?;
    input.0.is_empty().then_some(realms)
}

/// Reads one event.
pub(crate) fn event(bytes: &[u8]) -> Option<SavedEvent> {
    let mut input = Input(bytes);
    let event = input.event()?;
    input.0.is_empty().then_some(event)
}

/// Reads the mirror of a topic. A later version may write more behind it.
pub(crate) fn mirror(bytes: &[u8]) -> Option<Mirror> {
    let mut input = Input(bytes);
    Some(Mirror {
        gone: input.number()?,
        complete_since: input.option(Input::number)?,
        nodes: input.list(|it| Some((NodeId(it.number()?), it.number()?, it.number()?)))?,
        events: input.list(|it| {
            let (node, number) = (NodeId(it.number()?), it.number()?);
            Some(MirroredEvent { node, number, event: it.event()? })
        })?,
    })
}

impl<'a> Input<'a> {
    fn topic(&mut self) -> Option<SavedTopic> {
        Some(SavedTopic {
            topic: self.text()?,
            epoch: self.number()?,
            top: self.number()?,
            last: self.time()?,
            events: self.list(Self::event)?,
            retained: self.option(Self::event)?,
        })
    }

    fn event(&mut self) -> Option<SavedEvent> {
        let (at, id) = (self.time()?, PublicationId::new(self.number()?)?);
        Some(SavedEvent { at, id, content: self.option(Self::content)? })
    }

    fn content(&mut self) -> Option<SavedContent> {
        let payload = self.payload()?;
        let publisher = self.option(|input| {
            Some((SessionId::new(input.number()?)?, input.text()?, input.text()?))
        })?;
        Some(SavedContent { payload, publisher, filters: self.list(Self::filter)? })
    }

    fn payload(&mut self) -> Option<Payload> {
        let index = usize::try_from(self.number()?).ok()?;
        let codec = Dialect::ALL.get(index)?.codec();
        let message = Bytes::copy_from_slice(self.bytes()?);
        match Message::decode(codec, &message).ok()? {
            Message::Publish(publish) => Some(publish.payload.detached()),
            _ => None,
        }
    }

    fn filter(&mut self) -> Option<ReceiverFilter> {
        Some(ReceiverFilter {
            exclude_authid: self.names()?,
            exclude_authrole: self.names()?,
            eligible_authid: self.option(Self::names)?,
            eligible_authrole: self.option(Self::names)?,
            ..ReceiverFilter::default()
        })
    }

    fn names(&mut self) -> Option<BTreeSet<String>> {
        self.list(Self::text).map(BTreeSet::from_iter)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // Not with the capacity of the number: it is only what the file says.
        (0..self.number()?).map(|_| item(self)).collect()
    }

    /// Reads a list of at most one item.
    #[expect(clippy::option_option, reason = "the outer one is missing if the file is wrong")]
    fn option<T>(&mut self, item: impl FnMut(&mut Self) -> Option<T>) -> Option<Option<T>> {
        let mut items = self.list(item)?;
        (items.len() <= 1).then(|| items.pop())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn time(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_millis)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}
