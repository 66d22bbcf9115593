//! Pipe between the nodes of a cluster: messages over NATS. [`Stream`]s of JetStream have the leases of homes and
//! the logs of stores, if the servers have it.
//!
//! This crate knows no topics and no sessions: a message is bytes for one node, or a HELLO for all.
//! A node has two subscriptions, `jf1.CLUSTER.all` and `jf1.CLUSTER.n.NODE`, so that the messages to it have one
//! order. Its own HELLO comes back to it: that is the proof that the pipe works, which an open
//! connection is not.
//!
//! The feature `nats` brings the client of NATS. Without it, [`Pipe::open`] is an error, so that its
//! users need no features of their own.

#![forbid(unsafe_code)]

#[cfg(feature = "nats")]
mod nats;
#[cfg(not(feature = "nats"))]
mod not_built;
mod stream;
#[cfg(feature = "nats")]
mod streams;

use std::path::PathBuf;

use bytes::Bytes;

#[cfg(feature = "nats")]
pub use nats::{Incoming, Pipe};
#[cfg(not(feature = "nats"))]
pub use not_built::{Incoming, Pipe, Stream};
pub use stream::{JetStream, StreamError, StreamKind, StreamMessage};
#[cfg(feature = "nats")]
pub use streams::Stream;

/// Whether this build can connect to a cluster.
pub const IS_BUILT: bool = cfg!(feature = "nats");

/// The servers of NATS, and this node as they see it.
#[derive(Debug)]
pub struct PipeSettings {
    /// The name of the cluster: one token of a subject.
    pub cluster: String,
    /// The id of this node: one token of a subject.
    pub node: String,
    /// The name of this node, for people.
    pub name: String,
    /// The servers, such as `nats://127.0.0.1:4222`.
    pub urls: Vec<String>,
    /// The content of a file of credentials (a JWT and its key), `user:password`, or a token.
    pub credentials: Option<String>,
    /// The certificates that servers are checked by, besides those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate of this node and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A change of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeEvent {
    /// A server is connected.
    Connected,
    /// The connection is lost. The client connects again.
    Disconnected,
    /// This node reads too slowly, and messages to it were dropped.
    SlowConsumer,
    /// The client or a server reports an error.
    Failed(String),
}

/// A message to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipeMessage {
    /// A HELLO, which all nodes get.
    Hello(Bytes),
    /// A message for this node alone.
    Direct(Bytes),
}

/// A pipe cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The feature is not built.
    #[error("this build of jackfield has no cluster")]
    NotBuilt,
    /// A setting cannot be used.
    #[error("the connection to NATS cannot be opened: {0}")]
    Invalid(String),
}
