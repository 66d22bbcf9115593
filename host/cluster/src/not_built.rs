//! The interface without a client of NATS.

use bytes::Bytes;

use crate::{OpenError, PipeEvent, PipeMessage, PipeSettings};

/// A connection, which this build cannot have.
#[derive(Debug)]
pub enum Pipe {}

/// The messages to this node.
#[derive(Debug)]
pub enum Incoming {}

impl Pipe {
    /// Opens no pipe.
    ///
    /// # Errors
    /// [`OpenError::NotBuilt`]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn open(
        _settings: PipeSettings,
        _report: impl Fn(PipeEvent) + Send + Sync + 'static,
    ) -> Result<(Self, Incoming), OpenError> {
        Err(OpenError::NotBuilt)
    }

    /// Returns whether a server is connected.
    pub fn is_connected(&self) -> bool {
        match *self {}
    }

    /// Returns the size of the largest message that the server takes.
    pub fn max_payload(&self) -> Option<usize> {
        match *self {}
    }

    /// Sends a HELLO to all nodes.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn hello(&self, _hello: Bytes) -> bool {
        match *self {}
    }

    /// Sends a message to one node.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn send(&self, _node: &str, _message: Bytes) -> bool {
        match *self {}
    }

    /// Waits until the server has what was sent.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn flush(&self) {
        match *self {}
    }

    /// Connects again.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn reconnect(&self) {
        match *self {}
    }
}

impl Incoming {
    /// Waits for the next message.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn next(&mut self) -> Option<PipeMessage> {
        match *self {}
    }
}
