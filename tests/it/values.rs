//! Values that no codec carries, or not every receiver's, and messages that are nested too deep:
//! one error answers each request in every codec and version, nothing is delivered, and the session
//! continues. Lists and dictionaries as PHP writes them. Values that pass within their codec are in
//! `values/foreign.rs`.

mod foreign;

use serde_json::{Value, json};

use jackfield_tests::client::codec::{Codec, Frame};
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TOPIC: &str = "open/t";
const INVALID: &str = "wamp.error.invalid_argument";

fn served(more: &str) -> (Site, Server) {
    let site = Site::open();
    let config = format!("api:\n  tokens:\n    - {{ name: shop, token: {TOKEN} }}\n{more}");
    let server = Server::configured(site.path(), &config);
    (site, server)
}

async fn post(server: &Server, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Authorization", authorization.as_str())];
    Http::connect(server.addr).await.post(path, &headers, body).await
}

/// Returns one subscriber of each codec.
async fn witnesses(server: &Server) -> Vec<Client> {
    let mut witnesses = Vec::new();
    for codec in Codec::ALL {
        let mut witness = Client::connect(server.addr, codec, "realm1").await;
        witness.subscribe(TOPIC, json!({})).await;
        witnesses.push(witness);
    }
    witnesses
}

/// Returns a message with raw bytes in place of its last text `@`.
fn raw(codec: Codec, message: &Value, value: &[u8]) -> Frame {
    let bytes = |frame| match frame {
        Frame::Text(text) => text.into_bytes(),
        Frame::Binary(bytes) => bytes,
    };
    let (message, mark) = (bytes(codec.encode(message)), bytes(codec.encode(&json!("@"))));
    // The last one: in the binary codecs, the bytes of an id may be equal.
    let at = message.windows(mark.len()).rposition(|it| it == mark).unwrap();
    let whole = [&message[..at], value, &message[at + mark.len()..]].concat();
    match codec {
        Codec::Json => Frame::Text(String::from_utf8(whole).unwrap()),
        Codec::MsgPack | Codec::Cbor => Frame::Binary(whole),
    }
}

fn send(client: &Client, codec: Codec, message: &Value, value: &[u8]) {
    match raw(codec, message, value) {
        Frame::Text(text) => client.socket().send_text(text),
        Frame::Binary(bytes) => client.socket().send_binary(bytes),
    }
}

const JSON: Codec = Codec::Json;
const MSGPACK: Codec = Codec::MsgPack;
const CBOR: Codec = Codec::Cbor;

/// Values that no codec carries.
const IMPOSSIBLE: &[(Codec, &[u8], &str)] = &[
    // Half of a surrogate pair.
    (JSON, br#""\ud800""#, "not Unicode"),
    (JSON, br#"{"\udfff":1}"#, "not Unicode"),
    (MSGPACK, b"\xa3\xed\xa0\x80", "not Unicode"),
    (CBOR, b"\x63\xed\xa0\x80", "not Unicode"),
    // Tags inside of tags.
    (CBOR, b"\xc1\xc1\xc1\x01", "tag"),
];

/// Values that exist in their codec only.
const FOREIGN: &[(Codec, &[u8], &str)] = &[
    // Numbers that would be rounded: 2^64 + 1, -2^63 - 1, 1e400, NaN, infinity.
    (JSON, b"18446744073709551617", "exactly"),
    (JSON, b"-9223372036854775809", "exactly"),
    (JSON, b"1e400", "exactly"),
    (CBOR, b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x01", "exactly"),
    (CBOR, b"\x3b\xff\xff\xff\xff\xff\xff\xff\xfe", "exactly"),
    (CBOR, b"\xf9\x7e\x00", "exactly"),
    (MSGPACK, b"\xcb\x7f\xf8\0\0\0\0\0\0", "exactly"),
    (MSGPACK, b"\xca\x7f\x80\0\0", "exactly"),
    // A timestamp; a decimal.
    (MSGPACK, b"\xd6\xff\0\0\0\x01", "extension type"),
    (CBOR, b"\xc4\x82\x21\x19\x6a\xb3", "tag"),
];

#[tokio::test(flavor = "multi_thread")]
async fn refuses_values_that_no_codec_carries() {
    let (_site, server) = served("");
    for (codec, value, why) in IMPOSSIBLE {
        let mut client = Client::connect(server.addr, *codec, "realm1").await;
        for (kind, message) in
            [(48, json!([48, 1, {}, TOPIC, [["@"]]])), (32, json!([32, 1, {"_x": "@"}, TOPIC]))]
        {
            send(&client, *codec, &message, value);
            let error = client.message().await;
            let found = (&error[0], &error[1], &error[2], &error[4]);
            assert_eq!(found, (&json!(8), &json!(kind), &json!(1), &json!(INVALID)), "{error}");
            assert!(error[5][0].as_str().unwrap().contains(why), "{codec:?} {value:x?}: {error}");
        }
    }
}

/// Includes values that not every receiver's codec has.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_publications_that_a_receivers_codec_cannot_carry() {
    let (_site, server) = served("");
    let mut witnesses = witnesses(&server).await;
    let cases = || IMPOSSIBLE.iter().chain(FOREIGN);
    for (codec, value, why) in cases() {
        let mut client = Client::connect(server.addr, *codec, "realm1").await;
        for message in [
            json!([16, 1, {"acknowledge": true}, TOPIC, ["@"]]),
            json!([16, 1, {"acknowledge": true}, TOPIC, [], {"k": ["@"]}]),
        ] {
            send(&client, *codec, &message, value);
            let error = client.message().await;
            let found = (&error[0], &error[1], &error[2], &error[4]);
            assert_eq!(found, (&json!(8), &json!(16), &json!(1), &json!(INVALID)), "{error}");
            assert!(error[5][0].as_str().unwrap().contains(why), "{codec:?} {value:x?}: {error}");
        }
        // Without acknowledgement there is no answer.
        send(&client, *codec, &json!([16, 1, {}, TOPIC, ["@"]]), value);
        client.round_trip().await;
        client.publish(TOPIC, json!({}), json!(["good"]), json!(null));
        for witness in &mut witnesses {
            assert_eq!(witness.event().await.args, json!(["good"]), "{codec:?} {value:x?}");
        }
    }
    // The same for version 1 and over HTTP.
    let mut page = v1::Client::connect(server.addr).await;
    page.session().await;
    for (number, (_, value, why)) in cases().filter(|it| it.0 == JSON).enumerate() {
        let value = std::str::from_utf8(value).unwrap();
        page.send_text(&format!(r#"[7,"{TOPIC}",{value}]"#));
        page.round_trip().await;
        let refused = page.ignored().last().unwrap();
        assert_eq!(
            (&refused[0], &refused[1], &refused[2]),
            (&json!(4), &json!(TOPIC), &json!(INVALID))
        );
        assert!(refused[3].as_str().unwrap().contains(why), "{refused}");
        assert_eq!(page.ignored().len(), number + 1);
        for (path, body) in [
            ("/api/publish", format!(r#"{{"topic":"{TOPIC}","args":[{value}]}}"#)),
            ("/api/publish", format!(r#"{{"topic":"{TOPIC}","kwargs":{{"k":{value}}}}}"#)),
            ("/api/publish", format!(r#"{{"publish":[{{"topic":"{TOPIC}","args":[{value}]}}]}}"#)),
            ("/api/call", format!(r#"{{"procedure":"{TOPIC}","args":[{value}]}}"#)),
        ] {
            let answer = post(&server, path, &body).await;
            assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(INVALID)), "{body}");
            assert!(answer.json()["message"].as_str().unwrap().contains(why), "{answer:?}");
        }
    }
    for witness in &mut witnesses {
        witness.expect_no_event().await;
    }
}

/// Half a surrogate pair in a topic: different topics never become equal.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_topics_that_are_not_unicode() {
    let (_site, server) = served("");
    let half: [(Codec, &[u8]); 3] = [
        (JSON, br#""open/\ud800""#),
        (MSGPACK, b"\xa8open/\xed\xa0\x80"),
        (CBOR, b"\x68open/\xed\xa0\x80"),
    ];
    for (codec, topic) in half {
        let mut client = Client::connect(server.addr, codec, "realm1").await;
        for (kind, message) in [
            (32, json!([32, 1, {}, "@"])),
            (48, json!([48, 1, {}, "@"])),
            (64, json!([64, 1, {}, "@"])),
            (16, json!([16, 1, {"acknowledge": true}, "@"])),
        ] {
            send(&client, codec, &message, topic);
            let error = client.message().await;
            assert_eq!(
                (&error[1], &error[4]),
                (&json!(kind), &json!(INVALID)),
                "{codec:?} {error}"
            );
        }
    }
    let mut page = v1::Client::connect(server.addr).await;
    page.session().await;
    page.send_text(r#"[5,"open/\ud800"]"#);
    page.round_trip().await;
    assert_eq!(page.ignored().last().unwrap()[2], INVALID);
    let answer = post(&server, "/api/publish", r#"{"topic":"open/\ud800"}"#).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(INVALID)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_messages_that_are_nested_too_deep() {
    let (_site, server) = served("limits: { depth: 200 }");
    let mut witnesses = witnesses(&server).await;
    for codec in Codec::ALL {
        let [open, middle, close]: [&[u8]; 3] = match codec {
            JSON => [b"[", b"1", b"]"],
            MSGPACK => [b"\x91", b"\x01", b""],
            CBOR => [b"\x81", b"\x01", b""],
        };
        let mut client = Client::connect(server.addr, codec, "realm1").await;
        let value = |depth: usize| [&open.repeat(depth), middle, &close.repeat(depth)].concat();
        // The arguments' own list is the first level.
        for depth in [200, 100_000] {
            for kind in [16, 48] {
                let message = json!([kind, 1, {"acknowledge": true}, TOPIC, ["@"]]);
                send(&client, codec, &message, &value(depth));
                let error = client.message().await;
                let found = (&error[1], &error[2], &error[4]);
                assert_eq!(found, (&json!(kind), &json!(1), &json!(INVALID)), "{codec:?} {depth}");
                assert!(error[5][0].as_str().unwrap().contains("nested too deep"), "{error}");
            }
        }
        send(&client, codec, &json!([16, 1, {"acknowledge": true}, TOPIC, ["@"]]), &value(100));
        assert_eq!(client.message().await[0], 17, "{codec:?}");
        for witness in &mut witnesses {
            witness.event().await;
        }
    }
    let mut page = v1::Client::connect(server.addr).await;
    page.session().await;
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    page.send_text(&format!(r#"[7,"{TOPIC}",{}]"#, deep(100_000)));
    page.round_trip().await;
    assert_eq!(page.ignored().last().unwrap()[2], INVALID);
    for (depth, status) in [(200, 400), (100_000, 400), (150, 200)] {
        let body = format!(r#"{{"topic":"{TOPIC}","args":[{}]}}"#, deep(depth));
        let answer = post(&server, "/api/publish", &body).await;
        assert_eq!(answer.status, status, "{depth}: {answer:?}");
    }
}

/// A callee's invalid or packed answer reaches its caller as a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_result_fails_its_call() {
    let (_site, server) = served("unrouted: broadcast");
    for (codec, half) in
        [(JSON, &br#""\ud800""#[..]), (MSGPACK, b"\xa3\xed\xa0\x80"), (CBOR, b"\x63\xed\xa0\x80")]
    {
        let mut callee = Client::connect(server.addr, codec, "realm1").await;
        callee.register("com.acme.work", json!({})).await.unwrap();
        let mut asker = Client::connect(server.addr, JSON, "realm1").await;
        asker.send(&json!([48, 7, {}, "com.acme.work"]));
        let invocation = callee.invocation().await[1].clone();
        send(&callee, codec, &json!([70, invocation, {}, ["@"]]), half);
        let error = asker.message().await;
        assert_eq!((&error[0], &error[2], &error[4]), (&json!(8), &json!(7), &json!(INVALID)));
        // Payload passthru mode, which is not announced, ends the callee's session.
        asker.send(&json!([48, 8, {}, "com.acme.work"]));
        let invocation = callee.invocation().await[1].clone();
        callee.send(&json!([70, invocation, {"ppt_scheme": "x_own"}, ["packed"]]));
        assert_eq!(callee.aborted().await.0, "wamp.error.protocol_violation");
        let error = asker.message().await;
        assert_eq!(
            (&error[0], &error[2], &error[4]),
            (&json!(8), &json!(8), &json!("wamp.error.canceled"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_packed_payloads() {
    let (_site, server) = served("");
    let mut witnesses = witnesses(&server).await;
    for codec in Codec::ALL {
        for key in ["ppt_serializer", "ppt_cipher", "ppt_keyid", "enc_algo"] {
            for kind in [16, 48] {
                let mut client = Client::connect(server.addr, codec, "realm1").await;
                client.send(&json!([kind, 1, {key: "x"}, TOPIC, ["packed"]]));
                let (reason, details) = client.aborted().await;
                assert_eq!(reason, "wamp.error.protocol_violation", "{codec:?} {key} {kind}");
                let said = details["message"].as_str().unwrap();
                assert!(said.contains("ppt_scheme") || said.contains(key), "{details}");
            }
        }
    }
    for witness in &mut witnesses {
        witness.expect_no_event().await;
    }
}

/// PHP writes `[]` for an empty dictionary, and a dictionary for a list with a removed element.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_accepts_lists_as_php_writes_them() {
    let (_site, server) = served("");
    let mut witness = Client::connect(server.addr, JSON, "realm1").await;
    witness.subscribe(TOPIC, json!({})).await;
    let mut other = Client::connect(server.addr, JSON, "realm1").await;
    other.subscribe(TOPIC, json!({})).await;
    let (me, id) = (witness.session(), other.session());
    for (body, delivered) in [
        (json!({"topic": TOPIC, "args": {"1": "a", "4": ["b"]}, "kwargs": []}), 2),
        (json!({"topic": TOPIC, "args": ["a", ["b"]], "exclude": {"2": id}}), 1),
        (json!({"topic": TOPIC, "args": ["a", ["b"]], "eligible": {"2": me, "7": id}}), 2),
        (json!({"topic": TOPIC, "args": ["a", ["b"]], "exclude_authrole": {"1": "nobody"}}), 2),
        (json!({"topic": TOPIC, "args": ["a", ["b"]], "eligible_authid": {"3": "nobody"}}), 0),
        (json!({"topic": TOPIC, "args": ["a", ["b"]], "exclude": {}, "exclude_authid": []}), 2),
    ] {
        let answer = post(&server, "/api/publish", &body.to_string()).await;
        assert_eq!(
            (answer.status, &answer.json()["delivered"]),
            (200, &json!(delivered)),
            "{body}"
        );
        if delivered > 0 {
            assert_eq!(witness.event().await.args, json!(["a", ["b"]]), "{body}");
        }
    }
    let batch = json!({"publish": {"0": {"topic": TOPIC}, "3": {"topic": TOPIC}}});
    assert_eq!(post(&server, "/api/publish", &batch.to_string()).await.json()["failed"], 0);
    for body in [
        json!({"topic": TOPIC, "args": {"text": "a"}}),
        json!({"topic": TOPIC, "kwargs": ["a"]}),
        json!({"topic": TOPIC, "eligible": {}}),
    ] {
        assert_eq!(post(&server, "/api/publish", &body.to_string()).await.status, 422, "{body}");
    }
}
