//! Reload of invalid sites: after each error the old version serves, the error is reported with its
//! place, and cleared after its correction.

use serde_json::json;

use super::{
    SETTLE, VERSIONED_ROUTES, VERSIONED_WASM, ask, ask_until, asker, component, patched, reloading,
    version, versioned_site,
};
use jackfield_tests::build;
use jackfield_tests::server::Server;

const ROUTING: &str = "v/websocket_routing.yml";

struct Mistake {
    what: &'static str,
    /// The file of the error.
    file: &'static str,
    contents: Vec<u8>,
    /// The log line after the file's path.
    place: &'static str,
    /// A later part of the log line.
    log: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_errors_and_keeps_serving_the_old_version() {
    let site = versioned_site();
    let server = Server::configured(site.path(), SETTLE);
    let mut client = asker(&server).await;
    for (mistake, number) in mistakes().into_iter().zip(1..) {
        let Mistake { what, file, contents, place, log } = mistake;
        let logged = server.log().len();
        site.write(file, contents);
        let refusal = server.logged_after(logged, "reload failed;");
        let place = format!("{}{place}", site.file(file).display());
        let said = refusal.split_once(&place).is_some_and(|(_, behind)| behind.contains(log));
        assert!(said, "{what}: the log does not say {place} and then {log}:\n{refusal}");
        server.until_health("reload", "failed");
        assert_eq!(server.health()["ok"], true, "{what}");

        assert_eq!(ask(&mut client).await, version(number), "{what}");
        // The old version also serves new clients.
        assert_eq!(ask(&mut asker(&server).await).await, version(number), "{what}");
        client.event().await;

        if file == ROUTING {
            site.write(ROUTING, VERSIONED_ROUTES);
        }
        site.write(VERSIONED_WASM, component(number + 1));
        ask_until(&mut client, number, number + 1).await;
        server.until_health("reload", "ok");
    }
}

fn mistakes() -> Vec<Mistake> {
    let plugin = |what, contents, log| Mistake {
        what,
        file: VERSIONED_WASM,
        contents,
        place: ": error: failed to load ",
        log,
    };
    let routing = |what, text: &str, place, log| Mistake {
        what,
        file: ROUTING,
        contents: text.as_bytes().to_vec(),
        place,
        log,
    };
    let half = |length| component(99)[..length].to_vec();
    let whole = component(99).len();
    let pattern = format!("{VERSIONED_ROUTES}    requirements: {{ name: '[a-' }}\n");
    vec![
        plugin("garbage", b"this is not WebAssembly".to_vec(), "it is not WebAssembly"),
        plugin("an empty file", vec![], "it is incomplete, 0 bytes"),
        plugin("half a file", half(whole / 2), "it is incomplete, "),
        plugin("all but a byte", half(whole - 1), "it is incomplete, "),
        plugin("a core module", b"\0asm\x01\0\0\0".to_vec(), "it is a core module"),
        plugin("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), "but not a plugin"),
        plugin("another contract", other_contract(), "does not export `jackfield:plugin/handler`"),
        plugin("a panic in describe", liar(1), "I will not be described"),
        routing(
            "a quote that does not end",
            "test.versioned:\n    channel: 'v/{name}\n",
            ":3:1: error: ",
            "not valid YAML",
        ),
        routing(
            "a tab",
            "test.versioned:\n\tchannel: 'v/{name}'\n",
            ":2:2: error: ",
            "not valid YAML: tabs",
        ),
        routing(
            "an unknown handler",
            &VERSIONED_ROUTES.replace("'versioned'", "'versoined'"),
            ":3:26: error: ",
            "did you mean `versioned`",
        ),
        routing("a bad pattern", &pattern, ":4:28: error: ", "unclosed character class"),
        routing(
            "a misspelt key",
            &VERSIONED_ROUTES.replace("channel", "chanel"),
            ":2:5: error: ",
            "`chanel`",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reverted_error_is_forgotten() {
    let site = versioned_site();
    let server = Server::configured(site.path(), SETTLE);
    let before = server.health();
    let logged = server.log().len();
    site.write(VERSIONED_WASM, b"garbage");
    server.logged_after(logged, "reload failed;");
    site.write(VERSIONED_WASM, component(1));
    server.logged_after(logged, "problems resolved;");
    server.until_health("reload", "ok");
    assert_eq!(server.health(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_all_errors_of_all_files() {
    let site = versioned_site();
    site.write(VERSIONED_WASM, component(1));
    let server = Server::start(site.path());
    let logged = server.log().len();
    // Renamed together, so that the server reads both errors at once.
    site.write(".new/plugin.wasm", b"garbage");
    site.write(".new/websocket_routing.yml", "a: { channel: 'a' }\nb: 1\n");
    std::fs::rename(site.file(".new"), site.file("new")).unwrap();
    let log = server.logged_after(logged, "reload failed;");
    for place in ["plugin.wasm: error:", "websocket_routing.yml:1:", "websocket_routing.yml:2:"] {
        let place = format!("{}/{place}", site.file("new").display());
        assert!(log.contains(&place), "{place} is missing in:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_route_that_its_handler_refuses_at_its_place() {
    let site = versioned_site();
    let hostile = std::fs::read(build::guest("hostile")).unwrap();
    let server = Server::start(site.path());
    let mut client = asker(&server).await;
    let logged = server.log().len();
    site.write(".h/hostile.wasm", hostile);
    let routes = "a.b:\n    channel: 'h/x'\n    \
        handler: { callback: 'refuse_configure', args: { taste: sour } }\n";
    site.write(".h/websocket_routing.yml", routes);
    std::fs::rename(site.file(".h"), site.file("h")).unwrap();
    let log = server.logged_after(logged, "reload failed;");
    let place = format!("{}:3:", site.file("h/websocket_routing.yml").display());
    assert!(log.contains(&place), "{place} is missing in:\n{log}");
    assert!(log.contains(r#"the args {"taste":"sour"} are not to my liking"#), "{log}");
    assert_eq!(ask(&mut client).await, version(1));

    reloading(&server, || {
        site.rename_over("h/websocket_routing.yml", routes.replace("refuse_configure", "tell"));
    });
    let id = client.subscribe("h/x", json!({})).await;
    assert_ne!(id, 0);
}

/// Returns the guest that misbehaves while it is loaded.
fn liar(lie: u32) -> Vec<u8> {
    patched("liar", "@@LIE-000", &format!("@@LIE-{lie:03}"))
}

/// Returns the versioned guest with another contract name.
fn other_contract() -> Vec<u8> {
    let mut bytes = component(99);
    let (from, to) = (b"jackfield:plugin/", b"jackfield:plugon/");
    for place in 0..bytes.len() - from.len() {
        if bytes[place..].starts_with(from) {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
    }
    assert_ne!(bytes, component(99));
    bytes
}
