//! Files that cannot be loaded, and plugins that cannot be started: each error names the file, says
//! what is wrong, and what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_sandbox::{Grant, Hook, PluginPolicy, Sandbox, SandboxSettings};

use crate::guests::{guest, patched, renamed};
use crate::stage::{audience, delivered, load, policy, publish, route, sandbox, text};

/// Loads the bytes, which fails with an error that contains all the parts.
async fn check(bytes: &[u8], parts: &[&str]) {
    check_under(policy(), bytes, parts).await;
}

async fn check_under(policy: PluginPolicy, bytes: &[u8], parts: &[&str]) {
    let found = text(sandbox().load("site/bad.wasm", bytes, policy, audience()).await);
    assert!(found.starts_with("load site/bad.wasm: "), "{found}");
    for part in parts {
        assert!(found.contains(part), "{found} does not say {part}");
    }
}

/// Loads the guest `liar` with that lie.
async fn check_lie(lie: &str, parts: &[&str]) {
    let mut policy = policy();
    policy.limits.memory = 8 << 20;
    policy.limits.deadline = Duration::from_secs(2);
    check_under(policy, &patched(guest("liar"), "@@LIE-000", lie), parts).await;
}

#[tokio::test]
async fn rejects_files_that_are_no_component() {
    check(b"", &["incomplete"]).await;
    check(b"<html>404</html>", &["not WebAssembly"]).await;
    check(b"\0asm\x01\0\0\0", &["core module", "--target wasm32-wasip2"]).await;
    let whole = guest("versioned");
    check(&whole[..whole.len() / 2], &["incomplete", "copy it again"]).await;
    check(&whole[..whole.len() - 1], &["incomplete"]).await;
    let mut broken = whole.clone();
    for byte in &mut broken[whole.len() / 3..][..100] {
        *byte ^= 0x55;
    }
    check(&broken, &["not a valid component", "build it again"]).await;
}

#[tokio::test]
async fn rejects_components_that_are_no_plugin() {
    check(b"\0asm\x0d\0\x01\0", &["does not export `jackfield:plugin/handler`"]).await;
    let whole = guest("hostile");
    let other = renamed(&whole, "jackfield:plugin/handler", "jackfield:plugin/hondler");
    check(&other, &["does not export `jackfield:plugin/handler`"]).await;
    let other = renamed(&whole, "on-timer", "on-tamer");
    check(&other, &["does not fit the plugin contract"]).await;
}

#[tokio::test]
async fn rejects_imports_that_are_not_granted() {
    let under = |grant: Grant| PluginPolicy { grant, ..policy() };
    let whole = guest("hostile");
    let all = Grant::default();
    let without = |interface: &str| {
        let import = format!("imports `jackfield:plugin/{interface}@0.2.0`, which is not granted");
        (import, format!("grant `{interface}`"))
    };
    for (grant, interface) in [
        (Grant { topics: false, ..all }, "topics"),
        (Grant { sessions: false, ..all }, "sessions"),
        (Grant { store: false, ..all }, "store"),
        (Grant { log: false, ..all }, "log"),
    ] {
        let (import, advice) = without(interface);
        check_under(under(grant), &whole, &[&import, &advice]).await;
    }
    // It imports one of them.
    let topics = Grant { topics: true, ..Grant::NONE };
    let plain = guest("versioned");
    sandbox().load("plain.wasm", &plain, under(topics), audience()).await.unwrap();

    let unknown = renamed(&whole, "jackfield:plugin/topics", "jackfield:plugin/tropes");
    let missing = "needs `jackfield:plugin/tropes@0.2.0`, which this server does not have";
    check(&unknown, &[missing, "help: update the server"]).await;
    let unknown = renamed(&whole, "wasi:cli/stderr", "wasi:abc/stderr");
    check(&unknown, &["imports `wasi:abc/stderr@0.2", "which plugins are not offered"]).await;
}

#[tokio::test]
async fn rejects_descriptions_that_fail() {
    check_lie("@@LIE-001", &["describe: trapped", "I will not be described"]).await;
    check_lie("@@LIE-002", &["offers the handler \"first\" twice"]).await;
    check_lie("@@LIE-003", &["the name of the plugin is empty"]).await;
    check_lie("@@LIE-004", &["the name of a handler is empty"]).await;
    check_lie("@@LIE-005", &["offers no handler"]).await;
    check_lie("@@LIE-006", &["describe: did not return within 2000 ms"]).await;
    check_lie("@@LIE-007", &["describe: needs more than its 8388608 bytes of memory"]).await;
    check_lie("@@LIE-008", &["control characters"]).await;
    check_lie("@@LIE-009", &["describe: gave more than its 1048576 bytes of output"]).await;
    check_lie("@@LIE-010", &["1048576 bytes long"]).await;
    check_lie("@@LIE-013", &["describe: trapped: `request` may be read during a hook only"]).await;
    let mut tiny = policy();
    tiny.limits.memory = 1 << 16;
    check_under(tiny, &guest("liar"), &["describe: needs more than its 65536 bytes"]).await;
}

#[tokio::test]
async fn reports_routes_that_a_plugin_refuses() {
    let start = async |lie: &str| {
        let bytes = patched(guest("liar"), "@@LIE-000", lie);
        let plugin = sandbox().load("liar.wasm", &bytes, policy(), audience()).await.unwrap();
        plugin.start(2, &[route("first"), route("second")]).await
    };
    assert_eq!(start("@@LIE-000").await.unwrap().count(), 2);
    let found = text(start("@@LIE-020").await);
    let place = "start plugin liar: plugin liar, configure of handler first for route first";
    assert!(found.starts_with(place) && found.contains("I will not be configured"), "{found}");
    let found = text(start("@@LIE-021").await);
    let expected = "configure plugin liar for route first: no room for t/{x} at {\"a\":1}";
    assert_eq!(found, expected);
    let found = text(start("@@LIE-025").await);
    assert!(found.contains("trapped: `request` may be read during a hook only"), "{found}");
    let found = text(start("@@LIE-022").await);
    assert!(found.contains("did not return within 300 ms"), "{found}");

    let plugin = load(&sandbox(), "liar", policy()).await;
    let found = text(plugin.start(1, &[route("third")]).await);
    let expected = "configure plugin liar for route third: it offers no handler `third`, but \
                    `first`, `second`";
    assert_eq!(found, expected);
}

#[tokio::test]
async fn reads_handlers_and_hooks_from_the_manifest() {
    let plugin = load(&sandbox(), "versioned", policy()).await;
    let manifest = plugin.manifest();
    assert_eq!(
        (manifest.name.as_str(), manifest.version.as_str()),
        ("versioned", "@@VERSION-000001")
    );
    let handler = manifest.handler("versioned").unwrap();
    assert!([Hook::Publish, Hook::Call].into_iter().all(|hook| handler.hooks.contains(hook)));
    assert!(!handler.hooks.contains(Hook::Subscribe));
    assert!(manifest.handler("other").is_none());
}

#[tokio::test]
async fn patching_the_marker_makes_another_version() {
    let sandbox = sandbox();
    for version in ["@@VERSION-000001", "@@VERSION-000002", "@@VERSION-123456"] {
        let bytes = patched(guest("versioned"), "@@VERSION-000001", version);
        let plugin = sandbox.load("versioned.wasm", &bytes, policy(), audience()).await.unwrap();
        assert_eq!(plugin.manifest().version, version);
        let lanes = plugin.start(1, &[route("versioned")]).await.unwrap();
        let found = delivered(lanes.of("t/1"), "versioned").await;
        assert_eq!(found, format!("[\"hello\",\"{version}\"]"));
    }
}

#[tokio::test]
async fn loads_without_a_usable_cache() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for cache in [file.clone(), file.join("below"), directory.path().join("new/deep")] {
        let sandbox =
            Sandbox::new(SandboxSettings { cache: Some(cache), ..Default::default() }).unwrap();
        let plugin = load(&sandbox, "versioned", policy()).await;
        let lanes = plugin.start(1, &[route("versioned")]).await.unwrap();
        publish(lanes.of("t/1"), "versioned", "{}").await.unwrap();
    }
}

#[tokio::test]
async fn reuses_compiled_plugins_and_replaces_corrupt_cache_entries() {
    let directory = tempfile::tempdir().unwrap();
    let settings =
        || SandboxSettings { cache: Some(directory.path().to_owned()), ..Default::default() };
    load(&Sandbox::new(settings()).unwrap(), "versioned", policy()).await;
    let kept = compiled(directory.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    for spoilt in [&b"spoilt"[..], b""] {
        std::fs::write(&kept[0], spoilt).unwrap();
        let plugin = load(&Sandbox::new(settings()).unwrap(), "versioned", policy()).await;
        let lanes = plugin.start(1, &[route("versioned")]).await.unwrap();
        publish(lanes.of("t/1"), "versioned", "{}").await.unwrap();
    }
}

/// The files of a cache that are large enough to hold code.
fn compiled(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry.metadata().unwrap();
        if kind.is_dir() {
            found.extend(compiled(&entry.path()));
        } else if kind.len() > 10_000 {
            found.push(entry.path());
        }
    }
    found
}
