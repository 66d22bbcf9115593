//! Tests of messages: every message in every codec, encoded and decoded; and invalid bytes.

use std::num::NonZeroU32;

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::codec::arbitrary::{CODECS, codec, dict, payload, recode, text};
use crate::dialect::Codec;
use crate::id::MAX_ID;
use crate::position::Since;

fn session() -> impl Strategy<Value = SessionId> {
    (1..=MAX_ID).prop_map(|number| SessionId::new(number).unwrap())
}

fn publication() -> impl Strategy<Value = PublicationId> {
    (1..=MAX_ID).prop_map(|number| PublicationId::new(number).unwrap())
}

fn subscription() -> impl Strategy<Value = SubscriptionId> {
    (1..=MAX_ID).prop_map(|number| SubscriptionId::new(number).unwrap())
}

fn registration() -> impl Strategy<Value = RegistrationId> {
    (1..=MAX_ID).prop_map(|number| RegistrationId::new(number).unwrap())
}

fn request() -> impl Strategy<Value = RequestId> {
    (0..=MAX_ID).prop_map(|number| RequestId::new(number).unwrap())
}

fn policy() -> impl Strategy<Value = MatchPolicy> {
    select(vec![MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard])
}

fn publish_options() -> impl Strategy<Value = PublishOptions> {
    let names = || btree_set(text(), 0..3);
    let eligible = || option::of(btree_set(text(), 1..3));
    let filter = (
        btree_set(session(), 0..3),
        names(),
        names(),
        option::of(btree_set(session(), 1..3)),
        eligible(),
        eligible(),
    );
    (any::<[bool; 4]>(), filter).prop_map(|(flags, filter)| {
        let [acknowledge, exclude_me, disclose_me, retain] = flags;
        let (exclude, exclude_authid, exclude_authrole, eligible, eligible_authid, last) = filter;
        let filter = ReceiverFilter {
            exclude,
            exclude_authid,
            exclude_authrole,
            eligible,
            eligible_authid,
            eligible_authrole: last,
        };
        PublishOptions {
            acknowledge,
            exclude_me,
            disclose_me,
            retain,
            filter: filter.into_option(),
            trustlevel: acknowledge.then_some(u32::MAX),
        }
    })
}

fn call_options() -> impl Strategy<Value = CallOptions> {
    (any::<[bool; 3]>(), option::of(any::<u64>())).prop_map(|(flags, timeout)| {
        let [receive_progress, progress, disclose_me] = flags;
        let (runmode, rkey) = (progress.then(|| "partition".to_owned()), Some("ü".to_owned()));
        let trustlevel = disclose_me.then_some(7);
        CallOptions { receive_progress, progress, disclose_me, timeout, runmode, rkey, trustlevel }
    })
}

fn register_options() -> impl Strategy<Value = RegisterOptions> {
    use InvocationPolicy::{First, Last, LeastLoaded, Random, RoundRobin, Single};
    let invoke = select(vec![Single, RoundRobin, Random, First, Last, LeastLoaded]);
    let concurrency = any::<u32>().prop_map(NonZeroU32::new);
    (policy(), invoke, any::<[bool; 3]>(), concurrency).prop_map(
        |(policy, invoke, flags, concurrency)| {
            let [disclose_caller, forward_timeout, force_reregister] = flags;
            RegisterOptions {
                policy,
                invoke,
                disclose_caller,
                forward_timeout,
                concurrency,
                nkey: forward_timeout.then(|| "node23".to_owned()),
                force_reregister,
            }
        },
    )
}

fn opening() -> impl Strategy<Value = Message> {
    prop_oneof![
        (text(), dict()).prop_map(|(realm, details)| Message::Hello(Hello { realm, details })),
        (session(), dict())
            .prop_map(|(session, details)| Message::Welcome(Welcome { session, details })),
        (text(), dict())
            .prop_map(|(method, extra)| Message::Challenge(Challenge { method, extra })),
        (text(), dict()).prop_map(|(signature, extra)| {
            Message::Authenticate(Authenticate { signature, extra })
        }),
        (dict(), text())
            .prop_map(|(details, reason)| Message::Goodbye(Goodbye { details, reason })),
    ]
}

fn since() -> impl Strategy<Value = Since> {
    let offset = option::of(0..=1_u64 << 53);
    let at = proptest::collection::btree_map(any::<u64>(), 0..=1_u64 << 53, 0..4);
    (option::of(text()), offset, any::<bool>(), option::of(at))
        .prop_map(|(epoch, offset, latest, at)| Since { epoch, offset, latest, at })
}

fn pubsub(codec: Codec) -> impl Strategy<Value = Message> {
    prop_oneof![
        (request(), publish_options(), text(), payload(codec)).prop_map(
            |(request, options, topic, payload)| {
                Message::Publish(Publish { request, options, topic, payload })
            }
        ),
        (request(), publication()).prop_map(|(request, publication)| {
            Message::Published(Published { request, publication })
        }),
        (request(), policy(), any::<bool>(), option::of(since()), text()).prop_map(
            |(request, policy, get_retained, since, topic)| {
                Message::Subscribe(Subscribe { request, policy, get_retained, since, topic })
            }
        ),
        (request(), subscription()).prop_map(|(request, subscription)| {
            Message::Subscribed(Subscribed { request, subscription })
        }),
        (request(), subscription()).prop_map(|(request, subscription)| {
            Message::Unsubscribe(Unsubscribe::ById { request, subscription })
        }),
        request().prop_map(|request| Message::Unsubscribed(Unsubscribed::Done(request))),
        (subscription(), option::of(text())).prop_map(|(subscription, reason)| {
            Message::Unsubscribed(Unsubscribed::Revoked { subscription, reason })
        }),
        (subscription(), publication(), dict(), payload(codec)).prop_map(
            |(subscription, publication, details, payload)| {
                Message::Event(Event { subscription, publication, details, payload })
            }
        ),
    ]
}

fn calls(codec: Codec) -> impl Strategy<Value = Message> {
    let modes = vec![CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];
    prop_oneof![
        (request(), call_options(), text(), payload(codec)).prop_map(
            |(request, options, procedure, payload)| {
                let request = CallId::V2(request);
                Message::Call(Call { request, options, procedure, payload })
            }
        ),
        (request(), select(modes))
            .prop_map(|(request, mode)| Message::Cancel(Cancel { request, mode })),
        (request(), any::<bool>(), payload(codec)).prop_map(|(request, progress, payload)| {
            Message::Result(CallResult { request, progress, payload })
        }),
        (request(), register_options(), text()).prop_map(|(request, options, procedure)| {
            Message::Register(Register { request, options, procedure })
        }),
        (request(), registration()).prop_map(|(request, registration)| {
            Message::Registered(Registered { request, registration })
        }),
        (request(), registration()).prop_map(|(request, registration)| {
            Message::Unregister(Unregister { request, registration })
        }),
        request().prop_map(|request| Message::Unregistered(Unregistered::Done(request))),
        (registration(), option::of(text())).prop_map(|(registration, reason)| {
            Message::Unregistered(Unregistered::Revoked { registration, reason })
        }),
        (request(), registration(), dict(), payload(codec)).prop_map(
            |(request, registration, details, payload)| {
                Message::Invocation(Invocation { request, registration, details, payload })
            }
        ),
        (request(), dict())
            .prop_map(|(request, options)| Message::Interrupt(Interrupt { request, options })),
        (request(), any::<bool>(), payload(codec)).prop_map(|(request, progress, payload)| {
            Message::Yield(Yield { request, progress, payload })
        }),
    ]
}

fn failures(codec: Codec) -> impl Strategy<Value = Message> {
    let requests: Vec<MessageKind> =
        MessageKind::ALL.into_iter().filter(|kind| kind.is_request()).collect();
    prop_oneof![
        (dict(), text(), payload(codec)).prop_map(|(details, reason, payload)| {
            Message::Abort(Abort { details, reason, payload })
        }),
        (select(requests), request(), dict(), text(), payload(codec)).prop_map(
            |(request_type, request, details, uri, payload)| {
                Message::Error(Error { request_type, request, details, uri, payload })
            }
        ),
    ]
}

/// Generates a message and the codec of its payload.
fn message() -> impl Strategy<Value = (Codec, Message)> {
    codec().prop_flat_map(|codec| {
        let message = prop_oneof![opening(), pubsub(codec), calls(codec), failures(codec)];
        (Just(codec), message)
    })
}

fn encode(message: &Message, codec: Codec) -> Bytes {
    let mut out = Vec::new();
    message.encode(codec, &mut out);
    out.into()
}

proptest! {
    #[test]
    fn a_message_survives_each_codec((codec, message) in message()) {
        prop_assert_eq!(Message::decode(codec, &encode(&message, codec)).unwrap(), message);
    }

    #[test]
    fn a_payload_changes_codec_with_its_message((codec, message) in message(), to in codec()) {
        let there = Message::decode(to, &encode(&message, to)).unwrap();
        prop_assert_eq!(encode(&there, codec), encode(&message, codec));
    }

    #[test]
    fn mutated_messages_are_refused_or_can_be_written((codec, message) in message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&message, codec).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let half = bytes[..cut.index(bytes.len())].to_vec();
        for bytes in [bytes, half] {
            if codec == Codec::Json && std::str::from_utf8(&bytes).is_err() {
                continue;
            }
            if let Ok(message) = Message::decode(codec, &bytes.into()) {
                for to in CODECS {
                    prop_assert!(Message::decode(to, &encode(&message, to)).is_ok());
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..100), codec in codec()) {
        let _ = Message::decode(codec, &bytes.into());
    }
}

#[test]
fn a_payload_is_a_slice_of_its_frame() {
    let json = br#"[16,1,{},"com.a",[1,{"a":2}],{"b":3}]"#;
    for codec in CODECS {
        let frame = Bytes::from(recode(json, Codec::Json, codec).unwrap());
        let Message::Publish(publish) = Message::decode(codec, &frame).unwrap() else { panic!() };
        let mut again = Vec::new();
        Message::Publish(publish.clone()).encode(codec, &mut again);
        assert_eq!(again, frame);
        assert_eq!(publish.payload.args_json(), r#"[1,{"a":2}]"#);
        assert_eq!(publish.payload.kwargs_json(), r#"{"b":3}"#);
        drop(publish);
        assert!(frame.is_unique(), "nothing else holds the frame");
        let Message::Publish(publish) = Message::decode(codec, &frame).unwrap() else { panic!() };
        assert!(!frame.is_unique(), "the payload is in the frame");
        assert!(publish.payload.len() < frame.len());
    }
}

/// Decodes JSON, also through the other codecs, and compares the error or the message's JSON.
fn check(json: &str, expect: &str) {
    for codec in CODECS {
        let frame = Bytes::from(recode(json.as_bytes(), Codec::Json, codec).unwrap());
        let found = match Message::decode(codec, &frame) {
            Ok(message) => String::from_utf8(encode(&message, Codec::Json).to_vec()).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expect, "{json} in {codec:?}");
    }
}

#[test]
fn normalizes_messages() {
    check(r#"[16,1,{},"com.a"]"#, r#"[16,1,{},"com.a"]"#);
    check(r#"[16,1,{},"com.a",[]]"#, r#"[16,1,{},"com.a"]"#);
    check(r#"[16,1,{},"com.a",[],{}]"#, r#"[16,1,{},"com.a"]"#);
    check(r#"[16,1,{},"com.a",[1],{}]"#, r#"[16,1,{},"com.a",[1]]"#);
    check(r#"[16,1,{},"com.a",[],{"k":1}]"#, r#"[16,1,{},"com.a",[],{"k":1}]"#);
    check(r#"[16,1,{},"com.a",null,{"k":1}]"#, r#"[16,1,{},"com.a",[],{"k":1}]"#);
    check(r#"[16,1,{},"com.a",null,null]"#, r#"[16,1,{},"com.a"]"#);
    check(r#"[16,1,{},"com.a",[1],{"k":1},"more"]"#, r#"[16,1,{},"com.a",[1],{"k":1}]"#);
    check(r#"[34,1,2,{"forward_for":[]}]"#, "[34,1,2]");
    check(r#"[16,9007199254740992,{},"com.a"]"#, r#"[16,9007199254740992,{},"com.a"]"#);
    check("[34,1.0,4503599627370497.0]", "[34,1,4503599627370497]");
    check(
        r#"[16,1,{"acknowledge":null,"_x":[{}],"unknown":{"a":[1]},"exclude":null,"eligible":[]},"com.a"]"#,
        r#"[16,1,{},"com.a"]"#,
    );
    check(
        r#"[16,1,{"exclude_me":false,"eligible":[3,4],"exclude_authrole":["x"]},"com.a"]"#,
        r#"[16,1,{"exclude_me":false,"exclude_authrole":["x"],"eligible":[3,4]},"com.a"]"#,
    );
    check(r#"[32,1,{"match":null},"com.a"]"#, r#"[32,1,{},"com.a"]"#);
    check("[49,1,{}]", r#"[49,1,{"mode":"killnowait"}]"#);
    check(r#"[35,1,{"subscription":7}]"#, "[35,1]");
}

#[test]
fn errors_name_the_field() {
    check("{}", "a message must be a list, found a dictionary");
    check("\"x\"", "a message must be a list, found a string");
    check("null", "a message must be a list, found null");
    check("[]", "a message must begin with its code, found nothing");
    check("[\"16\"]", "a message must begin with its code, found a string");
    check("[7]", "no message has the code 7");
    check("[337,1]", "no message has the code 337");
    check("[18446744073709551615]", "no message has the code 18446744073709551615");
    check("[16]", "PUBLISH ends before its element Request");
    check("[16,1]", "PUBLISH ends before its element Options");
    check("[16,1,{}]", "PUBLISH ends before its element Topic");
    check("[16,-1,{},\"a\"]", "PUBLISH.Request must be an id, found a negative integer");
    check("[16,1.5,{},\"a\"]", "PUBLISH.Request must be an id, found a float");
    check(
        "[16,9007199254740993,{},\"a\"]",
        "PUBLISH.Request must be in 1..=2^53, found 9007199254740993",
    );
    check("[34,1,0]", "UNSUBSCRIBE.Subscription must be in 1..=2^53, found 0");
    check("[16,1,\"x\",\"a\"]", "PUBLISH.Options must be a dictionary, found a string");
    check("[16,1,[1],\"a\"]", "PUBLISH.Options must be a dictionary, found a list");
    check("[16,1,{},5]", "PUBLISH.Topic must be a string, found an integer");
    check("[16,1,{},\"a\",{\"k\":1}]", "PUBLISH.Arguments must be a list, found a dictionary");
    check("[16,1,{},\"a\",\"x\"]", "PUBLISH.Arguments must be a list, found a string");
    check("[16,1,{},\"a\",[],[1]]", "PUBLISH.ArgumentsKw must be a dictionary, found a list");
    check(
        "[16,1,{\"acknowledge\":1},\"a\"]",
        "PUBLISH.Options.acknowledge must be a boolean, found an integer",
    );
    check(
        "[16,1,{\"exclude\":5},\"a\"]",
        "PUBLISH.Options.exclude must be a list of session ids, found an integer",
    );
    check(
        "[16,1,{\"exclude\":[1,\"x\"]},\"a\"]",
        "PUBLISH.Options.exclude must be a list of session ids, found a string in the list",
    );
    check(
        "[16,1,{\"eligible_authid\":[1]},\"a\"]",
        "PUBLISH.Options.eligible_authid must be a list of strings, found an integer in the list",
    );
    check(
        "[32,1,{\"match\":\"regex\"},\"a\"]",
        "SUBSCRIBE.Options.match must be \"exact\", \"prefix\" or \"wildcard\", found \"regex\"",
    );
    check(
        "[49,1,{\"mode\":7}]",
        "CANCEL.Options.mode must be \"skip\", \"kill\" or \"killnowait\", found an integer",
    );
    check("[8,16,1,{}]", "ERROR ends before its element Error");
    check("[8,33,1,{},\"a\"]", "ERROR.REQUEST.Type must be the code of a request, found 33");
    check(
        "[48,1,{\"timeout\":-5},\"a\"]",
        "CALL.Options.timeout must be an integer, found a negative integer",
    );
}
