//! Versions of the plugin contract in one server: a plugin that was built for version 0.1 serves
//! beside one of version 0.2, and one of a later version is refused with the reason. Instances of
//! stateless plugins are replaced while they serve.

use std::process::Command;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const OLD_ROUTES: &str = "\
old:
    channel: 'old/{room}'
    handler: { callback: 'frozen' }
old.trap:
    channel: 'trap/{room}'
    handler: { callback: 'frozen.trap' }
old.clock:
    channel: 'clock/{room}'
    handler: { callback: 'frozen' }
    timer: 50ms
";

fn routes(handler: &str) -> String {
    format!(
        "{handler}:\n    channel: '{handler}/{{room}}'\n    handler: {{ callback: '{handler}' }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_version_0_1_beside_0_2() {
    let site = Site::open();
    site.bundle("old", OLD_ROUTES, &[build::guest("frozen")]);
    site.bundle("new", &routes("versioned"), &[build::guest("versioned")]);
    let server = Server::start(site.path());
    let mut listener = Client::connect(server.addr, Codec::Json, "realm1").await;
    for topic in ["old/a", "versioned/a", "left"] {
        listener.try_subscribe(topic, json!({})).await.ok();
    }
    let mut speaker = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    for count in 1..=2 {
        let args = json!(["hello"]);
        speaker.publish_acknowledged("old/a", json!({}), args, Value::Null).await.unwrap();
        assert_eq!(listener.event().await.args, json!([count, 1, ["hello"], {}]));
        let args = json!(["hello"]);
        speaker.publish_acknowledged("versioned/a", json!({}), args, Value::Null).await.unwrap();
        assert_eq!(listener.event().await.args, json!(["hello", "@@VERSION-000001"]));
    }

    // Its other hooks, an answer that is refused, and a fault whose writes are undone.
    let denied = listener.try_subscribe("old/closed", json!({})).await.unwrap_err();
    assert_eq!(denied.uri, "com.example.error.frozen");
    let result = speaker.call("old/a", json!({}), json!([7]), Value::Null).await.unwrap();
    assert_eq!(result, (json!([7]), json!({ "by": "frozen" })));
    let refused = speaker.call("old/a", json!({}), json!([]), Value::Null).await.unwrap_err();
    assert_eq!(refused.uri, "com.example.error.frozen");
    let failed = speaker.publish_acknowledged("trap/a", json!({}), json!([1]), Value::Null).await;
    assert_eq!(failed.unwrap_err().uri, "jackfield.error.handler_failed");
    speaker.publish_acknowledged("old/a", json!({}), json!([1]), Value::Null).await.unwrap();
    assert_eq!(listener.event().await.args, json!([3, 1, [1], {}]), "the failed call is undone");

    listener.subscribe("clock/a", json!({})).await;
    let told = listener.event().await.args;
    let expected = "frozen old.clock clock/a [(\"room\", \"a\")] nobody 1";
    assert_eq!(told, json!([expected]));
}

#[test]
fn explains_how_to_load_a_plugin_of_another_version() {
    let site = Site::open();
    let bytes = std::fs::read(build::guest("versioned")).unwrap();
    let later = String::from_utf8_lossy(b"@0.2.0").into_owned();
    let mut found = 0;
    let mut other = bytes.clone();
    for place in 0..bytes.len() - later.len() {
        if bytes[place..].starts_with(later.as_bytes()) {
            other[place..place + later.len()].copy_from_slice(b"@0.3.0");
            found += 1;
        }
    }
    assert_ne!(found, 0);
    site.write("new/later.wasm", other);
    site.write("new/websocket_routing.yml", routes("versioned"));
    let output = Command::new(build::jackfield()).arg("check").arg(site.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    let file = site.file("new/later.wasm").display().to_string();
    for part in [
        &file,
        "it was built for version 0.3.0 of the plugin contract, and this server loads 0.1 and 0.2",
        "= help: update the server, or build the plugin with the SDK of 0.2",
    ] {
        assert!(said.contains(part), "{said} does not say {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recycles_stateless_plugins_while_they_serve() {
    let site = Site::open();
    site.bundle("growing", &routes("growing"), &[build::guest("growing")]);
    let server = Server::configured(site.path(), "plugins: { default: { memory: 4 MiB } }");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe("growing/a", json!({})).await;
    let everybody = json!({ "exclude_me": false });
    let mut started = 0;
    for call in 1..=40 {
        let published =
            client.publish_acknowledged("growing/a", everybody.clone(), json!([]), Value::Null);
        published.await.unwrap();
        let counts = client.event().await.args;
        assert_eq!(counts[0], call, "the store has counted every call");
        started += u64::from(counts[1] == 1);
    }
    let recycled = json!([{ "plugin": "growing", "count": started - 1 }]);
    assert_eq!(server.health()["recycled_instances"], recycled);
    assert!(started > 2, "{started} instances");
    let log = server.log();
    assert!(log.contains("recycled an instance that used"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recycles_a_plugin_of_version_0_1_if_the_settings_say_so() {
    let site = Site::open();
    site.bundle("old", &routes("frozen"), &[build::guest("frozen")]);
    let config = "plugins: { named: { frozen: { memory: 3 MiB, recycle: true } } }";
    let server = Server::configured(site.path(), config);
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    // Its memory grows with the longest event; each instance sees some.
    for size in [1, 2, 3, 4].map(|step| step * 150_000) {
        let text = json!(["x".repeat(size)]);
        client.publish_acknowledged("frozen/a", json!({}), text, Value::Null).await.ok();
    }
    client.publish_acknowledged("frozen/a", json!({}), json!([1]), Value::Null).await.unwrap();
    let recycled = &server.health()["recycled_instances"];
    assert_eq!(recycled[0]["plugin"], "frozen", "{recycled}");
}
