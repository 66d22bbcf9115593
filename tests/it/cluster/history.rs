//! Histories of nodes: each keeps what it delivers, and none hides a hole.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

use super::{Nats, join, node, publish};

/// Subscribes with a position. Returns the answer.
pub(super) async fn recover(client: &mut Client, topic: &str, since: Value) -> Value {
    client.subscribe(topic, json!({ "_since": since })).await;
    client.event().await.details["_stream"].clone()
}

/// Returns a client that has recovered. In the first seconds, no client is told so.
pub(super) async fn recovered(server: &Server, since: Value) -> (Client, Value) {
    loop {
        let mut client = join(server).await;
        let answer = recover(&mut client, "kept/a", since.clone()).await;
        if answer["recovered"] == true {
            return (client, answer);
        }
        drop(client);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_other_nodes_are_in_the_history() {
    let nats = Nats::start();
    let servers = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut publisher = join(&servers[1]).await;
    let mut client = join(&servers[0]).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    let first = begin["offset"].as_u64().unwrap();
    publish(&mut publisher, "kept/a", 0..3).await;
    for number in 0..3 {
        let event = client.event().await;
        let offset = first + number + 1;
        assert_eq!((event.args, &event.details["_offset"]), (json!([number]), &json!(offset)));
        assert_eq!(event.details["_at"][1], json!(number + 1));
    }
    drop(client);
    publish(&mut publisher, "kept/a", 3..6).await;
    // Events that this node has for sure are before an event of its own.
    let mut client = join(&servers[0]).await;
    client.subscribe("kept/b", json!({})).await;
    publish(&mut publisher, "kept/b", 0..1).await;
    client.event().await;
    let since = json!({ "epoch": begin["epoch"], "offset": first + 3 });
    let (mut client, answer) = recovered(&servers[0], since.clone()).await;
    assert_eq!(answer["replayed"], json!(3));
    for number in 3..6 {
        assert_eq!(client.event().await.args, json!([number]));
    }
    // The other node has positions of its own, which a client has to follow.
    let mut moved = join(&servers[1]).await;
    let answer = recover(&mut moved, "kept/a", since).await;
    assert_eq!(answer["recovered"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_has_recovered_while_the_engine_is_away() {
    let mut nats = Nats::start();
    let [one, _other] = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut client = join(&one).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    // With an event, the topic stays announced while no client is there.
    publish(&mut client, "kept/a", 0..1).await;
    drop(client);
    let offset = begin["offset"].as_u64().unwrap() + 1;
    let since = json!({ "epoch": begin["epoch"], "offset": offset });
    drop(recovered(&one, since.clone()).await);
    nats.kill();
    one.logged("the connection to NATS is lost");
    // The node knows it at its next tick.
    sleep(Duration::from_millis(1_500)).await;
    for _ in 0..3 {
        let mut client = join(&one).await;
        let answer = recover(&mut client, "kept/a", since.clone()).await;
        assert_eq!(answer["recovered"], json!(false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_client_is_told_that_events_may_be_missing() {
    let nats = Nats::start();
    let [one, other] = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut client = join(&one).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    let mut publisher = join(&one).await;
    publish(&mut publisher, "kept/a", 0..1).await;
    let event = client.event().await;
    assert_eq!(event.args, json!([0]));
    let offset = event.details["_offset"].as_u64().unwrap();
    other.signal("KILL");
    let told = client.event().await.details["_stream"].clone();
    assert_eq!((&told["recovered"], &told["offset"]), (&json!(false), &json!(offset)), "{told}");
    assert_ne!(told["epoch"], begin["epoch"]);
    publish(&mut publisher, "kept/a", 1..2).await;
    let event = client.event().await;
    assert_eq!((event.args, &event.details["_offset"]), (json!([1]), &json!(offset + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_ends_the_histories() {
    let nats = Nats::start();
    let [one, other] = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut client = join(&one).await;
    let begin = recover(&mut client, "kept/a", json!({})).await;
    drop(client);
    drop(other);
    one.logged("a node is silent and given up");
    let mut client = join(&one).await;
    let since = json!({ "epoch": begin["epoch"], "offset": begin["offset"] });
    assert_eq!(recover(&mut client, "kept/a", since).await["recovered"], json!(false));
}
