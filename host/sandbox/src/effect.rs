//! Effects of a hook: collected while it runs, and returned to the host in order when it has
//! returned. A hook that fails has none.

use serde::{Deserialize, Serialize};

use crate::event::PluginEvent;
use crate::outgoing::call::OutgoingCall;
use crate::outgoing::deferred::Completion;
use crate::outgoing::request::OutgoingRequest;
use crate::verdict::call_result_len;

/// An effect in the realm of the call.
///
/// Session ids are in 1..=2^53; the session may have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// An event for the topic's subscribers, which enters no handler.
    Publish {
        /// Not empty.
        topic: String,
        /// The event.
        event: PluginEvent,
        /// Excluded sessions.
        exclude: Vec<u64>,
        /// The only receivers, if present.
        eligible: Option<Vec<u64>>,
    },
    /// An event of the topic for one session, if it is subscribed.
    Send {
        /// The receiver.
        session: u64,
        /// Not empty.
        topic: String,
        /// The event.
        event: PluginEvent,
    },
    /// Ends a session's subscription to the topic.
    Unsubscribe {
        /// The subscriber.
        session: u64,
        /// Not empty.
        topic: String,
    },
    /// Closes a session.
    Close {
        /// The session.
        session: u64,
        /// A URI for the client, not empty.
        reason: String,
        /// A human-readable sentence.
        message: String,
    },
    /// Sends a request of HTTP.
    Request(Box<OutgoingRequest>),
    /// Calls a procedure.
    Call(Box<OutgoingCall>),
    /// Answers a call that the plugin has deferred.
    Complete(Box<Completion>),
}

impl Effect {
    /// Size of the effect towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        const ID: usize = size_of::<u64>();
        match self {
            Self::Publish { topic, event, exclude, eligible } => {
                let ids = exclude.len() + eligible.as_ref().map_or(0, Vec::len);
                topic.len() + event.len() + ids * ID
            }
            Self::Send { topic, event, .. } => topic.len() + event.len() + ID,
            Self::Unsubscribe { topic, .. } => topic.len() + ID,
            Self::Close { reason, message, .. } => reason.len() + message.len() + ID,
            Self::Request(request) => request.len(),
            Self::Call(call) => call.len(),
            Self::Complete(completion) => call_result_len(&completion.answer) + ID,
        }
    }
}
