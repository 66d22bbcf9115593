//! File changes by people and tools. In each case the new version serves in the end, only the old
//! one does until then, and a half-written file is never loaded.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{
    SETTLE, VERSIONED_ROUTES, VERSIONED_WASM, add_versioned, ask, ask_until, asker, component,
    reloading, version, versioned_site,
};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Longer than the settle time: a reading in between would get half a file.
const PAUSE: Duration = Duration::from_millis(60);

/// Replaces version 1 of a bundle by version 2.
async fn check(what: &str, site: Site, replace: impl FnOnce(&Site) + Send + 'static) {
    let server = Server::configured(site.path(), SETTLE);
    let mut client = asker(&server).await;
    assert_eq!(ask(&mut client).await, version(1), "{what}");
    let replaced = tokio::task::spawn_blocking(move || {
        replace(&site);
        site
    });
    ask_until(&mut client, 1, 2).await;
    let _site = replaced.await.unwrap();
    assert_eq!(ask(&mut client).await, version(2), "{what}");
    let log = server.log();
    assert!(!log.contains("reload failed;"), "{what}: something half was judged:\n{log}");
    assert_eq!(server.health()["reload"], "ok", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_written_in_place() {
    check("in place", versioned_site(), |site| site.write(VERSIONED_WASM, component(2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_renamed_over() {
    check("rename", versioned_site(), |site| site.rename_over(VERSIONED_WASM, component(2))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_removed_and_written_again() {
    // As an editor that keeps the old file under another name.
    check("backup", versioned_site(), |site| {
        fs::rename(site.file(VERSIONED_WASM), site.file("v/versioned.wasm~")).unwrap();
        site.write(VERSIONED_WASM, component(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_copied_slowly() {
    check("slow copy", versioned_site(), |site| copy_slowly(site, VERSIONED_WASM)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_copied_under_a_temporary_name() {
    check("slow copy aside", versioned_site(), |site| {
        copy_slowly(site, "v/.versioned.wasm.Ab12Cd");
        fs::rename(site.file("v/.versioned.wasm.Ab12Cd"), site.file(VERSIONED_WASM)).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_beside_editor_files() {
    check("editor", versioned_site(), |site| {
        let half = &component(2)[..1000];
        for name in ["v/4913", "v/.websocket_routing.yml.swp", "v/.#websocket_routing.yml"] {
            site.write(name, half);
        }
        site.write("v/websocket_routing.yml~", "half: [");
        site.write("v/versioned.wasm.part", half);
        site.write("v/README.md", "Not served.");
        std::thread::sleep(PAUSE);
        site.write(VERSIONED_WASM, component(2));
    })
    .await;
}

/// As with a single-file bind mount: the file has another name in a folder that is not watched.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_written_through_a_hard_link() {
    let site = versioned_site();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("component");
    fs::hard_link(site.file(VERSIONED_WASM), &other).unwrap();
    check("hard link", site, move |_site| {
        fs::write(&other, component(2)).unwrap();
        drop(elsewhere);
    })
    .await;
}

/// Each write is noticed, also one to a file that was added later.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_written_through_hard_links_repeatedly() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTLE);
    let elsewhere = tempfile::tempdir().unwrap();
    let (other_routes, other_wasm) =
        (elsewhere.path().join("routes"), elsewhere.path().join("component"));
    reloading(&server, || add_versioned(&site, 1));
    fs::hard_link(site.file(VERSIONED_WASM), &other_wasm).unwrap();
    fs::hard_link(site.file("v/websocket_routing.yml"), &other_routes).unwrap();
    let mut client = asker(&server).await;
    for number in 2..5 {
        fs::write(&other_wasm, component(number)).unwrap();
        ask_until(&mut client, number - 1, number).await;
        let routes = format!(
            "{VERSIONED_ROUTES}more{number}: {{ channel: 'more', handler: {{ callback: 'versioned' }} }}\n"
        );
        reloading(&server, || fs::write(&other_routes, routes).unwrap());
    }
    assert_eq!(server.health()["reload"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_through_a_swapped_symlink() {
    // As Kubernetes mounts a ConfigMap.
    let site = Site::open();
    for number in [1, 2] {
        site.write(&format!("v/..v{number}/versioned.wasm"), component(number));
        site.write(&format!("v/..v{number}/websocket_routing.yml"), VERSIONED_ROUTES);
    }
    symlink("..v1", site.file("v/..data")).unwrap();
    for name in ["versioned.wasm", "websocket_routing.yml"] {
        symlink(format!("..data/{name}"), site.file(&format!("v/{name}"))).unwrap();
    }
    check("..data", site, |site| {
        symlink("..v2", site.file("v/..data_tmp")).unwrap();
        fs::rename(site.file("v/..data_tmp"), site.file("v/..data")).unwrap();
        fs::remove_dir_all(site.file("v/..v1")).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_bundle_that_is_a_symlink() {
    let site = versioned_site();
    fs::rename(site.file("v"), site.file(".release-1")).unwrap();
    symlink(".release-1", site.file("v")).unwrap();
    check("release", site, |site| {
        site.write(".release-2/versioned.wasm", component(2));
        site.write(".release-2/websocket_routing.yml", VERSIONED_ROUTES);
        symlink(".release-2", site.file(".next")).unwrap();
        fs::rename(site.file(".next"), site.file("v")).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_an_exchanged_folder() {
    check("exchange", versioned_site(), |site| {
        site.write(".new/versioned.wasm", component(2));
        site.write(".new/websocket_routing.yml", VERSIONED_ROUTES);
        fs::rename(site.file("v"), site.file(".old")).unwrap();
        fs::rename(site.file(".new"), site.file("v")).unwrap();
        // The old folder is not part of the site any more.
        site.write(".old/websocket_routing.yml", "half: [");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_folder_deleted_and_added_again() {
    let site = versioned_site();
    let server = Server::configured(site.path(), SETTLE);
    for number in 2..5 {
        super::reloading(&server, || site.remove("v"));
        super::reloading(&server, || add_versioned(&site, number));
        let mut client = asker(&server).await;
        assert_eq!(ask(&mut client).await, version(number));
        // The folder is another one now, and is watched, too.
        site.write(VERSIONED_WASM, component(number + 10));
        ask_until(&mut client, number, number + 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_by_polling_without_notifications() {
    let site = versioned_site();
    let server = Server::configured(site.path(), "watch: { poll: 50ms, settle: 20ms }\n");
    let mut client = asker(&server).await;
    site.rename_over(VERSIONED_WASM, component(2));
    ask_until(&mut client, 1, 2).await;
}

/// Writes version 2 in parts.
fn copy_slowly(site: &Site, name: &str) {
    let mut file = File::create(site.file(name)).unwrap();
    let whole = component(2);
    for part in whole.chunks(whole.len().div_ceil(6)) {
        // The pause itself is tested: the slowness of the writer.
        std::thread::sleep(PAUSE);
        file.write_all(part).unwrap();
    }
}
