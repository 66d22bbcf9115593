//! Servers of NATS that get JetStream, or more servers with it, later, and other programs that write to its streams.

use std::time::Duration;

use serde_json::json;

use jackfield_tests::client::within;

use super::leases::{COUNTER, Place, count, counting, started, until_counted, until_home};
use super::{Nats, status};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_use_jetstream_when_nats_has_it_later() {
    let mut nats = Nats::start();
    let places = ["web-1", "web-2"].map(|name| Place::new(&[&nats], name, ""));
    let servers = started(&places).await;
    assert_eq!(status(&servers[0])["leases"], "off");
    let first = until_home(&servers.each_ref(), COUNTER).await;
    // A node that starts follows the others at once.
    let third_place = Place::new(&[&nats], "web-3", "");
    let third = third_place.start();
    assert!(!third.log().contains("finds no JetStream"), "{}", third.log());
    assert_eq!(status(&third)["leases"], "off");
    let mut client = counting(&servers[0]).await;
    for number in 1..=3 {
        assert_eq!(until_counted(&mut client).await, number);
    }
    nats.kill();
    nats.add_jetstream();
    nats.restart();
    for server in servers.iter().chain([&third]) {
        within("leases", async {
            while status(server)["leases"] != "on" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    // The last home has the newest store.
    assert_eq!(until_counted(&mut client).await, 4);
    assert_eq!(until_home(&[&servers[0], &servers[1], &third], COUNTER).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_get_copies_when_there_are_servers_for_them() {
    let nats = Nats::three_with_jetstream();
    // As if they were made when there was one server.
    let config = json!({ "name": "jf1_jackfield_homes", "subjects": ["jf1.jackfield.home.*"],
        "max_msgs_per_subject": 1, "max_age": 15_000_000_000_u64, "num_replicas": 1,
        "retention": "limits", "discard": "old", "storage": "file",
        "duplicate_window": 2_000_000_000_u64, "max_bytes": 1_000_000 });
    nats[0].repeat_request("$JS.API.STREAM.CREATE.jf1_jackfield_homes", &config);
    let place = Place::new(&[&nats[0]], "web-1", "");
    let server = place.start();
    server.logged("a stream of JetStream has copies on more servers now");
    let told = nats[0].repeat_request("$JS.API.STREAM.INFO.jf1_jackfield_homes", &json!({}));
    assert!(told.contains("\"num_replicas\":3"), "{told}");
    assert!(told.contains("\"max_bytes\":1000000"), "other settings stay: {told}");
    assert_eq!(until_home(&[&server], COUNTER).await, "web-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_program_ends_no_plugin() {
    let nats = Nats::with_jetstream();
    let foreign = || {
        let subject = format!("jf1.jackfield.store.{COUNTER}");
        nats.request(&subject, &json!("of another program"));
    };
    // Before the first record of a node, which makes the streams.
    let other_place = Place::new(&[&nats], "web-1", "");
    let other = other_place.start();
    until_home(&[&other], COUNTER).await;
    nats.request("$JS.API.STREAM.PURGE.jf1_jackfield_stores", &json!({}));
    foreign();
    other.signal("TERM");
    let places = ["web-2", "web-3"].map(|name| Place::new(&[&nats], name, ""));
    let servers = started(&places).await;
    let mut client = counting(&servers[0]).await;
    assert_eq!(count(&mut client).await, Ok(1));
    for number in 2..=3 {
        foreign();
        // The home cannot know who has written, and begins again with the log.
        assert!(count(&mut client).await.is_err());
        assert_eq!(until_counted(&mut client).await, number);
    }
    let is_told = |it: &jackfield_tests::server::Server| {
        it.log().contains("another program has published messages to the log")
    };
    assert!(servers.iter().any(is_told), "{}", servers[0].log());
}
