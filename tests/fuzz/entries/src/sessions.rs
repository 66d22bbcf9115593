//! Sessions: the messages of several clients against the broker and the dealer, without a host.
//!
//! Invariants: an EVENT has a subscription of its receiver; a call has one answer; after the end of
//! all sessions, nothing of them is left.

mod steps;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jackfield_broker::{
    Bounds, Dealer, EventHistory, Features, Framing, Identity, Outbox, Overflow, PatternAudience,
    PendingFlushes, Publication, Realm, RealmLimits, Session, Transport,
};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::message::{CallId, Message, Publish, Subscribe, Unsubscribe};
use jackfield_wamp::protocol::{ErrorTo, Protocol, Reply};
use jackfield_wamp::protocol::{Frame, Input as Received, Request};

use crate::codecs::{open, written};
use crate::input::Input;
use steps::{Step, message};

const LIMITS: RealmLimits = RealmLimits {
    subscriptions: 20,
    patterns: 5,
    realm_subscriptions: 60,
    topics: 30,
    client_percent: 50,
};
const MAX_EVENT_BYTES: usize = 1 << 16;
const BOUNDS: Bounds = Bounds { bytes: 1 << 16, frames: 64, overflow: Overflow::Disconnect };
/// Ends of calls that have a timeout, in the time of the run.
const STEP: Duration = Duration::from_millis(50);

/// The client of a session, with what it knows.
struct Client {
    session: Arc<Session>,
    protocol: Protocol,
    written: Arc<Written>,
    subscribed: HashSet<u64>,
    /// The number of calls without an answer, by their id: a client may use one twice.
    calls: HashMap<u64, usize>,
    requests: u64,
    invocations: Vec<u64>,
    registrations: Vec<u64>,
    subscriptions: Vec<u64>,
}

/// The socket of a client: all that was written to it.
struct Written {
    outbox: Arc<Outbox>,
    frames: Mutex<Vec<u8>>,
}

impl Transport for Written {
    fn flush(&self) {
        let mut frames = self.frames.lock().unwrap();
        let drained = self.outbox.drain(|slices| {
            for slice in slices {
                frames.extend_from_slice(slice);
            }
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        drained.unwrap();
    }

    fn interrupt(&self) {}
}

struct World {
    realm: Realm,
    dealer: Dealer,
    clients: HashMap<usize, Client>,
    last: u64,
    now: Instant,
    batch: PendingFlushes,
}

/// A frame of the run: the length of the message, and the message.
fn frame(body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len()).unwrap();
    [&length.to_be_bytes(), body].concat().into()
}

fn reply(session: &Session, reply: &Reply<'_>) -> Option<Bytes> {
    reply.encode(session.dialect).map(|body| frame(&body))
}

/// A sequence of the messages of up to six clients.
pub fn sessions(data: &[u8]) {
    let history = Arc::new(EventHistory::default());
    let framing = Framing {
        headroom: 4,
        max_bytes: MAX_EVENT_BYTES,
        finish: |_, mut buffer| {
            let length = u32::try_from(buffer.len() - 4).unwrap();
            buffer[..4].copy_from_slice(&length.to_be_bytes());
            buffer.into()
        },
        compress: |_| None,
    };
    let mut world = World {
        realm: Realm::new("realm1".to_owned(), framing, LIMITS, &history),
        dealer: Dealer::new(reply, MAX_EVENT_BYTES, LIMITS),
        clients: HashMap::new(),
        last: 0,
        now: Instant::now(),
        batch: PendingFlushes::default(),
    };
    let mut input = Input(data);
    while !input.is_empty() {
        world.step(&mut input);
    }
    let all: Vec<usize> = world.clients.keys().copied().collect();
    for place in all {
        world.leave(place);
    }
    world.batch.flush();
    let World { realm, dealer, .. } = &world;
    let left = (realm.session_count(), realm.topic_count(), realm.subscription_count());
    assert_eq!(left, (0, 0, 0), "sessions, topics and subscriptions are left");
    assert_eq!(dealer.registration_ids(10).total, 0, "registrations are left");
    assert_eq!(dealer.next_due(), None, "timeouts of calls are left");
    for id in 1..=world.last {
        let calls = dealer.calls_of(SessionId::new(id).unwrap(), 10);
        assert_eq!((calls.waiting, calls.handling), (0, 0), "calls of session {id} are left");
    }
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let place = input.below(6);
        if !self.clients.contains_key(&place) {
            self.join(place, input);
        }
        let message = {
            let client = self.clients.get_mut(&place).unwrap();
            client.requests += 1;
            message(client, input)
        };
        match message {
            Step::Say(text) => self.say(place, &text),
            Step::Raw(bytes) => self.hear(place, bytes.into()),
            Step::Leave => self.leave(place),
            Step::Flush => {
                self.batch.flush();
                self.read_all();
            }
            Step::Wait => {
                self.now += STEP;
                self.dealer.expire(self.now, &mut self.batch);
            }
        }
    }

    fn join(&mut self, place: usize, input: &mut Input<'_>) {
        self.last += 1;
        let id = SessionId::new(self.last).unwrap();
        let dialect = input.one_of(&Dialect::ALL);
        let outbox = Arc::new(Outbox::new(BOUNDS));
        let written = Arc::new(Written { outbox: Arc::clone(&outbox), frames: Mutex::default() });
        let from = Ipv4Addr::from(u32::from(input.bool()));
        let identity = Identity::anonymous(format!("user{}", id.get()), from.into());
        let is_able = input.bool();
        let features = Features {
            subscription_revocation: is_able,
            registration_revocation: is_able,
            call_canceling: is_able,
            call_timeout: input.bool(),
            progressive_call_invocations: is_able,
            unpacks_calls: is_able,
            unpacks_results: is_able,
            call_reroute: is_able,
            publication_trustlevels: is_able,
            call_trustlevels: is_able,
        };
        let transport = Arc::clone(&written) as Arc<dyn Transport>;
        let session = Arc::new(Session::new(id, identity, dialect, features, outbox, transport));
        let mut protocol = Protocol::new(dialect);
        if let Dialect::V2(codec) = dialect {
            let hello = br#"[1,"realm1",{"roles":{"publisher":{},"caller":{},"callee":{}}}]"#;
            let hello = Message::decode(Codec::Json, &Bytes::from_static(hello)).unwrap();
            protocol.receive(data(codec, self::written(&hello, codec)));
            open(&mut protocol);
        }
        self.realm.join(&session);
        let client = Client {
            session,
            protocol,
            written,
            subscribed: HashSet::new(),
            calls: HashMap::new(),
            requests: 0,
            invocations: Vec::new(),
            registrations: Vec::new(),
            subscriptions: Vec::new(),
        };
        self.clients.insert(place, client);
    }

    /// Sends a message in the codec of the client.
    fn say(&mut self, place: usize, text: &str) {
        let client = &self.clients[&place];
        let text = Bytes::copy_from_slice(text.as_bytes());
        match client.session.dialect {
            Dialect::V1 => self.hear(place, text),
            Dialect::V2(codec) => {
                if let Ok(message) = Message::decode(Codec::Json, &text) {
                    self.hear(place, written(&message, codec));
                }
            }
        }
    }

    fn hear(&mut self, place: usize, bytes: Bytes) {
        let client = self.clients.get_mut(&place).unwrap();
        let frame = match client.session.dialect {
            Dialect::V1 => Frame::Text(bytes),
            Dialect::V2(codec) => data(codec, bytes),
        };
        match client.protocol.receive(frame) {
            Received::Request(request) => self.handle(place, request),
            Received::Goodbye { .. } | Received::Violation { .. } => self.leave(place),
            Received::Hello(_)
            | Received::Authenticate(_)
            | Received::Refused { .. }
            | Received::Nothing => {}
        }
    }

    fn handle(&mut self, place: usize, request: Request) {
        let client = self.clients.get_mut(&place).unwrap();
        let session = Arc::clone(&client.session);
        if session.is_closing() {
            return self.leave(place);
        }
        let Self { realm, dealer, batch, now, .. } = self;
        match request {
            Request::Publish(publish) => self.publish(&session, &publish),
            Request::Subscribe(Subscribe { request, policy, topic, .. }) => {
                let acknowledge =
                    |subscription| reply(&session, &Reply::Subscribed { request, subscription });
                let added = realm.subscribe(session.id, &topic, policy, None, batch, acknowledge);
                if let Ok(added) = added {
                    client.subscribed.insert(added.id.get());
                }
            }
            Request::Unsubscribe(Unsubscribe::ById { request, subscription }) => {
                let answer = reply(&session, &Reply::Unsubscribed { request });
                let _ended = realm.unsubscribe(session.id, subscription, batch, answer);
            }
            Request::Unsubscribe(Unsubscribe::ByTopic { topic }) => {
                if let Some(subscription) = realm.subscription(session.id, &topic) {
                    realm.unsubscribe(session.id, subscription, batch, None).unwrap();
                }
            }
            Request::Call(call) => {
                let _is_rest = match dealer.go_on(&session, &call, batch) {
                    jackfield_broker::Continued::No => {
                        let due = call.options.timeout.map(|it| *now + Duration::from_millis(it));
                        let passed = dealer.call(&session, &call, |_| true, 7, due, batch);
                        if let (Ok(_), CallId::V2(id)) = (passed, &call.request) {
                            *client.calls.entry(id.get()).or_default() += 1;
                        }
                        false
                    }
                    _ => true,
                };
            }
            Request::Cancel(cancel) => dealer.cancel(&session, &cancel, batch),
            Request::Register(register) => {
                let _registered = dealer.register(&session, &register, batch);
            }
            Request::Unregister(unregister) => {
                let _unregistered = dealer.unregister(&session, &unregister, batch);
            }
            Request::Yield(answer) => dealer.answer(&session, &answer, || *now, batch),
            Request::InvocationError(error) => {
                dealer.fail(&session, &error, |_, _| true, 3, batch);
            }
        }
    }

    fn publish(&mut self, from: &Arc<Session>, publish: &Publish) {
        let Publish { request, options, topic, payload } = publish;
        let id = PublicationId::new(1).unwrap();
        let publication = Publication {
            disclosed: options.disclose_me.then(|| from.publisher()),
            except: options.exclude_me.then_some(from.id),
            filter: options.filter.as_deref(),
            patterns: PatternAudience::Everybody,
            retain: options.retain.then_some(Duration::from_secs(1)),
            client: Some(from.client),
            ..Publication::new(topic, id, payload)
        };
        let delivered = self.realm.publish(&publication, &mut self.batch);
        let to = ErrorTo::Publish { request: *request, topic };
        let frame = match &delivered {
            Ok(_) => reply(from, &Reply::Published { request: *request, publication: id }),
            Err(error) => {
                reply(from, &Reply::Error { to, uri: error.uri(), message: &error.to_string() })
            }
        };
        if let Some(frame) = frame.filter(|_| options.acknowledge) {
            from.reply(frame, &mut self.batch);
        }
    }

    fn leave(&mut self, place: usize) {
        let Some(client) = self.clients.remove(&place) else { return };
        self.dealer.leave(client.session.id, &mut self.batch);
        self.realm.leave(client.session.id);
    }

    /// Has each client read what was written to it.
    fn read_all(&mut self) {
        for client in self.clients.values_mut() {
            let bytes = std::mem::take(&mut *client.written.frames.lock().unwrap());
            let mut rest = &bytes[..];
            while let Some((length, after)) = rest.split_first_chunk() {
                let (body, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                rest = after;
                client.read(&Bytes::copy_from_slice(body));
            }
            assert!(rest.is_empty(), "half a frame");
        }
    }
}

impl Client {
    fn read(&mut self, body: &Bytes) {
        let Dialect::V2(codec) = self.session.dialect else {
            let message: serde_json::Value = serde_json::from_slice(body).unwrap();
            assert!(message.is_array(), "{message}");
            return;
        };
        let message =
            Message::decode(codec, body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
        match message {
            Message::Subscribed(it) => self.subscriptions.push(it.subscription.get()),
            Message::Event(it) => {
                assert!(self.subscribed.contains(&it.subscription.get()), "{it:?}");
            }
            Message::Registered(it) => self.registrations.push(it.registration.get()),
            Message::Invocation(it) => self.invocations.push(it.request.get()),
            Message::Result(it) if it.progress => {}
            Message::Result(it) => self.answered(it.request.get()),
            Message::Error(it) if it.request_type == jackfield_wamp::message::MessageKind::Call => {
                self.answered(it.request.get());
            }
            _ => {}
        }
    }

    fn answered(&mut self, call: u64) {
        let left = self.calls.get_mut(&call).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("a second answer to the call {call}")) -= 1;
    }
}

fn data(codec: Codec, bytes: Bytes) -> Frame {
    match codec {
        Codec::Json => Frame::Text(bytes),
        Codec::MessagePack | Codec::Cbor => Frame::Binary(bytes),
    }
}
