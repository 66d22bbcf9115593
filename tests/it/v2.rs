//! WAMP v2 against the real server, each test with every codec: sessions, subscriptions, refusals.
//! Receivers of a publication are in `v2/delivery.rs`, its forms in `v2/shapes.rs`, protocol
//! violations in `v2/violations.rs`.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::{Client, NoSession, Options, WampError};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

mod batched;
mod delivery;
mod passthru;
mod patterns;
mod shapes;
mod violations;

const REALM: &str = "realm1";

async fn join(server: &Server, codec: Codec) -> Client {
    Client::connect(server.addr, codec, REALM).await
}

/// Returns the error's URI, or fails the test.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, WampError>) -> String {
    let error = answer.expect_err("a refusal");
    let text = error.args[0].as_str().or(error.details["message"].as_str()).unwrap_or_default();
    assert!(!text.is_empty(), "no text for people: {error:?}");
    error.uri
}

#[tokio::test]
async fn a_session_from_hello_to_goodbye() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        assert!((1..=1 << 53).contains(&client.session()), "{}", client.session());
        let welcome = client.welcome();
        assert_eq!(welcome["realm"], REALM);
        assert_eq!(welcome["authrole"], "anonymous");
        assert_eq!(welcome["authmethod"], "anonymous");
        assert!(!welcome["authid"].as_str().unwrap().is_empty());
        assert!(welcome["agent"].as_str().unwrap().starts_with("Jackfield/"));
        let features = &welcome["roles"]["broker"]["features"];
        for feature in
            ["pattern_based_subscription", "publisher_exclusion", "subscriber_blackwhite_listing"]
        {
            assert_eq!(features[feature], true, "{welcome}");
        }
        assert_eq!(client.goodbye().await, "wamp.close.goodbye_and_out");
        assert!(matches!(client.ended().await, Ending::Clean { .. }), "{codec:?}");
    }
}

#[tokio::test]
async fn validates_realm_and_roles_of_hello() {
    let site = Site::open();
    let server = Server::configured(site.path(), "realms: [realm1, com.acme.shop]");
    let check = async |codec: Codec, realm: &str, details: Value, expect: Option<&str>| {
        let options = Options { details: details.clone(), ..Options::new(codec) };
        match (Client::connect_with(server.addr, codec, realm, options).await, expect) {
            (Ok(_), None) => {}
            (Err(NoSession::Aborted { reason, details }), Some(expect)) => {
                assert_eq!(reason, expect, "{realm} {details}");
                assert!(!details["message"].as_str().unwrap().is_empty(), "{realm}: {details}");
            }
            (answer, expect) => {
                let answer = answer.map(|_| "a session");
                panic!("{codec:?} {realm} {details}: {answer:?}, not {expect:?}");
            }
        }
    };
    let roles = json!({"publisher": {}});
    for codec in Codec::ALL {
        check(codec, REALM, json!({"roles": roles}), None).await;
        check(codec, "com.acme.shop", json!({"roles": roles}), None).await;
        check(codec, REALM, json!({"roles": {"unheard_of": {}}, "_x": [1]}), None).await;
        check(codec, REALM, json!({"roles": roles, "authmethods": []}), None).await;
        check(codec, REALM, json!({"roles": roles, "authmethods": null}), None).await;
        let methods = json!({"roles": roles, "authmethods": ["ticket", "anonymous"]});
        check(codec, REALM, methods, None).await;
        let methods = json!({"roles": roles, "authmethods": ["ticket"]});
        check(codec, REALM, methods, Some("wamp.error.no_matching_auth_method")).await;
        let roles = json!({"roles": roles});
        check(codec, "realm2", roles.clone(), Some("wamp.error.no_such_realm")).await;
        check(codec, "bad realm!", roles.clone(), Some("wamp.error.invalid_uri")).await;
        check(codec, "", roles, Some("wamp.error.invalid_uri")).await;
        let violation = Some("wamp.error.protocol_violation");
        check(codec, REALM, json!({}), violation).await;
        check(codec, REALM, json!({"roles": {}}), violation).await;
        check(codec, REALM, json!({"roles": null}), violation).await;
        check(codec, REALM, json!({"roles": ["publisher"]}), violation).await;
    }
}

#[tokio::test]
async fn isolates_realms() {
    let site = Site::open();
    let server = Server::configured(site.path(), "realms: [one, two]");
    let mut here = Client::connect(server.addr, Codec::Json, "one").await;
    let mut there = Client::connect(server.addr, Codec::Cbor, "two").await;
    here.subscribe("open/t", json!({})).await;
    there.subscribe("open/t", json!({})).await;
    let mut publisher = Client::connect(server.addr, Codec::MsgPack, "one").await;
    publisher.publish_acknowledged("open/t", json!({}), json!([1]), json!(null)).await.unwrap();
    assert_eq!(here.event().await.args, json!([1]));
    there.expect_no_event().await;
}

#[tokio::test]
async fn a_subscription_has_one_id_and_ends_once() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        let mut other = join(&server, codec).await;
        let exact = client.subscribe("open.a", json!({})).await;
        assert_eq!(client.subscribe("open.a", json!({})).await, exact);
        assert_eq!(client.subscribe("open.a", json!({"match": "exact"})).await, exact);
        assert_eq!(other.subscribe("open.a", json!({})).await, exact);
        let prefix = client.subscribe("open.a", json!({"match": "prefix"})).await;
        let wildcard = client.subscribe("open.a", json!({"match": "wildcard"})).await;
        let topic = client.subscribe("open.b", json!({})).await;
        let ids = std::collections::HashSet::from([exact, prefix, wildcard, topic]);
        assert_eq!(ids.len(), 4, "each topic and policy has its own: {ids:?}");
        // A repeated subscription has no effect.
        other.publish("open.b", json!({}), json!([1]), json!(null));
        assert_eq!(client.event().await.subscription, topic);
        client.expect_no_event().await;

        client.unsubscribe(topic).await.unwrap();
        assert_eq!(refused(client.unsubscribe(topic).await), "wamp.error.no_such_subscription");
        let foreign = refused(other.unsubscribe(prefix).await);
        assert_eq!(foreign, "wamp.error.no_such_subscription", "it is the other session's");
        assert_eq!(refused(client.unsubscribe(1 << 53).await), "wamp.error.no_such_subscription");
        other.publish_acknowledged("open.b", json!({}), json!([2]), json!(null)).await.unwrap();
        client.expect_no_event().await;
        // The other subscriptions stay.
        other.publish("open.a", json!({}), json!([3]), json!(null));
        let mut seen: Vec<_> = Vec::new();
        for _ in 0..3 {
            seen.push(client.event().await.subscription);
        }
        seen.sort_unstable();
        let mut all = vec![exact, prefix, wildcard];
        all.sort_unstable();
        assert_eq!(seen, all);
        other.expect_no_event().await;
    }
}

#[tokio::test]
async fn rejects_invalid_uris() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast");
    let invalid = "wamp.error.invalid_uri";
    // The text, and whether it is a URI, a prefix, a wildcard pattern.
    for (text, exact, prefix, wildcard) in [
        ("com.a", true, true, true),
        ("oro/ping/*", true, true, true),
        ("Ünï.Größe?x=1&y", true, true, true),
        ("", false, true, true),
        ("com.a.", false, true, true),
        ("com..a", false, false, true),
        ("..", false, false, true),
        (".com", false, false, true),
        ("com a", false, false, false),
        ("com.a#b", false, false, false),
        ("com.a\n", false, false, false),
    ] {
        for codec in Codec::ALL {
            let mut client = join(&server, codec).await;
            let mut check = async |options: Value, good: bool| {
                let answer = client.try_subscribe(text, options.clone()).await;
                match answer {
                    Ok(_) => assert!(good, "{text:?} {options}"),
                    answer => assert_eq!((refused(answer), good), (invalid.to_owned(), false)),
                }
            };
            check(json!({}), exact).await;
            check(json!({"match": "prefix"}), prefix).await;
            check(json!({"match": "wildcard"}), wildcard).await;
            let answer = client.publish_acknowledged(text, json!({}), json!(null), json!(null));
            match answer.await {
                Ok(_) => assert!(exact, "{text:?}"),
                answer => assert_eq!((refused(answer), exact), (invalid.to_owned(), false)),
            }
            // Without an acknowledgement there is no answer, and the session continues.
            client.publish(text, json!({}), json!(null), json!(null));
            client.round_trip().await;
        }
    }
}

#[tokio::test]
async fn refuses_topics_of_the_router() {
    let site = Site::open();
    let rule = "rules: [{ uri: wamp., match: prefix, allow: { subscribe: everyone } }]\n";
    let server = Server::configured(site.path(), &format!("unrouted: broadcast\n{rule}"));
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        let mut forger = join(&server, codec).await;
        client.subscribe("wamp.x", json!({})).await;
        client.subscribe("wamp", json!({"match": "prefix"})).await;
        for topic in ["wamp.session.on_join", "wamp.x", "wamp"] {
            let answer = forger.publish_acknowledged(topic, json!({}), json!([1]), json!(null));
            assert_eq!(refused(answer.await), "wamp.error.invalid_uri", "{topic}");
            forger.publish(topic, json!({}), json!([1]), json!(null));
        }
        let mut page = jackfield_tests::client::v1::Client::connect(server.addr).await;
        page.send_text(r#"[7,"wamp.session.on_join",{"session":1}]"#);
        page.round_trip().await;
        forger.round_trip().await;
        client.expect_no_event().await;
        let near = "wampum.x";
        forger.publish_acknowledged(near, json!({}), json!([1]), json!(null)).await.unwrap();
        assert_eq!(client.event().await.details["topic"], near, "the prefix is one of text");
    }
}

#[tokio::test]
async fn topics_without_a_route_are_refused_or_open_as_configured() {
    let site = Site::open();
    let refusing = Server::start(site.path());
    let open = Server::configured(site.path(), "unrouted: broadcast");
    for codec in Codec::ALL {
        let mut client = join(&refusing, codec).await;
        let no_route = "jackfield.error.no_route";
        assert_eq!(refused(client.try_subscribe("nowhere", json!({})).await), no_route);
        let answer = client.publish_acknowledged("nowhere", json!({}), json!([1]), json!(null));
        assert_eq!(refused(answer.await), no_route);
        client.publish("nowhere", json!({}), json!([1]), json!(null));
        // A pattern is not a topic; it matches topics with a route.
        client.subscribe("", json!({"match": "prefix"})).await;
        client.publish("nowhere", json!({"exclude_me": false}), json!([2]), json!(null));
        client.publish("open/t", json!({"exclude_me": false}), json!([3]), json!(null));
        assert_eq!(client.event().await.args, json!([3]));
        client.expect_no_event().await;

        let mut client = join(&open, codec).await;
        client.subscribe("nowhere", json!({})).await;
        client.subscribe("now", json!({"match": "prefix"})).await;
        let mut publisher = join(&open, codec).await;
        publisher
            .publish_acknowledged("nowhere", json!({}), json!([1]), json!(null))
            .await
            .unwrap();
        let (first, second) = (client.event().await, client.event().await);
        assert_eq!((first.args, second.args), (json!([1]), json!([1])));
        client.expect_no_event().await;
    }
}

#[tokio::test]
async fn a_handlers_refusal_is_the_answer_to_the_request() {
    let routes = "\
test.inbox:
    channel: 'inbox/{user_id}'
    handler: { callback: 'secured' }
test.chat:
    channel: 'chat/{room}'
    handler: { callback: 'chat' }
test.members:
    channel: 'members'
    handler: { callback: 'broadcast' }
    allow: { subscribe: [anonymous], publish: [member] }
";
    let site = Site::open();
    site.bundle("guarded", routes, &[build::plugin("secured"), build::plugin("chat")]);
    let server = Server::start(site.path());
    let not_authorized = "wamp.error.not_authorized";
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        assert_eq!(refused(client.try_subscribe("inbox/7", json!({})).await), not_authorized);
        client.subscribe("members", json!({})).await;
        for (topic, event) in [("members", json!(1)), ("chat/a", json!({"text": "hi"}))] {
            let answer = client.publish_acknowledged(topic, json!({}), json!([event]), json!(null));
            assert_eq!(refused(answer.await), not_authorized, "{topic}");
        }
        // A pattern does not match topics whose handler checks each subscriber.
        client.subscribe("", json!({"match": "prefix"})).await;
        let mut other = join(&server, codec).await;
        for topic in ["inbox/7", "open/t"] {
            other.publish_acknowledged(topic, json!({}), json!([1]), json!(null)).await.unwrap();
        }
        assert_eq!(client.event().await.details["topic"], "open/t");
        client.expect_no_event().await;
    }
}

#[tokio::test]
async fn refuses_unknown_procedures() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        for (request, code, uri) in [
            (json!([48, 1, {}, "com.acme.sum", [1, 2]]), 48, "wamp.error.no_such_procedure"),
            (json!([48, 2, {}, "open/t"]), 48, "wamp.error.no_such_procedure"),
            (json!([64, 3, {}, "com.acme.sum"]), 64, "jackfield.error.no_route"),
            (json!([66, 4, 77]), 66, "wamp.error.no_such_registration"),
        ] {
            client.send(&request);
            let answer = client.message().await;
            let expect = json!([8, code, request[1], answer[3], uri, answer[5]]);
            assert_eq!(answer, expect, "{codec:?}");
            assert!(!answer[5][0].as_str().unwrap().is_empty(), "{answer}");
        }
        // No callee is invoked, and there is no answer.
        client.send(&json!([49, 1, {"mode": "kill"}]));
        client.send(&json!([70, 1, {}, [1]]));
        client.send(&json!([8, 68, 1, {}, "com.acme.error"]));
        client.round_trip().await;
        client.subscribe("open/t", json!({})).await;
    }
}
