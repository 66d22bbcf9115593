//! Prefix and wildcard subscriptions: their events if roles limit subscribing, and the limits of
//! one session and of all.

use serde_json::{Value, json};

use super::{join, refused};
use crate::reload::reloading;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PATTERNS: [(&str, &str); 2] = [("prefix", "com.pat."), ("wildcard", "com..")];

async fn publish(publisher: &mut Client, topic: &str) {
    let answer = publisher.publish_acknowledged(topic, json!({}), json!([1]), Value::Null);
    answer.await.unwrap();
}

/// The roles of a pattern's subscriber are checked at each publication.
#[tokio::test(flavor = "multi_thread")]
async fn pattern_subscriptions_follow_the_roles_that_a_reload_changes() {
    let site = Site::open();
    let routes = |role: &str| {
        format!(
            "pat: {{ channel: 'com.pat.{{name}}', handler: {{ callback: 'broadcast' }}, \
             allow: {{ subscribe: [{role}], publish: [anonymous] }} }}\n"
        )
    };
    site.bundle("pat", &routes("anonymous"), &[]);
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    let mut subscriber = join(&server, Codec::Cbor).await;
    for (policy, pattern) in PATTERNS {
        subscriber.subscribe(pattern, json!({"match": policy})).await;
    }
    let mut round = 0;
    for (role, received) in [("anonymous", true), ("staff", false), ("anonymous", true)] {
        reloading(&server, || {
            round += 1;
            site.write("pat/websocket_routing.yml", routes(role) + &format!("# {round}\n"));
        });
        publish(&mut publisher, "com.pat.x").await;
        for _ in PATTERNS.iter().filter(|_| received) {
            assert_eq!(subscriber.event().await.details["topic"], "com.pat.x");
        }
        subscriber.expect_no_event().await;
    }
}

/// The default of `allow` applies to routes without roles, and to topics without a route.
#[tokio::test]
async fn patterns_follow_the_operators_default() {
    for (role, received) in [("anonymous", true), ("staff", false)] {
        let site = Site::open();
        let settings = format!("unrouted: broadcast\nallow: {{ subscribe: [{role}] }}\n");
        let server = Server::configured(site.path(), &settings);
        let mut publisher = join(&server, Codec::Json).await;
        let mut subscriber = join(&server, Codec::Json).await;
        subscriber.subscribe("", json!({"match": "prefix"})).await;
        for topic in ["open/a", "free.x"] {
            publish(&mut publisher, topic).await;
            if received {
                assert_eq!(subscriber.event().await.details["topic"], topic);
            }
            subscriber.expect_no_event().await;
        }
    }
}

/// A session that may register no procedure does not block a pattern for others.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_register_roles_registers_no_patterns() {
    let site = Site::open();
    let routes = |role: &str| {
        format!(
            "pat: {{ channel: 'com.pat.{{name}}', handler: {{ callback: 'broadcast' }}, \
             allow: {{ register: [{role}] }} }}\n"
        )
    };
    site.bundle("pat", &routes("staff"), &[]);
    let server = Server::configured(site.path(), "allow: { register: [staff] }\n");
    let mut client = join(&server, Codec::Json).await;
    for (policy, pattern) in PATTERNS {
        let answer = client.register(pattern, json!({"match": policy})).await;
        assert_eq!(refused(answer), "wamp.error.not_authorized");
    }
    reloading(&server, || site.write("pat/websocket_routing.yml", routes("anonymous")));
    for (policy, pattern) in PATTERNS {
        client.register(pattern, json!({"match": policy})).await.unwrap();
    }
}

#[tokio::test]
async fn a_realm_bounds_the_subscriptions_of_all_sessions() {
    let site = Site::open();
    let server =
        Server::configured(site.path(), "limits: { realm_subscriptions: 2, client_percent: 100 }");
    let mut first = join(&server, Codec::Json).await;
    let mut second = join(&server, Codec::Json).await;
    let held = first.subscribe("open/a", json!({})).await;
    second.subscribe("open/a", json!({})).await;
    let answer = second.try_subscribe("open/b", json!({})).await;
    assert_eq!(refused(answer), "wamp.error.unavailable");
    first.register("open/x", json!({})).await.unwrap();
    second.register("open/y", json!({})).await.unwrap();
    assert_eq!(refused(first.register("open/z", json!({})).await), "wamp.error.unavailable");
    first.unsubscribe(held).await.unwrap();
    second.subscribe("open/b", json!({})).await;
}

#[tokio::test]
async fn topics_with_a_subscribe_hook_are_closed_to_patterns() {
    let site = Site::open();
    let routes = "inbox: { channel: 'inbox/{user_id}', handler: { callback: 'secured' }, \
                  allow: { subscribe: [anonymous], publish: [anonymous] } }\n";
    site.bundle("inbox", routes, &[build::plugin("secured")]);
    let server = Server::start(site.path());
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("inbox/", json!({"match": "prefix"})).await;
    let mut publisher = join(&server, Codec::Json).await;
    publish(&mut publisher, "inbox/7").await;
    client.expect_no_event().await;
}

#[tokio::test]
async fn patterns_are_bounded() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { patterns: 2 }");
    let mut client = join(&server, Codec::Json).await;
    let wildcard = json!({"match": "wildcard"});
    let longest = ["a"; 16].join(".");
    client.subscribe(&longest, wildcard.clone()).await;
    let answer = client.try_subscribe(&format!("{longest}."), wildcard.clone()).await;
    assert_eq!(refused(answer), "wamp.error.invalid_uri");
    client.subscribe("a", json!({"match": "prefix"})).await;
    for policy in ["prefix", "wildcard"] {
        let answer = client.try_subscribe("b", json!({"match": policy})).await;
        assert_eq!(refused(answer), "wamp.error.unavailable");
    }
    client.subscribe("open/b", json!({})).await;
    for (procedure, policy) in [("a", "prefix"), ("b", "wildcard")] {
        client.register(procedure, json!({"match": policy})).await.unwrap();
    }
    let answer = client.register("c", json!({"match": "prefix"})).await;
    assert_eq!(refused(answer), "wamp.error.unavailable");
    let answer = client.register(&format!("{longest}."), wildcard).await;
    assert_eq!(refused(answer), "wamp.error.invalid_uri");
}
