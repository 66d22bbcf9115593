//! Values that exist in one codec only: they pass between clients of that codec byte for byte, and
//! other requests that need their value are refused.

use serde_json::json;

use super::{CBOR, FOREIGN, INVALID, JSON, MSGPACK, TOPIC, send, served};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::{Handshake, Incoming, Socket};
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Handlers that are asked about publications, and that answer calls.
const ROUTES: &str = "\
echo: { channel: 'h/echo', handler: { callback: 'echo' } }
";

async fn join(server: &Server, codec: Codec) -> Client {
    Client::connect(server.addr, codec, "realm1").await
}

const fn other_than(codec: Codec) -> Codec {
    match codec {
        Codec::Json => CBOR,
        Codec::MsgPack => JSON,
        Codec::Cbor => MSGPACK,
    }
}

fn holds(message: &[u8], value: &[u8]) -> bool {
    message.windows(value.len()).any(|it| it == value)
}

/// Returns a page of version 1 whose messages are not decoded.
async fn page(server: &Server) -> Socket {
    let handshake = Handshake { protocols: vec!["wamp".to_owned()], ..Handshake::default() };
    let mut page = Socket::open(server.addr, handshake).await.unwrap();
    assert!(text(&mut page).await.starts_with("[0,"));
    page
}

async fn text(page: &mut Socket) -> String {
    match page.next().await {
        Incoming::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_values_pass_between_clients_of_one_codec() {
    let (_site, server) = served("");
    for (number, (codec, value, _)) in FOREIGN.iter().enumerate() {
        // The server may not have noticed yet that the subscribers of the last round have left.
        let topic = format!("open/event{number}");
        let mut publisher = join(&server, *codec).await;
        let mut subscriber = join(&server, *codec).await;
        let mut other = join(&server, other_than(*codec)).await;
        subscriber.subscribe(&topic, json!({})).await;
        for message in [
            json!([16, 1, {"acknowledge": true}, topic, [1, {"deep": ["@"]}, "x"]]),
            json!([16, 1, {"acknowledge": true}, topic, [], {"k": "@"}]),
        ] {
            send(&publisher, *codec, &message, value);
            let answer = publisher.message().await;
            assert_eq!((&answer[0], &answer[1]), (&json!(17), &json!(1)), "{answer}");
            let event = subscriber.raw().await;
            assert!(holds(&event, value), "{codec:?} {value:x?} in {event:x?}");
        }
        // Only the receivers' codecs count, not those of all subscribers.
        let subscription = other.subscribe(&topic, json!({})).await;
        let only =
            json!([16, 2, {"acknowledge": true, "eligible": [subscriber.session()]}, topic, ["@"]]);
        send(&publisher, *codec, &only, value);
        let answer = publisher.message().await;
        assert_eq!(answer[0], 17, "{codec:?} {value:x?}: {answer}");
        assert!(holds(&subscriber.raw().await, value));
        let all = json!([16, 3, {"acknowledge": true}, topic, ["@"]]);
        send(&publisher, *codec, &all, value);
        assert_eq!(publisher.message().await[4], INVALID);
        other.unsubscribe(subscription).await.unwrap();
        subscriber.expect_no_event().await;
        other.expect_no_event().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_1_and_2_share_json_values() {
    let (_site, server) = served("");
    let mut page = page(&server).await;
    let mut client = join(&server, JSON).await;
    page.send_text(format!(r#"[5,"{TOPIC}"]"#));
    client.subscribe(TOPIC, json!({})).await;
    for (_, value, _) in FOREIGN.iter().filter(|it| it.0 == JSON) {
        let value = std::str::from_utf8(value).unwrap();
        page.send_text(format!(r#"[7,"{TOPIC}",{{"n":{value}}}]"#));
        assert_eq!(text(&mut page).await, format!(r#"[8,"{TOPIC}",{{"n":{value}}}]"#));
        assert!(holds(&client.raw().await, format!(r#"{{"n":{value}}}"#).as_bytes()));
        let options = r#"{"acknowledge":true,"exclude_me":false}"#;
        client.socket().send_text(format!(r#"[16,1,{options},"{TOPIC}",[{value}]]"#));
        assert!(holds(&client.raw().await, format!("[{value}]").as_bytes()));
        assert!(client.raw().await.starts_with(b"[17,1,"));
        assert_eq!(text(&mut page).await, format!(r#"[8,"{TOPIC}",{value}]"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_values_pass_in_calls_within_one_codec() {
    let (_site, server) = served("");
    for (number, (codec, value, why)) in FOREIGN.iter().enumerate() {
        let procedure = format!("open/call{number}");
        let mut offering = join(&server, *codec).await;
        offering.register(&procedure, json!({})).await.unwrap();
        let mut caller = join(&server, *codec).await;
        send(&caller, *codec, &json!([48, 1, {}, procedure, [["@"]]]), value);
        assert!(holds(&offering.raw().await, value), "{codec:?} {value:x?}");
        send(&offering, *codec, &json!([70, 1, {}, ["@"]]), value);
        assert!(holds(&caller.raw().await, value), "{codec:?} {value:x?}");

        // Neither a call nor an answer reaches another codec.
        let mut other = join(&server, other_than(*codec)).await;
        for (answer, request) in [
            (json!([70, 2, {}, ["@"]]), 2),
            (json!([8, 68, 3, {}, "acme.error", [], {"k": "@"}]), 3),
        ] {
            other.send(&json!([48, request, {}, procedure, [1]]));
            offering.invocation().await;
            send(&offering, *codec, &answer, value);
            let error = other.message().await;
            assert_eq!(
                (&error[0], &error[2], &error[4]),
                (&json!(8), &json!(request), &json!(INVALID))
            );
            assert!(error[5][0].as_str().unwrap().contains(why), "{error}");
        }
        let foreign = format!("open/foreign{number}");
        other.register(&foreign, json!({})).await.unwrap();
        send(&caller, *codec, &json!([48, 2, {}, foreign, ["@"]]), value);
        let error = caller.message().await;
        assert_eq!((&error[0], &error[2], &error[4]), (&json!(8), &json!(2), &json!(INVALID)));
        other.round_trip().await;
        assert_eq!(other.try_message(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_receive_no_foreign_values() {
    let site = Site::new();
    site.bundle("hostile", ROUTES, &[build::guest("hostile")]);
    let server = Server::start(site.path());
    for (codec, value, why) in FOREIGN {
        let mut client = join(&server, *codec).await;
        for (kind, message) in [
            (16, json!([16, 1, {"acknowledge": true}, "h/echo", ["@"]])),
            (48, json!([48, 1, {}, "h/echo", ["@"]])),
        ] {
            send(&client, *codec, &message, value);
            let error = client.message().await;
            assert_eq!((&error[1], &error[4]), (&json!(kind), &json!(INVALID)), "{error}");
            assert!(error[5][0].as_str().unwrap().contains(why), "{error}");
        }
    }
}
