//! Stores of plugins that were removed: they stay, and the operator reaches them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_a_removed_plugin_is_listed_exported_and_emptied() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let server = serve(&site, Some(&data), "");
    assert_eq!(done(&server, &["list"]), "no plugin has stored anything\n");
    for key in ["a", "b", "c"] {
        done(&server, &["set", "hostile", key, "1"]);
    }
    let in_service = done(&server, &["list"]);
    assert!(in_service.contains("hostile  in service"), "{in_service}");
    // Removed while the server runs, and from the start of another one.
    site.remove("hostile");
    server.logged("generation ready generation=2");
    reaches(&server);
    drop(server);
    let server = serve(&site, Some(&data), "");
    reaches(&server);
    assert_eq!(done(&server, &["delete", "hostile", "a"]), "removed\n");
    let export = folder.path().join("export");
    done(&server, &["export", "hostile", "--output", export.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&export).unwrap().lines().count(), 3);
    assert_eq!(done(&server, &["delete", "hostile", "--all"]), "2 keys removed\n");
    assert_eq!(done(&server, &["delete", "hostile", "--all"]), "0 keys removed\n");
    assert_eq!(done(&server, &["list"]), "no plugin has stored anything\n");
    let log = server.log();
    assert!(log.contains("action=\"store_delete_all\" plugin=\"hostile\" result=\"ok\""), "{log}");
    // A plugin that comes back has the same store.
    done(&server, &["import", "hostile", export.to_str().unwrap()]);
    let logged = server.log().len();
    site.bundle("again", ROUTES, &[build::guest("hostile")]);
    server.logged_after(logged, "generation ready");
    assert_eq!(done(&server, &["get", "hostile", "b"]), "1\n");
    let list = store(&server, &["list", "hostile", "--json"]).json();
    assert_eq!((&list["in_service"], &list["entry_count"]), (&json!(true), &json!(2)));
    drop(server);
    let server = serve(&site, Some(&data), "");
    assert_eq!(done(&server, &["get", "hostile", "c"]), "1\n", "it is saved");
}

/// The store of the removed plugin has three keys.
fn reaches(server: &Server) {
    let plugins = done(server, &["list"]);
    assert!(plugins.contains("hostile  removed"), "{plugins}");
    let page = done(server, &["list", "hostile"]);
    assert!(page.contains("hostile (removed): 3 keys"), "{page}");
    assert_eq!(done(server, &["get", "hostile", "b"]), "1\n");
    let absent = refused(server, &["list", "absent"]);
    assert!(absent.contains("no plugin `absent` is in service"), "{absent}");
}
