//! Counters of connections: how they begin and end, their messages, and the round trips of pings.

use std::time::Duration;

use jackfield_metrics::{Counters, Durations, Grid, Histogram, Sharded, label};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::protocol::{Input, Request};

use crate::connection_end::ConnectionEnd;

label! {
    /// The outcome of a connection's first request.
    pub(crate) ConnectionOutcome {
        /// A WebSocket was opened.
        Accepted = "accepted",
        /// Plain HTTP was answered.
        Http = "http",
        /// `limits.connections` was reached: answered with 503.
        Limit = "limit",
        /// `limits.address_connections` was reached: answered with 429.
        AddressLimit = "address_limit",
        /// `limits.user_connections` was reached: answered with 429.
        UserLimit = "user_limit",
        /// `limits.connection_rate` was exceeded: answered with 503.
        Rate = "rate",
        /// `limits.address_connection_rate` was exceeded: answered with 503.
        AddressRate = "address_rate",
        /// The reserve was used up as well: closed without an answer.
        Unanswered = "unanswered",
        /// The first generation is not ready.
        Starting = "starting",
        /// The server stops.
        Stopping = "stopping",
        /// The address is blocked, or unknown.
        Address = "address",
        /// It did not come through HTTPS.
        Transport = "https",
        /// There is no WebSocket at the path.
        Path = "path",
        /// The page may not connect.
        Origin = "origin",
        /// The ticket or token is missing or not accepted.
        Credential = "credential",
        /// The credential could not be checked.
        Unavailable = "unavailable",
        /// The request was malformed.
        Handshake = "handshake",
        /// The TLS handshake failed, or the client does not speak TLS.
        Tls = "tls",
        /// The certificate of the client is missing or not accepted.
        ClientCertificate = "client_certificate",
        /// The request took longer than `handshake_timeout`.
        Timeout = "timeout",
        /// It ended before its request.
        Lost = "lost",
    }
}

label! {
    /// The action towards a session above its rates, except refusals.
    pub(crate) Throttle {
        /// A pause in reading.
        Delay = "delay",
        /// The end of the connection.
        Close = "close",
    }
}

label! {
    /// The kind of a received message.
    pub(crate) ReceivedKind {
        Hello = "hello",
        Authenticate = "authenticate",
        Goodbye = "goodbye",
        Publish = "publish",
        Subscribe = "subscribe",
        Unsubscribe = "unsubscribe",
        Call = "call",
        Cancel = "cancel",
        Register = "register",
        Unregister = "unregister",
        Yield = "yield",
        Error = "error",
        /// Messages without an action, and refused ones.
        Other = "other",
    }
}

label! {
    /// The codec of messages. WAMP v1 is JSON as well, and has a name of its own.
    pub(crate) CodecLabel {
        V1 = "v1",
        Json = "json",
        MessagePack = "msgpack",
        Cbor = "cbor",
    }
}

/// Received messages by kind and codec.
type Received = Grid<ReceivedKind, CodecLabel, { ReceivedKind::COUNT * CodecLabel::COUNT }>;

/// Counters of all connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionMetrics {
    outcomes: Counters<{ ConnectionOutcome::COUNT }>,
    closes: Counters<{ ConnectionEnd::COUNT }>,
    received: Received,
    throttled: Counters<{ Throttle::COUNT }>,
    round_trips: Sharded<Histogram>,
}

impl ConnectionMetrics {
    /// Counts the outcome of a connection's first request.
    pub(crate) fn began(&self, outcome: ConnectionOutcome) {
        self.outcomes.add(outcome as usize, 1);
    }

    /// Counts the end of a WebSocket.
    pub(crate) fn ended(&self, end: ConnectionEnd) {
        self.closes.add(end as usize, 1);
    }

    /// Counts an action towards a session above its rates.
    pub(crate) fn throttled(&self, action: Throttle) {
        self.throttled.add(action as usize, 1);
    }

    /// Counts a received message.
    pub(crate) fn received(&self, kind: ReceivedKind, dialect: Dialect) {
        self.received.add(kind, CodecLabel::of(dialect), 1);
    }

    /// Counts the time from a ping to its pong.
    pub(crate) fn round_trip(&self, took: Duration) {
        self.round_trips.record(took);
    }

    /// The number of connections by outcome.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (ConnectionOutcome, u64)> {
        ConnectionOutcome::ALL.into_iter().zip(self.outcomes.sums())
    }

    /// The number of ended WebSockets by reason.
    pub(crate) fn closes(&self) -> impl Iterator<Item = (ConnectionEnd, u64)> {
        ConnectionEnd::ALL.into_iter().zip(self.closes.sums())
    }

    /// The actions towards sessions above their rates.
    pub(crate) fn throttles(&self) -> impl Iterator<Item = (Throttle, u64)> {
        Throttle::ALL.into_iter().zip(self.throttled.sums())
    }

    /// The number of received messages by kind and codec.
    pub(crate) fn received_messages(
        &self,
    ) -> impl Iterator<Item = (ReceivedKind, CodecLabel, u64)> {
        self.received.sums()
    }

    /// The round trips of pings.
    pub(crate) fn round_trips(&self) -> Durations {
        self.round_trips.durations()
    }
}

impl CodecLabel {
    /// The codec of a dialect.
    pub(crate) const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => Self::V1,
            Dialect::V2(Codec::Json) => Self::Json,
            Dialect::V2(Codec::MessagePack) => Self::MessagePack,
            Dialect::V2(Codec::Cbor) => Self::Cbor,
        }
    }
}

impl ReceivedKind {
    /// The kind of a message.
    pub(crate) const fn of(input: &Input) -> Self {
        match input {
            Input::Hello(_) => Self::Hello,
            Input::Authenticate(_) => Self::Authenticate,
            Input::Goodbye { .. } => Self::Goodbye,
            Input::Nothing | Input::Refused { .. } | Input::Violation { .. } => Self::Other,
            Input::Request(request) => match request {
                Request::Publish(_) => Self::Publish,
                Request::Subscribe(_) => Self::Subscribe,
                Request::Unsubscribe(_) => Self::Unsubscribe,
                Request::Call(_) => Self::Call,
                Request::Cancel(_) => Self::Cancel,
                Request::Register(_) => Self::Register,
                Request::Unregister(_) => Self::Unregister,
                Request::Yield(_) => Self::Yield,
                Request::InvocationError(_) => Self::Error,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_messages_by_kind_and_codec() {
        let metrics = ConnectionMetrics::default();
        metrics.received(ReceivedKind::Publish, Dialect::V2(Codec::Cbor));
        metrics.received(ReceivedKind::Publish, Dialect::V2(Codec::Cbor));
        metrics.received(ReceivedKind::Other, Dialect::V1);
        let counted: Vec<_> =
            metrics.received_messages().filter(|(.., count)| *count > 0).collect();
        let expect = [
            (ReceivedKind::Publish, CodecLabel::Cbor, 2),
            (ReceivedKind::Other, CodecLabel::V1, 1),
        ];
        assert_eq!(counted, expect);
    }
}
