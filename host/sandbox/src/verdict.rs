//! Verdicts: the answers of hooks, converted from the types of the contract and validated.

use serde::{Deserialize, Serialize};

use crate::contract::{handler, types};
use crate::event::PluginEvent;
use crate::outgoing::deferred::Later;
use crate::refusal::{CallResult, HookRefusal};

/// Answer of `on-subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeVerdict {
    /// The session becomes a subscriber.
    Allow,
    /// The request is refused.
    Deny(HookRefusal),
}

/// Answer of `on-publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishVerdict {
    /// Deliver to every subscriber that the publisher did not exclude.
    Broadcast,
    /// Deliver to fewer subscribers, or another event.
    Deliver(Delivery),
    /// Accept it without delivery.
    Drop,
    /// Refuse it.
    Reject(HookRefusal),
}

/// Answer of `on-call`.
#[derive(Debug)]
pub enum CallAnswer {
    /// A result, or the error for the caller.
    Now(CallResult),
    /// A later hook has the result.
    Later(Later),
}

/// A restricted delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event to deliver instead of the published one.
    pub event: Option<PluginEvent>,
    /// Excluded sessions.
    pub exclude: Vec<u64>,
    /// The only receivers, if present.
    pub eligible: Option<Vec<u64>>,
}

/// The highest session id, 2^53, which a double holds exactly.
const MAX_ID: u64 = 1 << 53;

/// An answer of a guest that can be validated.
pub(crate) trait Answer: Sized {
    type Raw;

    /// Validates the answer. The error has the reason.
    fn parse(raw: Self::Raw) -> Result<Self, String>;

    /// Size towards the output limit, in bytes.
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
            handler::SubscribeVerdict::Deny(refusal) => Self::Deny(HookRefusal::parse(refusal)?),
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
                event: delivery.event.map(PluginEvent::parse).transpose()?,
                exclude: session_ids(delivery.exclude)?,
                eligible: delivery.eligible.map(session_ids).transpose()?,
            }),
            handler::PublishVerdict::Drop => Self::Drop,
            handler::PublishVerdict::Reject(refusal) => Self::Reject(HookRefusal::parse(refusal)?),
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Broadcast | Self::Drop => 0,
            Self::Deliver(delivery) => {
                let ids = delivery.exclude.len() + delivery.eligible.as_ref().map_or(0, Vec::len);
                delivery.event.as_ref().map_or(0, PluginEvent::len) + ids * size_of::<u64>()
            }
            Self::Reject(refusal) => refusal.len(),
        }
    }
}

impl Answer for CallAnswer {
    type Raw = (Result<types::Event, types::Refusal>, Option<Later>);

    fn parse((answer, later): Self::Raw) -> Result<Self, String> {
        match (later, answer) {
            (Some(later), Ok(_)) => Ok(Self::Later(later)),
            // An error ends the wait that had begun: a plugin that fails after `defer` is no riddle.
            (_, answer) => Ok(Self::Now(call_result(answer)?)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Now(answer) => call_result_len(answer),
            Self::Later(_) => 0,
        }
    }
}

/// Validates the result of a call.
pub(crate) fn call_result(raw: Result<types::Event, types::Refusal>) -> Result<CallResult, String> {
    Ok(match raw {
        Ok(event) => Ok(PluginEvent::parse(event)?),
        Err(refusal) => Err(HookRefusal::parse(refusal)?),
    })
}

/// Size of the result of a call towards the output limit, in bytes.
pub(crate) fn call_result_len(answer: &CallResult) -> usize {
    match answer {
        Ok(event) => event.len(),
        Err(refusal) => refusal.len(),
    }
}

impl HookRefusal {
    pub(crate) fn parse(raw: types::Refusal) -> Result<Self, String> {
        let types::Refusal { uri, message } = raw;
        Ok(Self { uri: self::uri(uri)?, message })
    }

    pub(crate) fn len(&self) -> usize {
        self.uri.len() + self.message.len()
    }
}

impl From<HookRefusal> for types::Refusal {
    fn from(refusal: HookRefusal) -> Self {
        let HookRefusal { uri, message } = refusal;
        Self { uri, message }
    }
}

/// Validates a session id.
pub(crate) fn session_id(id: u64) -> Result<u64, String> {
    if (1..=MAX_ID).contains(&id) {
        Ok(id)
    } else {
        Err(format!("{id} is not the id of a session: those are in 1..2^53"))
    }
}

/// Validates session ids.
pub(crate) fn session_ids(ids: Vec<u64>) -> Result<Vec<u64>, String> {
    for &id in &ids {
        session_id(id)?;
    }
    Ok(ids)
}

/// Validates the URI of an error or reason.
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

/// Validates a topic: the host knows the syntax, but no topic is empty.
pub(crate) fn topic(text: String) -> Result<String, String> {
    if text.is_empty() { Err("a topic is empty".to_owned()) } else { Ok(text) }
}
