//! Runner of conformance scripts over sockets. A line with `>` is followed by a round trip of its
//! client, so that its consequences are on the way to every other client before the next line. A
//! round trip also shows that a client has received nothing more.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use tokio::time::timeout;

use jackfield_tests::client::PATIENCE;
use jackfield_tests::client::codec::{Codec, Frame};
use jackfield_tests::client::socket::{Handshake, Incoming, Socket};

use super::script::{Action, Line, Message, Named, PATTERN};

/// The ticket of each user.
pub(super) const TICKET: &str = "letmein";

/// The first request id of messages that are written by their names. Acknowledgements of these need
/// no line.
const FIRST_REQUEST: u64 = 1000;
/// The request of a round trip, for a subscription that does not exist.
const ROUND_TRIP: u64 = 1 << 53;

/// The values of variables, and the session ids of clients.
type Bindings = BTreeMap<String, Value>;

/// Runs a script. A failure has its line, and the difference.
pub(super) async fn run(
    lines: &[Line],
    addr: SocketAddr,
    codec: Codec,
    realm: &str,
) -> Result<(), String> {
    let mut world =
        World { addr, codec, realm, clients: BTreeMap::new(), bindings: Bindings::new() };
    for line in lines {
        let done = timeout(PATIENCE, world.perform(line)).await;
        let done = done.unwrap_or_else(|_| Err("found nothing".to_owned()));
        done.map_err(|why| format!("{}: {codec:?}: {}\n  {why}", line.number, line.text))?;
    }
    for (name, client) in &mut world.clients {
        client.expect_nothing().await.map_err(|why| format!("at its end: `{name}`: {why}"))?;
    }
    Ok(())
}

/// The clients of a script, by their names.
struct World<'r> {
    addr: SocketAddr,
    codec: Codec,
    realm: &'r str,
    clients: BTreeMap<String, Client>,
    bindings: Bindings,
}

impl World<'_> {
    async fn perform(&mut self, Line { client: name, action, .. }: &Line) -> Result<(), String> {
        if let Action::Join { user, is_raw, .. } = action {
            let mut client = Client::open(self.addr, self.codec, self.realm).await;
            if !is_raw {
                client.join(user.as_deref()).await?;
                self.bindings.insert(name.clone(), client.session.into());
            }
            self.clients.insert(name.clone(), client);
            return Ok(());
        }
        let client = self.clients.get_mut(name).ok_or("there is no such client")?;
        match action {
            Action::Join { .. } => Ok(()),
            Action::Send(message) => client.send(message, &self.bindings).await,
            Action::Expect(message) => client.expect(message, &mut self.bindings).await,
            Action::ExpectNothing => client.expect_nothing().await,
            Action::Leave => {
                client.leave().await?;
                self.clients.remove(name);
                Ok(())
            }
        }
    }
}

struct Client {
    socket: Socket,
    codec: Codec,
    realm: String,
    session: u64,
    /// Whether there is a session, which answers round trips.
    is_joined: bool,
    is_closed: bool,
    inbox: VecDeque<Value>,
    requests: u64,
    /// The URI of each SUBSCRIBE, PUBLISH and REGISTER, and of each subscription and registration.
    uris: BTreeMap<(&'static str, u64), String>,
    open_calls: Vec<u64>,
    open_invocations: VecDeque<u64>,
}

impl Client {
    async fn open(addr: SocketAddr, codec: Codec, realm: &str) -> Self {
        let handshake = Handshake { protocols: vec![codec.subprotocol()], ..Handshake::default() };
        let socket = Socket::open(addr, handshake).await.unwrap();
        Self {
            socket,
            codec,
            realm: realm.to_owned(),
            session: 0,
            is_joined: false,
            is_closed: false,
            inbox: VecDeque::new(),
            requests: FIRST_REQUEST,
            uris: BTreeMap::new(),
            open_calls: Vec::new(),
            open_invocations: VecDeque::new(),
        }
    }

    async fn join(&mut self, user: Option<&str>) -> Result<(), String> {
        let mut details = json!({ "roles": {
            "publisher": { "features": { "publisher_exclusion": true } },
            "subscriber": { "features": {
                "pattern_based_subscription": true, "subscription_revocation": true,
            } },
            "caller": { "features": { "call_canceling": true, "progressive_call_results": true } },
            "callee": { "features": {
                "call_canceling": true, "progressive_call_results": true,
                "registration_revocation": true,
            } },
        } });
        if let Some(user) = user {
            details["authid"] = user.into();
            details["authmethods"] = json!(["ticket"]);
        }
        self.write(&json!([1, self.realm, details]));
        loop {
            match self.next().await {
                Some(message) if message[0] == 2 => return Ok(()),
                Some(message) if message[0] == 4 => self.write(&json!([5, TICKET, {}])),
                other => return Err(format!("no session: {other:?}")),
            }
        }
    }

    async fn leave(&mut self) -> Result<(), String> {
        self.expect_nothing().await?;
        self.write(&json!([6, {}, "wamp.close.close_realm"]));
        while self.next().await.is_some_and(|message| message[0] != 6) {}
        Ok(())
    }

    fn write(&self, message: &Value) {
        match self.codec.encode(message) {
            Frame::Text(text) => self.socket.send_text(text),
            Frame::Binary(bytes) => self.socket.send_binary(bytes),
        }
    }

    /// Returns the oldest unread message; without one, the next. There is none after the end.
    async fn next(&mut self) -> Option<Value> {
        while self.inbox.is_empty() && !self.is_closed {
            self.read().await;
        }
        self.inbox.pop_front()
    }

    /// Reads one message into the inbox.
    async fn read(&mut self) {
        let frame = match self.socket.next().await {
            Incoming::Text(text) => Frame::Text(text),
            Incoming::Binary(bytes) => Frame::Binary(bytes),
            Incoming::Pong(_) => return,
            Incoming::Ended(_) => {
                (self.is_joined, self.is_closed) = (false, true);
                return;
            }
        };
        let message = self.codec.decode(frame);
        let id = |index: usize| message[index].as_u64().unwrap_or_default();
        match id(0) {
            2 => (self.is_joined, self.session) = (true, id(1)),
            3 | 6 => self.is_joined = false,
            33 => self.name("subscription", id(2), "SUBSCRIBE", id(1)),
            65 => self.name("registration", id(2), "REGISTER", id(1)),
            68 => self.open_invocations.push_back(id(1)),
            _ => {}
        }
        self.inbox.push_back(message);
    }

    /// Takes over the URI of a request.
    fn name(&mut self, kind: &'static str, id: u64, request_kind: &'static str, request: u64) {
        if let Some(uri) = self.uris.get(&(request_kind, request)).cloned() {
            self.uris.insert((kind, id), uri);
        }
    }

    /// Returns when the server has handled all messages of this client, and everything that it has
    /// for this client is in the inbox.
    async fn round_trip(&mut self) {
        if !self.is_joined {
            return;
        }
        self.write(&json!([34, ROUND_TRIP, ROUND_TRIP]));
        let answers =
            |message: &Value| message[0] == 8 && message[1] == 34 && message[2] == ROUND_TRIP;
        while !self.is_closed {
            if let Some(place) = self.inbox.iter().position(answers) {
                self.inbox.remove(place);
                return;
            }
            self.read().await;
        }
    }

    async fn send(&mut self, message: &Message, bindings: &Bindings) -> Result<(), String> {
        let message = match message {
            Message::Raw(value) => value.clone(),
            Message::Named(named) => self.numbered(named)?,
        };
        let mut message = substitute(&message, bindings)?;
        if message[0] == 1 {
            message[1] = match message[1].as_str() {
                Some("realm1") => self.realm.clone().into(),
                _ => message[1].clone(),
            };
        }
        let (request, uri) = (message[1].as_u64().unwrap_or_default(), message[3].as_str());
        for (code, kind) in [(16, "PUBLISH"), (32, "SUBSCRIBE"), (64, "REGISTER")] {
            if let (true, Some(uri)) = (message[0] == code, uri) {
                self.uris.insert((kind, request), uri.to_owned());
            }
        }
        if message[0] == 48 {
            self.open_calls.push(request);
        }
        self.write(&message);
        self.round_trip().await;
        Ok(())
    }

    /// Returns a message with its ids.
    fn numbered(&mut self, named: &Named) -> Result<Value, String> {
        let Named { name, uri, text, options, args, kwargs } = named;
        self.requests += 1;
        let request = self.requests;
        let options = options.clone().unwrap_or(json!({}));
        let id_of = |kind| {
            let mut ids = self
                .uris
                .iter()
                .filter(|((known, _), it)| *known == kind && uri.as_ref() == Some(it));
            ids.next_back().map(|((_, id), _)| *id).ok_or_else(|| format!("no {kind}"))
        };
        let mut message = match name.as_str() {
            "SUBSCRIBE" => json!([32, request, options, uri]),
            "UNSUBSCRIBE" => json!([34, request, id_of("subscription")?]),
            "REGISTER" => json!([64, request, options, uri]),
            "UNREGISTER" => json!([66, request, id_of("registration")?]),
            "CALL" => json!([48, request, options, uri]),
            "CANCEL" => json!([49, self.open_calls.pop().ok_or("no open call")?, options]),
            "PUBLISH" => {
                let mut options = options;
                options.as_object_mut().unwrap().entry("acknowledge").or_insert(true.into());
                json!([16, request, options, uri])
            }
            "YIELD" => {
                let first = *self.open_invocations.front().ok_or("no open invocation")?;
                if options["progress"] != true {
                    self.open_invocations.pop_front();
                }
                json!([70, first, options])
            }
            "ERROR" => {
                let first = self.open_invocations.pop_front().ok_or("no open invocation")?;
                json!([8, 68, first, options, uri])
            }
            _ => return Err(format!("clients do not send {name}")),
        };
        let args = args.clone().or_else(|| text.as_ref().map(|text| json!([text])));
        let payload = message.as_array_mut().unwrap();
        payload.extend(args);
        payload.extend(kwargs.clone());
        Ok(message)
    }

    async fn expect_nothing(&mut self) -> Result<(), String> {
        self.round_trip().await;
        match self.inbox.iter().find(|message| !is_acknowledgement(message)) {
            Some(message) => Err(format!("expected nothing, found {message}")),
            None => Ok(()),
        }
    }

    async fn expect(&mut self, message: &Message, bindings: &mut Bindings) -> Result<(), String> {
        loop {
            let Some(found) = self.next().await else {
                return Err("the connection has ended".into());
            };
            let mut bound = bindings.clone();
            let is_match = match message {
                Message::Raw(pattern) => matches(pattern, &found, &mut bound),
                Message::Named(named) => self.is_named(named, &found, &mut bound)?,
            };
            if is_match {
                *bindings = bound;
                return Ok(());
            }
            if !is_acknowledgement(&found) {
                return Err(format!("found {found}"));
            }
        }
    }

    /// Returns whether a message is the one that is named.
    fn is_named(&self, named: &Named, found: &Value, bound: &mut Bindings) -> Result<bool, String> {
        let uri_of = |kind, id: &Value| {
            let uri = id.as_u64().and_then(|id| self.uris.get(&(kind, id)));
            uri.cloned().map_or(Value::Null, Value::from)
        };
        let stated = |key: &str, other: Value| match &found[3][key] {
            Value::Null => other,
            uri => uri.clone(),
        };
        let acknowledged = |kind| (uri_of(kind, &found[1]), Value::Null, Value::Null, 9);
        let message = &found[1]["message"];
        let (code, (uri, details, text, args)) = match named.name.as_str() {
            "PUBLISHED" => (17, acknowledged("PUBLISH")),
            "SUBSCRIBED" => (33, acknowledged("SUBSCRIBE")),
            "REGISTERED" => (65, acknowledged("REGISTER")),
            "EVENT" => {
                let uri = stated("topic", uri_of("subscription", &found[1]));
                (36, (uri, found[3].clone(), Value::Null, 4))
            }
            "RESULT" => (50, (Value::Null, found[2].clone(), Value::Null, 3)),
            "INVOCATION" => {
                let uri = stated("procedure", uri_of("registration", &found[2]));
                (68, (uri, found[3].clone(), Value::Null, 4))
            }
            "INTERRUPT" => (69, (Value::Null, found[2].clone(), Value::Null, 9)),
            "ERROR" => (8, (found[4].clone(), found[3].clone(), found[5][0].clone(), 5)),
            "ABORT" => (3, (found[2].clone(), found[1].clone(), message.clone(), 9)),
            "GOODBYE" => (6, (found[2].clone(), found[1].clone(), message.clone(), 9)),
            name => return Err(format!("routers do not send {name}")),
        };
        let is_stated = |pattern: Option<Value>, found: &Value, bound: &mut Bindings| {
            pattern.is_none_or(|pattern| matches(&pattern, found, bound))
        };
        let wanted = named.uri.as_ref().filter(|uri| *uri != "_").map(|uri| json!(uri));
        Ok(found[0] == code
            && is_stated(wanted, &uri, bound)
            && is_stated(named.options.clone(), &details, bound)
            && is_stated(named.text.as_ref().map(|text| json!(text)), &text, bound)
            && (named.name == "ERROR" && named.args.is_none()
                || has_payload(named, &found[args], &found[args + 1], bound)))
    }
}

/// Compares arguments. Absent ones are the same as empty ones, and `[...]` is any.
fn has_payload(named: &Named, args: &Value, kwargs: &Value, bound: &mut Bindings) -> bool {
    let or = |value: &Value, other: Value| if value.is_null() { other } else { value.clone() };
    let wanted = named.args.clone().unwrap_or(json!([]));
    if wanted == json!([format!("{PATTERN}...")]) {
        return true;
    }
    matches(&wanted, &or(args, json!([])), bound)
        && matches(&named.kwargs.clone().unwrap_or(json!({})), &or(kwargs, json!({})), bound)
}

/// Whether a message acknowledges a request that was written by its name.
fn is_acknowledgement(message: &Value) -> bool {
    let is_kind = [17, 33, 35, 65, 67].iter().any(|code| message[0] == *code);
    is_kind && message[1].as_u64().is_some_and(|request| request >= FIRST_REQUEST)
}

/// Replaces variables by their values.
fn substitute(value: &Value, bindings: &Bindings) -> Result<Value, String> {
    match value {
        Value::String(text) => match text.strip_prefix(PATTERN) {
            None => Ok(value.clone()),
            Some(name) => {
                let bound = name.strip_prefix('$').and_then(|name| bindings.get(name));
                bound.cloned().ok_or_else(|| format!("`{name}` has no value"))
            }
        },
        Value::Array(items) => items.iter().map(|item| substitute(item, bindings)).collect(),
        Value::Object(entries) => {
            let entries =
                entries.iter().map(|(key, item)| Ok((key.clone(), substitute(item, bindings)?)));
            Ok(Value::Object(entries.collect::<Result<Map<_, _>, String>>()?))
        }
        _ => Ok(value.clone()),
    }
}

/// Compares a value with a pattern. The first comparison with a variable gives it a value.
fn matches(pattern: &Value, found: &Value, bound: &mut Bindings) -> bool {
    match (pattern, found) {
        (Value::String(text), _) if text.starts_with(PATTERN) => {
            match &text[PATTERN.len_utf8()..] {
                "_" => true,
                name => {
                    let name = name.trim_start_matches('$').to_owned();
                    let value = bound.entry(name).or_insert_with(|| found.clone());
                    value == found
                }
            }
        }
        (Value::Array(patterns), Value::Array(items)) => {
            let is_open = patterns.last() == Some(&json!(format!("{PATTERN}...")));
            let patterns = &patterns[..patterns.len() - usize::from(is_open)];
            (items.len() == patterns.len() || is_open && items.len() > patterns.len())
                && patterns.iter().zip(items).all(|(pattern, item)| matches(pattern, item, bound))
        }
        (Value::Object(patterns), Value::Object(entries)) => {
            let is_rest = |key: &str| key.strip_prefix(PATTERN) == Some("...");
            let is_open = patterns.keys().any(|key| is_rest(key));
            let stated = patterns.len() - usize::from(is_open);
            (entries.len() == stated || is_open && entries.len() > stated)
                && patterns.iter().filter(|(key, _)| !is_rest(key)).all(|(key, pattern)| {
                    entries.get(key).is_some_and(|item| matches(pattern, item, bound))
                })
        }
        (Value::Number(pattern), Value::Number(found)) => {
            pattern == found || pattern.as_f64() == found.as_f64()
        }
        _ => pattern == found,
    }
}
