//! Shadows: new versions that run behind the one in service. `answers` is about the answers to
//! requests and calls of plugins.

mod answers;

use std::fs;

use serde_json::{Value, json};

use crate::control::{ask, command, digest, run, status};
use crate::reload::{component, patched};
use crate::rollout::{Fixture, join, name, plugin, relabelled, until_version};
use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SHADOW: &str = "v/versioned.shadow.wasm";

/// A version that misbehaves as its name says.
fn misbehaving(name: &str) -> Vec<u8> {
    patched("versioned", &crate::rollout::name(1), name)
}

async fn page(server: &Server, name: &str) -> Value {
    let path = format!("/v1/shadow?plugin={name}");
    let (code, page) = ask(&server.control_socket(), "GET", &path, "").await;
    assert_eq!(code, 200, "{page}");
    page
}

/// Waits until the page about a shadow is as expected.
async fn until(server: &Server, name: &str, expected: impl Fn(&Value) -> bool) -> Value {
    within("the shadow", async {
        loop {
            let page = page(server, name).await;
            if expected(&page) {
                return page;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Waits until the shadow has seen so many calls, and returns its state.
async fn compared(server: &Server, name: &str, calls: u64) -> Value {
    let page = until(server, name, |page| page["shadow"]["compared"].as_u64() >= Some(calls)).await;
    page["shadow"].clone()
}

async fn until_running(server: &Server, name: &str) -> Value {
    until(server, name, |page| page["shadow"].is_object()).await["shadow"].clone()
}

async fn publish(publisher: &mut Client, subscriber: &mut Client, topic: &str) -> String {
    publisher.publish_acknowledged(topic, json!({}), json!(["x"]), Value::Null).await.unwrap();
    subscriber.event().await.args[1].as_str().unwrap().to_owned()
}

/// Publishes so many events, which the version in service delivers.
async fn use_it(server: &Server, events: usize) {
    let (mut publisher, mut subscriber) = (join(server).await, join(server).await);
    subscriber.subscribe("v/a", json!({})).await;
    for _ in 0..events {
        assert_eq!(publish(&mut publisher, &mut subscriber, "v/a").await, name(1));
    }
}

fn candidate(fixture: &Fixture, bytes: Vec<u8>) -> String {
    let path = fixture.data.path().join("new.wasm");
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_the_differences_of_a_file_beside_the_plugin() {
    let fixture = Fixture::new();
    fixture.deploy(SHADOW, component(2));
    let server = fixture.start("");
    until_running(&server, "versioned").await;
    use_it(&server, 5).await;
    let mut client = join(&server).await;
    client.call("v/a", json!({}), json!(["x"]), Value::Null).await.unwrap();
    let shadow = compared(&server, "versioned", 6).await;
    assert_eq!((&shadow["compared"], &shadow["differing"]), (&json!(6), &json!(6)), "{shadow}");
    assert_eq!((&shadow["from"], &shadow["faults"]), (&json!("site"), &json!(0)), "{shadow}");
    let kinds = shadow["differences"].as_array().unwrap();
    let [call, event] = &kinds[..] else { panic!("two kinds: {shadow}") };
    assert_eq!(call["kind"], "on-call of versioned: answer result with other content");
    assert_eq!(event["kind"], "on-publish of versioned: answer deliver with other content");
    assert_eq!((&event["calls"], &event["example"]["topic"]), (&json!(5), &json!("v/a")));
    let diff = event["example"]["diff"].as_str().unwrap();
    assert!(diff.contains(&name(1)) && diff.contains(&name(2)), "{diff}");
    assert!(shadow["cost"]["shadow"]["memory_bytes"].as_u64() > Some(0), "{shadow}");
    let text = fixture.jackfield(&["shadow", "versioned"]);
    assert!(text.code == Some(0) && text.out.contains("with another outcome 6"), "{text:?}");
    assert!(text.out.contains("note: its memory began empty"), "{text:?}");
    let entry = plugin(&server, "versioned").await;
    assert_eq!(entry["shadow"]["differing"], 6, "{entry}");
    let text = run(command(&["status", fixture.site.path().to_str().unwrap()]));
    assert!(text.out.contains("serving, shadow 6 differ"), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_none_in_the_same_code() {
    // With a store that each call writes and reads, and effects of each kind.
    let fixture = Fixture { site: Site::open(), data: tempfile::tempdir().unwrap() };
    let route = |name: &str| {
        format!("test.{name}:\n    channel: '{name}'\n    handler: {{ callback: '{name}' }}\n")
    };
    let routes = ["writes", "read", "effects"].map(route).concat();
    fixture.site.bundle("a", &routes, &[]);
    fixture.deploy("a/hostile.wasm", fs::read(build::guest("hostile")).unwrap());
    fixture.deploy("a/hostile.shadow.wasm", relabelled(&build::guest("hostile"), 1));
    let server = fixture.start("");
    until_running(&server, "hostile").await;
    let mut client = join(&server).await;
    for _ in 0..20 {
        for topic in ["writes", "read", "effects"] {
            client.publish_acknowledged(topic, json!({}), json!(["x"]), Value::Null).await.unwrap();
        }
    }
    let shadow = compared(&server, "hostile", 60).await;
    assert_eq!((&shadow["compared"], &shadow["differing"]), (&json!(60), &json!(0)), "{shadow}");
    assert_eq!(shadow["differences"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misbehaving_shadow_disturbs_nothing() {
    for (version, fault) in [
        ("@@TRAP---000001", "trap"),
        ("@@ALLOCATE000001", "memory"),
        ("@@SPIN---000001", "deadline"),
    ] {
        let version = format!("{version:-<16}");
        let fixture = Fixture::new();
        fixture.deploy(SHADOW, misbehaving(&version));
        let server = fixture.start("");
        until_running(&server, "versioned").await;
        // More than the queue of the shadow holds.
        use_it(&server, 300).await;
        let page =
            until(&server, "versioned", |page| page["shadow"]["faults"].as_u64() > Some(0)).await;
        let shadow = &page["shadow"];
        let kinds = shadow["differences"].to_string();
        assert!(kinds.contains(&format!("fault {fault}")), "{kinds}");
        let entry = plugin(&server, "versioned").await;
        let breaker = &entry["circuit_breaker"];
        assert_eq!((&breaker["faults"], &breaker["state"]), (&json!(0), &json!("closed")));
        assert_eq!(entry["recycled"], 0);
        // The one in service serves on.
        use_it(&server, 5).await;
        assert_eq!(fixture.jackfield(&["shadow", "versioned", "--stop"]).code, Some(0));
        assert!(page["failed"].is_null(), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn can_be_named_stopped_and_promoted() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = candidate(&fixture, component(2));
    let placed = fixture.jackfield(&["shadow", "versioned", &new]);
    assert!(placed.code == Some(0) && placed.out.contains("is the shadow of"), "{placed:?}");
    use_it(&server, 2).await;
    compared(&server, "versioned", 2).await;
    // It survives the end of the server, and the counts begin again.
    drop(server);
    let server = fixture.start("");
    let shadow = until_running(&server, "versioned").await;
    assert_eq!((&shadow["from"], &shadow["compared"]), (&json!("command"), &json!(0)));
    // A change of the plugin's file leaves the shadow, beside the new version.
    fixture.deploy("v/versioned.wasm", component(3));
    let third = digest(&fixture.site.file("v/versioned.wasm"));
    until(&server, "versioned", |page| page["shadow"]["beside"] == third).await;
    let stopped = fixture.jackfield(&["shadow", "versioned", "--stop", "--json"]);
    assert_eq!((stopped.code, &stopped.json()["result"]), (Some(0), &json!("ok")));
    assert!(page(&server, "versioned").await["shadow"].is_null());
    assert!(fixture.jackfield(&["shadow", "versioned"]).out.contains("versioned has no shadow"));

    assert_eq!(fixture.jackfield(&["shadow", "versioned", &new]).code, Some(0));
    let promoted = fixture.jackfield(&["promote", "versioned"]);
    assert!(promoted.code == Some(0) && promoted.out.contains("is promoted"), "{promoted:?}");
    let entry = plugin(&server, "versioned").await;
    assert_eq!((&entry["pinned"], &entry["version"]), (&json!(true), &json!(name(2))));
    let ends: Vec<Value> = fixture.history("versioned").into_iter().map(|it| it.1).collect();
    assert_eq!(ends[..2], [Value::Null, json!("promoted")]);
    until(&server, "versioned", |page| page["shadow"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_promoted_until_the_plugins_file_changes() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.deploy(SHADOW, component(2));
    until_running(&server, "versioned").await;
    // The operator names the version that he has seen: the site can change the file at any time.
    let refused = fixture.jackfield(&["promote", "versioned"]);
    assert!(
        refused.code == Some(1) && refused.err.contains("is a file of the site"),
        "{refused:?}"
    );
    let second = digest(&fixture.site.file(SHADOW));
    fixture.deploy(SHADOW, component(9));
    until(&server, "versioned", |page| page["shadow"]["version"] == name(9)).await;
    // Not enough to know the file again.
    let few = second.get(.."sha256:".len() + 11).unwrap();
    let short = fixture.jackfield(&["promote", "versioned", few]);
    assert!(short.code == Some(1) && short.err.contains("at least 12 digits"), "{short:?}");
    let refused = fixture.jackfield(&["promote", "versioned", &second]);
    let says = |text: &str| refused.err.contains(text);
    assert!(refused.code == Some(1) && says(&second) && says("is sha256:"), "{refused:?}");
    assert_eq!(plugin(&server, "versioned").await["version"], name(1));
    fixture.deploy(SHADOW, component(2));
    until(&server, "versioned", |page| page["shadow"]["version"] == name(2)).await;
    assert_eq!(fixture.jackfield(&["promote", "versioned", &second]).code, Some(0));
    assert_eq!(plugin(&server, "versioned").await["digest"], second);
    // It is no shadow of itself.
    until(&server, "versioned", |page| page["shadow"].is_null() && page["loading"] == false).await;
    // Renamed over the plugin's file, it goes on without the pin.
    fs::rename(fixture.site.file(SHADOW), fixture.site.file("v/versioned.wasm")).unwrap();
    server.logged("the pin of plugin versioned has ended");
    until_version(&server, "versioned", &second).await;
    assert_eq!(fixture.history("versioned").len(), 2);

    // Stopped, a file is no shadow until it changes, also after a restart.
    fixture.deploy(SHADOW, component(4));
    until_running(&server, "versioned").await;
    assert_eq!(fixture.jackfield(&["shadow", "versioned", "--stop"]).code, Some(0));
    drop(server);
    let server = fixture.start("");
    let stopped = page(&server, "versioned").await;
    assert_eq!((&stopped["shadow"], &stopped["loading"]), (&Value::Null, &json!(false)));
    fixture.deploy(SHADOW, component(5));
    assert_eq!(until_running(&server, "versioned").await["version"], name(5));
    fs::remove_file(fixture.site.file(SHADOW)).unwrap();
    until(&server, "versioned", |page| page["shadow"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_prevents_no_reload() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.deploy(SHADOW, b"text".to_vec());
    let failed = until(&server, "versioned", |page| page["failed"].is_object()).await;
    assert!(failed["failed"]["reason"].as_str().unwrap().contains("WebAssembly"), "{failed}");
    server.logged("cannot be the shadow of the plugin versioned");
    let text = fixture.jackfield(&["shadow", "versioned"]);
    assert!(text.out.contains("cannot be the shadow of versioned"), "{text:?}");
    assert_eq!(status(&server).await["problem_count"], 0);
    fixture.deploy("v/versioned.wasm", component(3));
    let third = digest(&fixture.site.file("v/versioned.wasm"));
    until_version(&server, "versioned", &third).await;
    // Of another plugin, and of none.
    fixture.deploy(SHADOW, fs::read(build::guest("hostile")).unwrap());
    let is_other = |page: &Value| page["failed"].to_string().contains("of the plugin `hostile`");
    until(&server, "versioned", is_other).await;
    fixture.deploy("v/nothing.shadow.wasm", component(2));
    server.logged("nothing.shadow.wasm is no shadow");
    // It cannot be promoted.
    let other = digest(&fixture.site.file(SHADOW));
    let promoted = fixture.jackfield(&["promote", "versioned", &other]);
    assert_eq!(promoted.code, Some(1), "{promoted:?}");
    assert_eq!(plugin(&server, "versioned").await["digest"], third);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_cannot_be_a_shadow() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let refused = |arguments: &[&str], text: &str| {
        let output = fixture.jackfield(arguments);
        assert!(output.code == Some(1) && output.err.contains(text), "{output:?}");
    };
    let good = candidate(&fixture, component(2));
    refused(&["shadow", "versionde", &good], "did you mean `versioned`?");
    refused(&["shadow", "nobody"], "no plugin `nobody` is in service");
    refused(&["shadow", "versioned", "/nowhere.wasm"], "No such file");
    refused(&["shadow", "versioned", "--stop"], "the plugin `versioned` has no shadow");
    let same = fixture.data.path().join("same.wasm");
    fs::write(&same, component(1)).unwrap();
    refused(&["shadow", "versioned", same.to_str().unwrap()], "in service already");
    fs::write(&same, fs::read(build::guest("hostile")).unwrap()).unwrap();
    refused(&["shadow", "versioned", same.to_str().unwrap()], "of the plugin `hostile`");
    // Another layout of the store is none of its business: it writes nothing.
    fs::write(&same, misbehaving("@@SCHEMA--000001")).unwrap();
    let placed = fixture.jackfield(&["shadow", "versioned", same.to_str().unwrap()]);
    assert_eq!(placed.code, Some(0), "{placed:?}");
    refused(&["shadow", "versioned", &good], "has a shadow already");
    refused(&["canary", "versioned", &good, "--share", "10%"], "has a shadow already");
    refused(&["canary", "versioned", "--stop"], "has no canary");
    let socket = server.control_socket();
    let (code, _) =
        ask(&socket, "POST", "/v1/shadow", r#"{"plugin":"versioned","file":"x"}"#).await;
    assert_eq!(code, 400);
    assert_eq!(ask(&socket, "DELETE", "/v1/shadow", "").await.0, 405);
}
