//! Files with a pin that are moved, removed, or replaced by one of another name.

use super::*;

/// A server whose first version is pinned over the second one, and their digests.
async fn pinned(fixture: &Fixture) -> (Server, [String; 2]) {
    let server = fixture.start("");
    let file = fixture.site.file("v/versioned.wasm");
    let first = digest(&file);
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    let second = digest(&file);
    until_version(&server, "versioned", &second).await;
    fixture.until_kept("versioned", &[true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    (server, [first, second])
}

fn pin(fixture: &Fixture) -> Value {
    fixture.jackfield(&["history", "versioned", "--json"]).json()["plugins"][0]["pin"].clone()
}

fn reload(fixture: &Fixture) {
    let reloaded = run(command(&["reload", fixture.site.path().to_str().unwrap()]));
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_follows_its_file() {
    let fixture = Fixture::new();
    let (server, [first, second]) = pinned(&fixture).await;
    let (old, new) = ("v/versioned.wasm", "v/renamed.wasm");
    let moved = |from, to| fs::rename(fixture.site.file(from), fixture.site.file(to)).unwrap();
    moved(old, new);
    reload(&fixture);
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
    assert_eq!(pin(&fixture)["file"], new);
    assert!(server.logged("has followed its file").contains("v/renamed.wasm"));
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
    let unpinned = fixture.jackfield(&["unpin", "versioned", "--json"]).json();
    assert_eq!((&unpinned["to"], &unpinned["file"]), (&json!(second), &json!(new)), "{unpinned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_ends_when_a_file_of_another_name_serves() {
    let fixture = Fixture::new();
    let (server, _) = pinned(&fixture).await;
    fixture.deploy("v/versioned-3.wasm", component(3));
    fixture.site.remove("v/versioned.wasm");
    let third = digest(&fixture.site.file("v/versioned-3.wasm"));
    reload(&fixture);
    until_version(&server, "versioned", &third).await;
    assert_eq!(pin(&fixture), Value::Null);
    let log = server.logged("the pin of plugin versioned has ended");
    assert!(log.contains("v/versioned.wasm is gone, and") && log.contains("versioned-3.wasm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_waits_for_its_file() {
    let fixture = Fixture::new();
    let (server, [first, second]) = pinned(&fixture).await;
    let routing = fs::read(fixture.site.file("v/websocket_routing.yml")).unwrap();
    let bytes = fs::read(fixture.site.file("v/versioned.wasm")).unwrap();
    fixture.site.remove("v/websocket_routing.yml");
    fixture.site.remove("v/versioned.wasm");
    reload(&fixture);
    server.logged("the pin of plugin versioned waits: v/versioned.wasm is gone");
    assert_eq!(pin(&fixture)["digest"], first);
    fixture.deploy("v/versioned.wasm", bytes);
    fixture.site.write("v/websocket_routing.yml", routing);
    reload(&fixture);
    until_version(&server, "versioned", &first).await;
    assert_eq!(pin(&fixture)["file_digest"], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_follows_its_file_or_ends_with_it() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let new = fixture.data.path().join("new.wasm");
    fs::write(&new, component(2)).unwrap();
    let canary = ["canary", "versioned", new.to_str().unwrap(), "--share", "100%"];
    assert_eq!(fixture.jackfield(&canary).code, Some(0));
    let (old, new) = ("v/versioned.wasm", "v/renamed.wasm");
    fs::rename(fixture.site.file(old), fixture.site.file(new)).unwrap();
    reload(&fixture);
    assert_eq!(plugin(&server, "versioned").await["canary"]["share"], "100%");
    // A release of another name, as a changed file of the same name.
    fixture.deploy("v/versioned-3.wasm", component(3));
    fixture.site.remove(new);
    reload(&fixture);
    let third = digest(&fixture.site.file("v/versioned-3.wasm"));
    until_version(&server, "versioned", &third).await;
    assert_eq!(plugin(&server, "versioned").await["canary"], Value::Null);
    server.logged("the canary of plugin versioned has ended");
}
