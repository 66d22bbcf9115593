//! Reload while a plugin compiles slowly: other changes do not wait for it, and the version that it
//! replaces serves until it is ready.

use serde_json::json;

use super::{
    SETTLE, VERSIONED_ROUTES, VERSIONED_WASM, ask, ask_until, asker, component, joined, version,
    versioned_site,
};
use crate::compiler_process::{compiler_of, ended, poll, signal};
use jackfield_tests::build;
use jackfield_tests::heavy_component::slowed;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::{OPEN_ROUTES, Site};

/// A server that has compiled only the first plugins of its site.
struct Stage {
    site: Site,
    server: Server,
    _files: (tempfile::TempDir, tempfile::NamedTempFile),
}

/// Clients ask again and again while a plugin is compiled, which takes long on a busy machine.
fn settings() -> String {
    format!("{SETTLE}limits: {{ {NO_RATES} }}\n")
}

impl Stage {
    fn new(site: Site) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let (mut server, file) = Server::begin(site.path(), &settings(), cache.path());
        server.listens();
        Self { site, server, _files: (cache, file) }
    }

    /// Makes a change, and stops the resulting compiler process.
    fn stop_compiler(&self, change: impl FnOnce(&Site)) -> u32 {
        change(&self.site);
        let compiler = poll(|| compiler_of(self.server.pid()));
        signal("STOP", compiler);
        compiler
    }

    /// Adds a route that needs no new plugin, and waits until it serves.
    async fn add_route_elsewhere(&self) {
        let more = format!(
            "{OPEN_ROUTES}test.more:\n    channel: 'more/{{name}}'\n    handler: broadcast\n"
        );
        self.site.rename_over("open/websocket_routing.yml", more);
        let mut client = joined(&self.server).await;
        while client.try_subscribe("more/a", json!({})).await.is_err() {}
    }

    fn compiling(&self) -> serde_json::Value {
        self.server.health()["compiling"].clone()
    }
}

/// Adds version 1 as a bundle that is slow to compile.
fn add_slow(site: &Site) {
    site.write(".v/versioned.wasm", slowed(&component(1), 20));
    site.write(".v/websocket_routing.yml", VERSIONED_ROUTES);
    std::fs::rename(site.file(".v"), site.file("v")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_added_elsewhere_does_not_wait() {
    let stage = Stage::new(Site::open());
    let compiler = stage.stop_compiler(add_slow);
    stage.add_route_elsewhere().await;
    let mut client = joined(&stage.server).await;
    let refused = client.try_subscribe("v/ask", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "jackfield.error.no_route");
    let compiling = stage.compiling();
    let file = stage.site.file(VERSIONED_WASM).display().to_string();
    assert_eq!(compiling[0]["file"], file);
    assert!(compiling[0]["seconds"].is_u64(), "{compiling}");
    let log = stage.server.logged(&format!("still compiling {file}, "));
    assert!(
        log.contains("serving the change without plugins that are still being compiled"),
        "{log}"
    );

    signal("CONT", compiler);
    while client.try_subscribe("v/ask", json!({})).await.is_err() {}
    assert_eq!(ask(&mut client).await, version(1));
    assert_eq!(stage.compiling(), json!([]));
    assert_eq!(stage.server.health()["reload"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_removed_is_not_compiled_any_more() {
    let stage = Stage::new(Site::open());
    let compiler = stage.stop_compiler(add_slow);
    stage.site.remove("v");
    poll(|| ended(compiler));
    // The task that started it ends a moment later.
    poll(|| (stage.compiling() == json!([])).then_some(()));
    stage.add_route_elsewhere().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_removed_elsewhere_does_not_wait() {
    let site = versioned_site();
    let stage = Stage::new(site);
    let mut client = asker(&stage.server).await;
    let plugin = std::fs::read(build::plugin("chat")).unwrap();
    let compiler = stage.stop_compiler(|site| site.write("chat/chat.wasm", slowed(&plugin, 20)));
    stage.site.remove("v");
    while client.try_subscribe("v/b", json!({})).await.is_ok() {}
    assert_eq!(ended(compiler), None);
}

/// For each way of replacing the file, and with changed routes.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_version_serves_until_the_new_one_is_compiled() {
    let routes = VERSIONED_ROUTES.replace("test.versioned", "test.renamed");
    for (file, routes) in [
        (VERSIONED_WASM, VERSIONED_ROUTES),
        (VERSIONED_WASM, &routes),
        ("v/versioned-2.wasm", VERSIONED_ROUTES),
    ] {
        let stage = Stage::new(versioned_site());
        let mut client = asker(&stage.server).await;
        let compiler = stage.stop_compiler(|site| {
            site.write(".v/websocket_routing.yml", routes);
            let name = file.trim_start_matches("v/");
            site.write(&format!(".v/{name}"), slowed(&component(2), 20));
            std::fs::rename(site.file("v"), site.file(".old")).unwrap();
            std::fs::rename(site.file(".v"), site.file("v")).unwrap();
        });
        stage.add_route_elsewhere().await;
        assert_eq!(ask(&mut client).await, version(1), "{file}");
        signal("CONT", compiler);
        ask_until(&mut client, 1, 2).await;
        assert_eq!(ended(compiler), Some(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuously_changing_site_still_loads_its_slow_plugin() {
    let stage = Stage::new(Site::open());
    let compiler = stage.stop_compiler(add_slow);
    signal("CONT", compiler);
    let mut client = joined(&stage.server).await;
    let mut changes = 0;
    while client.try_subscribe("v/ask", json!({})).await.is_err() {
        stage.site.rename_over("open/notes.yml", format!("change: {changes}"));
        changes += 1;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        // The compiler process is the same; a busy machine may have another one with a higher priority.
        if let Some(running) = compiler_of(stage.server.pid()) {
            assert!(running == compiler || stage.server.log().contains("with a higher priority"));
        }
    }
    assert!(changes > 10, "{changes}");
    assert_eq!(ask(&mut client).await, version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_an_unknown_handler_once_all_is_compiled() {
    let stage = Stage::new(Site::open());
    let compiler = stage.stop_compiler(add_slow);
    stage.site.write("other/websocket_routing.yml", "a:\n    channel: a\n    handler: nope\n");
    stage.add_route_elsewhere().await;
    assert!(!stage.server.log().contains("reload failed;"), "{}", stage.server.log());
    signal("CONT", compiler);
    let log = stage.server.logged("reload failed;");
    assert!(log.contains("no plugin provides the handler `nope`"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_reload_survives_a_concurrent_change() {
    let stage = Stage::new(Site::open());
    let compiler = stage.stop_compiler(|site| {
        site.write("v/versioned.wasm", slowed(&component(1), 20));
    });
    stage.server.signal("HUP");
    stage.site.remove("v");
    stage.server.logged("the site has not changed generation=1");
    poll(|| ended(compiler));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_has_a_deadline() {
    let site = Site::open();
    let config = format!("{SETTLE}plugins: {{ compile: {{ time: 6s }} }}\n");
    let server = Server::configured(site.path(), &config);
    // Never compiled, so never in the cache that this server shares with others.
    site.write("v/versioned.wasm", slowed(&component(1), 20));
    let compiler = poll(|| compiler_of(server.pid()));
    signal("STOP", compiler);
    let log = server.logged("reload failed;");
    assert!(log.contains("exceeded its time limit (plugins.compile.time = 6s)"), "{log}");
    poll(|| ended(compiler));
}
