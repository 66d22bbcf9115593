//! Batches: the subprotocols `wamp.2.….batched`. autobahn-python uses them in `interop`.

use serde_json::{Value, json};

use super::join;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::{Ending, Handshake, Incoming, Socket};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

async fn connect(server: &Server) -> Socket {
    let protocols = vec!["wamp.2.json.batched".to_owned()];
    let handshake = Handshake { protocols, ..Handshake::default() };
    let socket = Socket::open(server.addr, handshake).await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some("wamp.2.json.batched"));
    socket
}

/// Sends a batch in which each message ends with a separator.
fn send(socket: &Socket, messages: &[Value], separator: char) {
    let mut batch = String::new();
    for message in messages {
        batch.push_str(&message.to_string());
        batch.push(separator);
    }
    socket.send_text(batch);
}

/// Receives a batch, which has one message.
async fn message(socket: &mut Socket, separator: char) -> Value {
    match within("a batch", socket.next()).await {
        Incoming::Text(text) => {
            serde_json::from_str(text.strip_suffix(separator).unwrap()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn hello() -> Value {
    json!([1, "realm1", { "roles": { "subscriber": {}, "publisher": {} } }])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_a_batch_are_handled_in_order() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut other = join(&server, Codec::Cbor).await;
    other.subscribe("open/t", json!({})).await;
    for separator in ['\u{18}', '\u{1e}'] {
        let mut socket = connect(&server).await;
        // WELCOME is due before the rest may be sent.
        send(&socket, &[hello()], separator);
        assert_eq!(message(&mut socket, separator).await[0], 2);
        let publish =
            |number: u64| json!([16, number, { "acknowledge": true }, "open/t", [number]]);
        let mut batch = vec![json!([32, 1, {}, "open/s"])];
        batch.extend((2..200).map(publish));
        send(&socket, &batch, separator);
        assert_eq!(message(&mut socket, separator).await[0], 33);
        for number in 2..200 {
            assert_eq!(message(&mut socket, separator).await[1], number);
            assert_eq!(other.event().await.args, json!([number]));
        }
        // Events of others, and control frames.
        socket.ping(b"here");
        assert!(matches!(within("a pong", socket.next()).await, Incoming::Pong(_)));
        let long = "ü".repeat(60_000);
        other.publish("open/s", json!({}), json!([long]), Value::Null);
        assert_eq!(message(&mut socket, separator).await[4], json!([long]));
        send(&socket, &[json!([6, {}, "wamp.close.normal"])], separator);
        assert_eq!(message(&mut socket, separator).await[0], 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_batch_fails_the_connection() {
    let site = Site::open();
    let server = Server::start(site.path());
    for (wrong, expect) in [
        (String::new(), "a batch has at least one message"),
        (hello().to_string(), "a batch ends within a message"),
        (format!("{}\u{18}[", hello()), "a batch ends within a message"),
    ] {
        let mut socket = connect(&server).await;
        socket.send_text(wrong.clone());
        let ended = loop {
            match within("the end", socket.next()).await {
                Incoming::Ended(ending) => break ending,
                Incoming::Text(_) => {}
                other => panic!("{wrong:?}: {other:?}"),
            }
        };
        let Ending::Clean { code, reason } = ended else { panic!("{wrong:?}: {ended:?}") };
        assert_eq!(code, Some(1002), "{wrong:?}: {reason}");
        assert!(reason.contains(expect), "{wrong:?}: {reason}");
    }
}
