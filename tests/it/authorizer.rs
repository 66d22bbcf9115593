//! Authorizers: handlers of plugins that decide about actions which a rule refers to them.
//!
//! The guest `guarding` decides by the last word of the URI. Its refusals have all that it has seen, and the
//! number of its decisions: a decision that was kept has the number of the first one.

use std::fs;

use serde_json::json;

use crate::commands::jackfield;
use crate::control::{command, run};
use crate::metrics::scrape;
use crate::principals::{join_realm, ticket_of};
use crate::reload::{patched, reloading};
use jackfield_tests::build;
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PRINCIPALS: &str = "\
principals:
    ann: { roles: [shop, member], ticket: letmein }
    bob: { roles: [staff], ticket: letmein }
";

const RULES: &str = "\
- { uri: com.roles., match: prefix, authorizer: guarding.rules, allow: { publish: [staff], subscribe: [staff] } }
- { uri: com.shown., match: prefix, disclose: true, allow: { publish: everyone, subscribe: everyone, call: everyone, register: everyone } }
- { uri: com.shop., match: prefix, realm: shop, allow: { publish: everyone } }
- { uri: com., match: prefix, authorizer: guarding.rules }
- { uri: org., match: prefix, authorizer: no.such }
- { uri: net., match: prefix, allow: { publish: everyone, subscribe: everyone, call: everyone, register: everyone } }
- { uri: wamp.session., match: prefix, authorizer: guarding.rules }
";

const DENIED: &str = "wamp.error.not_authorized";
const FAILED: &str = "wamp.error.authorization_failed";

/// Settings with the rules. A call has a second: machines with tests are busy.
fn settings(site: &Site, rules: &str) -> String {
    let file = site.file("principals.txt");
    fs::write(&file, PRINCIPALS).unwrap();
    format!(
        "realms: [realm1, shop]\nauth: {{ principals: {} }}\naccess: {{ anonymous: true }}\n\
         plugins: {{ named: {{ guarding: {{ deadline: 1s }} }} }}\nrules:\n{rules}",
        file.display()
    )
}

/// A site with the plugin.
fn guarded() -> Site {
    let site = Site::open();
    site.write("guarding/guarding.wasm", fs::read(build::guest("guarding")).unwrap());
    site
}

fn served() -> (Site, Server) {
    let site = guarded();
    let server = Server::configured(site.path(), &settings(&site, RULES));
    (site, server)
}

async fn join(server: &Server, realm: &str, name: &str) -> Client {
    join_realm(server, realm, ticket_of(name), "letmein").await.unwrap()
}

/// Whether a publication is accepted; the URI and the message of the refusal otherwise.
async fn publish(client: &mut Client, topic: &str) -> Result<(), (String, String)> {
    let answer = client.publish_acknowledged(topic, json!({}), json!([1]), json!({})).await;
    answer.map(drop).map_err(|it| (it.uri, it.args[0].as_str().unwrap_or_default().to_owned()))
}

/// The message of a refused publication.
async fn refusal(client: &mut Client, topic: &str) -> String {
    let (uri, message) = publish(client, topic).await.unwrap_err();
    assert_eq!(uri, DENIED, "{topic}: {message}");
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorizer_sees_the_action_and_the_session() {
    let (_site, server) = served();
    let mut ann = join(&server, "realm1", "ann").await;
    let seen = |action: &str, options: &str| {
        format!(
            " version-00000001 {action} of ann in realm1 as shop member by ticket with [{options}]"
        )
    };
    let check = |answer: Option<WampError>, expected: String| {
        let refused = answer.unwrap();
        assert_eq!(refused.uri, DENIED);
        let message = refused.args[0].as_str().unwrap();
        assert!(message.ends_with(&expected), "{message} is not {expected}");
    };
    let asked = ann.publish_acknowledged(
        "com.a.x",
        json!({ "disclose_me": true, "retain": true }),
        json!([1]),
        json!({}),
    );
    check(asked.await.err(), seen("Publish Exact com.a.x", "disclose_me acknowledge retain"));
    let asked = ann.try_subscribe("com.a.x", json!({ "get_retained": true })).await;
    check(asked.err(), seen("Subscribe Exact com.a.x", "get_retained"));
    let asked = ann.try_subscribe("com.a.", json!({ "match": "prefix" })).await;
    check(asked.err(), seen("Subscribe Prefix com.a.", ""));
    let asked = ann.try_subscribe("com..x", json!({ "match": "wildcard" })).await;
    check(asked.err(), seen("Subscribe Wildcard com..x", ""));
    let asked = ann.register("com.a.x", json!({ "invoke": "roundrobin" })).await;
    check(asked.err(), seen("Register Exact com.a.x", "shared"));
    let asked = ann.register("com.a.x", json!({ "match": "prefix" })).await;
    check(asked.err(), seen("Register Prefix com.a.x", ""));
    let asked = ann.call("com.a.x", json!({ "disclose_me": true }), json!([]), json!({})).await;
    check(asked.err(), seen("Call Exact com.a.x", "disclose_me"));
    let asked = ann.call("wamp.session.count", json!({}), json!([]), json!({})).await;
    check(asked.err(), seen("Call Exact wamp.session.count", ""));
    let own = publish(&mut ann, "com.a.own").await.unwrap_err();
    assert_eq!(own.0, "acme.error.own");
    // Allowed, and carried out.
    ann.subscribe("com.a.open", json!({})).await;
    let mut bob = join(&server, "realm1", "bob").await;
    publish(&mut bob, "com.a.open").await.unwrap();
    assert_eq!(ann.event().await.args, json!([1]));
    ann.register("com.f.open", json!({})).await.unwrap();
    bob.send(&json!([48, 90, {}, "com.f.open", [2]]));
    let invocation = ann.invocation().await;
    ann.send(&json!([70, invocation[1], {}, [3]]));
    assert_eq!(bob.message().await, json!([50, 90, {}, [3]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_of_the_rule_come_first() {
    let (_site, server) = served();
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    // Not asked: the message is that of the server.
    let refused = refusal(&mut ann, "com.roles.open").await;
    assert!(!refused.contains("version"), "{refused}");
    publish(&mut bob, "com.roles.open").await.unwrap();
    assert!(refusal(&mut bob, "com.roles.x").await.contains(" of bob in realm1 as staff "));
    // A rule of another realm, and one without an authorizer.
    let mut shop = join(&server, "shop", "ann").await;
    publish(&mut shop, "com.shop.x").await.unwrap();
    assert!(refusal(&mut ann, "com.shop.x").await.contains(" com.shop.x of ann in realm1 "));
    publish(&mut ann, "net.x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_refuse_and_affect_no_other_request() {
    let (_site, server) = served();
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    for (word, logged) in [
        ("trap", "this is a trap"),
        ("hang", "did not return within 1000 ms"),
        ("effect", "gave more than its 0 effects"),
        ("invalid", "the URI of an error contains white space"),
    ] {
        let topic = format!("com.a.{word}");
        let (uri, message) = publish(&mut ann, &topic).await.unwrap_err();
        assert_eq!(uri, FAILED, "{word}: {message}");
        assert!(message.contains("the authorizer `guarding.rules` gave no decision"), "{message}");
        let log = server.logged(&format!("authorize of handler guarding.rules for topic {topic}"));
        assert!(log.contains(logged), "{log}");
    }
    bob.subscribe("open/1", json!({})).await;
    // While one request hangs, another session is answered.
    ann.publish("com.b.hang", json!({ "acknowledge": true }), json!([1]), json!({}));
    publish(&mut bob, "net.x").await.unwrap();
    bob.expect_no_event().await;
    assert!(refusal(&mut bob, "com.other.x").await.contains(" com.other.x of bob "));
    assert_eq!(ann.message().await[4], FAILED);
    // An authorizer that the site does not have.
    let (uri, message) = publish(&mut bob, "org.open").await.unwrap_err();
    assert_eq!(uri, FAILED);
    assert!(message.contains("the authorizer `no.such` is not in service"), "{message}");
    server.logged("the authorizer `no.such` is not in service; requests are refused");
    assert_eq!(bob.try_subscribe("org.open", json!({})).await.unwrap_err().uri, FAILED);
    let refused = bob.call("org.open", json!({}), json!([]), json!({})).await.unwrap_err();
    assert_eq!(refused.uri, FAILED);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_kept_as_the_plugin_says_and_end_with_its_version() {
    let (site, server) = served();
    let (mut ann, mut other) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "ann").await);
    let mut bob = join(&server, "realm1", "bob").await;
    // For the session.
    let first = refusal(&mut ann, "com.a.mine").await;
    assert_eq!(refusal(&mut ann, "com.a.mine").await, first);
    assert_ne!(refusal(&mut other, "com.a.mine").await, first);
    assert_ne!(refusal(&mut ann, "com.b.mine").await, first);
    // Another action, and other options, are other attempts.
    let subscribed = ann.try_subscribe("com.a.mine", json!({})).await.unwrap_err();
    assert!(subscribed.args[0].as_str().unwrap().contains("Subscribe"), "{subscribed:?}");
    let retained = ann
        .publish_acknowledged("com.a.mine", json!({ "retain": true }), json!([1]), json!({}))
        .await
        .unwrap_err();
    assert!(retained.args[0].as_str().unwrap().contains("retain"), "{retained:?}");
    // For the principal: all its sessions in the realm.
    let first = refusal(&mut ann, "com.a.ours").await;
    assert_eq!(refusal(&mut other, "com.a.ours").await, first);
    assert_ne!(refusal(&mut bob, "com.a.ours").await, first);
    let mut elsewhere = join(&server, "shop", "ann").await;
    assert!(refusal(&mut elsewhere, "com.a.ours").await.contains(" in shop "));
    // Not at all.
    let brief = refusal(&mut ann, "com.a.brief").await;
    assert_ne!(refusal(&mut ann, "com.a.brief").await, brief);
    let never = refusal(&mut ann, "com.a.x").await;
    assert_ne!(refusal(&mut ann, "com.a.x").await, never);
    // Another version.
    let next = patched("guarding", "version-00000001", "version-00000002");
    reloading(&server, || site.write("guarding/guarding.wasm", &next));
    for topic in ["com.a.mine", "com.a.ours", "com.a.x"] {
        let refused = refusal(&mut ann, topic).await;
        assert!(refused.contains(" version-00000002 "), "{refused}");
    }
    // Without the plugin, everything is refused, also what was kept.
    publish(&mut ann, "com.a.open_for_session").await.unwrap();
    reloading(&server, || site.remove("guarding"));
    assert_eq!(publish(&mut ann, "com.a.open_for_session").await.unwrap_err().0, FAILED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_plugin_refuses() {
    let (site, data) = (guarded(), tempfile::tempdir().unwrap());
    let config =
        format!("data: {}\n{}", data.path().join("data").display(), settings(&site, RULES));
    let server = Server::configured(site.path(), &config);
    let mut ann = join(&server, "realm1", "ann").await;
    publish(&mut ann, "com.a.open_for_session").await.unwrap();
    let change = |word: &str| {
        let place = site.path().to_str().unwrap();
        assert_eq!(run(command(&[word, "guarding", "--site", place])).code, Some(0));
    };
    change("disable");
    let (uri, message) = publish(&mut ann, "com.a.open_for_session").await.unwrap_err();
    assert_eq!(uri, FAILED);
    assert!(message.contains("is disabled"), "{message}");
    change("enable");
    publish(&mut ann, "com.a.open_for_session").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_and_callers_are_disclosed() {
    let (_site, server) = served();
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    for (topic, is_disclosed) in
        [("com.a.open", false), ("com.a.disclosed", true), ("com.shown.x", true), ("net.x", false)]
    {
        bob.subscribe(topic, json!({})).await;
        publish(&mut ann, topic).await.unwrap();
        let details = bob.event().await.details;
        assert_eq!(details["publisher_authid"] == "ann", is_disclosed, "{topic} {details}");
        assert_eq!(details["publisher"].is_u64(), is_disclosed, "{topic} {details}");
        let procedure = format!("{topic}.{}", topic.rsplit('.').next().unwrap());
        bob.register(&procedure, json!({})).await.unwrap();
        ann.send(&json!([48, 90, {}, procedure, [2]]));
        let invocation = bob.invocation().await;
        assert_eq!(invocation[3]["caller_authid"] == "ann", is_disclosed, "{invocation}");
        bob.send(&json!([70, invocation[1], {}, []]));
        assert_eq!(ann.message().await[0], 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_are_judged_as_such() {
    let (_site, server) = served();
    let (mut ann, mut bob) =
        (join(&server, "realm1", "ann").await, join(&server, "realm1", "bob").await);
    let prefix = || json!({ "match": "prefix" });
    // Wider than the rule, and within it.
    for pattern in ["", "co", "com.a"] {
        assert_eq!(ann.try_subscribe(pattern, prefix()).await.unwrap_err().uri, DENIED);
        assert_eq!(ann.register(pattern, prefix()).await.unwrap_err().uri, DENIED);
    }
    assert_eq!(ann.try_subscribe("org.", prefix()).await.unwrap_err().uri, FAILED);
    // It meets no rule with an authorizer.
    ann.subscribe("net.", prefix()).await;
    // One that is allowed gets the events of the topics, and its callee the calls.
    ann.subscribe("com.open", prefix()).await;
    ann.register("com.open", prefix()).await.unwrap();
    publish(&mut bob, "com.open.open").await.unwrap();
    assert_eq!(ann.event().await.details["topic"], "com.open.open");
    bob.send(&json!([48, 90, {}, "com.open.open", [2]]));
    let invocation = ann.invocation().await;
    ann.send(&json!([70, invocation[1], {}, [3]]));
    assert_eq!(bob.message().await, json!([50, 90, {}, [3]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authorizer_judges_subscribers_and_callees_again() {
    let (site, server) = served();
    let mut details = ticket_of("ann");
    details["roles"] = json!({
        "subscriber": { "features": { "subscription_revocation": true } },
        "publisher": {}, "caller": {}, "callee": {},
    });
    let mut ann = join_realm(&server, "realm1", details, "letmein").await.unwrap();
    let mut bob = join(&server, "realm1", "bob").await;
    let exact = ann.subscribe("net.open", json!({})).await;
    let pattern = ann.subscribe("net.o", json!({ "match": "prefix" })).await;
    let kept = ann.subscribe("open/1", json!({})).await;
    ann.register("net.f.open", json!({})).await.unwrap();
    ann.register("net.g", json!({ "match": "prefix" })).await.unwrap();
    let of_net = RULES.lines().find(|rule| rule.contains("uri: net.")).unwrap();
    let rules = RULES.replace(of_net, "- { uri: net., match: prefix, authorizer: guarding.rules }");
    let before = server.log().len();
    server.reconfigure(&settings(&site, &rules));
    server.logged_after(before, "settings changed: rules");
    let mut revoked = vec![ann.revoked().await.0, ann.revoked().await.0];
    revoked.sort_unstable();
    let mut expected = vec![exact, pattern];
    expected.sort_unstable();
    assert_eq!(revoked, expected);
    // The authorizer allows these calls: only the registrations have gone.
    for procedure in ["net.f.open", "net.g.open"] {
        let refused = bob.call(procedure, json!({}), json!([]), json!({})).await.unwrap_err();
        assert_eq!(refused.uri, "wamp.error.no_such_procedure", "{procedure}");
    }
    // Asked again.
    ann.subscribe("net.open", json!({})).await;
    publish(&mut bob, "net.open").await.unwrap();
    assert_eq!(ann.event().await.args, json!([1]));
    // Others stay.
    ann.unsubscribe(kept).await.unwrap();
}

#[test]
fn wrong_settings_are_reported_with_their_place() {
    let site = Site::open();
    let check = |rule: &str, expected: &str| {
        site.write("jackfield.yml", format!("rules:\n- {rule}\n"));
        let answer = jackfield("check", site.path(), &[]);
        let all = format!("{}{}", answer.out, answer.err);
        assert!(all.contains(expected), "{rule}: {all}");
    };
    check("{ uri: com.a }", "jackfield.yml:2:3: error: the key `allow` is missing");
    check("{ uri: com.a, authorizer: '' }", "jackfield.yml:2:3: error: `authorizer` is empty");
    check("{ uri: com.a, authoriser: x }", "authoriser");
    check("{ uri: com.a, authorizer: [x] }", "jackfield.yml:2:29: error");
    let unknown = "jackfield.yml:2:29: warning: no plugin of the site has the authorizer `no.such`";
    check("{ uri: com.a, authorizer: no.such }", unknown);
    site.write("jackfield.yml", "plugins: { named: { absent: {} } }\n");
    let answer = jackfield("check", site.path(), &[]);
    let unused = "jackfield.yml:1:29: warning: no plugin of the site has the name `absent`";
    assert!(answer.all().contains(unused), "{}", answer.all());
}

#[test]
fn match_and_check_tell_of_authorizers() {
    let site = guarded();
    site.write("jackfield.yml", "rules:\n- { uri: com.a, authorizer: guarding.rules }\n");
    let answer = jackfield("match", site.path(), &["com.a"]);
    assert!(answer.out.contains("\n  authorizer  guarding.rules\n"), "{}", answer.all());
    // A handler of a route has to know of topics.
    site.write(
        "guarding/websocket_routing.yml",
        "r:\n  channel: com.b\n  handler: guarding.rules\n  schema: { call: {} }\n",
    );
    let answer = jackfield("check", site.path(), &[]);
    let warning = "websocket_routing.yml:3:12: warning: the handler `guarding.rules` only decides";
    assert!(answer.all().contains(warning), "{}", answer.all());
    let answer = jackfield("match", site.path(), &["com.b"]);
    assert!(answer.out.contains("\n  schema      call\n"), "{}", answer.all());
}

/// The metrics of handlers have those of authorizers.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_counted() {
    let site = guarded();
    let config = format!("metrics: {{ enabled: true }}\n{}", settings(&site, RULES));
    let server = Server::configured(site.path(), &config);
    let mut ann = join(&server, "realm1", "ann").await;
    publish(&mut ann, "com.a.open").await.unwrap();
    publish(&mut ann, "com.a.trap").await.unwrap_err();
    let samples = scrape(&server).await;
    let handler = "plugin=\"guarding\",handler=\"guarding.rules\"";
    let hook = format!("jackfield_hook_seconds_count{{{handler},hook=\"authorize\"}}");
    assert_eq!(samples.get(&hook), Some(&2.0), "{samples:?}");
    let fault = format!("jackfield_faults_total{{{handler},kind=\"trap\"}}");
    assert_eq!(samples.get(&fault), Some(&1.0), "{samples:?}");
    let is_refusal = |name: &String| name.contains("kind=\"publish\",reason=\"authorizer_failed\"");
    let mut refusals = samples.iter().filter(|(name, _)| is_refusal(name));
    assert!(refusals.any(|(_, count)| *count > 0.0), "{samples:?}");
}
