//! Shares of clients: one client that uses up its share of a realm's totals leaves room for all
//! others.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const UNAVAILABLE: &str = "wamp.error.unavailable";

/// Checks the error URI of a client, by user or address, at its share.
fn refused<T: std::fmt::Debug>(answer: Result<T, WampError>) {
    assert_eq!(answer.unwrap_err().uri, UNAVAILABLE);
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

async fn join(server: &Server, from: u8) -> Client {
    let mut options = Options::new(Codec::Json);
    options.handshake.source = Some(address(from));
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap()
}

async fn page(server: &Server, from: u8) -> v1::Client {
    let mut options = v1::Options::default();
    options.handshake.source = Some(address(from));
    let mut page = v1::Client::connect_with(server.addr, options).await.unwrap();
    page.session().await;
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_use_up_the_subscriptions_of_a_realm() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { realm_subscriptions: 40 }\n");
    let mut greedy = Vec::new();
    for session in 0..10 {
        let mut client = join(&server, 1).await;
        client.subscribe(&format!("open/{session}"), json!({})).await;
        greedy.push(client);
    }
    for client in &mut greedy {
        let error = client.try_subscribe("open/more", json!({})).await.unwrap_err();
        assert_eq!(error.uri, UNAVAILABLE);
        refused(client.try_subscribe("open/", json!({"match": "prefix"})).await);
    }
    let mut visitor = join(&server, 2).await;
    visitor.subscribe("open/a", json!({})).await;
    let mut old = page(&server, 3).await;
    old.subscribe("open/a");
    old.round_trip().await;
    visitor.publish("open/a", json!({"exclude_me": false}), json!(["both"]), Value::Null);
    assert_eq!(visitor.event().await.args[0], "both");
    assert_eq!(old.event().await.event, "both");
    // A page of version 1 at the address of the greedy sessions has no room; it is not
    // disconnected.
    let mut near = page(&server, 1).await;
    near.subscribe("open/a");
    near.round_trip().await;
    // The places of a session are free again when it ends.
    drop(greedy.pop());
    let mut freed = join(&server, 1).await;
    let freed = async { while freed.try_subscribe("open/b", json!({})).await.is_err() {} };
    within("the share of the session that ended", freed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_use_up_the_registrations_and_wildcards_of_a_realm() {
    let site = Site::open();
    let limits = "limits: { realm_subscriptions: 400000, patterns: 1000, client_percent: 1 }\n";
    let server = Server::configured(site.path(), limits);
    let wildcard = json!({"match": "wildcard"});
    let mut greedy = join(&server, 1).await;
    // A hundredth of the wildcards of a realm.
    for number in 0..100 {
        greedy.subscribe(&format!("open/.{number}"), wildcard.clone()).await;
        greedy.register(&format!("open/.{number}"), wildcard.clone()).await.unwrap();
    }
    let mut second = join(&server, 1).await;
    for client in [&mut greedy, &mut second] {
        refused(client.try_subscribe("open/.more", wildcard.clone()).await);
        refused(client.register("open/.more", wildcard.clone()).await);
    }
    // An existing wildcard takes no further place.
    second.subscribe("open/.1", wildcard.clone()).await;
    let mut visitor = join(&server, 2).await;
    visitor.subscribe("open/.more", wildcard.clone()).await;
    visitor.register("open/.more", wildcard).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topics_of_a_realm_have_a_limit_of_which_one_address_has_a_share() {
    let site = Site::open();
    let config = "limits: { realm_topics: 8, client_percent: 50 }\nmetrics: { enabled: true }\n";
    let server = Server::configured(site.path(), config);
    let mut greedy = join(&server, 1).await;
    for number in 0..4 {
        greedy.subscribe(&format!("open/{number}"), json!({})).await;
    }
    let error = greedy.try_subscribe("open/more", json!({})).await.unwrap_err();
    assert_eq!(error.uri, UNAVAILABLE);
    let mut visitor = join(&server, 2).await;
    // A topic that has subscribers takes no further place.
    visitor.subscribe("open/0", json!({})).await;
    for number in 4..8 {
        visitor.subscribe(&format!("open/{number}"), json!({})).await;
    }
    greedy.subscribe("open/4", json!({})).await;
    let mut third = join(&server, 3).await;
    let error = third.try_subscribe("open/8", json!({})).await.unwrap_err();
    assert!(format!("{error:?}").contains("limits.realm_topics = 8"), "{error:?}");
    // Clients of WAMP v1 get no subscription, and stay.
    let mut old = page(&server, 3).await;
    old.subscribe("open/8");
    old.round_trip().await;
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let metrics = http.answer().await.body;
    for line in [
        "jackfield_topics{realm=\"realm1\"} 8",
        "jackfield_topic_limit{realm=\"realm1\"} 8",
        "jackfield_refusals_total{kind=\"subscribe\",reason=\"client_share\"} 1",
        "jackfield_refusals_total{kind=\"subscribe\",reason=\"realm_limit\"} 2",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    // The last subscriber frees the place of a topic.
    drop(visitor);
    let freed = async { while third.try_subscribe("open/8", json!({})).await.is_err() {} };
    within("the topics of the session that ended", freed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_use_up_the_open_calls_of_a_realm() {
    const CALLEES: usize = 10;
    // 2000 pending calls of a realm, and 200 of a callee.
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { client_percent: 2 }\n");
    let mut callees = Vec::new();
    for number in 0..CALLEES {
        let mut callee = join(&server, 9).await;
        callee.register(&format!("open/p{number}"), json!({})).await.unwrap();
        callees.push(callee);
    }
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let client = join(&server, 1).await;
        for request in 0..500 {
            let procedure = format!("open/p{}", request % CALLEES);
            // Ids that differ from those of its later requests.
            client.send(&json!([48, request + 1_000, {}, procedure]));
        }
        greedy.push(client);
    }
    for client in &mut greedy {
        client.round_trip().await;
    }
    for client in &mut greedy {
        refused(client.call("open/p0", json!({}), json!([]), Value::Null).await);
    }
    let error = page(&server, 1).await.call("open/p1", &[]).await.unwrap_err();
    assert!(format!("{error:?}").contains("client's share"), "{error:?}");
    // Other clients call each callee, in both versions.
    for (number, callee) in callees.iter_mut().enumerate() {
        let procedure = format!("open/p{number}");
        let mut visitor = join(&server, 2).await;
        let mut old = page(&server, 3).await;
        let arguments = [json!("mine")];
        let answering = async {
            for _ in 0..2 {
                let invocation = loop {
                    let invocation = callee.invocation().await;
                    if invocation.get(4).is_some_and(|args| args[0] == "mine") {
                        break invocation;
                    }
                };
                callee.send(&json!([70, invocation[1], {}, ["done"]]));
            }
        };
        let (first, second, ()) = tokio::join!(
            visitor.call(&procedure, json!({}), json!(["mine"]), Value::Null),
            old.call(&procedure, &arguments),
            answering
        );
        assert_eq!(first.unwrap().0, json!(["done"]));
        second.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_without_room_does_not_reach_its_handler() {
    let site = Site::open();
    let routes = "chat: { channel: 'chat/{room}', handler: { callback: 'chat' } }\n";
    site.bundle("chat", routes, &[build::plugin("chat")]);
    let server = Server::configured(site.path(), "limits: { subscriptions: 1 }\n");
    let mut member = join(&server, 1).await;
    member.subscribe("chat/kitchen", json!({})).await;
    assert_eq!(member.event().await.args[0]["type"], "history");
    let mut full = join(&server, 2).await;
    full.subscribe("open/a", json!({})).await;
    refused(full.try_subscribe("chat/kitchen", json!({})).await);
    // The room has no such member: only members may publish.
    let args = json!([{"text": "hello"}]);
    let spoken = full.publish_acknowledged("chat/kitchen", json!({}), args, Value::Null).await;
    assert_eq!(spoken.unwrap_err().uri, "wamp.error.not_authorized");
    member.expect_no_event().await;
}
