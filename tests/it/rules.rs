//! Rules for topics and procedures without a route (`rules`): by URI pattern, of one realm or all.

use std::fs;

use serde_json::{Value, json};

use crate::commands::{Answer, jackfield};
use crate::control::ask;
use crate::principals::{join_realm, ticket_of};
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PRINCIPALS: &str = "\
principals:
    ann: { roles: [shop], ticket: letmein }
    bob: { roles: [staff], ticket: letmein }
";

/// Settings with the rules: for single topics first.
fn settings(site: &Site, rules: &str) -> String {
    let file = site.path().join("principals.yml");
    fs::write(&file, PRINCIPALS).unwrap();
    format!(
        "realms: [realm1, shop]\nauth: {{ principals: {} }}\naccess: {{ anonymous: true }}\n\
         allow: {{ publish: [], register: [] }}\nrules:\n{rules}",
        file.display()
    )
}

async fn join(server: &Server, realm: &str, name: &str) -> Client {
    join_realm(server, realm, ticket_of(name), "letmein").await.unwrap()
}

/// Whether a publication is accepted; the URI of the refusal otherwise.
async fn publish(client: &mut Client, topic: &str) -> Result<(), String> {
    let answer = client.publish_acknowledged(topic, json!({}), json!([1]), json!({})).await;
    answer.map(drop).map_err(|refused| refused.uri)
}

const DENIED: &str = "wamp.error.not_authorized";
const NO_ROUTE: &str = "jackfield.error.no_route";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rule_that_matches_decides() {
    let site = Site::open();
    let rules = "\
- { uri: com.shop.price, allow: { publish: [staff], subscribe: everyone } }
- { uri: com..status, match: wildcard, allow: { publish: [shop, staff], subscribe: everyone } }
- { uri: com.shop., match: prefix, allow: { publish: [shop], subscribe: [shop] } }
";
    let server = Server::configured(site.path(), &settings(&site, rules));
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    for (topic, of_ann, of_bob) in [
        ("com.shop.price", Err(DENIED), Ok(())),
        ("com.shop.status", Ok(()), Ok(())),
        ("com.other.status", Ok(()), Ok(())),
        ("com.shop.order", Ok(()), Err(DENIED)),
        ("com.other.order", Err(NO_ROUTE), Err(NO_ROUTE)),
        ("com.a.b.status", Err(NO_ROUTE), Err(NO_ROUTE)),
    ] {
        for (client, expect) in [(&mut ann, of_ann), (&mut bob, of_bob)] {
            let published = publish(client, topic).await;
            assert_eq!(published.as_ref().copied().map_err(String::as_str), expect, "{topic}");
        }
    }
    // What a rule does not list is for nobody; a pattern gets what its role may see.
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.register("com.shop.price", json!({})).await.unwrap_err().uri, DENIED);
    }
    bob.subscribe("com.shop.price", json!({})).await;
    assert_eq!(bob.try_subscribe("com.shop.order", json!({})).await.unwrap_err().uri, DENIED);
    assert_eq!(bob.try_subscribe("com.none", json!({})).await.unwrap_err().uri, NO_ROUTE);
    bob.subscribe("com.", json!({ "match": "prefix" })).await;
    publish(&mut ann, "com.shop.order").await.unwrap();
    bob.expect_no_event().await;
    publish(&mut ann, "com.shop.status").await.unwrap();
    assert_eq!(bob.event().await.details["topic"], "com.shop.status");

    let (_, found) =
        ask(&server.control_socket(), "GET", "/v1/match?topic=com.shop.order", "").await;
    let rule = json!({ "uri": "com.shop.", "match": "prefix", "realm": null });
    assert_eq!(found["broadcast"]["rule"], rule, "{found}");
    assert_eq!(found["broadcast"]["allow"]["publish"], json!(["shop"]));
    assert_eq!(found["broadcast"]["allow_from"]["publish"], "rule");
    assert_eq!(found["broadcast"]["allow"]["register"], json!([]), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_registrations_follow_rules() {
    let site = Site::open();
    let rules = "\
- { uri: com.math., match: prefix, allow: { call: [shop], register: [staff] } }
";
    let server = Server::configured(site.path(), &settings(&site, rules));
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    assert_eq!(ann.register("com.math.add", json!({})).await.unwrap_err().uri, DENIED);
    assert_eq!(ann.register("com.", json!({ "match": "prefix" })).await.unwrap_err().uri, DENIED);
    // A pattern is called only for procedures that its callee may register by name.
    bob.register("", json!({ "match": "prefix" })).await.unwrap();
    let refused = ann.call("com.other.add", json!({}), json!([]), json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.no_such_procedure");
    let refused = bob.call("com.math.add", json!({}), json!([]), json!({})).await.unwrap_err();
    assert_eq!(refused.uri, DENIED);
    ann.send(&json!([48, 90, {}, "com.math.add", [1, 2]]));
    let invocation = bob.invocation().await;
    bob.send(&json!([70, invocation[1], {}, [3]]));
    assert_eq!(ann.message().await, json!([50, 90, {}, [3]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_can_be_of_one_realm() {
    let site = Site::open();
    let rules = "\
- { uri: com., match: prefix, realm: shop, allow: { publish: [staff] } }
- { uri: com., match: prefix, allow: { publish: [shop] } }
";
    let server = Server::configured(site.path(), &settings(&site, rules));
    for (realm, name, expect) in [
        ("shop", "ann", Err(DENIED)),
        ("shop", "bob", Ok(())),
        ("realm1", "ann", Ok(())),
        ("realm1", "bob", Err(DENIED)),
    ] {
        let mut client = join(&server, realm, name).await;
        let published = publish(&mut client, "com.a").await;
        assert_eq!(published.as_ref().copied().map_err(String::as_str), expect, "{realm}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_rule_ends_subscriptions_and_registrations() {
    let site = Site::open();
    let all = "- { uri: com., match: prefix, allow: { publish: everyone, subscribe: everyone, call: everyone, register: everyone } }\n";
    let server = Server::configured(site.path(), &settings(&site, all));
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    ann.subscribe("com.a", json!({})).await;
    ann.register("com.f", json!({})).await.unwrap();
    ann.subscribe("", json!({ "match": "prefix" })).await;
    publish(&mut bob, "com.a").await.unwrap();
    ann.event().await;
    ann.event().await;
    let before = server.log().len();
    // A rule that no longer names com.a for subscribers and callees.
    let less = "- { uri: com., match: prefix, allow: { publish: everyone, call: everyone } }\n";
    server.reconfigure(&settings(&site, less));
    server.logged_after(before, "settings changed: rules");
    publish(&mut bob, "com.a").await.unwrap();
    ann.expect_no_event().await;
    assert_eq!(ann.try_subscribe("com.a", json!({})).await.unwrap_err().uri, DENIED);
    let refused = bob.call("com.f", json!({}), json!([]), json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.no_such_procedure");
    assert_eq!(ann.register("com.f", json!({})).await.unwrap_err().uri, DENIED);
}

#[test]
fn errors_of_rules_have_their_place() {
    let site = Site::open();
    let rules = "\
- { uri: com.a b, allow: { call: [x] } }
- { uri: com.a., allow: { call: [x] } }
- { uri: com., match: prefix, realm: nowhere, allow: { call: [x] } }
- { uri: com., match: prefix, allow: { call: [x] } }
- { uri: com.b, allow: { call: [x] } }
- { uri: com.c, allow: { cal: [x] } }
- { uri: com.d }
- { uri: com.e.*, allow: {} }
- { uri: com.f, allow: { call: everybody } }
- { uri: com.g, allow: { call: [everyone] } }
";
    site.write("jackfield.yml", settings(&site, rules));
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(1), "{out}");
    for error in [
        "`com.a b` is not a URI for `match: exact`",
        "there is no realm `nowhere`",
        "rule 5 has no effect: rule 4 comes first",
        "a star in `com.e.*` is plain text",
        "`everybody` is no list of roles",
        "write everyone without brackets",
    ] {
        assert!(out.contains(error), "{error}\n{out}");
    }
    let valid = settings(&site, "- { uri: com., match: prefix, allow: { call: [x] } }\n");
    site.write("jackfield.yml", valid);
    let Answer { out, .. } = jackfield("match", site.path(), &["com.a"]);
    let rule = "`com.a` has no route; the rule `com.` (match: prefix) of the configuration applies";
    assert!(out.contains(rule), "{out}");
    assert!(out.contains("subscribe: none; publish: none; call: x; register: none"), "{out}");
    let Answer { out, .. } = jackfield("match", site.path(), &["com.a", "--json"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["unrouted"]["allow_from"]["call"], "rule", "{shown}");
    let Answer { code, err, .. } =
        jackfield("match", site.path(), &["com.a", "--realm", "nowhere"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no realm `nowhere`"), "{err}");
}
