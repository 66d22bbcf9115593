//! Starts every peer without a server of ours: the dialogue works, and `make peers` was complete.

use serde_json::json;

use super::{Codec, Make, Peer, has, node, spawn};
use crate::client::within;

#[tokio::test]
async fn every_client_library_runs_and_reports_a_refusal() {
    let batched = Codec::ALL.map(Make::AutobahnPythonBatched);
    let v1 = [Make::AutobahnV1, Make::WampIo].into_iter().filter(|make| make.runs());
    // Bound, so that nobody else takes the port, and not listened on.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = closed.local_addr().unwrap();
    for make in Make::all_v2().chain(batched).chain(v1) {
        let mut peer = Peer::start(make, addr, "realm1", "/");
        peer.until("to report a refusal", |line| has(line, "refused")).await;
    }
}

#[tokio::test]
async fn v1_libraries_exchange_events_through_wamp_io() {
    let (_server, _stdin, mut lines, _complaints) = spawn(node("server.mjs"));
    let line = within("wamp.io to listen", lines.recv()).await.expect("wamp.io runs");
    let port = u16::try_from(line["port"].as_u64().unwrap()).unwrap();
    for make in [Make::AutobahnV1, Make::WampIo].into_iter().filter(|make| make.runs()) {
        let mut subscriber = Peer::join(make, ([127, 0, 0, 1], port).into()).await;
        let mut publisher = Peer::join(Make::WampIo, ([127, 0, 0, 1], port).into()).await;
        subscriber.subscribe("t/1", json!({})).await;
        let sum = json!({"do": "call", "procedure": "sum", "args": [1, 2]});
        assert_eq!(subscriber.done(sum).await["result"], 3, "{make:?}");
        let nothing = json!({"do": "call", "procedure": "nothing", "args": []});
        assert_eq!(subscriber.tell(nothing).await["failed"], "call", "{make:?}");
        publisher.publish("t/1", json!([{"k": [1, "é"]}]), json!({}), json!({})).await;
        let (topic, args, _kwargs) = subscriber.event().await;
        assert_eq!((&*topic, args), ("t/1", json!([{"k": [1, "é"]}])), "{make:?}");
        subscriber.leave().await;
        publisher.leave().await;
    }
}
