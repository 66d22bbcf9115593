//! WAMP v1 client that behaves like AutobahnJS 0.8.0 in a browser, strict and lenient in the same
//! places, because every Oro back office runs that library. Errors that it would throw on the page
//! are kept in `page_errors`; errors that it would throw at its caller fail the test.

mod prefixes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;

use serde_json::{Value, json};

use prefixes::Prefixes;

use super::socket::{Ending, Handshake, Incoming, Refused, Socket};
use super::within;

/// The options of a page's connection.
#[derive(Clone, Debug)]
pub struct Options {
    pub handshake: Handshake,
    /// `maxRetries` of `ab.connect`; Oro passes 0 and retries by itself.
    pub max_retries: u32,
}

/// The codes that AutobahnJS passes to `onclose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// 0: closed regularly. Oro's page never reconnects after this one.
    Closed = 0,
    /// 1: the session's report of an end of TCP without a Close frame; `ab.connect` changes it to 2
    /// or 6.
    Lost = 1,
    /// 2: lost, and no retries left.
    RetriesExceeded = 2,
    /// 3: never connected.
    Unreachable = 3,
    /// 5: a reconnect failed, another one follows.
    UnreachableScheduledReconnect = 5,
    /// 6: lost, a reconnect follows.
    LostScheduledReconnect = 6,
}

/// A failed connect: the code, and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    pub hangup: Hangup,
    pub refused: Refused,
}

/// One call of a callback.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub topic: String,
    pub event: Value,
    pub callback: Callback,
}

/// A function that the page gave to `subscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Callback(u32);

/// Receivers of a publication, in the forms that AutobahnJS can send.
#[derive(Clone, Debug)]
pub enum Reach<'a> {
    /// Three elements.
    Plain,
    /// Four elements, the last a bool.
    ExcludeMe(bool),
    /// Four elements, the last a list of session ids.
    Exclude(&'a [&'a str]),
    /// Five elements.
    ExcludeEligible(&'a [&'a str], &'a [&'a str]),
}

/// The error side of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    pub uri: Value,
    pub description: Value,
    pub details: Option<Value>,
}

pub struct Client {
    socket: Socket,
    options: Options,
    session: Option<String>,
    server: Option<String>,
    subscriptions: BTreeMap<String, Vec<Callback>>,
    prefixes: Prefixes,
    calls: HashSet<String>,
    answers: Vec<(String, Result<Value, CallError>)>,
    events: VecDeque<Event>,
    page_errors: Vec<String>,
    ignored: Vec<Value>,
    ending: Option<Ending>,
    issued: u32,
    retries: u32,
}

impl Default for Options {
    fn default() -> Self {
        let handshake = Handshake { protocols: vec!["wamp".to_owned()], ..Handshake::default() };
        Self { handshake, max_retries: 0 }
    }
}

impl Client {
    /// Connects as a page, and waits for the session.
    pub async fn connect(addr: SocketAddr) -> Self {
        let connected = Self::connect_with(addr, Options::default()).await;
        let mut client = connected.unwrap_or_else(|error| panic!("v1 connect: {error:?}"));
        client.session().await;
        client
    }

    /// Returns when the WebSocket is open, which AutobahnJS regards as connected; the session opens
    /// later, with WELCOME (`session`).
    pub async fn connect_with(addr: SocketAddr, options: Options) -> Result<Self, Unreachable> {
        let opened = open(addr, &options.handshake).await;
        let socket =
            opened.map_err(|refused| Unreachable { hangup: Hangup::Unreachable, refused })?;
        Ok(Self {
            socket,
            options,
            session: None,
            server: None,
            subscriptions: BTreeMap::new(),
            prefixes: Prefixes::default(),
            calls: HashSet::new(),
            answers: Vec::new(),
            events: VecDeque::new(),
            page_errors: Vec::new(),
            ignored: Vec::new(),
            ending: None,
            issued: 0,
            retries: 0,
        })
    }

    /// Retries: `ab.connect` opens a new session, without the subscriptions of the old one.
    pub async fn reconnect(&mut self, addr: SocketAddr) -> Result<(), Unreachable> {
        match Self::connect_with(addr, self.options.clone()).await {
            Ok(fresh) => *self = fresh,
            Err(mut unreachable) => {
                self.retries += 1;
                unreachable.hangup = if self.retries <= self.options.max_retries {
                    Hangup::UnreachableScheduledReconnect
                } else {
                    Hangup::RetriesExceeded
                };
                return Err(unreachable);
            }
        }
        Ok(())
    }

    /// Returns the session's id, and waits for WELCOME if necessary.
    pub async fn session(&mut self) -> String {
        self.until("WELCOME", |client| client.session.clone()).await
    }

    /// Returns the fourth element of WELCOME.
    pub fn server(&self) -> &str {
        self.server.as_deref().expect("the session is open")
    }

    /// Declares `prefix:` for `uri`, here and to the server.
    pub fn prefix(&mut self, prefix: &str, uri: &str) {
        self.prefixes.set(prefix, uri);
        self.send(&json!([1, prefix, uri]));
    }

    /// Subscribes a new callback. Only the first one of a topic is sent to the server.
    pub fn subscribe(&mut self, topic: &str) -> Callback {
        self.issued += 1;
        let callback = Callback(self.issued);
        let callbacks = self.subscriptions.entry(self.prefixes.resolve(topic)).or_default();
        callbacks.push(callback);
        if callbacks.len() == 1 {
            self.send(&json!([5, topic]));
        }
        callback
    }

    /// Removes one callback, or all with `None`. Only for the last one of a topic, UNSUBSCRIBE is
    /// sent.
    pub fn unsubscribe(&mut self, topic: &str, callback: Option<Callback>) {
        let resolved = self.prefixes.resolve(topic);
        let callbacks = self.subscriptions.get_mut(&resolved);
        let callbacks = callbacks.unwrap_or_else(|| panic!("not subscribed to topic {resolved}"));
        match callback {
            Some(gone) => callbacks.retain(|callback| *callback != gone),
            None => callbacks.clear(),
        }
        if callbacks.is_empty() {
            self.subscriptions.remove(&resolved);
            self.send(&json!([6, topic]));
        }
    }

    pub fn publish(&mut self, topic: &str, event: &Value, reach: &Reach<'_>) {
        let topic = self.prefixes.shrink(topic);
        self.send(&match reach {
            Reach::Plain => json!([7, topic, event]),
            Reach::ExcludeMe(exclude) => json!([7, topic, event, exclude]),
            Reach::Exclude(exclude) => json!([7, topic, event, exclude]),
            Reach::ExcludeEligible(exclude, eligible) => {
                json!([7, topic, event, exclude, eligible])
            }
        });
    }

    pub async fn call(&mut self, procedure: &str, arguments: &[Value]) -> Result<Value, CallError> {
        self.issued += 1;
        // AutobahnJS uses `Math.random().toString(36)`; only the form matters.
        let id = format!("0.call{:x}", self.issued);
        let mut message = vec![json!(2), json!(id), json!(self.prefixes.shrink(procedure))];
        message.extend_from_slice(arguments);
        self.calls.insert(id.clone());
        self.send(&Value::Array(message));
        let what = format!("the answer to {procedure}");
        self.until(&what, |client| {
            let place = client.answers.iter().position(|(answered, _)| *answered == id)?;
            Some(client.answers.swap_remove(place).1)
        })
        .await
    }

    /// Returns when all earlier messages have been handled, and their effects have arrived: the
    /// server answers a call in its turn, even with an error.
    pub async fn round_trip(&mut self) {
        let _either = self.call("jackfield.tests.round_trip", &[]).await;
    }

    /// Returns the next event of a callback.
    pub async fn event(&mut self) -> Event {
        self.until("an event", |client| client.events.pop_front()).await
    }

    /// Checks that earlier messages have caused no event. If the publisher is another session, make
    /// a round trip with that one first.
    pub async fn expect_no_event(&mut self) {
        self.round_trip().await;
        assert!(self.events.is_empty(), "unexpected events: {:?}", self.events);
    }

    /// Returns the code that `onclose` of `ab.connect` gets at the end of the connection.
    pub async fn hangup(&mut self) -> Hangup {
        match self.session_hangup().await {
            Hangup::Lost if self.options.max_retries > 0 => Hangup::LostScheduledReconnect,
            Hangup::Lost => Hangup::RetriesExceeded,
            other => other,
        }
    }

    /// Returns the code of the session itself: 0 or 1.
    pub async fn session_hangup(&mut self) -> Hangup {
        match self.ended().await {
            Ending::Clean { .. } => Hangup::Closed,
            Ending::Lost(_) => Hangup::Lost,
        }
    }

    /// Returns the end of the WebSocket, with the code and reason that AutobahnJS shows.
    pub async fn ended(&mut self) -> Ending {
        self.until("the end of the connection", |client| client.ending.clone()).await
    }

    /// Returns the errors in the page's console, each as the text of the frame that caused it.
    pub fn page_errors(&self) -> &[String] {
        &self.page_errors
    }

    /// Returns well-formed messages that AutobahnJS ignores.
    pub fn ignored(&self) -> &[Value] {
        &self.ignored
    }

    /// Leaves the page: `Session.close`, with the browser's own code.
    pub fn close(&self) {
        self.socket.close(1000, "");
    }

    /// Sends a text unchanged: malformed messages, and the forms of other clients.
    pub fn send_text(&self, text: &str) {
        self.socket.send_text(text);
    }

    /// Returns the underlying connection: pings, binary frames, reading stopped, RST.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    pub fn into_socket(self) -> Socket {
        self.socket
    }

    fn send(&self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Handles received messages until `ready` returns a result, which may come from earlier ones.
    async fn until<T>(&mut self, what: &str, mut ready: impl FnMut(&mut Self) -> Option<T>) -> T {
        within(format!("{what} (WAMP v1)"), async {
            loop {
                if let Some(found) = ready(self) {
                    return found;
                }
                if let Some(ending) = &self.ending {
                    panic!("the v1 connection ended while the test waited for {what}: {ending:?}");
                }
                self.take_in().await;
            }
        })
        .await
    }

    async fn take_in(&mut self) {
        match self.socket.next().await {
            Incoming::Text(text) => match serde_json::from_str(&text) {
                Ok(Value::Null) | Err(_) => self.page_errors.push(text),
                Ok(message) => self.on_message(message, text),
            },
            // `JSON.parse` of a Blob fails, too.
            Incoming::Binary(bytes) => self.page_errors.push(format!("binary {bytes:02x?}")),
            Incoming::Pong(_) => {}
            Incoming::Ended(ending) => self.ending = Some(ending),
        }
    }

    /// AutobahnJS looks for a call by element 1 before it checks the type.
    fn on_message(&mut self, message: Value, text: String) {
        let kind = element(&message, 0).as_u64();
        let subject = element(&message, 1).as_str().map(str::to_owned);
        if let Some(id) = subject.as_ref().filter(|id| self.calls.remove(*id)) {
            match kind {
                Some(3) => self.answers.push((id.clone(), Ok(element(&message, 2).clone()))),
                Some(4) => {
                    let error = CallError {
                        uri: element(&message, 2).clone(),
                        description: element(&message, 3).clone(),
                        details: message.get(4).cloned(),
                    };
                    self.answers.push((id.clone(), Err(error)));
                }
                _ => self.ignored.push(message),
            }
            return;
        }
        match (kind, subject) {
            (Some(8), Some(topic)) => {
                let topic = self.prefixes.resolve(&topic);
                let Some(callbacks) = self.subscriptions.get(&topic) else {
                    self.ignored.push(message);
                    return;
                };
                for callback in callbacks.clone() {
                    let event = element(&message, 2).clone();
                    self.events.push_back(Event { topic: topic.clone(), event, callback });
                }
            }
            (Some(0), Some(session)) => {
                if self.session.is_some() || element(&message, 2) != 1 {
                    self.page_errors.push(text);
                } else {
                    self.session = Some(session);
                    self.server = element(&message, 3).as_str().map(str::to_owned);
                }
            }
            _ => self.ignored.push(message),
        }
    }
}

/// AutobahnJS accepts exactly `wamp`; for any other subprotocol it closes before it is connected.
async fn open(addr: SocketAddr, handshake: &Handshake) -> Result<Socket, Refused> {
    let opening = Socket::open(addr, handshake.clone());
    let socket = within(format!("the WebSocket handshake with {addr}"), opening).await?;
    if socket.protocol.as_deref() == Some("wamp") {
        return Ok(socket);
    }
    socket.close(1000, "server does not speak WAMP");
    let text = format!("server does not speak WAMP (but {:?})", socket.protocol);
    Err(Refused { status: Some(101), text })
}

/// JavaScript's `o[n]`: of lists and of objects with such a key; null otherwise.
fn element(message: &Value, index: usize) -> &Value {
    let found = message.get(index).or_else(|| message.get(index.to_string()));
    found.unwrap_or(&Value::Null)
}
