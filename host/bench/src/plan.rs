//! What is to be measured, and how: the parsed form of the command line. Nothing here connects.
//!
//! - [`target`]: the server's URL;
//! - [`check`]: what makes no sense.

mod check;
mod target;

use std::net::IpAddr;
use std::time::Duration;

pub use target::Target;

/// Everything a run is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to connect to.
    pub target: Target,
    /// What is spoken there.
    pub dialect: Dialect,
    /// The realm that sessions of WAMP v2 join.
    pub realm: String,
    /// Topic `i` is this, followed by `i`.
    pub topic: String,
    /// The length of a text that is sent, in bytes.
    pub payload: usize,
    /// How much may be in flight: events a publisher, calls a caller, connections being opened.
    pub window: usize,
    /// A fixed rate a second instead of the window, all connections together.
    pub rate: Option<f64>,
    /// How long is measured.
    pub seconds: Duration,
    /// How long everything runs before it is measured.
    pub warm_up: Duration,
    /// Local addresses to connect from, in turn; the system chooses where there is none.
    pub sources: Vec<IpAddr>,
    /// Threads that the connections are divided among.
    pub threads: usize,
    /// Processes of the server, on this machine, whose CPU time and memory are told.
    pub pids: Vec<u32>,
    /// What is done.
    pub work: Work,
}

/// What is done to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Open connections and keep them.
    Connect {
        /// How many.
        connections: usize,
        /// Without a subscription each.
        bare: bool,
    },
    /// Publish, acknowledged, to topics that nobody subscribes to.
    Publish {
        /// Connections that publish.
        publishers: usize,
        /// Topics that they take in turn.
        topics: usize,
    },
    /// Call a procedure.
    Call {
        /// Connections that call.
        callers: usize,
        /// The procedure's exact name.
        procedure: String,
    },
    /// Subscribe and unsubscribe in turn.
    Subscribe {
        /// Sessions that do.
        connections: usize,
        /// Topics that they take in turn.
        topics: usize,
    },
    /// Publish to topics with subscribers.
    FanOut {
        /// Topics.
        topics: usize,
        /// Subscribers of each.
        subscribers: usize,
        /// Connections that publish, each to its share of the topics.
        publishers: usize,
        /// Topics that one subscriber's connection is subscribed to.
        subscriptions_per_connection: usize,
    },
}

impl Work {
    /// The subcommand's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Publish { .. } => "publish",
            Self::Call { .. } => "call",
            Self::Subscribe { .. } => "subscribe",
            Self::FanOut { .. } => "fan-out",
        }
    }

    /// Connections that are open while it is measured.
    pub const fn connections(&self) -> usize {
        match *self {
            Self::Connect { connections, .. } | Self::Subscribe { connections, .. } => connections,
            Self::Publish { publishers, .. } => publishers,
            Self::Call { callers, .. } => callers,
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

    /// Topics that are named; a procedure is one.
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

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// WAMP version 2.
    Wamp2(Serializer),
    /// WAMP version 1.
    Wamp1,
    /// The protocol of NATS, over WebSocket.
    Nats,
    /// None: whatever a publisher sends to `/pub`, everybody at `/sub` receives.
    Raw,
}

/// How messages of WAMP v2 look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum Serializer {
    Json,
    MessagePack,
    Cbor,
}

impl Dialect {
    /// As on the command line.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Wamp2(_) => "wamp2",
            Self::Wamp1 => "wamp1",
            Self::Nats => "nats",
            Self::Raw => "raw",
        }
    }

    /// As on the command line; none where there is no choice.
    pub const fn serializer(self) -> Option<&'static str> {
        match self {
            Self::Wamp2(Serializer::Json) => Some("json"),
            Self::Wamp2(Serializer::MessagePack) => Some("msgpack"),
            Self::Wamp2(Serializer::Cbor) => Some("cbor"),
            Self::Wamp1 | Self::Nats | Self::Raw => None,
        }
    }

    /// The WebSocket subprotocol.
    pub(crate) const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Wamp2(Serializer::Json) => Some("wamp.2.json"),
            Self::Wamp2(Serializer::MessagePack) => Some("wamp.2.msgpack"),
            Self::Wamp2(Serializer::Cbor) => Some("wamp.2.cbor"),
            Self::Wamp1 => Some("wamp"),
            Self::Nats | Self::Raw => None,
        }
    }

    /// Whether messages travel in binary frames.
    pub(crate) const fn is_binary(self) -> bool {
        match self {
            Self::Wamp2(Serializer::MessagePack | Serializer::Cbor) | Self::Nats => true,
            Self::Wamp2(Serializer::Json) | Self::Wamp1 | Self::Raw => false,
        }
    }
}
