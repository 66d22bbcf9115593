//! Events between nodes: order, patterns, receivers, sizes, and the moment from which they come.

use serde_json::{Value, json};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options};

use super::{Nats, Node, TOKEN, config, join, node, publish, status, until_peers};

/// The node of the sender decides: the other one has no levels.
#[tokio::test(flavor = "multi_thread")]
async fn trust_levels_pass_between_nodes() {
    let nats = Nats::start();
    let urls = [nats.url()];
    let levels = "trust_levels: { anonymous: 4 }\n";
    let one = Node::start(&(config("web-1", &urls, "") + levels));
    let other = Node::start(&config("web-2", &urls, ""));
    until_peers(&one, 1).await;
    until_peers(&other, 1).await;
    let mut options = Options::new(Codec::Cbor);
    options.details["roles"] = json!({
        "subscriber": { "features": { "publication_trustlevels": true } },
        "callee": { "features": { "call_trustlevels": true } },
    });
    let receiver = Client::connect_with(other.addr, Codec::Cbor, "realm1", options).await;
    let mut receiver = receiver.unwrap();
    receiver.subscribe("open/a", json!({})).await;
    receiver.register("open/b", json!({})).await.unwrap();
    for (server, expect) in [(&one, json!({ "trustlevel": 4 })), (&other, json!({}))] {
        let mut sender = join(server).await;
        let forged = json!({ "_jackfield_trustlevel": 9, "acknowledge": true });
        sender.publish("open/a", forged.clone(), json!([1]), Value::Null);
        assert_eq!(receiver.event().await.details, expect);
        sender.send(&json!([48, 70, forged, "open/b", [1]]));
        let invocation = receiver.invocation().await;
        assert_eq!(invocation[3], expect);
        receiver.send(&json!([70, invocation[1], {}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_of_all_nodes_get_the_events_in_order() {
    let nats = Nats::start();
    let servers = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let mut subscribers = Vec::new();
    for server in &servers {
        for (codec, topic, policy) in [
            (Codec::Json, "open/a", "exact"),
            (Codec::MsgPack, "open/", "prefix"),
            (Codec::Cbor, "open/a", "exact"),
        ] {
            let mut client = Client::connect(server.addr, codec, "realm1").await;
            client.subscribe(topic, json!({ "match": policy })).await;
            subscribers.push(client);
        }
    }
    let mut pages = Vec::new();
    for server in &servers {
        let mut page = v1::Client::connect(server.addr).await;
        page.subscribe("open/a");
        page.round_trip().await;
        pages.push(page);
    }
    let mut publisher = join(&servers[1]).await;
    publish(&mut publisher, "open/a", 0..200).await;
    // A page of version 1 publishes as well.
    let mut old = v1::Client::connect(servers[2].addr).await;
    old.publish("open/a", &json!("of a page"), &Reach::Plain);
    old.round_trip().await;
    for client in &mut subscribers {
        let mut numbers = Vec::new();
        let mut of_page = 0;
        while numbers.len() + of_page < 201 {
            match &client.event().await.args[0] {
                Value::String(_) => of_page += 1,
                number => numbers.push(number.as_u64().unwrap()),
            }
        }
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    }
    for page in &mut pages {
        let mut numbers = Vec::new();
        while numbers.len() < 200 {
            numbers.extend(page.event().await.event.as_u64());
        }
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    }
    let state = status(&servers[0]);
    assert_eq!(
        (&state["node"], &state["pipe"], &state["lost"]),
        (&json!("web-1"), &json!("working"), &json!(0))
    );
    let mut names: Vec<_> =
        state["peers"].as_array().unwrap().iter().map(|it| &it["node"]).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, [&json!("web-2"), &json!("web-3")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_acknowledged_after_subscribed_arrive() {
    let nats = Nats::start();
    let servers = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut subscriber = join(&servers[0]).await;
    let mut publisher = join(&servers[1]).await;
    for number in 0..100_u64 {
        let topic = format!("open/{number}");
        // A wildcard by components, of which this topic has one.
        let (uri, policy) = match number % 3 {
            0 => (topic.as_str(), "exact"),
            1 => (topic.as_str(), "prefix"),
            _ => ("", "wildcard"),
        };
        let subscription = subscriber.subscribe(uri, json!({ "match": policy })).await;
        publish(&mut publisher, &topic, number..number + 1).await;
        assert_eq!(subscriber.event().await.args, json!([number]), "{topic}");
        subscriber.unsubscribe(subscription).await.unwrap();
    }
    assert_eq!(status(&servers[0])["incidents"]["late"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_and_publishers_are_the_same_on_every_node() {
    let nats = Nats::start();
    let servers = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut publisher = join(&servers[0]).await;
    let [mut one, mut other] = [join(&servers[1]).await, join(&servers[1]).await];
    for client in [&mut publisher, &mut one, &mut other] {
        client.subscribe("open/a", json!({})).await;
    }
    let [one_id, other_id] = [one.session(), other.session()];
    let other_authid = other.welcome()["authid"].clone();
    for (options, args) in [
        (json!({ "exclude": [other_id] }), json!(["one"])),
        (json!({ "eligible": [one_id] }), json!(["one"])),
        (json!({ "exclude_authid": [other_authid] }), json!(["one"])),
        (json!({ "eligible_authid": [other_authid] }), json!(["other"])),
        (json!({ "exclude_authrole": ["anonymous"] }), json!(["nobody"])),
        (json!({ "disclose_me": true, "exclude_me": false }), json!(["all"])),
    ] {
        publisher.publish_acknowledged("open/a", options, args, Value::Null).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(one.event().await.args, json!(["one"]));
    }
    let event = one.event().await;
    assert_eq!(event.args, json!(["all"]));
    assert_eq!(event.details["publisher"], publisher.session());
    assert_eq!(other.event().await.args, json!(["other"]));
    assert_eq!(other.event().await.args, json!(["all"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_and_those_of_backends_cross_nodes() {
    let nats = Nats::start();
    let servers = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut subscriber = join(&servers[1]).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(&servers[0]).await;
    let long = "x".repeat(700_000);
    for _ in 0..5 {
        let args = json!([long]);
        publisher.publish_acknowledged("open/a", json!({}), args, Value::Null).await.unwrap();
    }
    let mut http = Http::connect(servers[0].addr).await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str())];
    let body = r#"{"topic": "open/a", "args": ["of a backend"]}"#;
    let answer = http.post("/api/publish", &headers, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for _ in 0..5 {
        assert_eq!(subscriber.event().await.args, json!([long]));
    }
    assert_eq!(subscriber.event().await.args, json!(["of a backend"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_leaves_and_a_new_one_joins() {
    let nats = Nats::start();
    let one = node(&nats, "web-1");
    let mut other = node(&nats, "web-2");
    let mut subscriber = join(&one).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(&other).await;
    publish(&mut publisher, "open/a", 0..50).await;
    other.signal("TERM");
    assert_eq!(other.exit_code(), Some(0));
    one.logged("a node has left");
    for number in 0..50 {
        assert_eq!(subscriber.event().await.args, json!([number]), "nothing is lost at a stop");
    }
    let third = node(&nats, "web-2");
    until_peers(&one, 1).await;
    let mut publisher = join(&third).await;
    publish(&mut publisher, "open/a", 50..60).await;
    for number in 50..60 {
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    let state = status(&one);
    assert_eq!((&state["incidents"]["doubt"], &state["lost"]), (&json!(0), &json!(0)), "{state}");
}

/// What the limits of a client refuse is not announced: it would fill the tables of all nodes.
#[tokio::test(flavor = "multi_thread")]
async fn refused_subscriptions_are_not_announced() {
    let nats = Nats::start();
    let limits = "limits: { subscriptions: 3 }\n";
    let one = Node::start(&(config("web-1", &[nats.url()], "") + limits));
    let other = node(&nats, "web-2");
    let mut client = join(&one).await;
    for (policy, beginning) in [("exact", "open/"), ("prefix", "open.")] {
        for number in 0..50 {
            let topic = format!("{beginning}{number}");
            let _refused = client.try_subscribe(&topic, json!({ "match": policy })).await;
        }
    }
    // Announcements come before an event that is published behind them.
    let mut subscriber = join(&other).await;
    subscriber.subscribe("open/end", json!({})).await;
    publish(&mut client, "open/end", 0..1).await;
    subscriber.event().await;
    assert_eq!(status(&other)["peers"][0]["topics"], 3);
}
