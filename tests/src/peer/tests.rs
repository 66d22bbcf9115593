//! Tests of the peers without the product's server: every script runs, and `make peers` installed
//! everything.

use serde_json::json;

use super::{Library, Peer, has, node, spawn};
use crate::client::within;

#[tokio::test]
async fn every_client_library_runs_and_reports_a_refusal() {
    let v1 = [Library::AutobahnV1, Library::WampIo].into_iter().filter(|library| library.runs());
    // Bound, so that no other program takes the port, and not listened on.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = closed.local_addr().unwrap();
    for library in Library::all_v2().chain(v1) {
        let mut peer = Peer::start(library, addr, "realm1", "/");
        peer.until("to report a refusal", |line| has(line, "refused")).await;
    }
}

#[tokio::test]
async fn v1_libraries_exchange_events_through_wamp_io() {
    let (_server, _stdin, mut lines, _complaints) = spawn(node("server.mjs"));
    let line = within("wamp.io to listen", lines.recv()).await.expect("wamp.io runs");
    let port = u16::try_from(line["port"].as_u64().unwrap()).unwrap();
    for library in
        [Library::AutobahnV1, Library::WampIo].into_iter().filter(|library| library.runs())
    {
        let mut subscriber = Peer::join(library, ([127, 0, 0, 1], port).into()).await;
        let mut publisher = Peer::join(Library::WampIo, ([127, 0, 0, 1], port).into()).await;
        subscriber.subscribe("t/1", json!({})).await;
        let sum = json!({"do": "call", "procedure": "sum", "args": [1, 2]});
        assert_eq!(subscriber.done(sum).await["result"], 3, "{library:?}");
        let nothing = json!({"do": "call", "procedure": "nothing", "args": []});
        assert_eq!(subscriber.tell(nothing).await["failed"], "call", "{library:?}");
        publisher.publish("t/1", json!([{"k": [1, "é"]}]), json!({}), json!({})).await;
        let (topic, args, _kwargs) = subscriber.event().await;
        assert_eq!((&*topic, args), ("t/1", json!([{"k": [1, "é"]}])), "{library:?}");
        subscriber.leave().await;
        publisher.leave().await;
    }
}
