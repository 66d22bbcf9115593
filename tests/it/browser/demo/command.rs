//! Shell command on the demo page: it survives the quoting of shell and make, and works.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{connected, open, served};
use crate::browser::Browser;
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_survives_shell_and_make_quoting() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let command = "return document.getElementById('command').textContent;";
    assert_eq!(browser.run("demo", command).await, "make greeting TEXT='Good evening'");
    let makefile = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        makefile.path(),
        "greeting: export GREETING = $(or $(TEXT),none)\ngreeting:\n\t@printenv GREETING\n",
    )
    .unwrap();
    for text in ["It's $5", "\"quoted\" \\ and `such` #1", "$(shell false) ${HOME} %", "é 😀"] {
        browser.fill("demo", "#words", text).await;
        let line = browser.run("demo", command).await;
        let line = line.as_str().unwrap().replacen(
            "make",
            &format!("make -f {}", makefile.path().display()),
            1,
        );
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        // A make that runs the tests would print its directory.
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text, "{line}: {output:?}");
    }
}

/// Copies the build directory of the plugins: a text of this test must not get into the components
/// of other tests.
fn built() -> TempDir {
    let component = build::plugin("greeting");
    let built = component.ancestors().nth(3).expect("target/plugins/wasm32-wasip2/release");
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-a").arg(built).arg(copy.path().join("plugins")).status();
    assert!(status.unwrap().success());
    copy
}

/// Runs a line from the page, for another site.
async fn run(line: &str, site: &Site, built: &Path) {
    let mut command = tokio::process::Command::new("sh");
    let places = format!("SITE='{}' PLUGINS='{}'", site.path().display(), built.display());
    command.args(["-c", &format!("{line} {places}")]).current_dir(build::root());
    // The flags of the outer make would apply otherwise.
    for name in ["MAKEFLAGS", "MAKELEVEL", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_replaces_the_handler_while_the_page_watches() {
    let (site, built) = (Site::new(), built());
    let plugins = built.path().join("plugins");
    run("make greeting", &site, &plugins).await;
    let server = Server::demo(site.path());
    let mut browser = Browser::start().await;
    let url = format!("http://{}/demo/", server.addr);
    browser.tell(json!({"do": "open", "page": "demo", "url": url})).await;
    connected(&mut browser).await;
    let says =
        |text: &str| format!("document.querySelector('#greeting').textContent === {}", json!(text));
    browser.until("demo", &says("Good morning")).await;

    browser.fill("demo", "#words", "It's $5 \"each\"").await;
    let line = browser.run("demo", "return document.getElementById('command').textContent;").await;
    run(line.as_str().unwrap(), &site, &plugins).await;
    browser.until("demo", &says("It's $5 \"each\"")).await;

    // A text of any length stays in its card, where it can be scrolled, also by keyboard.
    let long = "long ".repeat(2_000);
    run(&format!("make greeting TEXT='{long}'"), &site, &plugins).await;
    browser.until("demo", "document.querySelector('#greeting').tabIndex === 0").await;
    let height = "return document.querySelector('#live').getBoundingClientRect().height;";
    let height = browser.run("demo", height).await;
    assert!(height.as_f64() < Some(700.0), "{height}");
    let facts = "return ['greeting-versions', 'greeting-reconnects'].map((id) => document.getElementById(id).textContent);";
    assert_eq!(browser.run("demo", facts).await, json!(["3", "0"]));
}
