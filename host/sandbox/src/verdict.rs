//! What hooks answer, checked: whatever the host finds in one of these types, it can act on.

use crate::contract::{handler, types};
use crate::event::Event;

/// Whether a session becomes a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeVerdict {
    /// It does.
    Allow,
    /// It does not, and is told why.
    Deny(Refusal),
}

/// What becomes of a published event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishVerdict {
    /// Every subscriber that the publisher did not exclude receives it.
    Broadcast,
    /// Fewer receive it, or they receive another one.
    Deliver(Delivery),
    /// It is accepted, and nobody receives it.
    Drop,
    /// It is not accepted, and the publisher is told why.
    Reject(Refusal),
}

/// A narrower delivery than the publisher asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What is delivered instead of the published event.
    pub event: Option<Event>,
    /// These sessions do not receive it.
    pub exclude: Vec<u64>,
    /// If present, only these receive it.
    pub eligible: Option<Vec<u64>>,
}

/// Why something is refused, in a form that the client is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A URI: not empty, and without white space.
    pub uri: String,
    /// A sentence for a person.
    pub message: String,
}

/// The highest id that a session can have, 2^53: what a double holds exactly.
const MAX_ID: u64 = 1 << 53;

/// An answer of a guest that can be made into a checked one.
pub(crate) trait Answer: Sized {
    type Raw;

    /// The error says what is wrong with the answer.
    fn parse(raw: Self::Raw) -> Result<Self, String>;

    /// Bytes that the answer counts for.
    fn len(&self) -> usize;
}

impl Answer for () {
    type Raw = ();

    fn parse((): ()) -> Result<Self, String> {
        Ok(())
    }

    fn len(&self) -> usize {
        0
    }
}

impl Answer for SubscribeVerdict {
    type Raw = handler::SubscribeVerdict;

    fn parse(raw: Self::Raw) -> Result<Self, String> {
        Ok(match raw {
            handler::SubscribeVerdict::Allow => Self::Allow,
            handler::SubscribeVerdict::Deny(refusal) => Self::Deny(Refusal::parse(refusal)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Allow => 0,
            Self::Deny(refusal) => refusal.len(),
        }
    }
}

impl Answer for PublishVerdict {
    type Raw = handler::PublishVerdict;

    fn parse(raw: Self::Raw) -> Result<Self, String> {
        Ok(match raw {
            handler::PublishVerdict::Broadcast => Self::Broadcast,
            handler::PublishVerdict::Deliver(delivery) => Self::Deliver(Delivery {
                event: delivery.event.map(Event::parse).transpose()?,
                exclude: session_ids(delivery.exclude)?,
                eligible: delivery.eligible.map(session_ids).transpose()?,
            }),
            handler::PublishVerdict::Drop => Self::Drop,
            handler::PublishVerdict::Reject(refusal) => Self::Reject(Refusal::parse(refusal)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Broadcast | Self::Drop => 0,
            Self::Deliver(delivery) => {
                let ids = delivery.exclude.len() + delivery.eligible.as_ref().map_or(0, Vec::len);
                delivery.event.as_ref().map_or(0, Event::len) + ids * size_of::<u64>()
            }
            Self::Reject(refusal) => refusal.len(),
        }
    }
}

/// What a call gives: a result, or the error that the caller is shown.
impl Answer for Result<Event, Refusal> {
    type Raw = Result<types::EventResult, types::Refusal>;

    fn parse(raw: Self::Raw) -> Result<Self, String> {
        Ok(match raw {
            Ok(event) => Ok(Event::parse(event)?),
            Err(refusal) => Err(Refusal::parse(refusal)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Ok(event) => event.len(),
            Err(refusal) => refusal.len(),
        }
    }
}

impl Refusal {
    fn parse(raw: types::Refusal) -> Result<Self, String> {
        let types::Refusal { uri, message } = raw;
        Ok(Self { uri: self::uri(uri)?, message })
    }

    fn len(&self) -> usize {
        self.uri.len() + self.message.len()
    }
}

/// Checks the id of a session that a guest named.
pub(crate) fn session_id(id: u64) -> Result<u64, String> {
    if (1..=MAX_ID).contains(&id) {
        Ok(id)
    } else {
        Err(format!("{id} is not the id of a session: those are in 1..2^53"))
    }
}

/// Checks ids of sessions that a guest named.
pub(crate) fn session_ids(ids: Vec<u64>) -> Result<Vec<u64>, String> {
    for &id in &ids {
        session_id(id)?;
    }
    Ok(ids)
}

/// Checks the URI of an error or of a reason.
pub(crate) fn uri(text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err("the URI of an error is empty".to_owned());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let start: String = text.chars().take(80).collect();
        return Err(format!("the URI of an error contains white space: {start:?}"));
    }
    Ok(text)
}

/// Checks a topic: what topics look like is for the host to know, but none is empty.
pub(crate) fn topic(text: String) -> Result<String, String> {
    if text.is_empty() { Err("a topic is empty".to_owned()) } else { Ok(text) }
}
