//! Page of `make demo`: all parts of it work, and all files are served locally.
//!
//! `appearance` tests its looks and accessibility, `faults` missing plugins, outages and hostile
//! clients, `command` the shell command that it shows, `versions` shadows and roll-backs.

mod appearance;
mod command;
mod faults;
mod versions;

use serde_json::json;

use super::{Browser, stock};
use crate::reload::reloading;
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// The stock plugins of the page.
const PLUGINS: [&str; 4] = ["chat", "demo", "greeting", "sync"];

fn served() -> (Site, Server) {
    let site = stock(&PLUGINS);
    let server = Server::demo(site.path());
    (site, server)
}

async fn open(browser: &mut Browser, server: &Server, look: serde_json::Value) {
    let mut command = json!({
        "do": "open", "page": "demo", "url": format!("http://{}/demo/", server.addr),
    });
    command.as_object_mut().unwrap().extend(look.as_object().unwrap().clone());
    browser.tell(command).await;
    connected(browser).await;
    browser.until("demo", "document.querySelector('#pane-ben [name=title]').value !== ''").await;
}

/// Waits until the page and both panes are connected.
async fn connected(browser: &mut Browser) {
    let connected = "document.querySelectorAll('[data-state=connected]').length === 3";
    browser.until("demo", connected).await;
}

/// Returns the greeting with another text of the same length, as if compiled with it.
fn other_words() -> Vec<u8> {
    let (before, after) = (b"Good morning", b"Good evening");
    let mut bytes = std::fs::read(build::plugin("greeting")).unwrap();
    let place = bytes.windows(before.len()).position(|it| it == before).expect("the words");
    bytes[place..place + after.len()].copy_from_slice(after);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn replaces_a_handler_without_reconnects() {
    let (site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    browser.v1("old", server.addr).await;
    browser.run("old", "oro.subscribe('demo/greeting', ({ text }) => heard.push(text));").await;
    browser.until("old", "heard.includes('Good morning')").await;
    let says = |text: &str| format!("document.querySelector('#greeting').textContent === '{text}'");
    browser.until("demo", &says("Good morning")).await;

    reloading(&server, || site.rename_over("greeting/jackfield_greeting.wasm", other_words()));

    browser.until("demo", &says("Good evening")).await;
    browser.until("old", "heard.includes('Good evening')").await;
    let facts = "return ['greeting-versions', 'greeting-reconnects'].map((id) => document.getElementById(id).textContent);";
    assert_eq!(browser.run("demo", facts).await, json!(["2", "0"]));
    let before = "return document.querySelector('#greeting-history s').textContent;";
    assert_eq!(browser.run("demo", before).await, "Good morning");
    // No client reconnected, and the count continued.
    assert_eq!(browser.sockets("demo").await.len(), 3);
    assert_eq!(browser.run("old", "return oro.states;").await, json!(["open"]));
    for page in ["demo", "old"] {
        browser.quiet(page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_only_the_other_pane_outdated() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    browser.fill("demo", "#pane-ann [name=note]", "Deliver after noon.").await;
    browser.click("demo", "#pane-ann [data-part=record] button").await;
    let notice = |pane: &str| format!("document.querySelector('#pane-{pane} .notice').textContent");
    let told = format!(
        "{}.startsWith('Content of Order 7 page is outdated, please refresh')",
        notice("ben")
    );
    browser.until("demo", &told).await;
    assert_eq!(browser.run("demo", &format!("return {};", notice("ann"))).await, "");
    let value = |pane: &str| format!("document.querySelector('#pane-{pane} [name=note]').value");
    assert_eq!(
        browser.run("demo", &format!("return {};", value("ben"))).await,
        "Deliver before noon."
    );
    browser.click("demo", "#pane-ben .notice button").await;
    browser.until("demo", &format!("{} === 'Deliver after noon.'", value("ben"))).await;
    assert_eq!(browser.run("demo", &format!("return {};", notice("ben"))).await, "");

    // And in the other direction.
    browser.fill("demo", "#pane-ben [name=title]", "Order 7b").await;
    browser.click("demo", "#pane-ben [data-part=record] button").await;
    browser.until("demo", &format!("{} !== ''", notice("ann"))).await;
    assert_eq!(browser.run("demo", &format!("return {};", notice("ben"))).await, "");
    browser.quiet("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_maintenance_in_the_other_pane() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let covered = "return ['ann', 'ben'].map((pane) => !document.querySelector(`#pane-${pane} .curtain`).hidden);";
    assert_eq!(browser.run("demo", covered).await, json!([false, false]));
    browser.click("demo", ".switch").await;
    browser.until("demo", "!document.querySelector('#pane-ben .curtain').hidden").await;
    assert_eq!(browser.run("demo", covered).await, json!([false, true]));
    browser.click("demo", ".switch").await;
    browser.until("demo", "document.querySelector('#pane-ben .curtain').hidden").await;
    browser.quiet("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_maintenance_on_a_page_opened_during_it() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    browser.click("demo", ".switch").await;
    browser.until("demo", "!document.querySelector('#pane-ben .curtain').hidden").await;
    // Another window hides Ben's pane and shows the state of Ann's switch.
    open(&mut browser, &server, json!({})).await;
    browser.until("demo", "!document.querySelector('#pane-ben .curtain').hidden").await;
    browser.until("demo", "document.getElementById('maintenance').checked").await;
    let ann = "return document.querySelector('#pane-ann .curtain').hidden;";
    assert_eq!(browser.run("demo", ann).await, true);
    browser.quiet("demo").await;
}
