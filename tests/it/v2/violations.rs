//! Protocol violations: ABORT `wamp.error.protocol_violation` with the cause, then the end of the
//! connection, without effect on others.

use serde_json::{Value, json};

use super::{REALM, join};
use jackfield_tests::client::codec::{Codec, Frame};
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Opens a connection without a session.
async fn open(server: &Server, codec: Codec) -> Client {
    let opened = Client::open(server.addr, codec, Options::new(codec).handshake).await;
    opened.unwrap_or_else(|refused| panic!("{codec:?}: {refused:?}"))
}

/// Checks that the client receives an error that contains `hint`, and that the connection ends.
async fn expect_abort(client: &mut Client, what: &str, hint: &str) {
    let (reason, details) = client.aborted().await;
    assert_eq!(reason, "wamp.error.protocol_violation", "{what}: {details}");
    let message = details["message"].as_str().unwrap();
    assert!(message.contains(hint), "{what}: {message:?} does not say {hint:?}");
    let ending = client.ended().await;
    assert!(matches!(ending, Ending::Clean { .. }), "{what}: {ending:?}");
}

#[tokio::test]
async fn a_session_begins_with_hello() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        for (message, hint) in [
            (json!([32, 1, {}, "open/t"]), "HELLO"),
            (json!([6, {}, "wamp.close.close_realm"]), "HELLO"),
            (json!([5, "signature", {}]), "HELLO"),
            (json!([2, 1, {}]), "HELLO"),
            (json!([1]), "HELLO"),
            (json!([1, REALM]), "Details"),
            (json!([1, 7, {"roles": {}}]), "Realm"),
            (json!([1, REALM, []]), "Details"),
            (json!([1, REALM, {}]), "roles"),
        ] {
            let mut client = open(&server, codec).await;
            client.send(&message);
            expect_abort(&mut client, &format!("{codec:?} {message}"), hint).await;
        }
    }
}

#[tokio::test]
async fn rejects_messages_out_of_order_or_shape() {
    let messages: &[(Value, &str)] = &[
        (json!([1, REALM, {"roles": {"publisher": {}}}]), "HELLO"),
        (json!([5, "signature", {}]), "CHALLENGE"),
        // Only routers send these.
        (json!([2, 1, {}]), "WELCOME"),
        (json!([4, "ticket", {}]), "CHALLENGE"),
        (json!([17, 1, 1]), "PUBLISHED"),
        (json!([33, 1, 1]), "SUBSCRIBED"),
        (json!([35, 1]), "UNSUBSCRIBED"),
        (json!([36, 1, 1, {}]), "EVENT"),
        (json!([50, 1, {}]), "RESULT"),
        (json!([65, 1, 1]), "REGISTERED"),
        (json!([67, 1]), "UNREGISTERED"),
        (json!([68, 1, 1, {}]), "INVOCATION"),
        (json!([69, 1, {}]), "INTERRUPT"),
        (json!([8, 32, 1, {}, "com.acme.error"]), "INVOCATION"),
        (json!([8, 99, 1, {}, "com.acme.error"]), "99"),
        // Values that are not messages.
        (json!([]), ""),
        (json!({}), "list"),
        (json!("text"), "list"),
        (json!(32), "list"),
        (json!(null), "list"),
        (json!([null]), ""),
        (json!(["32", 1, {}, "open/t"]), ""),
        (json!([7, 1]), "7"),
        (json!([99, 1]), "99"),
        (json!([-32, 1]), ""),
        (json!([32.5, 1]), ""),
        // Missing elements, and elements of another type.
        (json!([32]), "SUBSCRIBE"),
        (json!([32, 1, {}]), "Topic"),
        (json!([32, "1", {}, "open/t"]), "Request"),
        (json!([32, -1, {}, "open/t"]), "Request"),
        (json!([32, 1.5, {}, "open/t"]), "Request"),
        (json!([32, (1_u64 << 53) + 1, {}, "open/t"]), "Request"),
        (json!([32, 1, null, "open/t"]), "Options"),
        (json!([32, 1, [1], "open/t"]), "Options"),
        (json!([32, 1, {}, 7]), "Topic"),
        (json!([34, 1, "1"]), "Subscription"),
        (json!([16, 1, {}, "open/t", {"k": 1}]), "PUBLISH"),
        (json!([16, 1, {}, "open/t", "text"]), "PUBLISH"),
        (json!([16, 1, {}, "open/t", [], [1]]), "PUBLISH"),
        // Options with invalid values.
        (json!([32, 1, {"match": "regex"}, "open/t"]), "match"),
        (json!([32, 1, {"match": 1}, "open/t"]), "match"),
        (json!([16, 1, {"acknowledge": 1}, "open/t"]), "acknowledge"),
        (json!([16, 1, {"exclude_me": "no"}, "open/t"]), "exclude_me"),
        (json!([16, 1, {"eligible": 7}, "open/t"]), "eligible"),
        (json!([16, 1, {"eligible": ["7"]}, "open/t"]), "eligible"),
        (json!([16, 1, {"exclude_authid": [7]}, "open/t"]), "exclude_authid"),
    ];
    let site = Site::open();
    let mut server = Server::start(site.path());
    let mut witness = join(&server, Codec::Json).await;
    witness.subscribe("open/t", json!({})).await;
    for codec in Codec::ALL {
        for (number, (message, hint)) in messages.iter().enumerate() {
            let mut client = join(&server, codec).await;
            // Earlier messages are handled, later ones are not.
            client.publish("open/t", json!({}), json!([number]), json!(null));
            client.send(message);
            client.publish("open/t", json!({}), json!(["after"]), json!(null));
            expect_abort(&mut client, &format!("{codec:?} {message}"), hint).await;
            assert_eq!(witness.event().await.args, json!([number]), "{codec:?} {message}");
        }
    }
    witness.expect_no_event().await;
    assert!(server.is_alive());
}

/// Messages that other routers accept and clients in use depend on.
#[tokio::test]
async fn accepts_lenient_messages_of_clients_in_use() {
    let messages = [
        json!([32, 0, {}, "open/t"]),
        json!([32, 713_845_233, {}, "open/t"]),
        json!([32, 713_845_233, {}, "open/t"]),
        json!([32, 1, {"match": null, "get_retained": null}, "open/t"]),
        json!([32, 1, {"_own": {"any": ["thing"]}, "nkey": "x", "acknowledge": true}, "open/t"]),
        json!([32, 1, {}, "open/t", "more", {}]),
        json!([34, 1, 9, {"forward_for": []}]),
        json!([16, 1, {}, "open/t", null]),
        json!([16, 1, {}, "open/t", null, null]),
        json!([16, 1, {"retain": true, "ppt_scheme": null, "ppt_cipher": ""}, "open/t", [], {}]),
    ];
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        for message in &messages {
            client.send(message);
            client.round_trip().await;
        }
        client.publish("open/t", json!({"exclude_me": false}), json!([1]), json!(null));
        assert_eq!(client.event().await.args, json!([1]), "{codec:?}");
    }
}

#[tokio::test]
async fn rejects_frames_without_a_message() {
    let site = Site::open();
    let server = Server::start(site.path());
    let text = |text: &str| Frame::Text(text.to_owned());
    let bytes = |bytes: &[u8]| Frame::Binary(bytes.to_vec());
    let hello = |codec: Codec| codec.encode(&json!([1, REALM, {"roles": {"publisher": {}}}]));
    let cases = [
        (Codec::Json, text(""), "JSON"),
        (Codec::Json, text("hello"), "JSON"),
        (Codec::Json, text("[16,1,{},\"open/t\""), "JSON"),
        (Codec::Json, text("[16,1,{},\"open/t\"] 1"), "JSON"),
        (Codec::Json, text("[16,1,{},\"open/t\",[1,]]"), "JSON"),
        (Codec::Json, bytes(b"[16,1,{},\"open/t\"]"), "text"),
        (Codec::Json, hello(Codec::Cbor), "text"),
        (Codec::MsgPack, bytes(&[]), "MessagePack"),
        (Codec::MsgPack, bytes(&[0xc1]), "MessagePack"),
        (Codec::MsgPack, bytes(&[0x95, 16, 1, 0x80]), "MessagePack"),
        (Codec::MsgPack, bytes(&[0x94, 16, 1, 0x80, 0xa1, b't', 0]), "MessagePack"),
        (Codec::MsgPack, bytes(&[0xdd, 0xff, 0xff, 0xff, 0xff]), "MessagePack"),
        (Codec::MsgPack, bytes(&[0xdb, 0xff, 0xff, 0xff, 0xff]), "MessagePack"),
        (Codec::MsgPack, text("[1]"), "binary"),
        (Codec::Cbor, bytes(&[]), "CBOR"),
        (Codec::Cbor, bytes(&[0xff]), "CBOR"),
        (Codec::Cbor, bytes(&[0x85, 16, 1, 0xa0]), "CBOR"),
        (Codec::Cbor, bytes(&[0x84, 16, 1, 0xa0, 0x61, b't', 0]), "CBOR"),
        (Codec::Cbor, bytes(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "CBOR"),
        (Codec::Cbor, text("[1]"), "binary"),
    ];
    for (number, (codec, frame, hint)) in cases.into_iter().enumerate() {
        let mut client = join(&server, codec).await;
        match frame {
            Frame::Text(text) => client.socket().send_text(text),
            Frame::Binary(bytes) => client.socket().send_binary(bytes),
        }
        expect_abort(&mut client, &format!("case {number}, {codec:?}"), hint).await;
    }
}

#[tokio::test]
async fn rejects_a_message_over_the_limit() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { message: 100000 }");
    for codec in Codec::ALL {
        let mut subscriber = join(&server, codec).await;
        subscriber.subscribe("open/t", json!({})).await;
        let publisher = join(&server, codec).await;
        publisher.send(&json!([16, 1, {}, "open/t", ["x".repeat(99_000)]]));
        assert_eq!(subscriber.event().await.args[0].as_str().unwrap().len(), 99_000);
        for size in [100_000, 3_000_000] {
            let mut client = join(&server, codec).await;
            client.send(&json!([16, 1, {}, "open/t", ["x".repeat(size)]]));
            let (reason, details) = client.aborted().await;
            assert_eq!(reason, "wamp.error.protocol_violation", "{size}: {details}");
            let ending = client.ended().await;
            assert!(matches!(ending, Ending::Clean { code: Some(1009), .. }), "{size}: {ending:?}");
        }
        subscriber.expect_no_event().await;
    }
}
