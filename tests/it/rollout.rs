//! Versions of plugins in a running server: returning to an earlier one, disabling a plugin, and new
//! versions that the server takes back by itself. `transactions` is about changes that fail, or meet,
//! `unpin` about the end of pins,
//! `pin_files` about files that move, `saving` about a folder that cannot be written, or is damaged.

mod pin_files;
mod saving;
pub(crate) mod take_back;
mod transactions;
mod unpin;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control::{Output, ask, command, digest, run, status};
use crate::reload::component;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const VERSIONED: &str =
    "test.versioned:\n    channel: 'v/{name}'\n    handler: { callback: 'versioned' }\n";

/// A site, and a folder for the data of its servers.
pub(crate) struct Fixture {
    pub(crate) site: Site,
    pub(crate) data: tempfile::TempDir,
}

impl Fixture {
    /// With the plugin `versioned` in its first version.
    pub(crate) fn new() -> Self {
        let fixture = Self { site: Site::open(), data: tempfile::tempdir().unwrap() };
        fixture.site.bundle("v", VERSIONED, &[]);
        fixture.deploy("v/versioned.wasm", component(1));
        fixture
    }

    pub(crate) fn start(&self, more: &str) -> Server {
        self.start_at(self.site.path(), more)
    }

    fn start_at(&self, site: &Path, more: &str) -> Server {
        let data = self.data.path().join("data");
        Server::configured(site, &format!("data: {}\n{more}", data.display()))
    }

    /// Starts a server, which ends with this text.
    fn refuses_to_start(&self, text: &str) {
        let config = self.data.path().join("config.yml");
        let data = self.data.path().join("data");
        fs::write(&config, format!("data: {}\n", data.display())).unwrap();
        let (site, config) = (self.site.path().to_str().unwrap(), config.to_str().unwrap());
        let refused = run(command(&["serve", site, "--listen", "127.0.0.1:0", "--config", config]));
        assert!(refused.code == Some(1) && refused.err.contains(text), "{refused:?}");
    }

    pub(crate) fn deploy(&self, file: &str, bytes: Vec<u8>) {
        self.site.rename_over(file, bytes);
    }

    /// Runs a command about a plugin.
    pub(crate) fn jackfield(&self, arguments: &[&str]) -> Output {
        let site = self.site.path().to_str().unwrap();
        run(command(&[arguments, &["--site", site]].concat()))
    }

    /// Waits until these versions of a plugin are kept, which is after they began to serve.
    pub(crate) async fn until_kept(&self, plugin: &str, expected: &[bool]) {
        let kept = || self.history(plugin).iter().map(|it| it.2).collect::<Vec<_>>();
        within("the versions", async {
            while kept() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// The periods of a plugin, the newest first: version, end, and whether it is kept.
    pub(crate) fn history(&self, plugin: &str) -> Vec<(String, Value, bool)> {
        let history = self.jackfield(&["history", plugin, "--json"]).json();
        let versions = history["plugins"][0]["versions"].as_array().unwrap().clone();
        let period = |it: &Value| {
            let kept = it["kept"] == true;
            (it["version"].as_str().unwrap().to_owned(), it["ended"].clone(), kept)
        };
        versions.iter().map(period).collect()
    }
}

/// The code blocks of the page about versions.
fn examples() -> Vec<&'static str> {
    let page = include_str!("../../docs/rollout.md");
    let rest = page.split("```sh\n").skip(1);
    rest.map(|rest| rest.split("```\n").next().expect("a fence at the end")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_versions_runs_as_printed() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let first = digest(&fixture.site.file("v/versioned.wasm"));
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    let mut run = 0;
    for line in examples().into_iter().flat_map(str::lines) {
        let line = line.replace("acme-chat", "versioned");
        let line = line.replace("77d0ccf5a1e4", &first["sha256:".len()..][..12]);
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let output = fixture.jackfield(&words);
        // The second roll-back finds the version in service already.
        let is_second = line.starts_with("jackfield rollback versioned ");
        assert_eq!(output.code, Some(i32::from(is_second)), "{line}: {output:?}");
        run += 1;
    }
    assert_eq!(run, 7);
}

/// A component with the same code and another digest.
pub(crate) fn relabelled(file: &Path, label: u8) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    // A custom section: its size, the length of its name, its name, and its content.
    bytes.extend([0, 3, 1, b'x', label]);
    bytes
}

pub(crate) async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Publishes, and returns the version that delivered the event.
async fn version(publisher: &mut Client, subscriber: &mut Client) -> String {
    publisher.publish_acknowledged("v/a", json!({}), json!(["x"]), Value::Null).await.unwrap();
    subscriber.event().await.args[1].as_str().unwrap().to_owned()
}

pub(crate) fn name(number: u32) -> String {
    format!("@@VERSION-{number:06}")
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_to_an_earlier_version_until_the_file_changes() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("v/a", json!({})).await;
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(1));

    let nothing = fixture.jackfield(&["rollback", "versioned"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.err.contains("the plugin `versioned` has no earlier version"), "{nothing:?}");
    assert!(nothing.err.contains("`jackfield rollback versioned DIGEST`"), "{nothing:?}");
    fixture.until_kept("versioned", &[true]).await;

    let first = digest(&fixture.site.file("v/versioned.wasm"));
    fixture.deploy("v/versioned.wasm", component(2));
    server.until_health("generation", 2);
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(2));

    // By hand, without a digest. The subscriber stays.
    let rolled = fixture.jackfield(&["rollback", "versioned"]);
    assert_eq!(rolled.code, Some(0), "{rolled:?}");
    assert!(rolled.out.contains(&first) && rolled.out.contains("versioned.wasm changes"));
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(1));
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
    let audit = server.logged("action=\"rollback\"");
    let expected = format!("plugin=\"versioned\" digest=\"{first}\" result=\"ok\"");
    assert!(audit.contains(&expected), "{audit}");
    // It stays rolled back over reloads, and has nothing else to return to.
    let reloaded = run(command(&["reload", fixture.site.path().to_str().unwrap()]));
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(1));
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(1));
    let history = fixture.history("versioned");
    let ends: Vec<&Value> = history.iter().map(|it| &it.1).collect();
    assert_eq!(ends, [&Value::Null, &json!("rolled_back"), &json!("replaced")], "{history:?}");
    fixture.until_kept("versioned", &[true, true, true]).await;

    // Another file ends the pin.
    fixture.deploy("v/versioned.wasm", component(3));
    server.logged("the pin of plugin versioned has ended");
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(3));
    // By the beginning of a digest, with or without its name.
    let short = &first["sha256:".len()..][..10];
    let rolled = fixture.jackfield(&["rollback", "versioned", short, "--json"]);
    assert_eq!((rolled.code, &rolled.json()["to"]), (Some(0), &json!(first)), "{rolled:?}");
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(1));
}

/// The plugin of this name in the server's status.
pub(crate) async fn plugin(server: &Server, name: &str) -> Value {
    let status = status(server).await;
    let mut plugins = status["plugins"].as_array().unwrap().iter();
    plugins.find(|it| it["name"] == name).unwrap_or_else(|| panic!("{status}")).clone()
}

/// Waits until the component of a plugin serves.
pub(crate) async fn until_version(server: &Server, name: &str, digest: &str) {
    within("the version", async {
        while plugin(server, name).await["digest"] != digest {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_and_history_survive_a_restart() {
    let fixture = Fixture::new();
    let server = fixture.start("plugins: { keep_versions: 2 }");
    for number in 2..=4 {
        fixture.deploy("v/versioned.wasm", component(number));
        until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    }
    fixture.until_kept("versioned", &[true, true, false, false]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    let pinned = plugin(&server, "versioned").await["digest"].clone();
    drop(server);

    let server = fixture.start("plugins: { keep_versions: 2 }");
    server.logged("plugin versioned is pinned to version sha256:");
    assert_eq!(plugin(&server, "versioned").await["digest"], pinned);
    assert_eq!(fixture.history("versioned").len(), 5);
    drop(server);
    // Another path to the same site is no other site.
    let link = fixture.data.path().join("link");
    std::os::unix::fs::symlink(fixture.site.path(), &link).unwrap();
    let server = fixture.start_at(&link, "");
    assert_eq!(plugin(&server, "versioned").await["digest"], pinned);
    drop(server);

    // A kept component whose content has changed is never loaded.
    let folder = fixture.data.path().join("data/versions");
    let file = folder.join(&pinned.as_str().unwrap()["sha256:".len()..]).with_extension("wasm");
    fs::write(&file, component(9)).unwrap();
    let server = fixture.start("");
    let log = server.logged("the pinned version of versioned is lost");
    assert!(log.contains("does not have the digest of its name"), "{log}");
    let own = digest(&fixture.site.file("v/versioned.wasm"));
    assert_eq!(plugin(&server, "versioned").await["digest"], own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_plugin_refuses_every_request() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("v/a", json!({})).await;
    let out = fixture.jackfield(&["disable", "versioned"]);
    assert_eq!((out.code, &*out.out), (Some(0), "versioned is disabled\n"));
    let again = fixture.jackfield(&["disable", "versioned"]);
    assert_eq!((again.code, &*again.out), (Some(0), "versioned is already disabled\n"));
    assert_eq!(plugin(&server, "versioned").await["disabled"], true);
    let disabled = "jackfield.error.handler_disabled";
    let refused = publisher.publish_acknowledged("v/a", json!({}), json!([1]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, disabled);
    let refused = publisher.try_subscribe("v/b", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, disabled);
    let refused = publisher.call("v/a", json!({}), json!([]), Value::Null).await.unwrap_err();
    assert_eq!(refused.uri, disabled);

    // It stays disabled over a new version and a restart.
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    drop(server);
    let server = fixture.start("");
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    assert_eq!(subscriber.try_subscribe("v/a", json!({})).await.unwrap_err().uri, disabled);
    // While the site has problems, a plugin can be enabled and disabled.
    fixture.site.rename_over("v/websocket_routing.yml", "a: 1\n");
    server.until_health("reload", "failed");
    assert_eq!(fixture.jackfield(&["enable", "versioned"]).code, Some(0));
    subscriber.subscribe("v/a", json!({})).await;
    assert_eq!(version(&mut publisher, &mut subscriber).await, name(2));
    assert_eq!(fixture.jackfield(&["disable", "versioned"]).code, Some(0));
    let refused = publisher.publish_acknowledged("v/a", json!({}), json!([1]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, disabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn says_that_a_change_could_not_be_written() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.until_kept("versioned", &[true]).await;
    // In the place of the incomplete table, for which permissions would not stop root.
    let obstacle = fixture.data.path().join("data/versions/index.tmp");
    fs::create_dir(&obstacle).unwrap();
    let failed = fixture.jackfield(&["disable", "versioned"]);
    let told = "error: the change is lost when the server ends: failed to write";
    assert!(failed.code == Some(1) && failed.err.contains(told), "{failed:?}");
    assert_eq!(failed.out, "versioned is disabled\n");
    assert_eq!(plugin(&server, "versioned").await["disabled"], true);
    let page = run(command(&["status", fixture.site.path().to_str().unwrap()]));
    assert!(page.out.contains("not saved    changes of versions are lost"), "{page:?}");
    // Again, and still not written.
    let failed = fixture.jackfield(&["disable", "versioned", "--json"]);
    let answer = failed.json();
    assert_eq!((failed.code, &answer["result"]), (Some(1), &json!("ok")), "{failed:?}");
    assert!(answer["survives_restart"] == false && answer["save_error"].is_string(), "{answer}");
    fs::remove_dir(&obstacle).unwrap();
    let again = fixture.jackfield(&["disable", "versioned", "--json"]);
    let answer = again.json();
    assert_eq!((again.code, &answer["save_error"]), (Some(0), &Value::Null), "{again:?}");
    assert_eq!(answer["survives_restart"], true, "{answer}");
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["disabled"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_versions_that_there_are_not() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let socket = server.control_socket();
    let refused = async |path: &str, body: Value, code: u16, message: &str| {
        let (found, answer) = ask(&socket, "POST", path, &body.to_string()).await;
        let text = answer["message"].as_str().unwrap_or_default();
        assert!(found == code && text.contains(message), "{path} {body}: {found} {answer}");
    };
    let named = |name: &str| json!({ "plugin": name });
    let unknown = "no plugin `versionde` is in service; did you mean `versioned`?";
    for path in ["/v1/rollback", "/v1/unpin", "/v1/disable", "/v1/enable"] {
        refused(path, named("versionde"), 404, unknown).await;
        refused(path, json!({}), 400, "`plugin` is the name of a plugin").await;
        refused(path, named(&"x".repeat(257)), 400, "1 to 256 bytes").await;
        refused(path, json!({ "plugin": 7 }), 400, "the body is not valid").await;
        refused(path, json!({ "plugin": "a", "x": 1 }), 400, "unknown field `x`").await;
        let long = json!({ "plugin": "versioned", "wait_seconds": 601 });
        refused(path, long, 400, "`wait_seconds` is at most 600").await;
    }
    fixture.until_kept("versioned", &[true]).await;
    let digest = |digest: &str| json!({ "plugin": "versioned", "digest": digest });
    refused("/v1/rollback", digest(&"a".repeat(72)), 400, "`digest` has at most 71 bytes").await;
    refused("/v1/rollback", digest("../../etc"), 404, "begins with `../../etc`; kept are").await;
    refused("/v1/rollback", digest(""), 404, "no kept version").await;
    let own = self::digest(&fixture.site.file("v/versioned.wasm"));
    refused("/v1/rollback", digest(&own), 409, "is in service already").await;
    let (code, answer) = ask(&socket, "GET", "/v1/history?plugin=none", "").await;
    assert!(code == 404 && answer["message"] == "no plugin `none` has served here", "{answer}");
    assert_eq!(ask(&socket, "GET", "/v1/history?x=1", "").await.0, 400);
    assert_eq!(ask(&socket, "POST", "/v1/history", "").await.0, 405);
    assert_eq!(ask(&socket, "GET", "/v1/rollback", "").await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_fit_the_site_is_not_returned_to() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let mut digests = Vec::new();
    for number in 2..=3 {
        fixture.deploy("v/versioned.wasm", component(number));
        digests.push(digest(&fixture.site.file("v/versioned.wasm")));
        until_version(&server, "versioned", digests.last().unwrap()).await;
    }
    fixture.until_kept("versioned", &[true, true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    // It is pinned now. Another roll-back fails, because the site has problems, and the pin stays.
    fixture.site.write("other/websocket_routing.yml", "a:\n    channel: a\n    handler: b\n");
    server.until_health("reload", "failed");
    let failed = fixture.jackfield(&["rollback", "versioned"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.out.contains("no plugin provides the handler `b`"), "{failed:?}");
    assert!(failed.out.contains("the versions in service stay"), "{failed:?}");
    fixture.site.remove("other/websocket_routing.yml");
    server.until_health("reload", "ok");
    let reloaded = run(command(&["reload", fixture.site.path().to_str().unwrap()]));
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    let entry = plugin(&server, "versioned").await;
    assert_eq!((&entry["digest"], &entry["pinned"]), (&json!(digests[0]), &json!(true)));
    assert!(!server.log().contains("the pin of plugin versioned has ended"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_start_with_a_table_that_it_cannot_read() {
    let fixture = Fixture::new();
    drop(fixture.start(""));
    let index = fixture.data.path().join("data/versions/index.json");
    fs::write(&index, r#"{"format":3}"#).unwrap();
    fixture.refuses_to_start("has the format 3, and this server reads 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_pins_of_a_site_that_cannot_be_served_with_them() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    drop(server);
    fixture.site.write("other/websocket_routing.yml", "a:\n    channel: a\n    handler: b\n");
    fixture.refuses_to_start("note: the plugin versioned is pinned to version sha256:");
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_without_a_data_folder() {
    let fixture = Fixture::new();
    let server = Server::configured(fixture.site.path(), "data: off\n");
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    let refused = fixture.jackfield(&["rollback", "versioned"]);
    assert!(refused.err.contains("there is no data folder"), "{refused:?}");
    assert!(refused.err.contains("= help: set `data` to a folder"), "{refused:?}");
    assert_eq!(fixture.history("versioned").len(), 2);
    let out = fixture.jackfield(&["disable", "versioned"]);
    assert!(out.code == Some(0) && out.out.contains("so this holds until it ends"), "{out:?}");
    let table = fixture.jackfield(&["history"]);
    assert!(table.out.contains("versioned is disabled since"), "{table:?}");
}
