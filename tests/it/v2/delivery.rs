//! Receivers of a publication: acknowledgement, exclude and eligible lists, patterns, order.

use serde_json::{Value, json};

use super::{join, refused};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Replaces `"$0"` by the first client's session, `"@0"` by its authid.
fn filled(options: &Value, clients: &[Client]) -> Value {
    match options {
        Value::String(text) => {
            let client = |index: &str| &clients[index.parse::<usize>().unwrap()];
            match (text.strip_prefix('$'), text.strip_prefix('@')) {
                (Some(index), _) => json!(client(index).session()),
                (_, Some(index)) => client(index).welcome()["authid"].clone(),
                (None, None) => options.clone(),
            }
        }
        Value::Array(items) => items.iter().map(|item| filled(item, clients)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), filled(value, clients))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => options.clone(),
    }
}

#[tokio::test]
async fn exclude_and_eligible_lists_select_receivers() {
    let site = Site::open();
    let server = Server::start(site.path());
    // Each uses another codec, so that ids are compared by value.
    let mut clients = Vec::new();
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        client.subscribe("open/t", json!({})).await;
        clients.push(client);
    }
    // PUBLISH options of the first of three subscribers, and the receivers.
    let cases: &[(Value, &[usize])] = &[
        (json!({}), &[1, 2]),
        (json!({"exclude_me": true}), &[1, 2]),
        (json!({"exclude_me": false}), &[0, 1, 2]),
        (json!({"exclude": []}), &[1, 2]),
        (json!({"exclude": ["$1"]}), &[2]),
        (json!({"exclude": ["$1", "$2", 7]}), &[]),
        (json!({"exclude": ["$0"], "exclude_me": false}), &[1, 2]),
        (json!({"eligible": ["$1"]}), &[1]),
        (json!({"eligible": ["$0", "$1"]}), &[1]),
        (json!({"eligible": ["$0"], "exclude_me": false}), &[0]),
        (json!({"eligible": [7]}), &[]),
        (json!({"eligible": []}), &[1, 2]),
        (json!({"eligible": ["$1", "$2"], "exclude": ["$2"]}), &[1]),
        (json!({"exclude_authid": ["@1"]}), &[2]),
        (json!({"exclude_authid": ["@1", "nobody"]}), &[2]),
        (json!({"eligible_authid": ["@2"]}), &[2]),
        (json!({"eligible_authid": ["nobody"]}), &[]),
        (json!({"eligible_authid": []}), &[1, 2]),
        (json!({"exclude_authrole": ["anonymous"]}), &[]),
        (json!({"exclude_authrole": ["admin"]}), &[1, 2]),
        (json!({"eligible_authrole": ["anonymous"]}), &[1, 2]),
        (json!({"eligible_authrole": ["admin"]}), &[]),
        (json!({"eligible_authrole": ["anonymous"], "exclude_authid": ["@1"]}), &[2]),
        (json!({"eligible": ["$1"], "eligible_authid": ["@2"]}), &[]),
        // Unset options, as some libraries send them.
        (
            json!({
                "exclude": null, "exclude_me": null, "eligible": null, "eligible_authid": null,
                "exclude_authrole": null, "acknowledge": null, "retain": null, "_own": {"a": []},
            }),
            &[1, 2],
        ),
    ];
    for publisher in 0..3 {
        for (number, (options, expect)) in cases.iter().enumerate() {
            let options = filled(options, &clients);
            clients[0].publish("open/t", options.clone(), json!([number]), json!(null));
            clients[0].round_trip().await;
            for (index, client) in clients.iter_mut().enumerate() {
                if expect.contains(&index) {
                    let args = client.event().await.args;
                    assert_eq!(args, json!([number]), "{index}: {options}, turn {publisher}");
                }
                client.expect_no_event().await;
            }
        }
        // The next codec publishes.
        clients.rotate_left(1);
    }
}

#[tokio::test]
async fn acknowledges_publications_on_request_only() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut publisher = join(&server, codec).await;
        let mut subscriber = join(&server, codec).await;
        subscriber.subscribe("open/t", json!({})).await;
        let answer =
            publisher.publish_acknowledged("open/t", json!({}), json!([1]), json!(null)).await;
        let publication = answer.unwrap();
        assert!((1..=1 << 53).contains(&publication), "{publication}");
        assert_eq!(subscriber.event().await.publication, publication);
        for options in [json!({}), json!({"acknowledge": false}), json!({"acknowledge": null})] {
            let request = publisher.publish("open/t", options.clone(), json!([2]), json!(null));
            let request = json!(request);
            publisher.send(&json!([16, request, options, "nowhere", [3]]));
            publisher.send(&json!([48, 99, {}, "round.trip"]));
            let next = publisher.message().await;
            assert_eq!((&next[0], &next[1]), (&json!(8), &json!(48)), "{options}: {next}");
            assert_eq!(subscriber.event().await.args, json!([2]));
        }
        // A publication without subscribers is not an error.
        publisher.publish_acknowledged("open/x", json!({}), json!([1]), json!(null)).await.unwrap();
        subscriber.expect_no_event().await;
    }
}

#[tokio::test]
async fn discloses_publishers_on_request() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut subscriber = join(&server, Codec::Json).await;
    subscriber.subscribe("open/t", json!({})).await;
    for codec in Codec::ALL {
        let publisher = join(&server, codec).await;
        let named = json!({
            "publisher": publisher.session(),
            "publisher_authid": publisher.welcome()["authid"],
            "publisher_authrole": "anonymous",
        });
        for (wish, due) in
            [(json!(true), &named), (json!(false), &json!({})), (json!(null), &json!({}))]
        {
            let message = json!([16, 1, {"disclose_me": wish}, "open/t", [1]]);
            publisher.send(&message);
            assert_eq!(subscriber.event().await.details, *due, "{codec:?} {wish}");
        }
    }
}

#[tokio::test]
async fn patterns_match_as_the_specification_says() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast");
    // Policy, pattern, topic, and whether it matches.
    let cases = [
        ("exact", "a.b", "a.b", true),
        ("exact", "a.b", "a.b.c", false),
        ("prefix", "a.b", "a.b", true),
        ("prefix", "a.b", "a.b.c", true),
        ("prefix", "a.b", "a.bc", true),
        ("prefix", "a.b.", "a.bc", false),
        ("prefix", "a.b.", "a.b.c", true),
        ("prefix", "a.b", "a", false),
        ("prefix", "", "anything", true),
        ("wildcard", "a..c", "a.b.c", true),
        ("wildcard", "a..c", "a.b.x.c", false),
        ("wildcard", "a..c", "a.c", false),
        ("wildcard", "a.b", "a.b", true),
        ("wildcard", "..", "a.b.c", true),
        ("wildcard", "..", "a.b", false),
        ("wildcard", "", "a", true),
        ("wildcard", ".b.", "a.b.c", true),
        ("wildcard", ".b.", "a.x.c", false),
    ];
    for codec in Codec::ALL {
        let mut publisher = join(&server, codec).await;
        for (policy, pattern, topic, expect) in cases {
            let mut client = join(&server, codec).await;
            client.subscribe(pattern, json!({"match": policy})).await;
            let options = json!({});
            publisher.publish_acknowledged(topic, options, json!([1]), json!(null)).await.unwrap();
            if expect {
                let event = client.event().await;
                let told = event.details.get("topic").cloned();
                let due = (policy != "exact").then(|| json!(topic));
                assert_eq!(told, due, "Details.topic of {policy} {pattern:?}");
            }
            client.expect_no_event().await;
        }
    }
}

#[tokio::test]
async fn every_matching_subscription_receives_the_same_publication() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        let mut publisher = join(&server, codec).await;
        let exact = client.subscribe("open.a.b", json!({"match": null})).await;
        let prefix = client.subscribe("open.", json!({"match": "prefix"})).await;
        let wildcard = client.subscribe("open..b", json!({"match": "wildcard"})).await;
        let answer =
            publisher.publish_acknowledged("open.a.b", json!({}), json!([1]), json!(null)).await;
        let publication = answer.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let event = client.event().await;
            assert_eq!((event.publication, &event.args), (publication, &json!([1])));
            let topic = event.details.get("topic").and_then(Value::as_str);
            assert_eq!(topic.is_none(), event.subscription == exact, "{event:?}");
            assert!(topic.is_none_or(|topic| topic == "open.a.b"));
            seen.push(event.subscription);
        }
        seen.sort_unstable();
        let mut all = vec![exact, prefix, wildcard];
        all.sort_unstable();
        assert_eq!(seen, all);
        client.expect_no_event().await;
    }
}

#[tokio::test]
async fn events_follow_subscribed_in_order_across_topics() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        // Subscribed while events are published; each topic's first event shows that SUBSCRIBED
        // came first, because the client would not know its subscription otherwise.
        let topics: Vec<_> = (0..5).map(|number| format!("open/{codec:?}-{number}")).collect();
        for (request, topic) in topics.iter().enumerate() {
            client.send(&json!([32, request + 1, {}, topic]));
        }
        for number in 0..500 {
            publisher.publish(&topics[number % 5], json!({}), json!([number]), json!(null));
        }
        let (mut known, mut last) = (Vec::new(), None);
        loop {
            let message = client.message().await;
            match message[0].as_u64() {
                Some(33) => {
                    known.push(message[2].clone());
                    // Not earlier: the publisher may overtake a SUBSCRIBE on a busy machine.
                    if known.len() == topics.len() {
                        publisher.publish(&topics[0], json!({}), json!(["end"]), json!(null));
                    }
                }
                Some(36) if message[4] == json!(["end"]) => break,
                Some(36) => {
                    assert!(known.contains(&message[1]), "EVENT before SUBSCRIBED: {message}");
                    let number = message[4][0].as_u64();
                    assert!(number > last, "{codec:?}: {number:?} after {last:?}");
                    last = number;
                }
                _ => panic!("unasked for: {message}"),
            }
        }
    }
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { subscriptions: 3 }");
    let mut client = join(&server, Codec::Json).await;
    let mut ids = Vec::new();
    for topic in ["open/a", "open/b", "open/c"] {
        ids.push(client.subscribe(topic, json!({})).await);
    }
    let answer = client.try_subscribe("open/d", json!({})).await;
    assert_eq!(refused(answer), "wamp.error.unavailable");
    assert_eq!(client.subscribe("open/a", json!({})).await, ids[0], "it is no new one");
    client.unsubscribe(ids[1]).await.unwrap();
    client.subscribe("open/d", json!({})).await;
}
