//! Half-open connections: clients whose network has failed without a word. The keepalive ends them, and
//! publishers are not held.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::cable::Cable;
use crate::control::ask;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const CLIENTS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_end_and_hold_no_publisher() {
    let site = Site::open();
    let server = Server::configured(site.path(), "keepalive: { interval: 300ms, timeout: 1s }\n");
    let cable = Cable::to(server.addr).await;
    let mut far =
        join_all((0..CLIENTS).map(|_| Client::connect(cable.addr, Codec::Json, "realm1"))).await;
    join_all(far.iter_mut().map(|client| client.subscribe("open/a", json!({})))).await;
    let mut near = Client::connect(server.addr, Codec::Json, "realm1").await;
    near.subscribe("open/a", json!({})).await;
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    server.until_health("sessions", CLIENTS + 2);
    cable.cut();
    let socket = server.control_socket();
    let mut number = 0;
    within("the ends of half-open connections", async {
        loop {
            number += 1;
            let publication =
                publisher.publish_acknowledged("open/a", json!({}), json!([number]), Value::Null);
            publication.await.unwrap();
            assert_eq!(near.event().await.args, json!([number]));
            let (_, ended) = ask(&socket, "GET", "/v1/ended?limit=1", "").await;
            if ended["ended"]["by_reason"] == json!({ "lost": CLIENTS }) {
                return;
            }
        }
    })
    .await;
    server.until_health("sessions", 2);
    // New ones come in when the network is back.
    cable.restore();
    Client::connect(cable.addr, Codec::Json, "realm1").await.round_trip().await;
}
