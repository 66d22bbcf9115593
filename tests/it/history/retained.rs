//! Retained events and `wamp.subscription.get_events`, in all serializers and with clients of others.

use serde_json::{Value, json};

use super::{TOKEN, TOKENS, join, publish, site, stream};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::Client;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;

const EVENTS: &str = "wamp.subscription.get_events";

async fn retain(client: &mut Client, topic: &str, args: Value) -> u64 {
    let options = json!({ "retain": true });
    client.publish_acknowledged(topic, options, args, Value::Null).await.unwrap()
}

/// Returns arguments and details of the next event.
async fn next(client: &mut Client) -> (Value, Value) {
    let event = client.event().await;
    (event.args, event.details)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_retained_event_is_sent_to_those_who_ask_for_it() {
    let site = site();
    let server = Server::configured(site.path(), TOKENS);
    let mut publisher = join(&server, Codec::MsgPack).await;
    let (wish, retained) = (json!({ "get_retained": true }), json!({ "retained": true }));
    for codec in Codec::ALL {
        let (topic, kept) = (format!("plain/{codec:?}"), format!("kept/{codec:?}"));
        retain(&mut publisher, &topic, json!(["old"])).await;
        let sent = retain(&mut publisher, &topic, json!(["new", { "a": [null] }])).await;
        publish(&mut publisher, &topic, json!(["not retained"])).await;
        retain(&mut publisher, &kept, json!(["state"])).await;
        publish(&mut publisher, &kept, json!(["event"])).await;

        let mut client = join(&server, codec).await;
        for feature in ["event_retention", "event_history"] {
            assert_eq!(client.welcome()["roles"]["broker"]["features"][feature], true);
        }
        client.subscribe(&topic, wish.clone()).await;
        let event = client.event().await;
        assert_eq!(event.publication, sent, "it is the same publication");
        assert_eq!(
            (event.args, event.details),
            (json!(["new", { "a": [null] }]), retained.clone())
        );
        client.subscribe(&kept, wish.clone()).await;
        assert_eq!(next(&mut client).await, (json!(["state"]), retained.clone()));
        retain(&mut publisher, &topic, json!(["live"])).await;
        assert_eq!(next(&mut client).await, (json!(["live"]), json!({})));

        let mut other = join(&server, codec).await;
        other.subscribe(&topic, json!({})).await;
        other.expect_no_event().await;
        // What it has missed is not sent twice.
        let begin = json!({ "_since": {}, "get_retained": true });
        other.subscribe(&kept, begin).await;
        assert_eq!(next(&mut other).await, (json!(["state"]), retained.clone()));
        assert_eq!(stream(&mut other).await["offset"], 2);
    }

    // Patterns get all of them, and a backend can retain.
    let mut backend = Http::connect(server.addr).await;
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", &*token)];
    let body = json!({ "topic": "plain/http", "args": ["b"], "retain": true });
    assert_eq!(backend.post("/api/publish", &headers, &body.to_string()).await.status, 200);
    let mut client = join(&server, Codec::Cbor).await;
    client.subscribe("plain/", json!({ "match": "prefix", "get_retained": true })).await;
    for _ in Codec::ALL {
        assert_eq!(next(&mut client).await.0, json!(["live"]));
    }
    let details = json!({ "topic": "plain/http", "retained": true });
    assert_eq!(next(&mut client).await, (json!(["b"]), details));
    client.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_events_as_a_leak() {
    let site = site();
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    let wish = json!({ "get_retained": true });
    for topic in ["members/a", "inbox/7"] {
        retain(&mut publisher, topic, json!(["secret"])).await;
        let mut eve = join(&server, Codec::Cbor).await;
        eve.try_subscribe(topic, wish.clone()).await.unwrap_err();
        for (pattern, policy) in [(topic, "prefix"), ("", "prefix"), ("", "wildcard")] {
            eve.subscribe(pattern, json!({ "match": policy, "get_retained": true })).await;
        }
        eve.expect_no_event().await;
    }
    // What the handler refuses, changes or drops.
    let refused = json!(["@@REFUSED-000001"]);
    let options = json!({ "retain": true, "acknowledge": true });
    publisher.publish_acknowledged("words/a", options, refused, Value::Null).await.unwrap_err();
    let mut eve = join(&server, Codec::Json).await;
    eve.subscribe("words/a", wish.clone()).await;
    eve.expect_no_event().await;
    // Who may not publish retains nothing: topics of the router.
    let options = json!({ "retain": true });
    let sent = publisher.publish_acknowledged("wamp.a", options, json!(["x"]), Value::Null).await;
    assert_eq!(sent.unwrap_err().uri, "wamp.error.invalid_uri");
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_events_survive_a_clean_stop() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let config =
        format!("data: '{}'\nshutdown: {{ spread: 0 }}\n", data.path().join("d").display());
    let mut server = Server::configured(site.path(), &config);
    let mut publisher = join(&server, Codec::Json).await;
    for topic in ["plain/a", "kept/a"] {
        retain(&mut publisher, topic, json!([topic])).await;
    }
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let server = Server::configured(site.path(), &config);
    let mut client = join(&server, Codec::Json).await;
    for topic in ["plain/a", "kept/a"] {
        client.subscribe(topic, json!({ "get_retained": true })).await;
        assert_eq!(next(&mut client).await, (json!([topic]), json!({ "retained": true })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_read_the_events_of_their_subscription() {
    let site = site();
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let options = json!({ "disclose_me": number == 3 });
        let sent = publisher.publish_acknowledged(
            "kept/a",
            options,
            json!([number]),
            json!({ "k": number }),
        );
        ids.push(sent.await.unwrap());
    }
    let options = json!({ "eligible_authid": ["somebody else"] });
    publisher.publish_acknowledged("kept/a", options, json!([4]), Value::Null).await.unwrap();
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        let subscription = client.subscribe("kept/a", json!({})).await;
        let mut numbers = async |args: Value, kwargs: Value| {
            let (result, more) = client.call(EVENTS, json!({}), args, kwargs).await.unwrap();
            assert_eq!((result.as_array().unwrap().len(), more), (1, Value::Null));
            let events = result[0].as_array().unwrap();
            events.iter().map(|it| it["args"][0].as_u64().unwrap()).collect::<Vec<_>>()
        };
        let one = json!([subscription]);
        assert_eq!(numbers(one.clone(), Value::Null).await, [1, 2, 3]);
        assert_eq!(numbers(json!([subscription, 2]), Value::Null).await, [3, 2], "as Crossbar");
        let cases = [
            (json!({ "limit": 2 }), vec![1, 2]),
            (json!({ "limit": 1, "reverse": true }), vec![3]),
            (json!({ "after_publication": ids[0] }), vec![2, 3]),
            (json!({ "from_publication": ids[1], "until_publication": ids[1] }), vec![2]),
            (json!({ "before_publication": ids[2], "reverse": true }), vec![2, 1]),
            (json!({ "from_time": "2020-01-01T00:00:00Z" }), vec![1, 2, 3]),
            (json!({ "before_time": "2020-01-01T00:00:00.5+02:00", "limit": null }), vec![]),
            (json!({ "topic": "kept/a" }), vec![1, 2, 3]),
            (json!({ "topic": "kept/b" }), vec![]),
        ];
        for (kwargs, expect) in cases {
            assert_eq!(numbers(one.clone(), kwargs.clone()).await, expect, "{kwargs}");
        }
        let (result, _) =
            client.call(EVENTS, json!({}), json!([subscription, 1]), Value::Null).await.unwrap();
        let last = &result[0][0];
        let timestamp = last["timestamp"].as_str().unwrap();
        let details = json!({
            "publisher": publisher.session(), "publisher_authid": last["details"]["publisher_authid"],
            "publisher_authrole": "anonymous",
        });
        let expect = json!({
            "timestamp": timestamp, "subscription": subscription, "publication": ids[2],
            "topic": "kept/a", "details": details, "args": [3], "kwargs": { "k": 3 },
        });
        assert_eq!(last, &expect);
        // Its own time finds it.
        let at = json!({ "from_time": timestamp, "until_time": timestamp });
        let (result, _) = client.call(EVENTS, json!({}), one.clone(), at).await.unwrap();
        assert!(result[0].as_array().unwrap().contains(last));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_subscribers_read_the_events_and_only_of_topics_with_a_history() {
    let site = site();
    let server = Server::start(site.path());
    let mut ann = join(&server, Codec::Json).await;
    let subscription = ann.subscribe("kept/a", json!({})).await;
    let mut eve = join(&server, Codec::Json).await;
    let plain = eve.subscribe("plain/a", json!({})).await;
    let pattern = eve.subscribe("kept/", json!({ "match": "prefix" })).await;
    let cases = [
        (json!([subscription]), Value::Null, "wamp.error.no_such_subscription"),
        (json!([plain]), Value::Null, "wamp.error.history_unavailable"),
        (json!([pattern]), Value::Null, "wamp.error.history_unavailable"),
        (json!([]), Value::Null, "wamp.error.invalid_argument"),
        (json!(["kept/a"]), Value::Null, "wamp.error.invalid_argument"),
        (json!([0]), Value::Null, "wamp.error.invalid_argument"),
        (json!([plain]), json!({ "lmit": 1 }), "wamp.error.invalid_argument"),
    ];
    for (args, kwargs, uri) in cases {
        let refused = eve.call(EVENTS, json!({}), args.clone(), kwargs).await.unwrap_err();
        assert_eq!(refused.uri, uri, "{args}");
    }
    for kwargs in [json!({ "from_time": "yesterday" }), json!({ "after_publication": 7 })] {
        let refused = ann.call(EVENTS, json!({}), json!([subscription]), kwargs).await;
        assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_argument");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_retain_and_read() {
    let site = site();
    let server = Server::start(site.path());
    // Wampy 8.0.2 checks the option `retain`, and does not send it.
    let libraries = Library::all_v2().filter(|it| !matches!(it, Library::Wampy(_)));
    for (library, number) in libraries.zip(0..) {
        let topic = format!("kept.{number}");
        let mut publisher = Peer::join(library, server.addr).await;
        let options = json!({ "acknowledge": true, "retain": true });
        publisher.publish(&topic, json!(["state"]), json!({}), options).await;
        let mut peer = Peer::join(library, server.addr).await;
        let wish = json!({ "get_retained": true });
        let subscribed = peer.subscribe(&topic, wish).await;
        let (_, args, _) = peer.event().await;
        assert_eq!(args, json!(["state"]), "{library:?}");
        let arguments = json!([subscribed["subscription"], 1]);
        let result = peer.call(EVENTS, arguments, json!({})).await;
        assert_eq!(result["args"][0][0]["args"], json!(["state"]), "{library:?}: {result}");
    }
}
