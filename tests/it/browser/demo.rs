//! The page of `make demo`: what it shows works, nothing of it comes from elsewhere, and pictures
//! of it are in `target/browser`.

use serde_json::json;

use super::{Browser, pictures, stock};
use crate::build;
use crate::reload::reloading;
use crate::server::Server;
use crate::site::Site;

fn served() -> (Site, Server) {
    let site = stock(&["chat", "demo", "greeting", "sync"]);
    let server = Server::demo(site.path());
    (site, server)
}

async fn open(browser: &mut Browser, server: &Server, look: serde_json::Value) {
    let mut command = json!({
        "do": "open", "page": "demo", "url": format!("http://{}/demo/", server.addr),
    });
    command.as_object_mut().unwrap().extend(look.as_object().unwrap().clone());
    browser.tell(command).await;
    // The page and both panes.
    let connected = "document.querySelectorAll('[data-state=connected]').length === 3";
    browser.until("demo", connected).await;
    browser.until("demo", "document.querySelector('#pane-ben [name=title]').value !== ''").await;
}

/// The greeting with other words of the same length, as if it had been compiled with them.
fn other_words() -> Vec<u8> {
    let (before, after) = (b"Good morning", b"Good evening");
    let mut bytes = std::fs::read(build::plugin("greeting")).unwrap();
    let place = bytes.windows(before.len()).position(|it| it == before).expect("the words");
    bytes[place..place + after.len()].copy_from_slice(after);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_replaced_and_nobody_notices_but_by_its_words() {
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
    // Nobody has connected anew, and the count went on.
    assert_eq!(browser.sockets("demo").await.len(), 3);
    assert_eq!(browser.run("old", "return oro.states;").await, json!(["open"]));
    for page in ["demo", "old"] {
        browser.quiet(page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_other_pane_is_out_of_date() {
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

    // And the other way round.
    browser.fill("demo", "#pane-ben [name=title]", "Order 7b").await;
    browser.click("demo", "#pane-ben [data-part=record] button").await;
    browser.until("demo", &format!("{} !== ''", notice("ann"))).await;
    assert_eq!(browser.run("demo", &format!("return {};", notice("ben"))).await, "");
    browser.quiet("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ann_maintains_and_ben_waits() {
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
async fn it_fits_every_screen() {
    let (_site, server) = served();
    for (name, width, height, scheme) in [
        ("desktop-light", 1280, 900, "light"),
        ("desktop-dark", 1280, 900, "dark"),
        ("phone-light", 360, 740, "light"),
        ("phone-dark", 360, 740, "dark"),
    ] {
        let mut browser = Browser::start().await;
        let look = json!({"width": width, "height": height, "scheme": scheme});
        open(&mut browser, &server, look).await;
        for (pane, text) in [("ann", "Have you seen order 7?"), ("ben", "It is out of date here.")]
        {
            browser.fill("demo", &format!("#pane-{pane} [name=text]"), text).await;
            browser.click("demo", &format!("#pane-{pane} [data-part=say] button")).await;
            let last = format!(
                "[...document.querySelectorAll('#pane-ann .chat li')].some((line) => line.textContent.includes('{text}'))"
            );
            browser.until("demo", &last).await;
        }
        browser.fill("demo", "#pane-ann [name=note]", name).await;
        browser.click("demo", "#pane-ann [data-part=record] button").await;
        browser
            .until("demo", "document.querySelector('#pane-ben .notice').textContent !== ''")
            .await;
        browser
            .until("demo", "document.querySelector('#ticker-chart .line').getAttribute('d')")
            .await;
        let picture = pictures().join(format!("demo-{name}.png"));
        browser.tell(json!({"do": "shot", "page": "demo", "path": picture})).await;
        let widths =
            browser.run("demo", "return [document.documentElement.scrollWidth, innerWidth];").await;
        assert_eq!(widths[0], widths[1], "{name} is wider than its screen");
        // Buttons and fields are large enough for a finger.
        let small = "return [...document.querySelectorAll('button, input[type=text], select, .switch')]
            .filter((it) => it.offsetParent && it.getBoundingClientRect().height < 36).map((it) => it.outerHTML);";
        assert_eq!(browser.run("demo", small).await, json!([]), "{name}");
        // Every field and button has a name for who cannot see it.
        let nameless = "return [...document.querySelectorAll('button, input, select')]
            .filter((it) => !(it.labels?.length || it.ariaLabel || it.textContent.trim())).map((it) => it.outerHTML);";
        assert_eq!(browser.run("demo", nameless).await, json!([]), "{name}");
        browser.click("demo", ".switch").await;
        browser.until("demo", "!document.querySelector('#pane-ben .curtain').hidden").await;
        let picture = pictures().join(format!("demo-{name}-maintenance.png"));
        browser.tell(json!({"do": "shot", "page": "demo", "path": picture})).await;
        browser.click("demo", ".switch").await;
        browser.until("demo", "document.querySelector('#pane-ben .curtain').hidden").await;
        browser.quiet("demo").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_is_one_that_a_shell_and_make_read_as_it_was_meant() {
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
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text, "{line}: {output:?}");
    }
}
