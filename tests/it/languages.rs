//! Plugins in Python and JavaScript, built by their own tools from the guide's examples: they load,
//! serve, and get no network. Asynchronous components are refused with an explanation.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Returns the path of a tool that `make languages` or `make peers` installs.
fn tool(path: &str) -> PathBuf {
    let tool = build::root().join("target/peers").join(path);
    assert!(tool.exists(), "{} is missing: run make peers languages", tool.display());
    tool
}

fn wit() -> PathBuf {
    build::root().join("plugin-sdk/wit/0.2/plugin.wit")
}

fn example(path: &str) -> String {
    std::fs::read_to_string(build::root().join("docs/examples").join(path)).unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds a component from a Python module.
fn python(folder: &Path, source: &str) -> Vec<u8> {
    std::fs::write(folder.join("app.py"), source).unwrap();
    std::fs::copy(wit(), folder.join("plugin.wit")).unwrap();
    let arguments = ["-d", ".", "-w", "plugin", "componentize", "app", "-o", "app.wasm"];
    run(Command::new(tool("python/bin/componentize-py")).args(arguments).current_dir(folder));
    std::fs::read(folder.join("app.wasm")).unwrap()
}

/// Builds a component from a JavaScript module, with the tool based on SpiderMonkey.
fn javascript(folder: &Path, source: &str) -> Vec<u8> {
    std::fs::write(folder.join("app.js"), source).unwrap();
    std::fs::write(folder.join("build.mjs"), example("javascript/build.mjs")).unwrap();
    // Node looks for packages beside the module that imports them.
    let packages = tool("languages/node_modules");
    if !folder.join("node_modules").exists() {
        std::os::unix::fs::symlink(packages, folder.join("node_modules")).unwrap();
    }
    run(Command::new("node")
        .arg("build.mjs")
        .arg("app.js")
        .arg(wit())
        .arg("app.wasm")
        .current_dir(folder));
    std::fs::read(folder.join("app.wasm")).unwrap()
}

fn site(component: &[u8]) -> Site {
    let site = Site::new();
    site.write("acme/acme.wasm", component);
    site.write(
        "acme/websocket_routing.yml",
        "acme.shout:\n    channel: 'acme/shout/{room}'\n    handler: { callback: 'acme.shout' }\n",
    );
    // Slow machines need longer for an interpreter than for compiled code.
    site.write("jackfield.yml", "plugins:\n    default:\n        deadline: 30s\n");
    site
}

async fn shouts(component: &[u8]) {
    let site = site(component);
    let server = Server::start(site.path());
    let topic = "acme/shout/kitchen";
    let mut listener = Client::connect(server.addr, Codec::Json, "realm1").await;
    listener.subscribe(topic, json!({})).await;
    let mut speaker = Client::connect(server.addr, Codec::Json, "realm1").await;
    speaker.publish_acknowledged(topic, json!({}), json!(["hello"]), Value::Null).await.unwrap();
    assert_eq!(listener.event().await.args, json!(["HELLO"]));
    let refused = speaker.publish_acknowledged(topic, json!({}), json!([7]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_argument");
}

/// Calls `acme/shout/x`, and returns the answer.
async fn call(component: &[u8]) -> Value {
    let site = site(component);
    let server = Server::start(site.path());
    let mut caller = Client::connect(server.addr, Codec::Json, "realm1").await;
    caller.call("acme/shout/x", json!({}), json!([]), Value::Null).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn python_plugin_of_the_guide_serves() {
    let folder = TempDir::new().unwrap();
    shouts(&python(folder.path(), &example("python/app.py"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_plugin_of_the_guide_serves() {
    let folder = TempDir::new().unwrap();
    shouts(&javascript(folder.path(), &example("javascript/app.js"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_plugins_get_no_sockets_and_no_dns() {
    let folder = TempDir::new().unwrap();
    let source = example("python/app.py")
        .replace("import json\n", "import encodings.idna\nimport json\nimport socket\n")
        .replace("Hooks.PUBLISH", "Hooks.CALL")
        .replace(
            "return types.Event(args=\"[]\", kwargs=\"{}\")",
            "outcomes = []
        tries = [
            lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            lambda: socket.getaddrinfo('localhost', 80),
            lambda: socket.create_connection(('127.0.0.1', 1)),
        ]
        for attempt in tries:
            try:
                outcomes.append(str(attempt()))
            except OSError as error:
                outcomes.append('refused')
        return types.Event(args=json.dumps(outcomes), kwargs='{}')",
        );
    let outcomes = call(&python(folder.path(), &source)).await;
    assert_eq!(outcomes, json!(["refused", "refused", "refused", "refused", "refused"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_plugins_get_no_http() {
    let folder = TempDir::new().unwrap();
    let source = example("javascript/app.js")
        .replace("hooks: { publish: true }", "hooks: { call: true }")
        .replace(
            "onCall: () => ({ args: '[]', kwargs: '{}' }),",
            "async onCall() {
               const outcomes = [];
               for (const url of ['http://127.0.0.1:1/', 'https://localhost/']) {
                 try { outcomes.push((await fetch(url, { method: 'POST', body: 'x', headers: { a: 'b' } })).status); }
                 catch { outcomes.push('refused'); }
               }
               return { args: JSON.stringify(outcomes), kwargs: '{}' };
             },",
        );
    let outcomes = call(&javascript(folder.path(), &source)).await;
    assert_eq!(outcomes, json!(["refused", "refused"]));
}

#[test]
fn explains_that_asynchronous_components_are_unsupported() {
    let folder = TempDir::new().unwrap();
    let source = build::root().join("docs/examples/javascript/app.js");
    let build = |flags: &[&str], target: &str| {
        run(Command::new(tool("languages/node_modules/.bin/componentize-qjs"))
            .arg("--wit")
            .arg(wit())
            .arg("--js")
            .arg(&source)
            .args(["--world", "plugin", "--output", target])
            .args(flags)
            .current_dir(folder.path()));
        std::fs::read(folder.path().join(target)).unwrap()
    };
    let check = |component: &[u8]| {
        let site = site(component);
        let output = Command::new(build::jackfield()).arg("check").arg(site.path()).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (ok, said) = check(&build(&[], "async.wasm"));
    assert!(!ok && said.contains("asynchronous functions") && said.contains("--sync"), "{said}");
    let (ok, said) = check(&build(&["--sync"], "sync.wasm"));
    assert!(ok, "{said}");
    let mut broken = build(&["--sync"], "sync.wasm");
    // Within the code section: data may have any value.
    let code = broken.len() / 4;
    broken[code..code + 4096].fill(0xff);
    let (ok, said) = check(&broken);
    assert!(!ok && !said.contains("asynchronous"), "{said}");
}
