//! Small WAMP v2 client for every codec. Messages that no method waits for stay in its inbox, so
//! that a test notices unexpected ones. It has methods for subscribers, publishers, callers and
//! callees; `send` and `message` are for everything else.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::codec::{Codec, Frame};
use super::socket::{Ending, Handshake, Incoming, Refused, Socket};
use super::within;

/// Connection options.
#[derive(Clone, Debug)]
pub struct Options {
    pub handshake: Handshake,
    /// `HELLO.Details`.
    pub details: Value,
}

/// The reason why there is no session.
#[derive(Clone, Debug, PartialEq)]
pub enum NoSession {
    /// No WebSocket.
    Refused(Refused),
    /// ABORT: its reason and details.
    Aborted { reason: String, details: Value },
    /// The connection ended before an answer.
    Ended(Ending),
}

/// An ERROR that answers a request.
#[derive(Clone, Debug, PartialEq)]
pub struct WampError {
    pub uri: String,
    pub details: Value,
    pub args: Value,
    pub kwargs: Value,
}

/// An EVENT. Missing arguments are `null`, to distinguish them from empty ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub subscription: u64,
    pub publication: u64,
    pub details: Value,
    pub args: Value,
    pub kwargs: Value,
}

/// A session. Dropping it ends TCP without a Close frame.
pub struct Client {
    codec: Codec,
    socket: Socket,
    session: u64,
    welcome: Value,
    requests: u64,
    inbox: VecDeque<Value>,
    ending: Option<Ending>,
}

impl Options {
    pub fn new(codec: Codec) -> Self {
        let handshake = Handshake { protocols: vec![codec.subprotocol()], ..Handshake::default() };
        Self { handshake, details: json!({"roles": {"publisher": {}, "subscriber": {}}}) }
    }
}

impl Client {
    /// Joins `realm`, or fails the test.
    pub async fn connect(addr: SocketAddr, codec: Codec, realm: &str) -> Self {
        let connected = Self::connect_with(addr, codec, realm, Options::new(codec)).await;
        connected.unwrap_or_else(|error| panic!("v2 connect with {codec:?} to {realm}: {error:?}"))
    }

    /// Connects with a small receive buffer, for tests in which it stops reading.
    pub async fn connect_narrow(addr: SocketAddr, codec: Codec, realm: &str) -> Self {
        let mut options = Options::new(codec);
        options.handshake.receive_buffer = Some(4096);
        let connected = Self::connect_with(addr, codec, realm, options).await;
        connected.unwrap_or_else(|error| panic!("v2 connect with {codec:?} to {realm}: {error:?}"))
    }

    pub async fn connect_with(
        addr: SocketAddr,
        codec: Codec,
        realm: &str,
        options: Options,
    ) -> Result<Self, NoSession> {
        let mut client =
            Self::open(addr, codec, options.handshake).await.map_err(NoSession::Refused)?;
        client.send(&json!([1, realm, options.details]));
        let answer = client.until("WELCOME or ABORT", |client| {
            if let Some(ending) = &client.ending {
                return Some(Err(ending.clone()));
            }
            client.take(|message| [2, 3].contains(&kind(message))).map(Ok)
        });
        let answer = answer.await.map_err(NoSession::Ended)?;
        if kind(&answer) == 3 {
            let (reason, details) = (text(&answer[2]), answer[1].clone());
            return Err(NoSession::Aborted { reason, details });
        }
        client.session = number(&answer[1]);
        client.welcome = answer[2].clone();
        Ok(client)
    }

    /// Opens only the WebSocket: no HELLO is sent. For tests of that state.
    pub async fn open(
        addr: SocketAddr,
        codec: Codec,
        handshake: Handshake,
    ) -> Result<Self, Refused> {
        let opening = Socket::open(addr, handshake);
        let socket = within(format!("the WebSocket handshake with {addr}"), opening).await?;
        Ok(Self {
            codec,
            socket,
            session: 0,
            welcome: Value::Null,
            requests: 0,
            inbox: VecDeque::new(),
            ending: None,
        })
    }

    pub const fn session(&self) -> u64 {
        self.session
    }

    /// Returns `WELCOME.Details`.
    pub const fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// Returns the subscription's id, or fails the test.
    pub async fn subscribe(&mut self, topic: &str, options: Value) -> u64 {
        let subscribed = self.try_subscribe(topic, options).await;
        subscribed.unwrap_or_else(|error| panic!("subscribe {topic}: {error:?}"))
    }

    pub async fn try_subscribe(&mut self, topic: &str, options: Value) -> Result<u64, WampError> {
        let request = self.next_request();
        self.send(&json!([32, request, options, topic]));
        Ok(number(&self.answer(32, 33, request).await?[2]))
    }

    pub async fn unsubscribe(&mut self, subscription: u64) -> Result<(), WampError> {
        let request = self.next_request();
        self.send(&json!([34, request, subscription]));
        self.answer(34, 35, request).await.map(drop)
    }

    /// Publishes and does not wait. `args` and `kwargs` are omitted if they are `null`.
    pub fn publish(&mut self, topic: &str, options: Value, args: Value, kwargs: Value) -> u64 {
        let request = self.next_request();
        let mut message = vec![json!(16), json!(request), options, json!(topic)];
        push_payload(&mut message, args, kwargs);
        self.send(&Value::Array(message));
        request
    }

    /// Publishes with `acknowledge`, and returns the publication's id.
    pub async fn publish_acknowledged(
        &mut self,
        topic: &str,
        mut options: Value,
        args: Value,
        kwargs: Value,
    ) -> Result<u64, WampError> {
        options["acknowledge"] = json!(true);
        let request = self.publish(topic, options, args, kwargs);
        Ok(number(&self.answer(16, 17, request).await?[2]))
    }

    /// Calls, and returns the result's args and kwargs. `args` and `kwargs` are omitted if they are
    /// `null`, and `null` if they were omitted.
    pub async fn call(
        &mut self,
        procedure: &str,
        options: Value,
        args: Value,
        kwargs: Value,
    ) -> Result<(Value, Value), WampError> {
        let request = self.next_request();
        let mut message = vec![json!(48), json!(request), options, json!(procedure)];
        push_payload(&mut message, args, kwargs);
        self.send(&Value::Array(message));
        let result = self.answer(48, 50, request).await?;
        Ok((result[3].clone(), result[4].clone()))
    }

    /// Registers a procedure, and returns the registration's id.
    pub async fn register(&mut self, procedure: &str, options: Value) -> Result<u64, WampError> {
        let request = self.next_request();
        self.send(&json!([64, request, options, procedure]));
        Ok(number(&self.answer(64, 65, request).await?[2]))
    }

    /// Ends a registration.
    pub async fn unregister(&mut self, registration: u64) {
        let request = self.next_request();
        self.send(&json!([66, request, registration]));
        self.answer(66, 67, request).await.unwrap();
    }

    /// Returns the next INVOCATION, the whole message.
    pub async fn invocation(&mut self) -> Value {
        self.until("an INVOCATION", |client| client.take(|message| kind(message) == 68)).await
    }

    /// Returns when all earlier messages have been handled and their effects are in the inbox: the
    /// server answers a request for an unknown subscription in its turn.
    pub async fn round_trip(&mut self) {
        let unknown = 1 << 53;
        let _error = self.unsubscribe(unknown).await;
    }

    pub async fn event(&mut self) -> Event {
        let message = self.until("an EVENT", |client| client.take(|message| kind(message) == 36));
        Event::from(message.await)
    }

    /// Checks that earlier messages have caused no event. If the publisher is another session, make
    /// a round trip with that one first.
    pub async fn expect_no_event(&mut self) {
        self.round_trip().await;
        let event = self.take(|message| kind(message) == 36);
        assert_eq!(event, None, "an unexpected event");
    }

    /// Returns the router's own UNSUBSCRIBED: the revoked subscription, and the reason.
    pub async fn revoked(&mut self) -> (u64, Option<String>) {
        let revocation = |message: &Value| kind(message) == 35 && message[1] == 0;
        let message = self.until("a revocation", |client| client.take(revocation)).await;
        let details = &message[2];
        (number(&details["subscription"]), details["reason"].as_str().map(str::to_owned))
    }

    /// Returns reason and details of an ABORT within a session.
    pub async fn aborted(&mut self) -> (String, Value) {
        let message = self.until("ABORT", |client| client.take(|message| kind(message) == 3)).await;
        (text(&message[2]), message[1].clone())
    }

    /// Returns the reason of the server's GOODBYE.
    pub async fn dismissed(&mut self) -> String {
        let message = self.until("GOODBYE", |client| client.take(|message| kind(message) == 6));
        text(&message.await[2])
    }

    /// Leaves the realm, and returns the reason of the reply.
    pub async fn goodbye(&mut self) -> String {
        self.send(&json!([6, {}, "wamp.close.close_realm"]));
        self.dismissed().await
    }

    /// Returns the end of the connection. Earlier messages stay in the inbox.
    pub async fn ended(&mut self) -> Ending {
        self.until("the end of the connection", |client| client.ending.clone()).await
    }

    /// Returns the next message that has arrived already.
    pub fn try_message(&mut self) -> Option<Value> {
        self.inbox.pop_front()
    }

    /// Returns the next message of any kind.
    pub async fn message(&mut self) -> Value {
        self.until("a message", |client| client.inbox.pop_front()).await
    }

    /// Returns the next message of any kind, or the end of the connection behind the last one.
    pub async fn message_or_end(&mut self) -> Result<Value, Ending> {
        let next = |client: &mut Self| {
            client.inbox.pop_front().map(Ok).or_else(|| client.ending.clone().map(Err))
        };
        self.until("a message or the end", next).await
    }

    /// Returns the bytes of the next message, undecoded.
    pub async fn raw(&mut self) -> Vec<u8> {
        assert_eq!(self.inbox, [] as [Value; 0], "these came before");
        match within("a message", self.socket.next()).await {
            Incoming::Text(text) => text.into_bytes(),
            Incoming::Binary(bytes) => bytes,
            other => panic!("a message was waited for, and this came: {other:?}"),
        }
    }

    pub fn send(&self, message: &Value) {
        match self.codec.encode(message) {
            Frame::Text(text) => self.socket.send_text(text),
            Frame::Binary(bytes) => self.socket.send_binary(bytes),
        }
    }

    /// Returns the underlying connection: raw frames, pings, reading stopped, Close.
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    pub const fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    async fn answer(&mut self, asked: u64, good: u64, request: u64) -> Result<Value, WampError> {
        let what = format!("the answer to request {request} ({asked})");
        let answers = |message: &Value| match kind(message) {
            8 => message[1] == asked && message[2] == request,
            kind => kind == good && message[1] == request,
        };
        let message = self.until(&what, |client| client.take(answers)).await;
        if kind(&message) == 8 {
            return Err(WampError {
                uri: text(&message[4]),
                details: message[3].clone(),
                args: message[5].clone(),
                kwargs: message[6].clone(),
            });
        }
        Ok(message)
    }

    fn take(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let place = self.inbox.iter().position(wanted)?;
        self.inbox.remove(place)
    }

    /// Handles received messages until `ready` returns a result, which may come from earlier ones.
    async fn until<T>(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> Option<T>) -> T {
        let codec = self.codec;
        within(format!("{what} (WAMP v2, {codec:?})"), async {
            loop {
                if let Some(found) = ready(self) {
                    return found;
                }
                if let Some(ending) = &self.ending {
                    let unread = &self.inbox;
                    panic!("{codec:?} ended, waiting for {what}: {ending:?}; unread: {unread:?}");
                }
                match self.socket.next().await {
                    Incoming::Text(text) => self.inbox.push_back(codec.decode(Frame::Text(text))),
                    Incoming::Binary(bytes) => {
                        self.inbox.push_back(codec.decode(Frame::Binary(bytes)));
                    }
                    Incoming::Pong(_) => {}
                    Incoming::Ended(ending) => self.ending = Some(ending),
                }
            }
        })
        .await
    }
}

impl From<Value> for Event {
    fn from(message: Value) -> Self {
        Self {
            subscription: number(&message[1]),
            publication: number(&message[2]),
            details: message[3].clone(),
            args: message[4].clone(),
            kwargs: message[5].clone(),
        }
    }
}

fn push_payload(message: &mut Vec<Value>, args: Value, kwargs: Value) {
    match (args, kwargs) {
        (Value::Null, Value::Null) => {}
        (args, Value::Null) => message.push(args),
        (Value::Null, kwargs) => message.extend([json!([]), kwargs]),
        (args, kwargs) => message.extend([args, kwargs]),
    }
}

fn kind(message: &Value) -> u64 {
    number(&message[0])
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not an id or a message code: {value}"))
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| panic!("not a URI: {value}"), str::to_owned)
}
