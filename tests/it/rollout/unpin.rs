//! The end of a pin: the file serves again, although it has not changed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_file_serves_again_without_a_change() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let first = digest(&fixture.site.file("v/versioned.wasm"));
    fixture.until_kept("versioned", &[true]).await;
    let idle = fixture.jackfield(&["unpin", "versioned"]);
    assert_eq!((idle.code, &*idle.out), (Some(0), "versioned is not pinned\n"), "{idle:?}");
    fixture.deploy("v/versioned.wasm", component(2));
    let second = digest(&fixture.site.file("v/versioned.wasm"));
    until_version(&server, "versioned", &second).await;
    fixture.until_kept("versioned", &[true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));

    // The whole site has to be valid, as for every reload: otherwise the pin stays.
    fixture.site.write("x/websocket_routing.yml", "a: 1\n");
    server.until_health("reload", "failed");
    let failed = fixture.jackfield(&["unpin", "versioned"]);
    assert!(failed.code == Some(1) && failed.out.contains("unpin failed"), "{failed:?}");
    fixture.site.remove("x/websocket_routing.yml");
    server.until_health("reload", "ok");
    let entry = plugin(&server, "versioned").await;
    assert_eq!((&entry["digest"], &entry["pinned"]), (&json!(first), &json!(true)));

    let done = fixture.jackfield(&["unpin", "versioned"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let said = format!("versioned is no longer pinned: version {} ({second})", name(2));
    assert!(done.out.starts_with(&said), "{done:?}");
    let entry = plugin(&server, "versioned").await;
    assert_eq!((&entry["digest"], &entry["pinned"]), (&json!(second), &json!(false)));
    let ends: Vec<Value> = fixture.history("versioned").into_iter().map(|it| it.1).collect();
    let expected = [Value::Null, json!("unpinned"), json!("rolled_back"), json!("replaced")];
    assert_eq!(ends, expected);
    let audit = format!("action=\"unpin\" plugin=\"versioned\" digest=\"{second}\" result=\"ok\"");
    server.logged(&audit);
    let again = fixture.jackfield(&["unpin", "versioned", "--json"]);
    assert_eq!((again.code, &again.json()["result"]), (Some(0), &json!("unchanged")), "{again:?}");

    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_serves() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    let second = digest(&fixture.site.file("v/versioned.wasm"));
    until_version(&server, "versioned", &second).await;
    fixture.until_kept("versioned", &[true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    fixture.deploy("v/versioned.wasm", component(3));
    let third = digest(&fixture.site.file("v/versioned.wasm"));
    let done = fixture.jackfield(&["unpin", "versioned"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    until_version(&server, "versioned", &third).await;
    assert_eq!(plugin(&server, "versioned").await["pinned"], false);
}
