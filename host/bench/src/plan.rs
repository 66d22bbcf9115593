//! What is to be measured, and how: the parsed form of the command line. Nothing here connects.

use std::net::IpAddr;
use std::time::Duration;

use crate::stamp::Stamp;

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
    /// The length of a published text, in bytes.
    pub payload: usize,
    /// How much may be in flight: events a publisher, connections being opened.
    pub window: usize,
    /// A fixed rate a second instead of the window, all publishers together.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Publish { .. } => "publish",
            Self::Subscribe { .. } => "subscribe",
            Self::FanOut { .. } => "fan-out",
        }
    }

    /// Connections that are open while it is measured.
    pub const fn connections(self) -> usize {
        match self {
            Self::Connect { connections, .. } | Self::Subscribe { connections, .. } => connections,
            Self::Publish { publishers, .. } => publishers,
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

    /// Topics that are named.
    pub(crate) const fn topics(self) -> usize {
        match self {
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

/// A `ws://` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub url: String,
    /// Host and port, as they are resolved and told in the `Host` header.
    pub(crate) authority: String,
    /// The path with its query, at least `/`.
    pub(crate) path: String,
}

impl Target {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it, and what to give instead.
    pub fn parse(url: &str) -> Result<Self, String> {
        let lower = url.to_ascii_lowercase();
        if lower.starts_with("wss://") {
            return Err("there is no TLS here: measure the server behind whatever ends its TLS, \
                        with a ws:// URL"
                .to_owned());
        }
        let rest = if lower.starts_with("ws://") { url.get(5..) } else { None };
        let rest = rest.ok_or("expected a URL such as ws://127.0.0.1:8080/")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if authority.is_empty() || authority.contains(['@', ' ']) || path.contains(' ') {
            return Err("expected a URL such as ws://127.0.0.1:8080/".to_owned());
        }
        // The colons of an IPv6 address are within brackets.
        let tail = authority.rsplit(']').next().unwrap_or_default();
        let authority = match tail.split_once(':') {
            Some((_, port)) => {
                port.parse::<u16>().map_err(|_| format!("`{port}` is not a port"))?;
                authority.to_owned()
            }
            None => format!("{authority}:80"),
        };
        Ok(Self { url: url.to_owned(), authority, path })
    }

    /// The same, one step further down.
    pub(crate) fn below(&self, step: &str) -> String {
        format!("{}/{step}", self.path.trim_end_matches('/'))
    }
}

impl Plan {
    /// What is asked for and makes no sense.
    ///
    /// # Errors
    /// One sentence, naming the option.
    pub fn check(&self) -> Result<(), String> {
        self.check_work()?;
        let numbers = [
            ("--window", self.window),
            ("--threads", self.threads),
            ("--connections, --publishers", self.work.connections()),
            ("--topics", self.work.topics()),
        ];
        for (name, number) in numbers {
            if number == 0 {
                return Err(format!("{name} has to be 1 at least"));
            }
        }
        if self.payload < Stamp::BYTES {
            let least = Stamp::BYTES;
            return Err(format!(
                "--payload has to be {least} at least: the time of publishing travels in it"
            ));
        }
        if self.work.topics() > Stamp::TOPICS {
            return Err(format!("there can be {} topics at most", Stamp::TOPICS));
        }
        self.check_size()?;
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("--rate has to be above zero".to_owned());
        }
        if self.seconds.is_zero() {
            return Err("--seconds has to be above zero".to_owned());
        }
        Ok(())
    }

    /// The longest text that is published, in bytes.
    pub(crate) const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

    /// What no machine has the memory for, or nobody the time, is a slip of the fingers.
    fn check_size(&self) -> Result<(), String> {
        let bounds = [
            ("--window", self.window, 1_048_576),
            ("--payload", self.payload, Self::MAX_PAYLOAD),
            ("--threads", self.threads, 1024),
        ];
        for (name, number, most) in bounds {
            if number > most {
                return Err(format!("{name} has to be {most} at most"));
            }
        }
        if self.work.connections() > 1_000_000 {
            return Err("there can be 1000000 connections at most: see --topics, --subscribers, \
                        --publishers, --connections"
                .to_owned());
        }
        for (name, span) in [("--seconds", self.seconds), ("--warm-up", self.warm_up)] {
            if span > Duration::from_hours(24) {
                return Err(format!("{name} has to be a day at most, which is 86400"));
            }
        }
        // In bytes: each publisher has a text, and each topic a window of numbers.
        let (texts, windows) = match self.work {
            Work::FanOut { publishers, topics, .. } => (publishers, topics),
            Work::Publish { publishers, .. } => (publishers, 0),
            Work::Connect { .. } | Work::Subscribe { .. } => (0, 0),
        };
        if texts.saturating_mul(self.payload) > 1 << 32 {
            return Err("--payload is too much for so many --publishers".to_owned());
        }
        if self.rate.is_none() && windows.saturating_mul(self.window) > 1 << 28 {
            return Err("--window is too much for so many --topics".to_owned());
        }
        Ok(())
    }

    fn check_work(&self) -> Result<(), String> {
        match self.work {
            Work::FanOut { subscriptions_per_connection: 0, .. } => {
                return Err("--subscriptions-per-connection has to be 1 at least".to_owned());
            }
            Work::FanOut { topics, subscribers, publishers, .. } => {
                if subscribers == 0 || publishers == 0 {
                    return Err("--subscribers and --publishers have to be 1 at least".to_owned());
                }
                if publishers > topics {
                    return Err("there can be one of the --publishers a topic at most".to_owned());
                }
                if self.dialect == Dialect::Raw && topics != 1 {
                    return Err("--protocol raw knows one topic only: --topics 1".to_owned());
                }
            }
            Work::Subscribe { .. } if self.rate.is_some() => {
                return Err("--rate does not apply to subscribe: each session goes as fast as it \
                            is answered"
                    .to_owned());
            }
            Work::Publish { .. } | Work::Subscribe { .. } if self.dialect == Dialect::Raw => {
                return Err("--protocol raw applies to connect and fan-out".to_owned());
            }
            Work::Connect { .. } | Work::Publish { .. } | Work::Subscribe { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> (String, String) {
        let target = Target::parse(url).unwrap();
        (target.authority, target.path)
    }

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("ws://localhost:8080", "localhost:8080", "/"),
            ("WS://10.0.0.1:80/ws?x=1#y", "10.0.0.1:80", "/ws?x=1"),
            ("ws://example.org?x", "example.org:80", "/?x"),
            ("ws://[::1]/", "[::1]:80", "/"),
            ("ws://[::1]:8080/a", "[::1]:8080", "/a"),
        ];
        for (url, authority, path) in cases {
            assert_eq!(parse(url), (authority.to_owned(), path.to_owned()), "{url}");
        }
        assert_eq!(Target::parse("ws://h").unwrap().below("pub"), "/pub");
        assert_eq!(Target::parse("ws://h/a/").unwrap().below("pub"), "/a/pub");
    }

    #[test]
    fn other_urls_are_refused_with_an_example() {
        for (url, said) in [
            ("wss://localhost", "TLS"),
            ("localhost:8080", "ws://127.0.0.1:8080/"),
            ("http://localhost", "ws://127.0.0.1:8080/"),
            ("ws://", "ws://127.0.0.1:8080/"),
            ("ws://user@host", "ws://127.0.0.1:8080/"),
            ("ws://localhost:808080", "`808080` is not a port"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(said), "{url}: {error}");
        }
    }

    fn plan(work: Work) -> Plan {
        Plan {
            target: Target::parse("ws://h").unwrap(),
            dialect: Dialect::Wamp2(Serializer::Json),
            realm: "realm1".to_owned(),
            topic: "t".to_owned(),
            payload: 128,
            window: 32,
            rate: None,
            seconds: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            sources: Vec::new(),
            threads: 1,
            pids: Vec::new(),
            work,
        }
    }

    fn fan_out(topics: usize, publishers: usize) -> Work {
        Work::FanOut { topics, subscribers: 10, publishers, subscriptions_per_connection: 4 }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = plan(fan_out(10, 10));
        assert_eq!(good.check(), Ok(()));
        for (plan, said) in [
            (Plan { payload: 10, ..good.clone() }, "--payload"),
            (Plan { window: 0, ..good.clone() }, "--window"),
            (Plan { rate: Some(0.0), ..good.clone() }, "--rate"),
            (Plan { seconds: Duration::ZERO, ..good.clone() }, "--seconds"),
            (Plan { dialect: Dialect::Raw, ..good.clone() }, "raw"),
            (Plan { window: 1_048_577, ..good.clone() }, "--window"),
            (Plan { payload: usize::MAX, ..good.clone() }, "--payload"),
            (Plan { threads: usize::MAX, ..good.clone() }, "--threads"),
            (Plan { seconds: Duration::from_secs(86_401), ..good.clone() }, "--seconds"),
            (Plan { warm_up: Duration::MAX, ..good.clone() }, "--warm-up"),
            (plan(Work::Connect { connections: 1_000_001, bare: true }), "1000000 connections"),
            (plan(fan_out(1, 2)), "--publishers"),
            (Plan { window: 1_048_576, ..plan(fan_out(1000, 1)) }, "--window"),
            (Plan { payload: 1 << 26, ..plan(fan_out(100, 100)) }, "--payload"),
            (plan(fan_out(2_000_000, 1)), "topics at most"),
            (
                Plan { rate: Some(1.0), ..plan(Work::Subscribe { connections: 1, topics: 1 }) },
                "--rate",
            ),
        ] {
            let error = plan.check().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_fan_out_counts_its_connections() {
        // 10 topics in groups of 4 are three groups of 10 subscribers each.
        assert_eq!(fan_out(10, 2).connections(), 32);
        assert_eq!(fan_out(usize::MAX, usize::MAX).connections(), usize::MAX);
    }
}
