//! The example of each language's page, followed as printed: its files, its build, its clients. The
//! types of the SDK for JavaScript.

use std::path::Path;

use serde_json::{Value, json};

use super::{Language, PATIENT, run, scratch, site, tool};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

/// Writes the files of a page: the code block after each "Write `FILE`".
fn write_files(page: &str, folder: &Path) {
    for part in page.split("Write `").skip(1) {
        let (name, rest) = part.split_once('`').unwrap();
        let (_fence, block) = rest.split_once("```").unwrap();
        let (_language, block) = block.split_once('\n').unwrap();
        let (text, _rest) = block.split_once("```").unwrap();
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// Builds and serves the example of a page.
async fn serves(language: Language, page: &str) {
    let folder = scratch();
    write_files(page, folder.path());
    let routes = std::fs::read_to_string(folder.path().join("websocket_routing.yml")).unwrap();
    let site = site(&language.build(folder.path()), &routes);
    let server = Server::configured(site.path(), PATIENT);
    let topic = "acme/shout/kitchen";
    let mut listener = Client::connect(server.addr, Codec::Json, "realm1").await;
    listener.subscribe(topic, json!({})).await;
    let mut speaker = Client::connect(server.addr, Codec::Json, "realm1").await;
    speaker.publish_acknowledged(topic, json!({}), json!(["hello"]), Value::Null).await.unwrap();
    assert_eq!(listener.event().await.args, json!(["HELLO"]));
    let refused = speaker.publish_acknowledged(topic, json!({}), json!([7]), Value::Null).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_argument");
}

fn page(name: &str) -> String {
    std::fs::read_to_string(build::root().join("docs").join(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_page_leads_to_a_running_handler() {
    serves(Language::JavaScript, &page("javascript.md")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_page_leads_to_a_running_handler() {
    serves(Language::Python, &page("python.md")).await;
}

#[test]
fn tests_of_the_pages_pass() {
    let folder = scratch();
    write_files(&page("javascript.md"), folder.path());
    run(std::process::Command::new("node").arg("--test").current_dir(folder.path()));
    let folder = scratch();
    write_files(&page("python.md"), folder.path());
    let python = tool("python/bin/python");
    run(std::process::Command::new(python).args(["-m", "unittest"]).current_dir(folder.path()));
}

#[test]
fn types_accept_a_plugin_and_refuse_mistakes() {
    let folder = scratch();
    let source = build::root().join("tests/it/languages/types.ts");
    std::fs::copy(source, folder.path().join("types.ts")).unwrap();
    std::fs::write(folder.path().join("package.json"), r#"{ "type": "module" }"#).unwrap();
    let compiler = build::root().join("target/peers/node/node_modules/typescript/bin/tsc");
    run(std::process::Command::new("node")
        .arg(compiler)
        .args(["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "types.ts"])
        .current_dir(folder.path()));
}
