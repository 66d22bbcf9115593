//! Limits that change while sessions are open: each follows with its next message. Limits below the
//! present use refuse new work, and nothing that is open ends.

use serde_json::json;

use super::{changed, page};
use crate::control::status;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::Reach;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_a_lowered_limit_stay() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { connections: 10 }\n");
    let mut open = Vec::new();
    for last in 1..=4 {
        open.push(page(&server, last).await.unwrap());
    }
    changed(&server, "limits: { connections: 2 }\n", "settings changed: limits.connections");
    assert_eq!(page(&server, 5).await.err(), Some(Some(503)));
    for client in &mut open {
        client.round_trip().await;
    }
    open.truncate(1);
    server.until_health("sessions", 1);
    // The place of a connection is free a moment after its session.
    while status(&server).await["connections"]["open"] != 1 {}
    page(&server, 6).await.unwrap();
    changed(
        &server,
        "limits: { connections: 9, address_connections: 1 }\n",
        "settings changed: limits.connections, limits.address_connections",
    );
    let first = page(&server, 7).await.unwrap();
    assert_eq!(page(&server, 7).await.err(), Some(Some(429)));
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_follow_message_sizes() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { message: 1 MiB }\n");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let long = "x".repeat(20_000);
    client.publish_acknowledged("open/a", json!({}), json!([long]), json!({})).await.unwrap();
    assert_eq!(subscriber.event().await.args, json!([long]));

    changed(&server, "limits: { message: 10 KiB }\n", "settings changed: limits.message");
    // The message by which a connection notices is still read.
    client.round_trip().await;
    client.publish("open/a", json!({}), json!([long]), json!({}));
    let ending = client.ended().await;
    assert!(matches!(ending, Ending::Clean { code: Some(1009), .. }), "{ending:?}");

    let mut other = page(&server, 1).await.unwrap();
    changed(&server, "limits: { message: 1 MiB }\n", "settings changed: limits.message");
    other.round_trip().await;
    other.publish("open/a", &json!(long), &Reach::Plain);
    assert_eq!(subscriber.event().await.args, json!([long]));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_follow_rates() {
    let site = Site::open();
    let server = Server::configured(site.path(), "# defaults\n");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let slow = "limits: { message_rate: { per_second: 1, burst: 1 }, rate_grace: 1ms }\n";
    changed(&server, slow, "settings changed: limits.message_rate, limits.rate_grace");
    for number in 0..100 {
        client.send(&json!([16, number + 1000, {}, "open/a", [number]]));
    }
    client.ended().await;
    server.logged("jackfield.close.rate_limit_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_follow_the_bounds_of_their_outbox() {
    let site = Site::open();
    let server = Server::configured(site.path(), "# defaults\n");
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    changed(
        &server,
        "limits: { outbox: { bytes: 64 KiB, messages: 16 } }\n",
        "settings changed: limits.outbox.bytes, limits.outbox.messages",
    );
    subscriber.round_trip().await;
    subscriber.socket().stop_reading();
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let long = "x".repeat(100_000);
    // More than the buffers of the socket hold, and far less than 4 MiB in the outbox.
    for _ in 0..100 {
        publisher
            .publish_acknowledged("open/a", json!({}), json!([long]), json!({}))
            .await
            .unwrap();
    }
    server.logged("more than 65536 bytes or 16 messages waited to be read");
}
