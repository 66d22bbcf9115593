//! A server with a limit of memory (`ulimit -d`), and clients that make it hold as much as they can: the
//! totals keep it below the limit, and well-behaved clients are served.

use std::time::Instant;

use serde_json::{Value, json};

use crate::memory_totals::hoarder;
use crate::process::limited;
use jackfield_tests::client::PATIENCE;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::site::Site;

/// A quarter of the defaults' total.
const LIMITS: &str = "limits: { outbox: { total: 64 MiB }, incomplete: 16 MiB, waiting: 16 MiB }\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_totals_keep_a_server_below_its_limit_of_memory() {
    let site = Site::open();
    // In KiB. An allocation beyond it would end the process.
    let mut server = limited("-d 524288", &site, LIMITS);
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    let mut hoarders = Vec::new();
    let until = Instant::now() + PATIENCE;
    while !server.log().contains("(limits.outbox.total)") {
        assert!(Instant::now() < until, "the total is not reached: {}", hoarders.len());
        hoarders.push(hoarder(&server, 4).await);
        let number = hoarders.len();
        let publication =
            publisher.publish_acknowledged("open/a", json!({}), json!([number]), Value::Null);
        publication.await.unwrap();
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    assert!(server.is_alive());
}
