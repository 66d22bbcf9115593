//! The section `limits`: limits of clients, of one and of all together.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use jackfield_broker::{Bounds, Overflow};
use jackfield_wamp::payload::{DEFAULT_DEPTH, MAX_DEPTH};
use jackfield_yaml::{ByteSize, NonZeroDuration};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::merge::{set_bytes, set_count, set_duration};

/// Limits of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a message, in bytes.
    pub message_bytes: usize,
    /// The maximum nesting depth of lists and dictionaries in a message.
    pub depth: usize,
    /// The maximum size of a handshake's head, in bytes.
    pub handshake_bytes: usize,
    /// The maximum size of an event as a receiver gets it, in bytes.
    pub event_bytes: usize,
    /// The bounds of one client's outbox, and the action above them.
    pub outbox: Bounds,
    /// The maximum size of all outboxes together, in bytes.
    pub outbox_total_bytes: usize,
    /// The maximum size of the incomplete messages of all clients together, in bytes.
    pub incomplete_bytes: usize,
    /// The maximum size of the messages that wait for handlers, of all clients together, in bytes.
    pub waiting_bytes: usize,
    /// The longest pause in reading a publisher while its subscribers are too slow.
    pub publisher_delay: Duration,
    /// The maximum number of subscriptions of a session.
    pub subscriptions: usize,
    /// The maximum number of prefixes and wildcards among them.
    pub patterns: usize,
    /// The maximum number of subscriptions of all sessions of a realm together.
    pub realm_subscriptions: usize,
    /// The maximum number of topics and patterns with subscribers in a realm.
    pub realm_topics: usize,
    /// The share of each total that one client may use, in per cent.
    pub client_percent: u32,
    /// The maximum number of connections.
    pub connections: usize,
    /// The maximum number of connections of one address: an IPv4 address, or an IPv6 network of 64
    /// bits.
    pub address_connections: usize,
    /// The maximum number of connections of one user.
    pub user_connections: usize,
    /// The rate of new WebSockets of all clients; `None` is any.
    pub connection_rate: Option<Rate>,
    /// The rate of new WebSockets of one address; `None` is any.
    pub address_connection_rate: Option<Rate>,
    /// The rate of messages of a session, control frames among them; `None` is any.
    pub message_rate: Option<Rate>,
    /// The rate of the bytes of a session's messages; `None` is any.
    pub byte_rate: Option<ByteRate>,
    /// The time for which a session above its rates is only read more slowly. Then its requests are
    /// refused for as long, and then it is closed.
    pub rate_grace: Duration,
}

/// A rate with a burst: a token bucket that holds `burst` tokens and gets `per_second` new ones a
/// second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number in each second, in the long run.
    pub per_second: NonZeroU32,
    /// The number at once.
    pub burst: NonZeroU32,
}

/// A rate of bytes, as [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// The bytes in each second, in the long run; not zero.
    pub per_second: usize,
    /// The bytes at once.
    pub burst: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            depth: DEFAULT_DEPTH,
            handshake_bytes: 16 << 10,
            event_bytes: 2 << 20,
            outbox_total_bytes: 512 << 20,
            incomplete_bytes: 256 << 20,
            waiting_bytes: 256 << 20,
            outbox: Bounds { bytes: 4 << 20, frames: 4096, overflow: Overflow::Disconnect },
            publisher_delay: Duration::from_secs(1),
            subscriptions: 1_000,
            patterns: 100,
            realm_subscriptions: 500_000,
            realm_topics: 250_000,
            client_percent: 25,
            connections: 10_000,
            // An office of 2 000 people behind one address, each with two pages.
            address_connections: 5_000,
            user_connections: 500,
            connection_rate: Rate::new(1_000, 10_000),
            address_connection_rate: Rate::new(200, 5_000),
            message_rate: Rate::new(2_000, 20_000),
            byte_rate: Some(ByteRate { per_second: 8 << 20, burst: 64 << 20 }),
            rate_grace: Duration::from_secs(5),
        }
    }
}

impl Rate {
    /// `None` if one of the numbers is 0.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        Some(Self { per_second: NonZeroU32::new(per_second)?, burst: NonZeroU32::new(burst)? })
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    message: Option<ByteSize>,
    depth: Option<Depth>,
    handshake: Option<ByteSize>,
    event: Option<ByteSize>,
    incomplete: Option<ByteSize>,
    waiting: Option<ByteSize>,
    outbox: RawOutbox,
    publisher_delay: Option<NonZeroDuration>,
    subscriptions: Option<NonZeroUsize>,
    patterns: Option<NonZeroUsize>,
    realm_subscriptions: Option<NonZeroUsize>,
    realm_topics: Option<NonZeroUsize>,
    client_percent: Option<Percent>,
    connections: Option<NonZeroUsize>,
    address_connections: Option<NonZeroUsize>,
    user_connections: Option<NonZeroUsize>,
    connection_rate: RawRate,
    address_connection_rate: RawRate,
    message_rate: RawRate,
    byte_rate: RawByteRate,
    rate_grace: Option<NonZeroDuration>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRate {
    enabled: Option<bool>,
    per_second: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawByteRate {
    enabled: Option<bool>,
    per_second: Option<ByteSize>,
    burst: Option<ByteSize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawOutbox {
    bytes: Option<ByteSize>,
    messages: Option<NonZeroUsize>,
    total: Option<ByteSize>,
}

/// Maximum nesting depth of messages, within the limit of the server's stack.
struct Depth(usize);

/// Percentage, at least 1.
struct Percent(u32);

impl RawLimits {
    pub(super) fn apply(self, limits: &mut Limits) {
        set_bytes(&mut limits.message_bytes, self.message);
        limits.depth = self.depth.map_or(limits.depth, |depth| depth.0);
        set_bytes(&mut limits.handshake_bytes, self.handshake);
        // The default allows events that grow on the way: base64 alone adds a third.
        let event = self.message.map(|message| ByteSize(message.0.saturating_mul(2)));
        set_bytes(&mut limits.event_bytes, self.event.or(event));
        set_bytes(&mut limits.incomplete_bytes, self.incomplete);
        set_bytes(&mut limits.waiting_bytes, self.waiting);
        set_bytes(&mut limits.outbox.bytes, self.outbox.bytes);
        set_bytes(&mut limits.outbox_total_bytes, self.outbox.total);
        set_count(&mut limits.outbox.frames, self.outbox.messages);
        set_duration(&mut limits.publisher_delay, self.publisher_delay);
        set_count(&mut limits.subscriptions, self.subscriptions);
        set_count(&mut limits.patterns, self.patterns);
        set_count(&mut limits.realm_subscriptions, self.realm_subscriptions);
        set_count(&mut limits.realm_topics, self.realm_topics);
        limits.client_percent = self.client_percent.map_or(limits.client_percent, |it| it.0);
        set_count(&mut limits.connections, self.connections);
        set_count(&mut limits.address_connections, self.address_connections);
        set_count(&mut limits.user_connections, self.user_connections);
        self.connection_rate.apply(&mut limits.connection_rate);
        self.address_connection_rate.apply(&mut limits.address_connection_rate);
        self.message_rate.apply(&mut limits.message_rate);
        self.byte_rate.apply(&mut limits.byte_rate);
        set_duration(&mut limits.rate_grace, self.rate_grace);
    }
}

impl RawRate {
    /// A burst below the rate would have no effect of its own: the burst is at least one second's
    /// number, unless it is set.
    fn apply(self, rate: &mut Option<Rate>) {
        if self.enabled == Some(false) {
            *rate = None;
        } else if let Some(rate) = rate {
            rate.per_second = self.per_second.unwrap_or(rate.per_second);
            rate.burst = self.burst.unwrap_or(rate.burst.max(rate.per_second));
        }
    }
}

impl RawByteRate {
    fn apply(self, rate: &mut Option<ByteRate>) {
        if self.enabled == Some(false) {
            *rate = None;
        } else if let Some(rate) = rate {
            set_bytes(&mut rate.per_second, self.per_second);
            rate.burst = self.burst.map_or(rate.burst.max(rate.per_second), |burst| burst.0);
        }
    }
}

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let depth = NonZeroUsize::deserialize(deserializer)?.get();
        if depth > MAX_DEPTH {
            let message =
                format!("messages cannot be nested {depth} deep\nwrite {MAX_DEPTH} or less");
            return Err(D::Error::custom(message));
        }
        Ok(Self(depth))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = NonZeroU32::deserialize(deserializer)?.get();
        if percent > 100 {
            let message = format!("{percent} per cent is more than all\nwrite 100 or less");
            return Err(D::Error::custom(message));
        }
        Ok(Self(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn read(text: &str) -> Limits {
        Settings::validated(&format!("limits: {{ {text} }}"), &[]).unwrap().limits
    }

    #[test]
    fn reads_rates() {
        assert_eq!(read(""), Limits::default());
        let limits = read("connection_rate: { per_second: 20000 }, message_rate: { burst: 7 }");
        assert_eq!(limits.connection_rate, Rate::new(20_000, 20_000), "at least one second's");
        assert_eq!(limits.message_rate, Rate::new(2_000, 7));
        let limits = read("address_connection_rate: { enabled: false, burst: 3 }, rate_grace: 1s");
        assert_eq!((limits.address_connection_rate, limits.rate_grace.as_secs()), (None, 1));
        let limits = read("byte_rate: { per_second: 100 MiB }");
        let bytes = 100 << 20;
        assert_eq!(limits.byte_rate, Some(ByteRate { per_second: bytes, burst: bytes }));
        assert_eq!(read("byte_rate: { enabled: false }").byte_rate, None);
    }

    /// An office of 2 000 people behind one address, who all connect in one moment, with two pages each.
    #[test]
    fn the_defaults_admit_an_office_behind_one_address() {
        let limits = Limits::default();
        for rate in [limits.connection_rate, limits.address_connection_rate] {
            assert!(rate.unwrap().burst.get() >= 4_000);
        }
        assert!(limits.address_connections >= 4_000 && limits.connections > 4_000);
        assert!(limits.address_connections < limits.connections, "others have room, too");
    }

    #[test]
    fn rates_are_not_zero() {
        for text in ["message_rate: { per_second: 0 }", "byte_rate: { burst: 0 }"] {
            Settings::validated(&format!("limits: {{ {text} }}"), &[]).unwrap_err();
        }
    }
}
