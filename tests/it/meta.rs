//! Meta API: procedures and events about sessions, subscriptions and registrations, and testaments.

use serde_json::{Value, json};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const OPEN: &str = "unrouted: broadcast
rules:
  - { uri: wamp., match: prefix, allow: { call: [anonymous], subscribe: everyone } }
";
const CLOSED: &str = "unrouted: broadcast
rules:
  - { uri: '', match: prefix, allow: { call: everyone, subscribe: everyone } }
  - { uri: wamp.session.count, allow: { call: [ops] } }
";
const ARGUMENT: &str = "wamp.error.invalid_argument";

fn serve(config: &str) -> (Site, Server) {
    let site = Site::new();
    let server = Server::configured(site.path(), config);
    (site, server)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Calls, and returns the first value of the result.
async fn ask(client: &mut Client, procedure: &str, args: Value) -> Result<Value, WampError> {
    let answer = client.call(&format!("wamp.{procedure}"), json!({}), args, Value::Null).await;
    answer.map(|(args, _)| args[0].clone())
}

async fn error(client: &mut Client, procedure: &str, args: Value) -> (String, String) {
    let error = ask(client, procedure, args).await.unwrap_err();
    (error.uri, error.args[0].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn is_closed_unless_a_rule_opens_it() {
    for config in ["unrouted: broadcast\n", CLOSED] {
        let (_site, server) = serve(config);
        let mut client = join(&server).await;
        for procedure in
            ["session.count", "session.kill_all", "subscription.list", "registration.get"]
        {
            let (uri, message) = error(&mut client, procedure, json!([])).await;
            assert_eq!(uri, "wamp.error.not_authorized", "{procedure}");
            assert!(message.contains(procedure), "{message}");
        }
        for topic in ["wamp.session.on_join", "wamp.registration.on_delete"] {
            let refused = client.try_subscribe(topic, json!({})).await.unwrap_err();
            assert_eq!(refused.uri, "wamp.error.not_authorized", "{topic}");
        }
        let (uri, _) = error(&mut client, "session.sing", json!([])).await;
        assert_eq!(uri, "wamp.error.not_authorized", "it does not tell which ones exist");
    }
}

#[tokio::test]
async fn lists_and_ends_sessions() {
    let (_site, server) = serve(OPEN);
    let (mut ops, mut other) = (join(&server).await, join(&server).await);
    let _page = v1::Client::connect(server.addr).await;
    assert_eq!(ask(&mut ops, "session.count", json!([])).await.unwrap(), 3);
    assert_eq!(ask(&mut ops, "session.count", json!([["ghost"]])).await.unwrap(), 0);
    let ids = ask(&mut ops, "session.list", json!([["anonymous"]])).await.unwrap();
    assert!(ids.as_array().unwrap().contains(&json!(other.session())), "{ids}");
    let (uri, _) = error(&mut ops, "session.sing", json!([])).await;
    assert_eq!(uri, "wamp.error.no_such_procedure");
    let details = ask(&mut ops, "session.get", json!([other.session()])).await.unwrap();
    assert_eq!(details["session"], other.session());
    assert_eq!(details["authrole"], "anonymous");
    assert_eq!(details["transport"]["protocol"], "wamp.2.json");

    for (args, uri, text) in [
        (json!([]), ARGUMENT, "found nothing"),
        (json!(["x"]), ARGUMENT, "found \"x\""),
        (json!([1.5]), ARGUMENT, "found 1.5"),
        (json!([-1]), ARGUMENT, "found -1"),
        (json!([7]), "wamp.error.no_such_session", "session 7"),
        (json!([ops.session()]), "wamp.error.no_such_session", "session"),
    ] {
        let (found, message) = error(&mut ops, "session.kill", args.clone()).await;
        assert_eq!(found, uri, "{args}");
        assert!(message.contains(text), "{args}: {message}");
    }
    for kwargs in [json!({"message": "m".repeat(1025)}), json!({"reason": "r".repeat(1025)})] {
        let args = json!([other.session()]);
        let refused = ops.call("wamp.session.kill", json!({}), args, kwargs).await.unwrap_err();
        assert_eq!(refused.uri, ARGUMENT);
        assert!(refused.args[0].as_str().unwrap().len() < 200, "{refused:?}");
    }
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    assert_eq!(error(&mut ops, "session.count", json!([many])).await.0, ARGUMENT);
    // It is meant for `kill`.
    let (uri, message) = error(&mut ops, "session.kill_all", json!([other.session()])).await;
    assert!(uri == ARGUMENT && message.contains("argument 1 must be left out"), "{message}");
    let wrong = json!({"reason": "not a uri"});
    let kill = |args: Value| (json!({}), args, wrong.clone());
    let (options, args, kwargs) = kill(json!([other.session()]));
    let refused = ops.call("wamp.session.kill", options, args, kwargs).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.invalid_uri");
    ask(&mut ops, "session.kill", json!([other.session()])).await.unwrap();
    assert_eq!(other.dismissed().await, "wamp.close.killed");
    server.logged("a client has ended sessions");

    let mut third = join(&server).await;
    let why = json!({"reason": "com.acme.bye", "message": "later"});
    let (args, _) = ops.call("wamp.session.kill_all", json!({}), json!([]), why).await.unwrap();
    assert_eq!(args, json!([2]), "the page and the third client");
    assert_eq!(third.dismissed().await, "com.acme.bye");
}

#[tokio::test]
async fn shows_subscriptions_and_registrations() {
    let (_site, server) = serve(OPEN);
    let (mut ops, mut other) = (join(&server).await, join(&server).await);
    let exact = other.subscribe("com.a", json!({})).await;
    let prefix = other.subscribe("com.", json!({"match": "prefix"})).await;
    ops.subscribe("wamp.subscription.on_create", json!({})).await;
    let list = ask(&mut ops, "subscription.list", json!([])).await.unwrap();
    assert_eq!(list, json!({"exact": [exact], "prefix": [prefix], "wildcard": []}));
    let found = ask(&mut ops, "subscription.lookup", json!(["com.a"])).await.unwrap();
    assert_eq!(found, exact);
    let options = json!({"match": "prefix"});
    let found = ask(&mut ops, "subscription.lookup", json!(["com.", options])).await.unwrap();
    assert_eq!(found, prefix);
    let found = ask(&mut ops, "subscription.match", json!(["com.a"])).await.unwrap();
    assert_eq!(found, json!([exact, prefix]));
    assert_eq!(ask(&mut ops, "subscription.match", json!(["x.a"])).await.unwrap(), Value::Null);
    let facts = ask(&mut ops, "subscription.get", json!([prefix])).await.unwrap();
    assert_eq!((&facts["uri"], &facts["match"]), (&json!("com."), &json!("prefix")));
    assert!(facts["created"].as_str().unwrap().starts_with("20"), "{facts}");
    let sessions = ask(&mut ops, "subscription.list_subscribers", json!([exact])).await.unwrap();
    assert_eq!(sessions, json!([other.session()]));
    let count = ask(&mut ops, "subscription.count_subscribers", json!([exact])).await.unwrap();
    assert_eq!(count, 1);
    let (uri, _) = error(&mut ops, "subscription.get", json!([99])).await;
    assert_eq!(uri, "wamp.error.no_such_subscription");

    let id = other.register("com.p", json!({"invoke": "roundrobin"})).await.unwrap();
    let list = ask(&mut ops, "registration.list", json!([])).await.unwrap();
    assert_eq!(list["exact"], json!([id]));
    assert_eq!(ask(&mut ops, "registration.lookup", json!(["com.p"])).await.unwrap(), id);
    assert_eq!(ask(&mut ops, "registration.match", json!(["com.p"])).await.unwrap(), id);
    assert_eq!(ask(&mut ops, "registration.match", json!(["no"])).await.unwrap(), Value::Null);
    let facts = ask(&mut ops, "registration.get", json!([id])).await.unwrap();
    assert_eq!((&facts["uri"], &facts["invoke"]), (&json!("com.p"), &json!("roundrobin")));
    let callees = ask(&mut ops, "registration.list_callees", json!([id])).await.unwrap();
    assert_eq!(callees, json!([other.session()]));
    let (uri, _) = error(&mut ops, "registration.count_callees", json!([99])).await;
    assert_eq!(uri, "wamp.error.no_such_registration");
    let wrong = json!(["com.p", {"match": "regex"}]);
    let (uri, message) = error(&mut ops, "registration.lookup", wrong).await;
    assert_eq!(uri, ARGUMENT);
    assert!(message.contains("regex"), "{message}");
}

#[tokio::test]
async fn publishes_changes_in_order_by_name() {
    let (_site, server) = serve(OPEN);
    let (mut ops, mut pattern) = (join(&server).await, join(&server).await);
    // A pattern of all topics gets no meta event.
    pattern.subscribe("", json!({"match": "prefix"})).await;
    let mut topics = Vec::new();
    for topic in [
        "session.on_join",
        "session.on_leave",
        "subscription.on_create",
        "subscription.on_subscribe",
        "subscription.on_unsubscribe",
        "subscription.on_delete",
        "registration.on_create",
        "registration.on_register",
        "registration.on_unregister",
        "registration.on_delete",
    ] {
        topics.push((ops.subscribe(&format!("wamp.{topic}"), json!({})).await, topic));
    }
    let mut client = join(&server).await;
    let session = client.session();
    let subscription = client.subscribe("com.a", json!({})).await;
    let registration = client.register("com.p", json!({})).await.unwrap();
    client.goodbye().await;
    let mut seen = Vec::new();
    for _ in 0..10 {
        let event = ops.event().await;
        let topic = topics.iter().find(|(id, _)| *id == event.subscription).unwrap().1;
        seen.push(topic);
        match topic {
            "session.on_join" => assert_eq!(event.args[0]["session"], session),
            "session.on_leave" => {
                assert_eq!(event.args[0], session);
                assert_eq!(event.args[2], "anonymous");
            }
            "subscription.on_create" => assert_eq!(event.args[1]["uri"], "com.a"),
            "registration.on_create" => {
                assert_eq!(
                    (&event.args[1]["uri"], &event.args[1]["invoke"]),
                    (&json!("com.p"), &json!("single"))
                );
            }
            topic if topic.starts_with("subscription") => {
                assert_eq!(event.args, json!([session, subscription]));
            }
            _ => assert_eq!(event.args, json!([session, registration])),
        }
    }
    assert_eq!(
        seen,
        [
            "session.on_join",
            "subscription.on_create",
            "subscription.on_subscribe",
            "registration.on_create",
            "registration.on_register",
            "subscription.on_unsubscribe",
            "subscription.on_delete",
            "registration.on_unregister",
            "registration.on_delete",
            "session.on_leave",
        ]
    );
    pattern.expect_no_event().await;
    // A client cannot forge one.
    let forged = pattern
        .publish_acknowledged("wamp.session.on_join", json!({}), json!([1]), Value::Null)
        .await;
    assert_eq!(forged.unwrap_err().uri, "wamp.error.invalid_uri");
}

#[tokio::test]
async fn publishes_testaments_at_the_end_of_their_session() {
    let (_site, server) = serve(OPEN);
    let mut reader = join(&server).await;
    reader.subscribe("com.last", json!({})).await;
    for is_clean in [true, false] {
        let mut client = join(&server).await;
        let add = "wamp.session.add_testament";
        for (word, kwargs) in [
            ("second", json!({})),
            ("first", json!({"scope": "detached"})),
            ("third", json!({"scope": "destroyed", "publish_options": {"disclose_me": true}})),
            ("hidden", json!({"publish_options": {"eligible": [client.session()]}})),
        ] {
            let args = json!(["com.last", [word], {"k": 1}]);
            client.call(add, json!({}), args, kwargs).await.unwrap();
        }
        reader.round_trip().await;
        assert_eq!(reader.try_message(), None);
        let session = client.session();
        if is_clean {
            client.goodbye().await;
        } else {
            drop(client);
        }
        for word in ["first", "second", "third"] {
            let event = reader.event().await;
            assert_eq!((&event.args, &event.kwargs), (&json!([word]), &json!({"k": 1})));
            let publisher = if word == "third" { json!(session) } else { Value::Null };
            assert_eq!(event.details["publisher"], publisher);
        }
    }
    let mut client = join(&server).await;
    for (args, kwargs, text) in [
        (json!([]), json!({}), "the topic"),
        (json!(["com.last"]), json!({"scope": "never"}), "\"never\""),
        (json!(["com.last", {"a": 1, "b": 2}, [1]]), json!({}), "PUBLISH.Argument"),
        (json!(["com.last"]), json!({"publish_options": {"exclude": "x"}}), "PUBLISH.Options"),
        (json!(["com.last", [1]]), json!({"publish_options": {"ppt_scheme": "wamp"}}), "packed"),
    ] {
        let refused = client.call("wamp.session.add_testament", json!({}), args, kwargs).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.uri, ARGUMENT);
        assert!(refused.args[0].as_str().unwrap().contains(text), "{refused:?}");
    }
    let (uri, _) = error(&mut client, "session.add_testament", json!(["wamp.x", []])).await;
    assert_eq!(uri, "wamp.error.invalid_uri");
    for _ in 0..100 {
        ask(&mut client, "session.add_testament", json!(["com.last"])).await.unwrap();
    }
    let (uri, message) = error(&mut client, "session.add_testament", json!(["com.last"])).await;
    assert_eq!(uri, "wamp.error.unavailable");
    assert!(message.contains("(100)"), "{message}");
    ask(&mut client, "session.flush_testaments", json!([])).await.unwrap();
    client.goodbye().await;
    reader.expect_no_event().await;
}

#[tokio::test]
async fn every_procedure_of_the_table_is_answered() {
    let (_site, server) = serve(OPEN);
    let mut client = join(&server).await;
    let guide =
        std::fs::read_to_string(jackfield_tests::build::root().join("docs/wamp-support.md"));
    let guide = guide.unwrap();
    let mut count = 0;
    for group in ["session", "subscription", "registration"] {
        let row = guide.lines().find(|line| line.starts_with(&format!("| `wamp.{group}.` |")));
        let procedures = row.unwrap().split('|').nth(2).unwrap();
        for name in procedures.split(',').map(|name| name.trim().trim_matches('`')) {
            let procedure = format!("{group}.{name}");
            let answer = ask(&mut client, &procedure, json!([])).await;
            let is_unknown = answer.is_err_and(|it| it.uri == "wamp.error.no_such_procedure");
            assert!(!is_unknown, "{procedure}");
            count += 1;
        }
    }
    assert_eq!(count, 21);
}

/// A route of all topics takes none of the router itself, and a rule for them opens nothing else.
#[tokio::test]
async fn routes_and_patterns_do_not_reach_it() {
    let site = Site::new();
    let route = "all: { channel: '{name<.+>}', handler: { callback: broadcast } }\n";
    site.bundle("all", route, &[jackfield_tests::build::plugin("broadcast")]);
    let rules = "rules:\n  - { uri: wamp., match: prefix, allow: { call: [ops], register: everyone } }\n\
                 allow: { register: [ops] }\n";
    let server = Server::configured(site.path(), rules);
    let mut client = join(&server).await;
    let (uri, _) = error(&mut client, "session.count", json!([])).await;
    assert_eq!(uri, "wamp.error.not_authorized");
    let refused = client.try_subscribe("wamp.session.on_join", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.not_authorized");
    let pattern = client.register("", json!({"match": "prefix"})).await.unwrap_err();
    assert_eq!(pattern.uri, "wamp.error.not_authorized");
    // WAMP v1 has no keyword arguments, and reads null as an error.
    let mut page = v1::Client::connect(server.addr).await;
    assert!(page.call("wamp.session.count", &[]).await.is_err());
}

/// One client with many subscriptions that ends makes thousands of events at once.
#[tokio::test]
async fn an_observer_that_reads_gets_the_events_of_a_large_end() {
    let (_site, server) = serve(OPEN);
    let mut ops = join(&server).await;
    ops.subscribe("wamp.subscription.on_delete", json!({})).await;
    let mut client = join(&server).await;
    for number in 0..900 {
        client.subscribe(&format!("com.a{number}"), json!({})).await;
    }
    client.goodbye().await;
    for _ in 0..900 {
        ops.event().await;
    }
}

#[tokio::test]
async fn takes_no_call_in_parts() {
    let (_site, server) = serve(OPEN);
    let mut client = join(&server).await;
    let request = client.next_request();
    client.send(&json!([48, request, {"progress": true}, "wamp.session.count"]));
    assert_eq!(client.message().await[4], "wamp.error.feature_not_supported");
}

#[tokio::test]
async fn third_party_clients_use_it() {
    let (_site, server) = serve(OPEN);
    let mut reader = join(&server).await;
    reader.subscribe("com.last", json!({})).await;
    for library in [
        Library::AutobahnPython(Codec::Json),
        Library::XconnPython(Codec::Cbor),
        Library::AutobahnJs(Codec::MsgPack),
        Library::Wampy(Codec::Json),
    ] {
        let mut peer = Peer::join(library, server.addr).await;
        let count = peer.call("wamp.session.count", json!([]), json!({})).await;
        assert_eq!(count["args"], json!([2]), "{library:?}");
        let args = json!(["com.last", ["bye"], {}]);
        peer.call("wamp.session.add_testament", args, json!({"scope": "detached"})).await;
        peer.leave().await;
        assert_eq!(reader.event().await.args, json!(["bye"]), "{library:?}");
    }
}
