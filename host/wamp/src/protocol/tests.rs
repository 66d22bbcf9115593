//! Tests of dialogues as text: `>` is the client's frame, `<` the router's answer, `=` the host's
//! input. The router is a stub that accepts everything except some realms and topics. Each dialogue
//! of version 2 runs in every codec.

use std::fmt::Write as _;

use super::*;
use crate::codec::arbitrary::{CODECS, recode};
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::message::{CallId, Unsubscribe};

mod refused;
mod shapes;
mod v1;
mod v2;

/// Runs the client's lines and compares the whole transcript.
fn check(dialect: Dialect, dialogue: &str) {
    let mut peer = Peer { session: Protocol::new(dialect), dialect, transcript: String::new() };
    if dialect == Dialect::V1 {
        let welcome = peer.session.welcome(&WELCOME);
        peer.hear(Some(welcome));
    }
    for line in dialogue.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("> ") {
            peer.note('>', text);
            peer.say(text);
        }
    }
    let expect: Vec<&str> =
        dialogue.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let found: Vec<&str> = peer.transcript.lines().collect();
    assert_eq!(found.join("\n"), expect.join("\n"), "{dialect:?}");
}

fn check_v1(dialogue: &str) {
    let welcome = "< [0,\"4711\",1,\"Jackfield/0.1.0\"]\n";
    check(Dialect::V1, &format!("{welcome}{dialogue}"));
}

fn check_v2(dialogue: &str) {
    for codec in CODECS {
        check(Dialect::V2(codec), dialogue);
    }
}

/// Checks a dialogue of version 2 in an open session.
fn check_open(dialogue: &str) {
    check_v2(&format!("{OPEN}{dialogue}"));
}

const OPEN: &str = r#"
    > [1,"realm1",{"roles":{"subscriber":{}}}]
    = hello realm1
    < [2,4711,{"roles":{"broker":{"features":{"event_history":true,"event_retention":true,"pattern_based_subscription":true,"payload_passthru_mode":true,"publication_trustlevels":true,"publisher_exclusion":true,"publisher_identification":true,"session_meta_api":true,"subscriber_blackwhite_listing":true,"subscription_meta_api":true,"subscription_revocation":true,"x_event_recovery":true}},"dealer":{"features":{"call_canceling":true,"call_reroute":true,"call_timeout":true,"call_trustlevels":true,"caller_identification":true,"pattern_based_registration":true,"payload_passthru_mode":true,"progressive_call_invocations":true,"progressive_call_results":true,"registration_meta_api":true,"registration_revocation":true,"session_meta_api":true,"sharded_registration":true,"shared_registration":true,"testament_meta_api":true}}},"agent":"Jackfield/0.1.0","realm":"realm1","authid":"joe","authrole":"member","authmethod":"anonymous"}]
"#;

const WELCOME: Welcome<'static> = Welcome {
    verifier: None,
    session: SessionId::new(4711).unwrap(),
    realm: "realm1",
    authid: "joe",
    authrole: "member",
    authmethod: "anonymous",
    agent: "Jackfield/0.1.0",
    retry_max_ms: None,
};

const SUBSCRIPTION: SubscriptionId = SubscriptionId::new(7).unwrap();
const PUBLICATION: PublicationId = PublicationId::new(8).unwrap();
const REGISTRATION: RegistrationId = RegistrationId::new(9).unwrap();
const REFUSED: &str = "wamp.error.not_authorized";

struct Peer {
    session: Protocol,
    dialect: Dialect,
    transcript: String,
}

impl Peer {
    fn note(&mut self, sign: char, text: &str) {
        writeln!(self.transcript, "{sign} {text}").unwrap();
    }

    /// Records a frame of the router as JSON.
    fn hear(&mut self, frame: Option<Vec<u8>>) {
        if let Some(frame) = frame {
            let json = recode(&frame, self.dialect.codec(), Codec::Json).unwrap();
            self.note('<', &String::from_utf8(json).unwrap());
        }
    }

    /// Sends a line: JSON is translated into the dialect's codec, other text is sent unchanged.
    fn say(&mut self, text: &str) {
        if let Some(command) = text.strip_prefix('!') {
            return self.command(command);
        }
        let codec = self.dialect.codec();
        let frame = match recode(text.as_bytes(), Codec::Json, codec) {
            Ok(_) | Err(_) if codec == Codec::Json => Frame::Text(text.to_owned().into()),
            Ok(bytes) => Frame::Binary(bytes.into()),
            Err(fault) => panic!("{text}: {fault}"),
        };
        match self.session.receive(frame) {
            Input::Hello(hello) => {
                self.note('=', &format!("hello {}", hello.realm));
                let answer = match hello.realm.as_str() {
                    "realm1" => Some(self.session.welcome(&WELCOME)),
                    "ticket" => self.session.challenge("ticket", &Dict::new()),
                    _ => self.session.refuse(error_uri::NO_SUCH_REALM, "no such realm"),
                };
                self.hear(answer);
            }
            Input::Authenticate(proof) => {
                self.note('=', &format!("authenticate {}", proof.signature));
                let answer = self.session.refuse(error_uri::AUTHENTICATION_DENIED, "");
                self.hear(answer);
            }
            Input::Request(request) => self.serve(&request),
            Input::Goodbye { reason, reply } => {
                self.note('=', &format!("goodbye {reason}"));
                self.hear(reply);
            }
            Input::Refused { message, reply } => {
                self.note('=', &format!("refused: {message}"));
                self.hear(reply);
            }
            Input::Nothing => self.note('=', "nothing"),
            Input::Violation { message, farewell } => {
                self.note('=', &format!("violation: {message}"));
                self.hear(farewell);
            }
        }
    }

    /// Runs a command of the router that is not an answer.
    fn command(&mut self, command: &str) {
        let (payload, details) = (Payload::from_json("[1]", "").unwrap(), Dict::new());
        let reply = match command {
            "goodbye" => {
                let goodbye = self.session.goodbye(error_uri::CLOSE_SYSTEM_SHUTDOWN, "restarting");
                return self.hear(goodbye);
            }
            "revoke" => Reply::Revoked { subscription: SUBSCRIPTION, reason: "com.gone" },
            "invoke" => Reply::Invocation {
                request: RequestId::new(5).unwrap(),
                registration: REGISTRATION,
                details: &details,
                payload: &payload,
            },
            "interrupt" => Reply::Interrupt {
                request: RequestId::new(5).unwrap(),
                mode: crate::message::CancelMode::Kill,
                reason: error_uri::CANCELED,
            },
            "unregister" => {
                Reply::RegistrationRevoked { registration: REGISTRATION, reason: "com.gone" }
            }
            other => panic!("{other}"),
        };
        let frame = reply.encode(self.session.dialect());
        self.hear(frame);
    }

    fn serve(&mut self, request: &Request) {
        self.note('=', &describe(request));
        let details = Dict::new();
        let payload;
        let reply = match request {
            Request::Subscribe(subscribe) if subscribe.topic == "no" => Reply::Error {
                to: ErrorTo::Subscribe { request: subscribe.request, topic: &subscribe.topic },
                uri: REFUSED,
                message: "not for you",
            },
            Request::Subscribe(subscribe) => {
                Reply::Subscribed { request: subscribe.request, subscription: SUBSCRIPTION }
            }
            Request::Unsubscribe(Unsubscribe::ById { request, .. }) => {
                Reply::Unsubscribed { request: *request }
            }
            Request::Publish(publish) if publish.topic == "no" => Reply::Error {
                to: ErrorTo::Publish { request: publish.request, topic: &publish.topic },
                uri: REFUSED,
                message: "not from you",
            },
            Request::Publish(publish) if publish.options.acknowledge => {
                Reply::Published { request: publish.request, publication: PUBLICATION }
            }
            Request::Call(call) => {
                payload = call.payload.clone();
                match call.procedure.as_str() {
                    "no" => Reply::Error {
                        to: ErrorTo::Call { call: &call.request },
                        uri: REFUSED,
                        message: "not for you",
                    },
                    "fail" => Reply::CallError {
                        call: &call.request,
                        uri: "com.fail",
                        details: &details,
                        payload: &payload,
                    },
                    _ => Reply::Result { call: &call.request, progress: false, payload: &payload },
                }
            }
            Request::Register(register) => {
                Reply::Registered { request: register.request, registration: REGISTRATION }
            }
            Request::Unregister(unregister) => Reply::Unregistered { request: unregister.request },
            Request::Unsubscribe(Unsubscribe::ByTopic { .. })
            | Request::Publish(_)
            | Request::Cancel(_)
            | Request::Yield(_)
            | Request::InvocationError(_) => return,
        };
        let frame = reply.encode(self.session.dialect());
        self.hear(frame);
    }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Subscribe(subscribe) => {
            format!("subscribe {} {}", subscribe.topic, subscribe.policy.name())
        }
        Request::Unsubscribe(Unsubscribe::ById { subscription, .. }) => {
            format!("unsubscribe {subscription}")
        }
        Request::Unsubscribe(Unsubscribe::ByTopic { topic }) => format!("unsubscribe {topic}"),
        Request::Publish(publish) => {
            let options = &publish.options;
            let mut line = format!(
                "publish {} {} {}",
                publish.topic,
                publish.payload.args_json(),
                publish.payload.kwargs_json()
            );
            if !options.exclude_me {
                line.push_str(" +me");
            }
            if let Some(filter) = &options.filter {
                let ids = |ids: &std::collections::BTreeSet<SessionId>| {
                    ids.iter().map(|id| id.get()).collect::<Vec<_>>()
                };
                let eligible = filter.eligible.as_ref().map(ids);
                write!(line, " exclude {:?} eligible {eligible:?}", ids(&filter.exclude)).unwrap();
            }
            line
        }
        Request::Call(call) => {
            let id = match &call.request {
                CallId::V1(id) => id.clone(),
                CallId::V2(id) => id.to_string(),
            };
            let (args, kwargs) = (call.payload.args_json(), call.payload.kwargs_json());
            format!("call {id} {} {args} {kwargs}", call.procedure)
        }
        Request::Cancel(cancel) => format!("cancel {} {}", cancel.request, cancel.mode.name()),
        Request::Register(register) => format!("register {}", register.procedure),
        Request::Unregister(unregister) => format!("unregister {}", unregister.registration),
        Request::Yield(answer) => {
            format!("yield {} {}", answer.request, answer.payload.args_json())
        }
        Request::InvocationError(error) => format!("failed {} {}", error.request, error.uri),
    }
}
