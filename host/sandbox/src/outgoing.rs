//! Effects with an answer: requests, calls and deferred results of plugins.
//!
//! [`policy`] is what the operator allows, [`origin`] and [`request`] are requests of HTTP,
//! [`sender`] sends those that a hook waits for, [`call`] are calls of procedures, [`deferred`] are results of `on-call` that come later, and
//! [`tally`] counts and bounds all of them for each plugin, over its versions. [`recorded`] is their form
//! in recordings.

pub(crate) mod call;
pub(crate) mod deferred;
pub(crate) mod origin;
pub(crate) mod policy;
mod recorded;
pub(crate) mod request;
pub(crate) mod sender;
pub(crate) mod tally;
mod waiting;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use policy::OutgoingPolicy;
use sender::HttpSender;
use tally::Tally;

/// What a version of a plugin may send and call, what it has sent and called, and who sends it.
pub(crate) struct OutgoingContext {
    pub(crate) policy: OutgoingPolicy,
    pub(crate) tally: Arc<Tally>,
    /// Of the component.
    pub(crate) digest: String,
    /// None where hooks wait for no answers: in checks, and for versions that do not serve.
    pub(crate) sender: Option<Arc<dyn HttpSender>>,
}

/// The hook that an answer goes to: that of the plugin that serves the topic by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The name of the plugin.
    pub plugin: String,
    /// The name of the handler.
    pub handler: String,
    /// The topic.
    pub topic: String,
    /// SHA-256 of the component, in hexadecimal. Two versions serve beside each other while one is
    /// a canary; recordings of both compare as equal.
    #[serde(skip)]
    pub digest: String,
}

impl ReplyTo {
    /// Size towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.plugin.len() + self.handler.len() + self.topic.len()
    }
}
