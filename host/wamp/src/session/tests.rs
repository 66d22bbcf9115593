//! Dialogues as text: `>` is what the client sends, `<` what the router answers, `=` what the host
//! is told. The router behind the session is a stub that grants everything but some realms and
//! topics. Each dialogue of version 2 is held in every codec.

use std::fmt::Write as _;

use bytes::Bytes;

use super::*;
use crate::codec::arbitrary::{CODECS, recode};
use crate::id::{PublicationId, RegistrationId, RequestId, SessionId, SubscriptionId};
use crate::message::CallId;

/// Runs the client's lines and compares the whole transcript.
fn check(dialect: Dialect, dialogue: &str) {
    let mut peer = Peer { session: Session::new(dialect), dialect, transcript: String::new() };
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

/// A dialogue of version 2 whose session is open.
fn check_open(dialogue: &str) {
    check_v2(&format!("{OPEN}{dialogue}"));
}

const OPEN: &str = r#"
    > [1,"realm1",{"roles":{"subscriber":{}}}]
    = hello realm1
    < [2,4711,{"roles":{"broker":{"features":{"pattern_based_subscription":true,"publisher_exclusion":true,"publisher_identification":true,"subscriber_blackwhite_listing":true,"subscription_revocation":true}}},"agent":"Jackfield/0.1.0","realm":"realm1","authid":"joe","authrole":"member","authmethod":"anonymous"}]
"#;

const WELCOME: Welcome<'static> = Welcome {
    session: SessionId::new(4711).unwrap(),
    realm: "realm1",
    authid: "joe",
    authrole: "member",
    authmethod: "anonymous",
    agent: "Jackfield/0.1.0",
};

const SUBSCRIPTION: SubscriptionId = SubscriptionId::new(7).unwrap();
const PUBLICATION: PublicationId = PublicationId::new(8).unwrap();
const REGISTRATION: RegistrationId = RegistrationId::new(9).unwrap();
const REFUSED: &str = "wamp.error.not_authorized";

struct Peer {
    session: Session,
    dialect: Dialect,
    transcript: String,
}

impl Peer {
    fn note(&mut self, sign: char, text: &str) {
        writeln!(self.transcript, "{sign} {text}").unwrap();
    }

    /// Writes down a frame of the router as JSON.
    fn hear(&mut self, frame: Option<Vec<u8>>) {
        if let Some(frame) = frame {
            let json = recode(&frame, self.dialect.codec(), Codec::Json).unwrap();
            self.note('<', &String::from_utf8(json).unwrap());
        }
    }

    /// Sends a line: JSON in the dialect's codec; what is no JSON goes as it is.
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
            Input::Nothing => self.note('=', "nothing"),
            Input::Violation { message, farewell } => {
                self.note('=', &format!("violation: {message}"));
                self.hear(farewell);
            }
        }
    }

    /// What the router does unasked.
    fn command(&mut self, command: &str) {
        let payload = Payload::from_json("[1]", "").unwrap();
        let frame = match command {
            "goodbye" => self.session.goodbye(error_uri::CLOSE_SYSTEM_SHUTDOWN, "restarting"),
            "revoke" => self
                .session
                .reply(&Reply::Revoked { subscription: SUBSCRIPTION, reason: "com.gone" }),
            "invoke" => self.session.reply(&Reply::Invocation {
                request: RequestId::new(5).unwrap(),
                registration: REGISTRATION,
                details: &Dict::new(),
                payload: &payload,
            }),
            "interrupt" => self.session.reply(&Reply::Interrupt {
                request: RequestId::new(5).unwrap(),
                mode: crate::message::CancelMode::Kill,
                reason: error_uri::CANCELED,
            }),
            "unregister" => self.session.reply(&Reply::RegistrationRevoked {
                registration: REGISTRATION,
                reason: "com.gone",
            }),
            other => panic!("{other}"),
        };
        self.hear(frame);
    }

    fn serve(&mut self, request: &Request) {
        self.note('=', &describe(request));
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
                    "fail" => {
                        Reply::CallError { call: &call.request, uri: "com.fail", payload: &payload }
                    }
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
        let frame = self.session.reply(&reply);
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
                let ids = |ids: &[SessionId]| ids.iter().map(|id| id.get()).collect::<Vec<_>>();
                let eligible = filter.eligible.as_deref().map(ids);
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

#[test]
fn a_session_from_hello_to_goodbye() {
    check_open(
        r#"
        > [32,1,{},"com.a"]
        = subscribe com.a exact
        < [33,1,7]
        > [32,2,{"match":"prefix"},"com."]
        = subscribe com. prefix
        < [33,2,7]
        > [16,3,{},"com.a",[1]]
        = publish com.a [1] {}
        > [16,4,{"acknowledge":true,"exclude_me":false,"exclude":[5],"eligible":[6]},"com.a",[],{"k":1}]
        = publish com.a [] {"k":1} +me exclude [5] eligible Some([6])
        < [17,4,8]
        > [34,5,7]
        = unsubscribe 7
        < [35,5]
        > [6,{},"wamp.close.normal"]
        = goodbye wamp.close.normal
        < [6,{},"wamp.close.goodbye_and_out"]
        > [16,6,{},"com.a"]
        = nothing
        > [99]
        = nothing
        "#,
    );
}

#[test]
fn refusals() {
    check_open(
        r#"
        > [32,1,{},"no"]
        = subscribe no exact
        < [8,32,1,{"message":"not for you"},"wamp.error.not_authorized",["not for you"]]
        > [16,2,{"acknowledge":true},"no"]
        = publish no [] {}
        < [8,16,2,{"message":"not from you"},"wamp.error.not_authorized",["not from you"]]
        > [48,3,{},"no"]
        = call 3 no [] {}
        < [8,48,3,{"message":"not for you"},"wamp.error.not_authorized",["not for you"]]
        > !revoke
        < [35,0,{"subscription":7,"reason":"com.gone"}]
        "#,
    );
}

#[test]
fn procedures() {
    check_open(
        r#"
        > [64,1,{"invoke":"roundrobin"},"com.add"]
        = register com.add
        < [65,1,9]
        > [48,2,{},"com.add",[1,2]]
        = call 2 com.add [1,2] {}
        < [50,2,{},[1,2]]
        > [48,3,{},"fail",["why"],{"k":1}]
        = call 3 fail ["why"] {"k":1}
        < [8,48,3,{},"com.fail",["why"],{"k":1}]
        > !invoke
        < [68,5,9,{},[1]]
        > !interrupt
        < [69,5,{"mode":"kill","reason":"wamp.error.canceled"}]
        > [70,5,{},[3]]
        = yield 5 [3]
        > [8,68,5,{},"com.bad"]
        = failed 5 com.bad
        > [49,2,{"mode":"kill"}]
        = cancel 2 kill
        > [66,4,9]
        = unregister 9
        < [67,4]
        > !unregister
        < [67,0,{"registration":9,"reason":"com.gone"}]
        "#,
    );
}

#[test]
fn joining() {
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}},"authid":"joe"}]
        = hello ticket
        < [4,"ticket",{}]
        > [5,"secret",{}]
        = authenticate secret
        < [3,{},"wamp.error.authentication_denied"]
        > [5,"other",{}]
        = nothing
        "#,
    );
    check_v2(
        r#"
        > [1,"nowhere",{"roles":{"caller":{}}}]
        = hello nowhere
        < [3,{"message":"no such realm"},"wamp.error.no_such_realm",["no such realm"]]
        "#,
    );
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}}}]
        = hello ticket
        < [4,"ticket",{}]
        > [3,{},"wamp.error.no"]
        = goodbye wamp.error.no
        "#,
    );
    check_v2(
        r#"
        > [1,"ticket",{"roles":{"caller":{}}}]
        = hello ticket
        < [4,"ticket",{}]
        > !goodbye
        < [3,{"message":"restarting"},"wamp.close.system_shutdown",["restarting"]]
        > [5,"secret",{}]
        = nothing
        "#,
    );
}

#[test]
fn the_router_leaves() {
    check_open(
        r#"
        > !goodbye
        < [6,{"message":"restarting"},"wamp.close.system_shutdown"]
        > !goodbye
        > [16,1,{"acknowledge":true},"com.a"]
        = nothing
        > [99]
        = nothing
        > [6,{},"wamp.close.goodbye_and_out"]
        = goodbye wamp.close.goodbye_and_out
        > [6,{},"wamp.close.goodbye_and_out"]
        = nothing
        "#,
    );
}

/// One frame as the first of a connection, or as the first of an open session.
fn violation(open: bool, frame: &str, message: &str) {
    let quoted = message.replace('\\', "\\\\").replace('"', "\\\"");
    let abort =
        format!(r#"[3,{{"message":"{quoted}"}},"wamp.error.protocol_violation",["{quoted}"]]"#);
    let opening = if open { OPEN } else { "" };
    check_v2(&format!(
        "{opening}\n> {frame}\n= violation: {message}\n< {abort}\n> [32,1,{{}},\"com.a\"]\n= nothing"
    ));
}

#[test]
fn violations() {
    let first = |frame: &str, message: &str| violation(false, frame, message);
    first(r#"[32,1,{},"com.a"]"#, "the first message must be HELLO, found SUBSCRIBE");
    first(r#"[6,{},"a"]"#, "the first message must be HELLO, found GOODBYE");
    first(r#"[1,"realm1",{}]"#, "HELLO.Details.roles is missing");
    first(r#"[1,"realm1",{"roles":null}]"#, "HELLO.Details.roles is missing");
    first(r#"[1,"realm1",{"roles":{}}]"#, "HELLO.Details.roles must name at least one role");
    first(r#"[1,"realm1",{"roles":[]}]"#, "HELLO.Details.roles must be a dictionary");
    first(r#"[1,"realm1"]"#, "HELLO ends before its element Details");
    first(r#"[1,5,{}]"#, "HELLO.Realm must be a string, found a whole number");
    first("[]", "a message must begin with its code, found nothing");
    first("{}", "a message must be a list, found a dictionary");
    let open = |frame: &str, message: &str| violation(true, frame, message);
    open(r#"[1,"realm1",{"roles":{"caller":{}}}]"#, "HELLO came although the session is open");
    open(r#"[33,1,2]"#, "only routers may send SUBSCRIBED");
    open(r#"[36,1,2,{}]"#, "only routers may send EVENT");
    open(r#"[2,1,{}]"#, "only routers may send WELCOME");
    open(r#"[5,"x",{}]"#, "AUTHENTICATE came without CHALLENGE");
    open(r#"[8,48,1,{},"com.a"]"#, "a client's ERROR must be about INVOCATION, found CALL");
    open(r#"[99,1]"#, "no message has the code 99");
    open(r#"[16,1]"#, "PUBLISH ends before its element Options");
    open(r#"[16,1,"x","com.a"]"#, "PUBLISH.Options must be a dictionary, found a string");
    open(r#"[34,1,0]"#, "UNSUBSCRIBE.Subscription must be in 1..=2^53, found 0");
    open(
        r#"[32,1,{"match":"regex"},"com.a"]"#,
        r#"SUBSCRIBE.Options.match must be "exact", "prefix" or "wildcard", found "regex""#,
    );
}

#[test]
fn frames_of_the_wrong_kind() {
    let check =
        |dialect: Dialect, frame: Frame, expect: &str| match Session::new(dialect).receive(frame) {
            Input::Violation { message, farewell } => {
                assert_eq!(message, expect);
                assert_eq!(farewell.is_some(), dialect != Dialect::V1);
            }
            other => panic!("{other:?}"),
        };
    let bytes = || Bytes::from_static(b"[5,\"a\"]");
    let json = Dialect::V2(Codec::Json);
    check(json, Frame::Binary(bytes()), "wamp.2.json needs text messages, found a binary message");
    check(Dialect::V1, Frame::Binary(bytes()), "wamp needs text messages, found a binary message");
    check(
        Dialect::V2(Codec::Cbor),
        Frame::Text(bytes()),
        "wamp.2.cbor needs binary messages, found a text message",
    );
    check(json, Frame::Text(Bytes::from_static(b"[\xff]")), "the text message is not UTF-8");
    let deep = Frame::Text("[".repeat(1 << 20).into());
    check(json, deep, "a message must begin with its code, found a list");
    let deep = Frame::Text(format!("[16,1,{{}},\"com.a\",{}", "[".repeat(1 << 20)).into());
    check(
        json,
        deep,
        "the message is not well-formed JSON: lists or dictionaries nested too deep at byte 145",
    );
}

#[test]
fn v1_topics() {
    check_v1(
        r#"
        > [5,"oro/ping"]
        = subscribe oro/ping exact
        > ["5","oro/ping"]
        = subscribe oro/ping exact
        > [5,7]
        = subscribe 7 exact
        > [6,"oro/ping"]
        = unsubscribe oro/ping
        > [5,"no"]
        = subscribe no exact
        < [4,"no","wamp.error.not_authorized","not for you",{"topic":"no","event":"onSubscribe"}]
        > [7,"no",1]
        = publish no [1] {} +me
        < [4,"no","wamp.error.not_authorized","not from you",{"topic":"no","event":"onPublish"}]
        > !goodbye
        > [5,"oro/ping"]
        = nothing
        "#,
    );
    check_v1("> !revoke\n> !invoke\n> !interrupt\n> !unregister");
}

#[test]
fn v1_publish() {
    check_v1(
        r#"
        > [7,"t",{"a":[1]},[],[]]
        = publish t [{"a":[1]}] {} +me
        > [7,"t"]
        = publish t [null] {} +me
        > [7,"t", "x" ]
        = publish t ["x"] {} +me
        > [7,"t",[1,2]]
        = publish t [[1,2]] {} +me
        > [7,"t",1,true]
        = publish t [1] {}
        > [7,"t",1,false]
        = publish t [1] {} +me
        > [7,"t",1,null,null]
        = publish t [1] {} +me
        > [7,"t",1,["4711",12]]
        = publish t [1] {} +me exclude [4711, 12] eligible None
        > [7,"t",1,true,["4711"]]
        = publish t [1] {} exclude [] eligible Some([4711])
        > [7,"t",1,["nobody"],["nobody",{},[[]]]]
        = publish t [1] {} +me exclude [] eligible Some([])
        > [7,"t",1,["nobody"]]
        = publish t [1] {} +me
        "#,
    );
}

#[test]
fn v1_prefixes() {
    check_v1(
        r#"
        > [1,"calc","http://example.com/simple/calc#"]
        = nothing
        > [true,"p","test/z"]
        = nothing
        > [5,"calc:add"]
        = subscribe http://example.com/simple/calc#add exact
        > [7,"calc:a:b",1]
        = publish http://example.com/simple/calc#a:b [1] {} +me
        > [2,"x","p:/run"]
        = call x test/z/run [] {}
        < [3,"x",null]
        > [1,"calc","other:"]
        = nothing
        > [6,"calc:add"]
        = unsubscribe other:add
        > [5,"http://example.com/a"]
        = subscribe http://example.com/a exact
        > [5,"unknown:a"]
        = subscribe unknown:a exact
        "#,
    );
}

#[test]
fn v1_calls() {
    check_v1(
        r#"
        > [2,"x1","sum"]
        = call x1 sum [] {}
        < [3,"x1",null]
        > [2,"x1","sum",1]
        = call x1 sum [1] {}
        < [3,"x1",1]
        > [2,"x1","sum",1,"a"]
        = call x1 sum [1,"a"] {}
        < [3,"x1",[1,"a"]]
        > [2,"x1","sum", [1, 2] ]
        = call x1 sum [1, 2] {}
        < [3,"x1",[1,2]]
        > [2,"x1","sum",{"a":1}]
        = call x1 sum [] {"a":1}
        < [3,"x1",{"a":1}]
        > [2,"x1","sum",[]]
        = call x1 sum [] {}
        < [3,"x1",null]
        > [2,"x1","no"]
        = call x1 no [] {}
        < [4,"x1","wamp.error.not_authorized","not for you"]
        > [2,"x1","fail","why"]
        = call x1 fail ["why"] {}
        < [4,"x1","com.fail","why"]
        > [2,"x1","fail",1,2]
        = call x1 fail [1,2] {}
        < [4,"x1","com.fail","com.fail",[1,2]]
        > [2,"x1","fail"]
        = call x1 fail [] {}
        < [4,"x1","com.fail","com.fail"]
        "#,
    );
}

#[test]
fn v1_violations() {
    let check = |frame: &str, message: &str| {
        check_v1(&format!("> {frame}\n= violation: {message}\n> [5,\"a\"]\n= nothing"));
    };
    check("null", "a message must be a list, found null");
    check(
        "hello",
        "the message is not well-formed JSON: a character that begins no JSON value at byte 0",
    );
    check("{\"a\":1}", "a message must be a list, found a dictionary");
    check("[]", "a message must begin with its code, found nothing");
    check("[5]", "SUBSCRIBE ends before its element topic");
    check("[99,\"x\"]", "no message has the code 99");
    check("[\"x\",\"x\"]", "no message has the code \"x\"");
    check("[8,\"test/a\",1]", "only routers may send a message of the code 8");
    check("[0,\"x\",1,\"y\"]", "only routers may send a message of the code 0");
    check("[5,[\"x\"]]", "SUBSCRIBE.topic must be a string, found a list");
    check("[2,\"id\"]", "CALL ends before its element procedure");
    check("[7,\"t\",1,[],\"x\"]", "PUBLISH.eligible must be a list, found a string");
    check("[7,\"t\",1,{}]", "PUBLISH.exclude must be a list or a boolean, found a dictionary");
    check("[7,\"t\",1,[],[]", "the message is not well-formed JSON: an early end at byte 14");
    check(
        "[5,\"a\"] [5,\"b\"]",
        "the message is not well-formed JSON: something after the value's end at byte 8",
    );
}

#[test]
fn v1_prefixes_are_bounded() {
    let mut session = Session::new(Dialect::V1);
    let mut say = |text: String| session.receive(Frame::Text(text.into()));
    for number in 0..100 {
        assert_eq!(say(format!("[1,\"p{number}\",\"uri\"]")), Input::Nothing);
    }
    assert_eq!(say("[1,\"p5\",\"other\"]".to_owned()), Input::Nothing, "known ones may change");
    let Input::Violation { message, farewell: None } = say("[1,\"new\",\"uri\"]".to_owned()) else {
        panic!()
    };
    assert_eq!(message, "the session has too many prefixes; at most 100 are allowed");
    let long = format!("[1,\"p\",\"{}\"]", "u".repeat(1024));
    let input = Session::new(Dialect::V1).receive(Frame::Text(long.into()));
    assert!(matches!(input, Input::Violation { .. }));
}
