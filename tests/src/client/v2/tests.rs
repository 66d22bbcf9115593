//! Tests of the v2 client: it follows the layouts of the specification, against a scripted server.

use serde_json::{Value, json};

use super::super::codec::{Codec, Frame, binary};
use super::super::fake_server::{Connection, close, frame, serve};
use super::super::socket::Ending;
use super::{Client, Event, NoSession, Options, WampError};

/// A turn of the dialogue: the expected message of the client, and the answers.
type Turn = (Value, Vec<Value>);

/// Serves one client with a dialogue, which begins with its HELLO, and then closes with 1000.
async fn speak(codec: Codec, dialogue: Vec<Turn>) -> std::net::SocketAddr {
    serve(async move |mut connection: Connection| {
        let protocol = format!("Sec-WebSocket-Protocol: {}", codec.subprotocol());
        let response = connection.accept(&[&protocol]);
        connection.write(&response).await;
        for (expect, answers) in dialogue {
            let said = match connection.frame().await {
                (1, text) => Frame::Text(String::from_utf8(text).unwrap()),
                (_, bytes) => Frame::Binary(bytes),
            };
            let said = codec.decode(said);
            // The client's wait fails with this task, whose panic has the reason.
            assert_eq!(said, expect);
            for answer in answers {
                let bytes = match codec.encode(&answer) {
                    Frame::Text(text) => frame(1, text.as_bytes()),
                    Frame::Binary(bytes) => frame(2, &bytes),
                };
                connection.write(&bytes).await;
            }
        }
        connection.write(&close(Some(1000))).await;
        assert_eq!(connection.frame().await.0, 8);
    })
    .await
}

fn hello(answer: Value) -> Turn {
    (json!([1, "realm1", {"roles": {"publisher": {}, "subscriber": {}}}]), vec![answer])
}

#[tokio::test]
async fn a_session_from_hello_to_goodbye() {
    for codec in Codec::ALL {
        let args = json!([1, "é", binary(&[0, 255])]);
        let unknown = 1_u64 << 53;
        let dialogue = vec![
            hello(json!([2, unknown, {"roles": {"broker": {}}}])),
            (
                json!([32, 1, {"match": "prefix"}, "a."]),
                vec![json!([33, 1, 7]), json!([36, 7, 8, {"topic": "a.b"}, args])],
            ),
            (json!([16, 2, {"acknowledge": true}, "a.b", [], {"k": 1}]), vec![json!([17, 2, 9])]),
            (json!([16, 3, {}, "a.b"]), vec![]),
            (
                json!([34, 4, unknown]),
                vec![
                    json!([36, 7, 10, {}, [], {"k": 1}]),
                    json!([8, 34, 4, {}, "wamp.error.no_such_subscription"]),
                ],
            ),
            (json!([34, 5, unknown]), vec![json!([8, 34, 5, {}, "any", ["why"], {"k": 2}])]),
            (json!([34, 6, 7]), vec![json!([35, 0, {"subscription": 3}]), json!([35, 6])]),
            (
                json!([6, {}, "wamp.close.close_realm"]),
                vec![json!([6, {}, "wamp.close.goodbye_and_out"])],
            ),
        ];
        let mut client = Client::connect(speak(codec, dialogue).await, codec, "realm1").await;
        assert_eq!(client.session(), unknown);
        assert_eq!(client.welcome(), &json!({"roles": {"broker": {}}}));
        assert_eq!(client.subscribe("a.", json!({"match": "prefix"})).await, 7);
        let event = Event {
            subscription: 7,
            publication: 8,
            details: json!({"topic": "a.b"}),
            args,
            kwargs: Value::Null,
        };
        assert_eq!(client.event().await, event);
        let kwargs = json!({"k": 1});
        let published = client.publish_acknowledged("a.b", json!({}), Value::Null, kwargs).await;
        assert_eq!(published, Ok(9));
        client.publish("a.b", json!({}), Value::Null, Value::Null);
        client.round_trip().await;
        assert_eq!(client.event().await.kwargs, json!({"k": 1}), "what arrived first waited");
        let error = WampError {
            uri: "any".to_owned(),
            details: json!({}),
            args: json!(["why"]),
            kwargs: json!({"k": 2}),
        };
        assert_eq!(client.unsubscribe(unknown).await, Err(error));
        assert_eq!(client.unsubscribe(7).await, Ok(()));
        assert_eq!(client.revoked().await, (3, None));
        assert_eq!(client.goodbye().await, "wamp.close.goodbye_and_out");
        let closed = Ending::Clean { code: Some(1000), reason: String::new() };
        assert_eq!(client.ended().await, closed);
    }
}

#[tokio::test]
async fn an_abort_opens_no_session() {
    for codec in Codec::ALL {
        let abort = json!([3, {"message": "no such realm"}, "wamp.error.no_such_realm", []]);
        let addr = speak(codec, vec![hello(abort)]).await;
        let failed = Client::connect_with(addr, codec, "realm1", Options::new(codec)).await.err();
        let aborted = NoSession::Aborted {
            reason: "wamp.error.no_such_realm".to_owned(),
            details: json!({"message": "no such realm"}),
        };
        assert_eq!(failed, Some(aborted));
    }
}
