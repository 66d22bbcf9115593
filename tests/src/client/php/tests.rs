//! Tests of the PHP publisher: it behaves as measured with the real ones.

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::super::fake_server::{Connection, WELCOME, serve, text};
use super::super::within;
use super::{Failure, Generation, Publisher, publication, request};

const ALL: [Generation; 3] = [Generation::Oro, Generation::OroAbsolute, Generation::Gos];
const PROTOCOL: &str = "Sec-WebSocket-Protocol: wamp";

/// Connects every generation to a server that answers with `answer` in one write.
async fn connect(
    generation: Generation,
    answer: impl FnOnce(&Connection) -> Vec<u8> + Send + 'static,
) -> Result<Publisher, Failure> {
    let addr = serve(async move |mut connection: Connection| {
        let bytes = answer(&connection);
        connection.write(&bytes).await;
        connection.drain().await;
    });
    Publisher::connect(addr.await, "/ws?ticket=x%3D", generation).await
}

#[tokio::test]
async fn requires_a_lone_welcome_with_the_response() {
    for generation in ALL {
        let together = connect(generation, |connection| {
            [connection.accept(&[PROTOCOL]), text(WELCOME)].concat()
        });
        let connected = together.await.map(|publisher| publisher.session().to_owned());
        assert_eq!(connected, Ok("s1".to_owned()), "{generation:?}");
        let check = async |what: &str, answer: fn(&Connection) -> Vec<u8>| {
            let failure = connect(generation, answer).await.err();
            let failed = matches!(failure, Some(Failure::NoWelcome(_)));
            assert!(failed, "{generation:?}, {what}: {failure:?}");
        };
        check("no WELCOME", |connection| connection.accept(&[PROTOCOL])).await;
        check("an event behind it", |connection| {
            [connection.accept(&[PROTOCOL]), text(WELCOME), text(r#"[8,"t",1]"#)].concat()
        })
        .await;
        check("a ping behind it", |connection| {
            [connection.accept(&[PROTOCOL]), text(WELCOME), vec![0x89, 0]].concat()
        })
        .await;
        check("brackets in a header", |connection| {
            [connection.accept(&[PROTOCOL, "X-Any: [a]"]), text(WELCOME)].concat()
        })
        .await;
        // The frame's length byte is then `[`.
        check("a WELCOME of 91 bytes", |connection| {
            let welcome = format!(r#"[0,"s1",1,"{}"]"#, "x".repeat(91 - 13));
            assert_eq!(welcome.len(), 91);
            [connection.accept(&[PROTOCOL]), text(&welcome)].concat()
        })
        .await;
    }
}

#[tokio::test]
async fn anything_but_101_is_a_bad_response() {
    for generation in ALL {
        let refused = connect(generation, |_| b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec()).await;
        assert!(matches!(refused.err(), Some(Failure::BadResponse(_))), "{generation:?}");
        let old = connect(generation, |_| b"HTTP/1.0 101 Switching\r\n\r\n".to_vec()).await;
        assert!(matches!(old.err(), Some(Failure::BadResponse(_))), "{generation:?}");
    }
}

#[tokio::test]
async fn publishes_five_elements_and_closes_with_ttfn() {
    let (arrived, frames) = tokio::sync::oneshot::channel();
    let addr = serve(async move |mut connection: Connection| {
        connection.welcome(&[WELCOME]).await;
        let frames = [connection.frame().await, connection.frame().await, connection.frame().await];
        assert_eq!(connection.tcp.read(&mut [0]).await.unwrap(), 0, "then TCP ends");
        arrived.send(frames).unwrap();
    });
    let connected = Publisher::connect(addr.await, "/", Generation::Oro).await;
    let mut publisher = connected.unwrap_or_else(|failure| panic!("{failure:?}"));
    publisher.publish("oro/ping", &json!(1)).await.unwrap();
    publisher.publish("oro/ping", &json!("x".repeat(1000))).await.unwrap();
    publisher.disconnect().await.unwrap();
    let [first, long, close] = within("three frames", frames).await.unwrap();
    assert_eq!(first, (1, br#"[7,"oro\/ping",1,[],[]]"#.to_vec()));
    assert_eq!(long.1.len(), 1000 + r#"[7,"oro\/ping","",[],[]]"#.len());
    assert_eq!(close, (8, b"\x03\xe8ttfn".to_vec()));
}

#[test]
fn publications_are_written_as_php_writes_them() {
    let check = |payload, expect: &str| assert_eq!(publication("oro/ping", &payload), expect);
    check(json!({"a": {}, "u": "é/"}), r#"[7,"oro\/ping",{"a":[],"u":"\u00e9\/"},[],[]]"#);
    check(json!(["😀", "\n\"\\"]), r#"[7,"oro\/ping",["\ud83d\ude00","\n\"\\"],[],[]]"#);
    check(json!(null), r#"[7,"oro\/ping",null,[],[]]"#);
}

#[test]
fn the_request_line_differs_between_generations() {
    let addr = "127.0.0.1:8080".parse().unwrap();
    let check = |generation, expect: &str| {
        let request = request(addr, "/ws?ticket=x%3D", generation);
        assert_eq!(request.lines().next().unwrap(), expect);
    };
    check(Generation::Oro, "GET /ws?ticket=x%3D HTTP/1.1");
    check(Generation::OroAbsolute, "GET ws://127.0.0.1:8080/ws?ticket=x%3D HTTP/1.1");
    check(Generation::Gos, "GET ws://127.0.0.1:8080/ws?ticket=x%3D HTTP/1.1");
}
