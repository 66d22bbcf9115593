//! Failures: a node or a server of NATS that is killed or stands still. Local traffic goes on, the loss
//! is counted, and the interest is known again.

use serde_json::{Value, json};

use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

use super::{Nats, Node, TOKEN, config, join, node, publish, status, until_peers, until_received};

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_a_killed_node() {
    let nats = Nats::start();
    let [one, two, three] = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let mut subscriber = join(&one).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut gone = join(&three).await;
    gone.subscribe("open/a", json!({})).await;
    three.signal("KILL");
    let mut publisher = join(&two).await;
    publish(&mut publisher, "open/a", 0..100).await;
    for number in 0..100 {
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    one.logged("a node is silent and given up");
    until_peers(&one, 1).await;
    assert_eq!(status(&one)["incidents"]["dead"], 1);
    // Subscriptions do not wait for it.
    subscriber.subscribe("open/b", json!({})).await;
    publish(&mut publisher, "open/b", 0..1).await;
    assert_eq!(subscriber.event().await.args, json!([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_says_that_events_are_missing() {
    let nats = Nats::start();
    let [one, other] = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut subscriber = join(&one).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(&other).await;
    publish(&mut publisher, "open/a", 0..10).await;
    one.signal("STOP");
    other.logged("a node is silent and given up");
    publish(&mut publisher, "open/a", 10..20).await;
    one.signal("CONT");
    // Each has given the other up. They find each other again, with the interest of both.
    until_peers(&one, 1).await;
    until_peers(&other, 1).await;
    let last = until_received_from(&mut publisher, &mut subscriber).await;
    assert_eq!(last.first(), Some(&0));
    let holes = last.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(holes > 0, "{last:?}");
    let incidents = &status(&one)["incidents"];
    assert!(incidents["doubt"].as_u64() > Some(0), "{incidents}");
    let log = one.log();
    let reported: Vec<_> =
        log.lines().filter(|it| it.contains("had given each other up")).collect();
    assert!(matches!(reported[..], [line] if line.contains("web-2")), "{reported:?}");
    assert!(!log.contains("no message passes"), "{log}");
}

/// Publishes a last number, and returns all that the subscriber has received until it.
async fn until_received_from(
    publisher: &mut jackfield_tests::client::v2::Client,
    subscriber: &mut jackfield_tests::client::v2::Client,
) -> Vec<u64> {
    const LAST: u64 = 1_000;
    publish(publisher, "open/a", LAST..LAST + 1).await;
    let mut received = Vec::new();
    while received.last() != Some(&LAST) {
        received.push(subscriber.event().await.args[0].as_u64().unwrap());
    }
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn local_traffic_goes_on_without_nats() {
    let mut nats = Nats::start();
    let one = node(&nats, "web-1");
    let strict = Node::start(&config("web-2", &[nats.url()], ", when_alone: refuse"));
    let mut local = join(&one).await;
    local.subscribe("open/a", json!({})).await;
    let mut remote = join(&strict).await;
    remote.subscribe("open/a", json!({})).await;
    let mut publisher = join(&one).await;
    publish(&mut publisher, "open/a", 0..10).await;
    for number in 0..10 {
        assert_eq!(local.event().await.args, json!([number]));
        assert_eq!(remote.event().await.args, json!([number]));
    }
    nats.kill();
    one.logged("the connection to NATS is lost");
    publish(&mut publisher, "open/a", 10..20).await;
    for number in 10..20 {
        assert_eq!(local.event().await.args, json!([number]));
    }
    // A new subscription is not held up.
    local.subscribe("open/b", json!({})).await;
    let refused = within("a refusal", async {
        loop {
            let answer = remote.publish_acknowledged("open/a", json!({}), json!([0]), Value::Null);
            if let Err(error) = answer.await {
                return error;
            }
        }
    });
    assert_eq!(refused.await.uri, "wamp.error.unavailable");
    assert_eq!(ready(&strict).await, 503);
    assert_eq!(ready(&one).await, 200, "it serves");
    let single = json!({ "topic": "open/a", "args": [0] });
    let bodies = [single.to_string(), json!({ "publish": [single, single] }).to_string()];
    for (key, body) in bodies.iter().enumerate() {
        let answer = keyed(&strict, key, body).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert!(answer.body.contains("wamp.error.unavailable"), "{}", answer.body);
    }
    one.logged("a node is silent and given up");
    check_reports(&one.log(), &nats.url());
    nats.restart();
    until_peers(&one, 1).await;
    until_peers(&strict, 1).await;
    let number = until_received(&mut publisher, &mut remote, "open/a").await;
    assert!(number >= 1_000_000);
    assert!(status(&strict)["incidents"]["doubt"].as_u64() > Some(0));
    within("readiness", async { while ready(&strict).await != 200 {} }).await;
    // The same requests are handled now.
    for (key, body) in bodies.iter().enumerate() {
        let answer = keyed(&strict, key, body).await;
        assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None));
    }
}

/// Lines about a server of NATS that is away name it, and are logged at the 1st, 2nd, 4th … time.
fn check_reports(log: &str, url: &str) {
    let reports: Vec<_> = log.lines().filter(|it| it.contains("NATS cannot be used")).collect();
    assert!(!reports.is_empty(), "{log}");
    let mut last = std::collections::HashMap::new();
    let count = reports.len();
    for line in reports {
        assert!(line.contains(url), "{line}");
        let field = |name: &str| line.split_once(&format!(" {name}=")).unwrap().1;
        let times = field("times").split_whitespace().next().unwrap().parse::<u64>().unwrap();
        let reason = field("reason").split(" urls=").next().unwrap();
        let before = last.insert(reason, times).unwrap_or(0);
        assert!(times > before, "{log}");
    }
    // A server that is away is an event every few seconds, and several at first.
    let times: u64 = last.values().sum();
    assert!(times < 4 || (count as u64) < times, "{count} lines, {times} times: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_with_the_name_of_another_is_reported() {
    let nats = Nats::start();
    let [one, two] = ["web-1", "web-1"].map(|name| node(&nats, name));
    let other = node(&nats, "web-2");
    for node in [&one, &two] {
        node.logged("another running node has the name of this one");
    }
    until_peers(&other, 2).await;
    assert!(!other.log().contains("has the name of this one"));
}

/// Publishes over HTTP, with an idempotency key.
async fn keyed(server: &Server, key: usize, body: &str) -> Answer {
    let (bearer, key) = (format!("Bearer {TOKEN}"), key.to_string());
    let headers = [("Authorization", &*bearer), ("Idempotency-Key", &*key)];
    Http::connect(server.addr).await.post("/api/publish", &headers, body).await
}

async fn ready(server: &Server) -> u16 {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    http.answer().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_nats_and_joins_later() {
    let mut nats = Nats::start();
    nats.kill();
    let [one, other] = ["web-1", "web-2"].map(|name| node(&nats, name));
    one.logged("starting without them");
    let mut subscriber = join(&one).await;
    subscriber.subscribe("open/a", json!({})).await;
    nats.restart();
    until_peers(&one, 1).await;
    until_peers(&other, 1).await;
    let mut publisher = join(&other).await;
    publish(&mut publisher, "open/a", 0..5).await;
    for number in 0..5 {
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_servers_of_nats_may_be_killed() {
    let mut servers = Nats::three();
    let urls: Vec<String> = servers.iter().map(Nats::url).collect();
    let nodes = ["web-1", "web-2"].map(|name| Node::start(&config(name, &urls, "")));
    until_peers(&nodes[0], 1).await;
    until_peers(&nodes[1], 1).await;
    let mut subscriber = join(&nodes[0]).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(&nodes[1]).await;
    for server in &mut servers {
        server.kill();
        until_received(&mut publisher, &mut subscriber, "open/a").await;
        server.restart();
        until_peers(&nodes[0], 1).await;
        until_peers(&nodes[1], 1).await;
        until_received(&mut publisher, &mut subscriber, "open/a").await;
    }
}
