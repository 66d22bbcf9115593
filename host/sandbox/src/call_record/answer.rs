//! Answers to effects as records have them: the input of `on-response` and `on-result`, and the
//! host's answers when a plugin sends a request, makes a call, or defers and completes a result.

use serde::{Deserialize, Serialize};

use crate::event::PluginEvent;
use crate::outgoing::request::{HttpError, HttpResponse};
use crate::outgoing::tally::NotAccepted;
use crate::refusal::{CallResult, HookRefusal};
use crate::store_value::StoreValue;

/// The answer to an effect, with which its hook is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectAnswer {
    /// The number of the effect, as the outcome of its call has it.
    pub number: u64,
    /// The context that the plugin gave to the effect.
    pub context: StoreValue,
    /// The answer itself.
    pub received: AnswerContent,
}

/// The answer to a request or a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerContent {
    /// The answer of an HTTP server.
    Response {
        /// The status.
        status: u16,
        /// Names and values.
        headers: Vec<(String, StoreValue)>,
        /// The body.
        body: StoreValue,
    },
    /// There is no answer of an HTTP server.
    NoResponse {
        /// The reason.
        error: HttpError,
    },
    /// The result of a call.
    Result(PluginEvent),
    /// The error of a call.
    Error(HookRefusal),
}

/// The host's answers to effects with an answer, when the plugin gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectsAccepted {
    /// Whether each request was accepted, in their order. Malformed ones are left out.
    pub requests: Vec<Acceptance>,
    /// As `requests`, for calls.
    pub calls: Vec<Acceptance>,
    /// The numbers of deferred results; none if there was no place.
    pub deferred: Vec<Option<u64>>,
    /// Completed results by number, and whether their callers waited, in their order.
    pub completed: Vec<(u64, bool)>,
}

/// Whether an effect was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Acceptance {
    /// Whether there was a place for it.
    Place(bool),
    /// The operator did not allow it, for this reason.
    Denied(String),
}

impl EffectAnswer {
    /// Its size in memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.context.0.len() + self.received.len()
    }
}

impl AnswerContent {
    fn len(&self) -> usize {
        match self {
            Self::Response { headers, body, .. } => {
                let header = |(name, value): &(String, StoreValue)| name.len() + value.0.len();
                body.0.len() + headers.iter().map(header).sum::<usize>()
            }
            Self::NoResponse { error } => error.len(),
            Self::Result(event) => event.len(),
            Self::Error(refusal) => refusal.uri.len() + refusal.message.len(),
        }
    }

    /// The answer to a request; none if it is one to a call.
    pub(crate) fn response(&self) -> Option<Result<HttpResponse, HttpError>> {
        match self {
            Self::Response { status, headers, body } => {
                let header = |(name, value): &(String, StoreValue)| (name.clone(), value.0.clone());
                let headers = headers.iter().map(header).collect();
                Some(Ok(HttpResponse { status: *status, headers, body: body.0.clone() }))
            }
            Self::NoResponse { error } => Some(Err(error.clone())),
            Self::Result(_) | Self::Error(_) => None,
        }
    }

    /// The result of a call; none if it is the answer to a request.
    pub(crate) fn result(&self) -> Option<CallResult> {
        match self {
            Self::Result(event) => Some(Ok(event.clone())),
            Self::Error(refusal) => Some(Err(refusal.clone())),
            Self::Response { .. } | Self::NoResponse { .. } => None,
        }
    }

    /// Whether `on-response` is called with it.
    pub fn is_of_request(&self) -> bool {
        matches!(self, Self::Response { .. } | Self::NoResponse { .. })
    }
}

impl EffectsAccepted {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its size in memory, in bytes.
    pub(super) fn len(&self) -> usize {
        let Self { requests, calls, deferred, completed } = self;
        requests.iter().chain(calls).map(Acceptance::len).sum::<usize>()
            + deferred.len() * size_of::<Option<u64>>()
            + completed.len() * size_of::<(u64, bool)>()
    }
}

impl Acceptance {
    /// Its size in memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Place(_) => size_of::<Self>(),
            Self::Denied(text) => size_of::<Self>() + text.len(),
        }
    }
}

impl<T> From<&Result<T, NotAccepted>> for Acceptance {
    fn from(answer: &Result<T, NotAccepted>) -> Self {
        match answer {
            Ok(_) => Self::Place(true),
            Err(NotAccepted::Busy) => Self::Place(false),
            Err(NotAccepted::Denied(text)) => Self::Denied(text.clone()),
        }
    }
}

impl From<Result<HttpResponse, HttpError>> for AnswerContent {
    fn from(answer: Result<HttpResponse, HttpError>) -> Self {
        match answer {
            Ok(HttpResponse { status, headers, body }) => {
                let header = |(name, value)| (name, StoreValue(value));
                let headers = headers.into_iter().map(header).collect();
                Self::Response { status, headers, body: StoreValue(body) }
            }
            Err(error) => Self::NoResponse { error },
        }
    }
}

impl From<CallResult> for AnswerContent {
    fn from(result: CallResult) -> Self {
        match result {
            Ok(event) => Self::Result(event),
            Err(refusal) => Self::Error(refusal),
        }
    }
}
