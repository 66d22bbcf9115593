//! Canaries: new versions that serve a share of a plugin's topics.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::control::{ask, digest, status};
use crate::reload::{component, patched};
use crate::rollout::take_back::{AUCTION, bid, clients};
use crate::rollout::{Fixture, join, name, plugin, relabelled, until_version};
use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// The number of topics that a test asks for their version.
const TOPICS: usize = 60;

/// The version that serves each topic.
async fn versions(server: &Server) -> BTreeMap<String, String> {
    let (mut publisher, mut subscriber) = (join(server).await, join(server).await);
    let mut versions = BTreeMap::new();
    for number in 0..TOPICS {
        let topic = format!("v/{number}");
        let subscription = subscriber.subscribe(&topic, json!({})).await;
        let version = published(&mut publisher, &mut subscriber, &topic).await;
        subscriber.unsubscribe(subscription).await.unwrap();
        versions.insert(topic, version);
    }
    versions
}

async fn published(publisher: &mut Client, subscriber: &mut Client, topic: &str) -> String {
    publisher.publish_acknowledged(topic, json!({}), json!(["x"]), Value::Null).await.unwrap();
    subscriber.event().await.args[1].as_str().unwrap().to_owned()
}

/// The topics of this version.
fn of(versions: &BTreeMap<String, String>, name: &str) -> Vec<String> {
    versions.iter().filter(|(_, it)| *it == name).map(|(topic, _)| topic.clone()).collect()
}

/// A file beside the site with a component.
fn candidate(fixture: &Fixture, bytes: Vec<u8>) -> String {
    let path = fixture.data.path().join("new.wasm");
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn canary(server: &Server, name: &str) -> Value {
    let path = format!("/v1/canary?plugin={name}");
    let (code, page) = ask(&server.control_socket(), "GET", &path, "").await;
    assert_eq!(code, 200, "{page}");
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_share_of_topics_until_it_is_stopped_or_promoted() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = candidate(&fixture, component(2));
    fixture.until_kept("versioned", &[true]).await;
    assert_eq!(of(&versions(&server).await, &name(1)).len(), TOPICS);

    let placed = fixture.jackfield(&["canary", "versioned", &new, "--share", "25%"]);
    assert_eq!(placed.code, Some(0), "{placed:?}");
    assert!(placed.out.contains("25% of the topics of versioned"), "{placed:?}");
    let first = versions(&server).await;
    let quarter = of(&first, &name(2));
    assert!((3..30).contains(&quarter.len()), "{quarter:?}");
    // A topic keeps to its version, over a reload and a restart as well.
    let site = fixture.site.path().to_str().unwrap().to_owned();
    assert_eq!(crate::control::run(crate::control::command(&["reload", &site])).code, Some(0));
    assert_eq!(versions(&server).await, first);
    let entry = plugin(&server, "versioned").await;
    assert_eq!(entry["canary"]["share"], "25%", "{entry}");
    assert_ne!(entry["canary"]["digest"], entry["digest"]);
    drop(server);
    let server = fixture.start("");
    within("the canary", async {
        while plugin(&server, "versioned").await["canary"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(versions(&server).await, first);

    // A larger share has the topics of the smaller one.
    let grown = fixture.jackfield(&["canary", "versioned", "--share", "75%"]);
    assert_eq!(grown.code, Some(0), "{grown:?}");
    let three_quarters = of(&versions(&server).await, &name(2));
    assert!(three_quarters.len() > quarter.len());
    assert!(quarter.iter().all(|topic| three_quarters.contains(topic)));

    let page = fixture.jackfield(&["canary", "versioned"]);
    assert!(page.out.contains("serves 75% of the topics of versioned"), "{page:?}");
    assert!(page.out.contains(", 0 faults"), "{page:?}");
    assert_eq!(fixture.jackfield(&["canary", "versioned", "--stop"]).code, Some(0));
    assert_eq!(of(&versions(&server).await, &name(1)).len(), TOPICS);
    let page = canary(&server, "versioned").await;
    assert_eq!((&page["canary"], &page["ended"]["reason"]), (&Value::Null, &json!("stopped")));

    // Again, and promoted: recorded as any version, and pinned until the file changes.
    let placed = fixture.jackfield(&["canary", "versioned", &new, "--share", "25%", "--json"]);
    assert_eq!((placed.code, placed.json()["result"].clone()), (Some(0), json!("ok")));
    let promoted = fixture.jackfield(&["promote", "versioned"]);
    assert_eq!(promoted.code, Some(0), "{promoted:?}");
    assert!(promoted.out.contains("serves until v/versioned.wasm changes"), "{promoted:?}");
    assert_eq!(of(&versions(&server).await, &name(2)).len(), TOPICS);
    let entry = plugin(&server, "versioned").await;
    assert_eq!((&entry["pinned"], &entry["canary"]), (&json!(true), &Value::Null));
    let ends: Vec<Value> = fixture.history("versioned").into_iter().map(|it| it.1).collect();
    assert_eq!(ends, [Value::Null, json!("promoted")]);
    let second = digest(std::path::Path::new(&new));
    server.logged(&format!(
        "action=\"canary\" plugin=\"versioned\" file=\"{new}\" digest=\"{second}\" share=\"25%\""
    ));
    server.logged(&format!("action=\"canary_stop\" plugin=\"versioned\" digest=\"{second}\""));
    server.logged(&format!("action=\"promote\" plugin=\"versioned\" digest=\"{second}\""));
    let log = server.logged("the canary of the plugin versioned has ended: it serves all topics");
    assert!(!log.contains("ERROR"), "{log}");
    drop(server);
    let server = fixture.start("");
    assert_eq!(of(&versions(&server).await, &name(2)).len(), TOPICS);
    fixture.until_kept("versioned", &[true, true]).await;
    // The version before is the one to return to.
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    assert_eq!(of(&versions(&server).await, &name(1)).len(), TOPICS);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_canaries_runs_as_printed() {
    let page = include_str!("../../docs/shadow.md");
    let section = page.split("## Canary").nth(1).unwrap();
    let example = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let fixture = Fixture::new();
    let _server = fixture.start("");
    let new = candidate(&fixture, component(2));
    let mut run = 0;
    for line in example.lines() {
        let line = line.replace("acme-chat", "versioned").replace("new.wasm", &new);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let output = fixture.jackfield(&words);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
        run += 1;
    }
    assert_eq!(run, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_calls_to_the_version_in_service() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = candidate(&fixture, component(2));
    assert_eq!(fixture.jackfield(&["canary", "versioned", &new, "--share", "100%"]).code, Some(0));
    assert_eq!(of(&versions(&server).await, &name(2)).len(), TOPICS);
    let mut client = join(&server).await;
    let (args, _) = client.call("v/1", json!({}), json!(["x"]), Value::Null).await.unwrap();
    assert_eq!(args, json!(["x", name(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_timers_to_the_version_in_service() {
    let fixture = Fixture::new();
    let [first, second] = ["@@TIMER---000001", "@@TIMER---000002"];
    fixture.deploy("v/versioned.wasm", patched("versioned", &name(1), first));
    let server = fixture.start("");
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("v/a", json!({})).await;
    // The versions of the next ticks, and of an event between them.
    let mut versions_of = async |ticks: usize| {
        publisher.publish("v/a", json!({}), json!(["x"]), Value::Null);
        let (mut timers, mut events) = (Vec::new(), Vec::new());
        while timers.len() < ticks || events.is_empty() {
            let args = subscriber.event().await.args;
            let of = if args[0] == "tick" { &mut timers } else { &mut events };
            of.push(args[1].as_str().unwrap().to_owned());
        }
        timers.dedup();
        (timers, events)
    };
    let one = |timer: &str, event: &str| (vec![timer.to_owned()], vec![event.to_owned()]);
    assert_eq!(versions_of(2).await, one(first, first));
    let new = candidate(&fixture, patched("versioned", &name(1), second));
    assert_eq!(fixture.jackfield(&["canary", "versioned", &new, "--share", "100%"]).code, Some(0));
    assert_eq!(versions_of(5).await, one(first, second));
    // Ticks that were queued before may still be of the first version.
    assert_eq!(fixture.jackfield(&["promote", "versioned"]).code, Some(0));
    let (timers, events) = versions_of(10).await;
    assert_eq!((timers.last().unwrap().as_str(), events), (second, vec![second.to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_towards_the_lanes_of_all_plugins() {
    let fixture = Fixture::new();
    let server = fixture.start("plugins: { lanes: 3 }\n");
    let lanes = async || status(&server).await["plugin_totals"]["lanes"].clone();
    assert_eq!(lanes().await, json!({ "used": 2, "limit": 3 }));
    let new = candidate(&fixture, component(2));
    let place = ["canary", "versioned", &new, "--share", "50%"];
    assert_eq!(fixture.jackfield(&place).code, Some(0));
    assert_eq!(lanes().await, json!({ "used": 3, "limit": 3 }));
    let memory = plugin(&server, "versioned").await["canary"]["memory"]["bytes"].clone();
    assert!(memory.as_u64() > Some(0), "{memory}");
    // A plugin of the site goes before a canary, which never prevents a reload.
    fixture.site.bundle(
        "h",
        "h: { channel: h, handler: { callback: echo } }\n",
        &[build::guest("hostile")],
    );
    server
        .logged("the canary of the plugin versioned has ended: it has 1 lane, and other plugins 3");
    server.logged("all together may have 3 (plugins.lanes = 3)");
    assert_eq!(lanes().await, json!({ "used": 3, "limit": 3 }));
    let refused = fixture.jackfield(&place);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the log has the reason"), "{refused:?}");
    assert_eq!(canary(&server, "versioned").await["ended"]["reason"], "unusable");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_when_the_plugins_file_changes() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = candidate(&fixture, component(2));
    assert_eq!(fixture.jackfield(&["canary", "versioned", &new, "--share", "50%"]).code, Some(0));
    fixture.deploy("v/versioned.wasm", component(3));
    server.logged("the canary of plugin versioned has ended");
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    assert_eq!(of(&versions(&server).await, &name(3)).len(), TOPICS);
    assert_eq!(canary(&server, "versioned").await["ended"]["reason"], "replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn can_be_stopped_while_the_site_has_problems() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = candidate(&fixture, component(2));
    assert_eq!(fixture.jackfield(&["canary", "versioned", &new, "--share", "100%"]).code, Some(0));
    fixture.site.write("b/websocket_routing.yml", "a: 1\n");
    server.logged("is a map");
    assert_eq!(fixture.jackfield(&["canary", "versioned", "--stop"]).code, Some(0));
    assert_eq!(of(&versions(&server).await, &name(1)).len(), TOPICS);
    // Nothing begins while it has.
    let refused = fixture.jackfield(&["canary", "versioned", &new, "--share", "100%"]);
    assert!(refused.code == Some(1) && refused.out.contains("canary failed"), "{refused:?}");
    assert_eq!(canary(&server, "versioned").await["canary"], Value::Null);
    fs::remove_file(fixture.site.file("b/websocket_routing.yml")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn is_taken_back_when_it_fails_for_several_clients() {
    let fixture = Fixture { site: Site::open(), data: tempfile::tempdir().unwrap() };
    fixture.site.bundle("a", AUCTION, &[]);
    fixture.deploy("a/hostile.wasm", fs::read(build::guest("hostile")).unwrap());
    let server = fixture.start("");
    let own = plugin(&server, "hostile").await["digest"].clone();
    let new = candidate(&fixture, relabelled(&build::guest("hostile"), 1));
    let placed = fixture.jackfield(&["canary", "hostile", &new, "--share", "50%"]);
    assert_eq!(placed.code, Some(0), "{placed:?}");
    let mut clients = clients(&server, 5).await;
    for (lot, client) in clients.iter_mut().enumerate() {
        for lot in (0..40).map(|it| (it + lot) % 40) {
            let _refused = bid(client, lot, "trap").await;
        }
    }
    let log = server.logged("the canary of the plugin hostile");
    assert!(log.contains("was stopped automatically"), "{log}");
    within("the end", async {
        while canary(&server, "hostile").await["ended"]["reason"] != "taken_back" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(plugin(&server, "hostile").await["digest"], own);
    assert_eq!(status(&server).await["reloads"][0]["cause"], "take_back");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_cannot_be_a_canary() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let refused = |arguments: &[&str], code: i32, text: &str| {
        let output = fixture.jackfield(arguments);
        assert!(output.code == Some(code) && output.err.contains(text), "{output:?}");
    };
    let file = |name: &str, bytes: Vec<u8>| {
        let path = fixture.data.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let share = ["--share", "10%"];
    let place = |plugin: &str, file: &str, text: &str| {
        refused(&[&["canary", plugin, file][..], &share].concat(), 1, text);
    };
    let good = file("good.wasm", component(2));
    place("versionde", &good, "no plugin `versionde` is in service; did you mean `versioned`?");
    place("versioned", "/nowhere/at/all.wasm", "No such file");
    place("versioned", fixture.data.path().to_str().unwrap(), "not a regular file");
    place("versioned", &file("text.wasm", b"text".to_vec()), "the component cannot be loaded");
    place("versioned", &file("same.wasm", component(1)), "in service already");
    let other = fs::read(build::guest("hostile")).unwrap();
    place("versioned", &file("other.wasm", other), "is a version of the plugin `hostile`");
    let schema = patched("versioned", &name(1), "@@SCHEMA--000001");
    place("versioned", &file("schema.wasm", schema), "has the store layout 0 (`schema`), and");
    refused(&["canary", "versioned", "--stop"], 1, "the plugin `versioned` has no canary");
    refused(&["canary", "nobody", "--stop"], 1, "no plugin `nobody` is in service");
    refused(&["canary", "nobody"], 1, "no plugin `nobody` is in service");
    refused(&["promote", "versioned"], 1, "the plugin `versioned` has no shadow or canary");
    refused(&["canary", "versioned", "--share", "5%"], 1, "has no canary");
    for wrong in ["0%", "10", "101%"] {
        refused(
            &["canary", "versioned", &good, "--share", wrong],
            2,
            "expected a share from 0.01%",
        );
    }
    refused(&["canary", "versioned", &good], 2, "--share");
    assert_eq!(canary(&server, "versioned").await["ended"], Value::Null);

    let placed = fixture.jackfield(&["canary", "versioned", &good, "--share", "10%"]);
    assert_eq!(placed.code, Some(0), "{placed:?}");
    place("versioned", &good, "has a canary already\n  = help: `jackfield promote versioned`");
    assert_eq!(fixture.jackfield(&["canary", "versioned", "--stop"]).code, Some(0));
    assert_eq!(fixture.jackfield(&["disable", "versioned"]).code, Some(0));
    place("versioned", &good, "is disabled: enable it first");

    // As a client of the channel writes it.
    let socket = server.control_socket();
    for (body, text) in [
        (r#"{"plugin":"versioned","file":"new.wasm","share":"10%"}"#, "absolute path"),
        (r#"{"plugin":"versioned","file":"/x"}"#, "`share` is missing"),
        (r#"{"plugin":"versioned","share":10}"#, "the body is not valid"),
        (r#"{"plugin":"versioned","share":"10"}"#, "`share`: expected a share"),
    ] {
        let (code, answer) = ask(&socket, "POST", "/v1/canary", body).await;
        assert!(code == 400 && answer["message"].as_str().unwrap().contains(text), "{answer}");
    }
    for (method, path) in
        [("GET", "/v1/promote"), ("GET", "/v1/canary/stop"), ("PUT", "/v1/canary")]
    {
        assert_eq!(ask(&socket, method, path, "").await.0, 405);
    }
    assert_eq!(ask(&socket, "GET", "/v1/canary", "").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_the_version_that_was_shown() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let socket = server.control_socket();
    let first = candidate(&fixture, component(2));
    let shown = digest(std::path::Path::new(&first));
    let place = ["canary", "versioned", &first, "--share", "10%"];
    assert_eq!(fixture.jackfield(&place).code, Some(0));
    // Another operator replaces it.
    assert_eq!(fixture.jackfield(&["canary", "versioned", "--stop"]).code, Some(0));
    let second = candidate(&fixture, component(3));
    let present = digest(std::path::Path::new(&second));
    assert_eq!(fixture.jackfield(&["canary", "versioned", &second, "--share", "1%"]).code, Some(0));

    let request = |more: Value| {
        let mut body = json!({ "plugin": "versioned", "digest": shown });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    for (endpoint, body) in [
        ("/v1/canary", request(json!({ "share": "100%" }))),
        ("/v1/canary/stop", request(json!({}))),
        ("/v1/promote", request(json!({}))),
    ] {
        let (code, refused) = ask(&socket, "POST", endpoint, &body).await;
        assert_eq!(
            (code, &refused["error"]),
            (409, &json!("jackfield.error.conflict")),
            "{refused}"
        );
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(&format!("is {present} now, not {shown}")), "{message}");
    }
    for arguments in [
        &["canary", "versioned", "--share", "100%", "--digest", &shown][..],
        &["canary", "versioned", "--stop", "--digest", &shown],
    ] {
        let refused = fixture.jackfield(arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(&present), "{refused:?}");
    }
    let unclear = request(json!({ "file": second, "share": "5%" }));
    assert_eq!(ask(&socket, "POST", "/v1/canary", &unclear).await.0, 400);
    let page = canary(&server, "versioned").await["canary"].clone();
    assert_eq!((&page["digest"], &page["share"]), (&json!(present), &json!("1%")));

    // The version that was shown is changed, by its whole digest, by its beginning, and without one.
    let short = &present["sha256:".len()..][..12];
    for more in [&["--digest", &present][..], &["--digest", short], &[]] {
        let arguments = [&["canary", "versioned", "--share", "5%"], more].concat();
        let changed = fixture.jackfield(&arguments);
        assert!(changed.code == Some(0) && changed.out.contains(&present), "{changed:?}");
    }
    let ended = fixture.jackfield(&["canary", "versioned", "--stop", "--digest", short]);
    assert!(ended.code == Some(0) && ended.out.contains(&present), "{ended:?}");

    // So it is with a shadow.
    assert_eq!(fixture.jackfield(&["shadow", "versioned", &second]).code, Some(0));
    let stop = request(json!({}));
    let (code, refused) = ask(&socket, "POST", "/v1/shadow/stop", &stop).await;
    assert_eq!(code, 409, "{refused}");
    let refused = fixture.jackfield(&["shadow", "versioned", "--stop", "--digest", &shown]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let ended = fixture.jackfield(&["shadow", "versioned", "--stop"]);
    assert!(ended.code == Some(0) && ended.out.contains(&present), "{ended:?}");
}
