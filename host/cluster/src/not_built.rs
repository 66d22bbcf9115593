//! The interface without a client of NATS.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    JetStream, OpenError, PipeEvent, PipeMessage, PipeSettings, StreamError, StreamKind,
    StreamMessage,
};

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

    /// Asks the servers whether they have JetStream.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn jetstream(&self) -> JetStream {
        match *self {}
    }

    /// Returns a stream of the cluster.
    pub fn stream(&self, _kind: StreamKind, _max_age: Duration) -> Stream {
        match *self {}
    }

    /// Connects again.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub async fn reconnect(&self) {
        match *self {}
    }
}

/// A stream, which this build cannot have.
#[derive(Clone, Debug)]
pub enum Stream {}

#[expect(clippy::unused_async, reason = "as with the feature")]
impl Stream {
    /// Makes the stream.
    ///
    /// # Errors
    /// None.
    pub async fn prepare(&self) -> Result<(), StreamError> {
        match *self {}
    }

    /// Gives the stream more copies.
    pub async fn copy(&self) -> bool {
        match *self {}
    }

    /// Puts a message.
    ///
    /// # Errors
    /// None.
    pub async fn put(
        &self,
        _name: &str,
        _expected: u64,
        _message: Bytes,
        _patience: Duration,
    ) -> Result<u64, StreamError> {
        match *self {}
    }

    /// Returns the last message of a name.
    ///
    /// # Errors
    /// None.
    pub async fn last(&self, _name: &str) -> Result<Option<StreamMessage>, StreamError> {
        match *self {}
    }

    /// Returns the next message of a name.
    ///
    /// # Errors
    /// None.
    pub async fn next(
        &self,
        _name: &str,
        _from: u64,
    ) -> Result<Option<StreamMessage>, StreamError> {
        match *self {}
    }

    /// Removes messages.
    ///
    /// # Errors
    /// None.
    pub async fn purge(&self, _name: &str, _before: u64) -> Result<(), StreamError> {
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
