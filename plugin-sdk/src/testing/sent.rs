//! Requests and calls of hooks, as the test takes and answers them.

use crate::Event;
use crate::http::message as http;

/// A request that a hook has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// The request.
    pub request: http::Request,
    pub(crate) topic: String,
    pub(crate) realm: String,
    pub(crate) context: Vec<u8>,
}

/// A call that a hook has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCall {
    /// The URI of the procedure.
    pub procedure: String,
    /// The arguments.
    pub event: Event,
    pub(crate) topic: String,
    pub(crate) realm: String,
    pub(crate) context: Vec<u8>,
}
