//! Components that are made without the SDKs: they get no network, and asynchronous ones are refused.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{PATIENT, run, scratch, site, tool};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

const APP: &str = include_str!("others/app.js");
const BUILD: &str = include_str!("others/build.mjs");
const ROUTES: &str =
    "acme.shout:\n    channel: 'acme/shout/{room}'\n    handler: { callback: 'acme.shout' }\n";

fn wit() -> std::path::PathBuf {
    build::root().join("plugin-sdk/wit/0.2/plugin.wit")
}

/// Builds a component with componentize-js, the tool based on SpiderMonkey.
fn spidermonkey(folder: &Path, source: &str) -> Vec<u8> {
    std::fs::write(folder.join("app.js"), source).unwrap();
    std::fs::write(folder.join("build.mjs"), BUILD).unwrap();
    let mut node = Command::new("node");
    run(node.args(["build.mjs", "app.js"]).arg(wit()).arg("app.wasm").current_dir(folder));
    std::fs::read(folder.join("app.wasm")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_plugins_get_no_http() {
    let source = APP.replace("hooks: { publish: true }", "hooks: { call: true }").replace(
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
    let site = site(&spidermonkey(scratch().path(), &source), ROUTES);
    let server = Server::configured(site.path(), PATIENT);
    let mut caller = Client::connect(server.addr, Codec::Json, "realm1").await;
    let answer = caller.call("acme/shout/x", json!({}), json!([]), Value::Null).await.unwrap();
    assert_eq!(answer.0, json!(["refused", "refused"]));
}

#[test]
fn explains_that_asynchronous_components_are_unsupported() {
    let folder = scratch();
    std::fs::write(folder.path().join("app.js"), APP).unwrap();
    let build = |flags: &[&str], target: &str| {
        run(Command::new(tool("languages/node_modules/.bin/componentize-qjs"))
            .arg("--wit")
            .arg(wit())
            .args(["--js", "app.js", "--world", "plugin", "--output", target])
            .args(flags)
            .current_dir(folder.path()));
        std::fs::read(folder.path().join(target)).unwrap()
    };
    let check = |component: &[u8]| {
        let site = site(component, ROUTES);
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
