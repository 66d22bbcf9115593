//! `jackfield store …`: the operator reads, writes, moves and saves the stores of plugins of a
//! running server. `lines` is about exports and imports, `removed` about stores of removed plugins.

mod lines;
mod removed;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::control::{Output, ask, command, run};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROUTES: &str = "counts:\n    channel: 'counts/{room}'\n    handler: { callback: 'counts' }\n";
const TOPIC: &str = "counts/a";

fn site() -> Site {
    let site = Site::open();
    site.bundle("hostile", ROUTES, &[build::guest("hostile")]);
    site
}

/// A server whose stores are saved, or in memory.
fn serve(site: &Site, data: Option<&Path>, settings: &str) -> Server {
    let data = data.map_or_else(|| "off".to_owned(), |data| format!("'{}'", data.display()));
    Server::configured(site.path(), &format!("data: {data}\n{settings}"))
}

/// Runs `jackfield store COMMAND …`.
fn store(server: &Server, arguments: &[&str]) -> Output {
    let socket = server.control_socket();
    run(command(&[&["store"], arguments, &["--socket", socket.to_str().unwrap()]].concat()))
}

/// Runs a command that succeeds.
#[track_caller]
fn done(server: &Server, arguments: &[&str]) -> String {
    let output = store(server, arguments);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{arguments:?}: {}", output.out);
    output.out
}

/// Runs a command that the server refuses.
#[track_caller]
fn refused(server: &Server, arguments: &[&str]) -> String {
    let output = store(server, arguments);
    assert_eq!((output.code, output.out.as_str()), (Some(1), ""), "{arguments:?}: {}", output.err);
    output.err
}

async fn publish(client: &mut Client) {
    client.publish_acknowledged(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
}

async fn count(client: &mut Client) -> u64 {
    let (args, _) = client.call(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
    args[0].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_hooks_have_one_store() {
    let data = tempfile::tempdir().unwrap();
    for (state, data) in [("written", Some(data.path().join("data"))), ("memory", None)] {
        let site = site();
        let server = serve(&site, data.as_deref(), "");
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        publish(&mut client).await;
        publish(&mut client).await;
        assert_eq!(done(&server, &["get", "hostile", "counted"]), "2\n");
        let text = done(&server, &["set", "hostile", "counted", "40"]);
        assert!(text.starts_with("written, 2 bytes; it is "), "{text}");
        publish(&mut client).await;
        assert_eq!(count(&mut client).await, 41);

        done(&server, &["set", "hostile", "user/1", "secret-value", "--ttl", "1h"]);
        let page = done(&server, &["list", "hostile"]);
        let mut lines = page.lines();
        assert_eq!(lines.next(), Some("KEY      BYTES  EXPIRES IN"), "{page}");
        assert_eq!(lines.next(), Some("counted  2"));
        let third = lines.next().unwrap();
        assert!(third.starts_with("user/1   12     59 min 5"), "{page}");
        assert!(page.ends_with(&format!("of 64 MiB, {state}, schema 0\n")), "{page}");
        let list = store(&server, &["list", "hostile", "--prefix", "user/", "--json"]).json();
        assert_eq!((&list["entry_count"], &list["has_more"]), (&json!(2), &json!(false)));
        let [entry] = list["entries"].as_array().unwrap().as_slice() else { panic!("{list}") };
        assert_eq!((&entry["key"], &entry["bytes"]), (&json!("user/1"), &json!(12)));
        let left = entry["ttl_seconds"].as_f64().unwrap();
        assert!((3_000.0..=3_600.0).contains(&left), "{list}");
        let first = store(&server, &["list", "hostile", "--limit", "1", "--json"]).json();
        assert_eq!(
            (&first["entries"][0]["key"], &first["has_more"]),
            (&json!("counted"), &json!(true))
        );
        let page = done(&server, &["list", "hostile", "--limit", "1"]);
        assert!(page.ends_with("continue with --after counted\n"), "{page}");
        let after = store(&server, &["list", "hostile", "--after", "counted", "--json"]).json();
        assert_eq!(after["entries"][0]["key"], "user/1");

        let removed = store(&server, &["delete", "hostile", "counted", "--json"]).json();
        assert_eq!((&removed["result"], &removed["state"]), (&json!("ok"), &json!(state)));
        assert_eq!(done(&server, &["delete", "hostile", "counted"]), "there is no such key\n");
        assert_eq!(count(&mut client).await, 0);

        // Who, what and where, but never the value.
        let log = server.log();
        for action in ["store_set", "store_delete"] {
            let line =
                format!("action=\"{action}\" plugin=\"hostile\" key=\"counted\" result=\"ok\"");
            assert!(log.contains(&line), "{log}");
        }
        assert!(!log.contains("secret-value"), "{log}");

        drop(client);
        server.signal("KILL");
        drop(server);
        let server = serve(&site, data.as_deref(), "");
        let list = store(&server, &["list", "hostile", "--json"]).json();
        assert_eq!(list["entry_count"], u64::from(state == "written"), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_texts_or_bytes() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let server = serve(&site, None, "");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    done(&server, &["set", "hostile", "bytes", "/wA=", "--base64"]);
    let error = refused(&server, &["get", "hostile", "bytes"]);
    assert!(error.contains("the value is not a text") && error.contains("= help: "), "{error}");
    assert_eq!(done(&server, &["get", "hostile", "bytes", "--base64"]), "/wA=\n");
    let json = store(&server, &["get", "hostile", "bytes", "--json"]).json();
    assert_eq!((&json["value"], &json["bytes"]), (&json!({ "base64": "/wA=" }), &json!(2)));
    assert_eq!(done(&server, &["get", "hostile", "bytes", "--file", &path("out")]), "");
    assert_eq!(fs::read(path("out")).unwrap(), [0xff, 0]);
    assert_eq!(fs::metadata(path("out")).unwrap().permissions().mode() & 0o777, 0o600);
    let error = refused(&server, &["get", "hostile", "bytes", "--file", &path("out")]);
    assert!(error.contains("no file is overwritten"), "{error}");
    // The largest value, of the bytes whose form in JSON is the longest.
    fs::write(path("large"), vec![1; 1 << 20]).unwrap();
    done(&server, &["set", "hostile", "large", "--file", &path("large")]);
    done(&server, &["get", "hostile", "large", "--file", &path("again")]);
    assert!(fs::read(path("large")).unwrap() == fs::read(path("again")).unwrap());
    fs::write(path("larger"), vec![1; (1 << 20) + 1]).unwrap();
    let error = refused(&server, &["set", "hostile", "large", "--file", &path("larger")]);
    assert!(error.contains("a value has at most 1048576 bytes"), "{error}");

    for (arguments, expected) in [
        (["get", "hostile", "none"].as_slice(), "the store has no key `none`"),
        (&["get", "absent", "a"], "no plugin `absent` is in service"),
        (&["delete", "absent", "a"], "no plugin `absent` is in service"),
        (&["set", "hostile", "a", "!", "--base64"], "is not valid"),
        (&["set", "hostile", &"k".repeat(1_025), "v"], "a key has at most 1024 bytes"),
        (&["get", "hostile", "none", "--file", &path("none")], "the store has no key `none`"),
    ] {
        let error = refused(&server, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!Path::new(&path("none")).exists());
    for arguments in [
        ["set", "hostile", "a"].as_slice(),
        &["list", "--limit", "5"],
        &["delete", "hostile"],
        &["delete", "hostile", "a", "--all"],
        &["set", "h", "a", "v", "--ttl", "0s"],
    ] {
        assert_eq!(store(&server, arguments).code, Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_for_the_operator_too() {
    let site = site();
    let settings = "plugins: { named: { hostile: { store: 1KiB } } }\n";
    let server = serve(&site, None, settings);
    done(&server, &["set", "hostile", "a", &"x".repeat(500)]);
    let error = refused(&server, &["set", "hostile", "b", &"x".repeat(500)]);
    assert!(error.contains("its quota is 1024 (`plugins.*.store`)"), "{error}");
    done(&server, &["set", "hostile", "a", &"x".repeat(800)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_hostile_clients_are_refused() {
    let site = site();
    let server = serve(&site, None, "");
    let socket = server.control_socket();
    for (method, path, body, status) in [
        ("GET", "/v1/store/list", "", 404),
        ("GET", "/v1/store/list?plugin=hostile&limit=0", "", 400),
        ("GET", "/v1/store/list?plugin=hostile&limit=99999999999999999999", "", 400),
        ("GET", "/v1/store/list?plugin=hostile&plugin=other", "", 400),
        ("GET", "/v1/store/list?plugin=hostile&x=1", "", 400),
        ("GET", "/v1/store/export?plugin=none", "", 404),
        ("POST", "/v1/store/list", "", 405),
        ("GET", "/v1/store/set", "", 405),
        ("GET", "/v1/store/none", "", 404),
        ("POST", "/v1/store/set", "", 400),
        ("POST", "/v1/store/set", r#"{"plugin":"hostile","key":"a","value":1}"#, 400),
        (
            "POST",
            "/v1/store/set",
            r#"{"plugin":"hostile","key":"a","value":"","ttl_seconds":-1}"#,
            400,
        ),
        (
            "POST",
            "/v1/store/set",
            r#"{"plugin":"hostile","key":"a","value":"","ttl_seconds":1e300}"#,
            400,
        ),
        ("POST", "/v1/store/import?plugin=hostile&replace=yes", "", 400),
        ("POST", "/v1/store/plugins", "", 405),
        ("GET", "/v1/store/plugins?plugin=hostile", "", 400),
        ("POST", "/v1/store/delete", r#"{"plugin":"hostile"}"#, 400),
        ("POST", "/v1/store/delete", r#"{"plugin":"hostile","key":"a","all":true}"#, 400),
        ("POST", "/v1/store/backup", r#"{"file":"relative"}"#, 400),
        ("POST", "/v1/store/backup", r#"{"file":"/tmp/x"}"#, 409),
    ] {
        let (found, answer) = ask(&socket, method, path, body).await;
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
        assert!(answer["message"].is_string(), "{answer}");
    }
}

#[test]
fn needs_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().to_str().unwrap();
    for arguments in [
        ["list", "acme"].as_slice(),
        &["get", "acme", "a"],
        &["set", "acme", "a", "1"],
        &["delete", "acme", "a"],
        &["export", "acme"],
        &["import", "acme", "-"],
        &["backup", "file"],
    ] {
        let output = run(command(&[&["store"], arguments, &["--site", site]].concat()));
        assert_eq!(output.code, Some(3), "{arguments:?}: {output:?}");
        assert!(output.err.contains("no running server of the site"), "{output:?}");
    }
    assert!(!folder.path().join("file").exists());
}

/// A backup has all that was acknowledged before it, and nothing that was sent after it; restored, it
/// is the store of a new server.
#[tokio::test(flavor = "multi_thread")]
async fn restores_a_backup_that_was_made_under_load() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let server = serve(&site, Some(&data), "");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let publishing = tokio::spawn({
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        let acknowledged = Arc::clone(&acknowledged);
        async move {
            loop {
                publish(&mut client).await;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut backups = Vec::new();
    for number in 0..5 {
        let file = folder.path().join(format!("backup{number}"));
        let before = acknowledged.load(Ordering::SeqCst);
        let backup = store(&server, &["backup", file.to_str().unwrap(), "--json"]).json();
        // One more may be under way.
        let after = acknowledged.load(Ordering::SeqCst) + 1;
        assert_eq!((&backup["result"], &backup["file"]), (&json!("ok"), &json!(file)));
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(backup["bytes"], metadata.len());
        backups.push((file, before, after));
    }
    let taken = &backups[0].0;
    let contents = fs::read(taken).unwrap();
    let error = refused(&server, &["backup", taken.to_str().unwrap()]);
    assert!(error.contains("exists") && error.contains("= help: name a new file"), "{error}");
    assert!(contents == fs::read(taken).unwrap());
    let log = server.log();
    let line = format!("action=\"store_backup\" file=\"{}\" result=\"ok\"", taken.display());
    assert!(log.contains(&line), "{log}");
    server.signal("KILL");
    drop(server);
    publishing.await.unwrap_err();

    for (file, before, after) in backups {
        fs::remove_dir_all(data.join("store")).unwrap();
        fs::create_dir(data.join("store")).unwrap();
        fs::copy(file, data.join("store/store.sqlite3")).unwrap();
        let server = serve(&site, Some(&data), "");
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        let found = count(&mut client).await;
        assert!((before..=after).contains(&found), "{before} ≤ {found} ≤ {after}");
        publish(&mut client).await;
        assert_eq!(count(&mut client).await, found + 1);
    }
}
