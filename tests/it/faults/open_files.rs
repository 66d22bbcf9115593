//! A server without free file descriptors: sessions go on, and new clients are served as soon as there
//! are some.

use std::process::Command;

use serde_json::{Value, json};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Sets the soft limit of open files of a running server.
pub(crate) fn limit_open_files(server: &Server, limit: usize) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &server.pid().to_string(), &format!("--nofile={limit}:")]);
    assert!(prlimit.status().expect("prlimit (util-linux) runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_without_free_files_and_new_ones_follow() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut subscriber = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    // Below the descriptors that it has.
    limit_open_files(&server, 3);
    let waiting = tokio::spawn(Client::connect(server.addr, Codec::Json, "realm1"));
    server.logged("failed to accept a connection");
    for number in 0..100 {
        let publication =
            publisher.publish_acknowledged("open/a", json!({}), json!([number]), Value::Null);
        publication.await.unwrap();
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    limit_open_files(&server, 1_024);
    // The one in the queue of the socket, and another.
    waiting.await.unwrap().round_trip().await;
    Client::connect(server.addr, Codec::Json, "realm1").await.round_trip().await;
    server.until_health("sessions", 2);
}
