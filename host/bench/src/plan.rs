//! Plan of a run: the parsed form of the command line. It opens no connection.
//!
//! - [`target`]: the server's URL;
//! - [`tls`]: the trust in a `wss://` server;
//! - [`check`]: validation of options.

mod check;
mod target;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

pub use target::Target;
pub use tls::Tls;

/// A run's settings.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// The servers of subscribers, in turn, if they are not at `target`: other nodes of its cluster.
    pub subscribe_at: Vec<Target>,
    /// TLS of a `wss://` server.
    pub tls: Option<Tls>,
    /// The protocol.
    pub dialect: Dialect,
    /// The realm of WAMP v2 sessions.
    pub realm: String,
    /// Prefix of topic names; topic `i` has `i` appended.
    pub topic: String,
    /// Whether connections offer compression, which the server has to accept.
    pub compress: bool,
    /// The length of a sent text, in bytes.
    pub payload: usize,
    /// Messages in flight: events per publisher, calls per caller, or connections being opened.
    pub window: usize,
    /// A fixed rate per second of all connections together, instead of the window.
    pub rate: Option<f64>,
    /// The measured time.
    pub seconds: Duration,
    /// The time before measuring.
    pub warm_up: Duration,
    /// Local addresses to connect from, in turn; the system's choice if empty.
    pub sources: Vec<IpAddr>,
    /// Number of worker threads.
    pub threads: usize,
    /// Processes of the server on this machine, to report their CPU time and memory.
    pub pids: Vec<u32>,
    /// The workload.
    pub work: Work,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Open connections and keep them.
    Connect {
        /// Number of connections.
        connections: usize,
        /// Whether they have no subscription.
        bare: bool,
    },
    /// Publish with acknowledgement to topics without subscribers.
    Publish {
        /// Publishing connections.
        publishers: usize,
        /// Topics that they take in turn.
        topics: usize,
    },
    /// Call a procedure.
    Call {
        /// Calling connections.
        callers: usize,
        /// The procedure's exact name.
        procedure: String,
        /// Whether a connection of the generator registers it, and returns its argument.
        callee: bool,
    },
    /// Subscribe and unsubscribe in turn.
    Subscribe {
        /// Number of sessions.
        connections: usize,
        /// Topics that they take in turn.
        topics: usize,
    },
    /// Publish to topics with subscribers.
    FanOut {
        /// Number of topics.
        topics: usize,
        /// Subscribers per topic.
        subscribers: usize,
        /// Publishing connections, each with its share of the topics.
        publishers: usize,
        /// Topics per subscriber connection.
        subscriptions_per_connection: usize,
    },
}

impl Work {
    /// Returns the subcommand's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Publish { .. } => "publish",
            Self::Call { .. } => "call",
            Self::Subscribe { .. } => "subscribe",
            Self::FanOut { .. } => "fan-out",
        }
    }

    /// Connections open during the measured time.
    pub const fn connections(&self) -> usize {
        match *self {
            Self::Connect { connections, .. } | Self::Subscribe { connections, .. } => connections,
            Self::Publish { publishers, .. } => publishers,
            Self::Call { callers, callee, .. } => callers.saturating_add(callee as usize),
            Self::FanOut { topics, subscribers, publishers, subscriptions_per_connection } => {
                let each = if subscriptions_per_connection == 0 {
                    1
                } else {
                    subscriptions_per_connection
                };
                topics.div_ceil(each).saturating_mul(subscribers).saturating_add(publishers)
            }
        }
    }

    /// Returns the number of topics; a procedure counts as one.
    pub(crate) const fn topics(&self) -> usize {
        match *self {
            Self::Call { .. } => 1,
            Self::Connect { connections, .. } => connections,
            Self::Publish { topics, .. }
            | Self::Subscribe { topics, .. }
            | Self::FanOut { topics, .. } => topics,
        }
    }
}

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// WAMP version 2.
    Wamp2(Serializer),
    /// WAMP version 1.
    Wamp1,
    /// NATS over WebSocket.
    Nats,
    /// Bare broadcast: messages sent to `/pub` arrive at every connection to `/sub`.
    Raw,
}

/// Serializer of WAMP v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum Serializer {
    Json,
    MessagePack,
    Cbor,
}

impl Dialect {
    /// Returns the protocol's name on the command line.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Wamp2(_) => "wamp2",
            Self::Wamp1 => "wamp1",
            Self::Nats => "nats",
            Self::Raw => "raw",
        }
    }

    /// Returns the serializer's name on the command line; `None` if there is only one.
    pub const fn serializer(self) -> Option<&'static str> {
        match self {
            Self::Wamp2(Serializer::Json) => Some("json"),
            Self::Wamp2(Serializer::MessagePack) => Some("msgpack"),
            Self::Wamp2(Serializer::Cbor) => Some("cbor"),
            Self::Wamp1 | Self::Nats | Self::Raw => None,
        }
    }

    /// Returns the WebSocket subprotocol.
    pub(crate) const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Wamp2(Serializer::Json) => Some("wamp.2.json"),
            Self::Wamp2(Serializer::MessagePack) => Some("wamp.2.msgpack"),
            Self::Wamp2(Serializer::Cbor) => Some("wamp.2.cbor"),
            Self::Wamp1 => Some("wamp"),
            Self::Nats | Self::Raw => None,
        }
    }

    /// Returns whether messages travel in binary frames.
    pub(crate) const fn is_binary(self) -> bool {
        match self {
            Self::Wamp2(Serializer::MessagePack | Serializer::Cbor) | Self::Nats => true,
            Self::Wamp2(Serializer::Json) | Self::Wamp1 | Self::Raw => false,
        }
    }
}
