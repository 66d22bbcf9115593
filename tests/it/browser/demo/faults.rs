//! Faults on the demo page: a missing plugin, hostile publishers, and an outage.

use serde_json::json;

use super::{PLUGINS, connected, open, served};
use crate::browser::{Browser, pictures, stock};
use jackfield_tests::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn names_a_missing_plugin_in_its_place() {
    let places = [
        ("greeting", "#greeting-missing"),
        ("demo", "#ticker-missing, #pane-ann [data-part=record-missing]"),
        ("chat", "#pane-ann [data-part=chat-missing], #pane-ben [data-part=chat-missing]"),
        ("sync", "#maintenance-missing"),
    ];
    for absent in PLUGINS {
        let here: Vec<_> = PLUGINS.into_iter().filter(|plugin| *plugin != absent).collect();
        let site = stock(&here);
        let server = Server::demo(site.path());
        let mut browser = Browser::start().await;
        let url = format!("http://{}/demo/", server.addr);
        browser.tell(json!({"do": "open", "page": "demo", "url": url})).await;
        connected(&mut browser).await;
        let (_, at) = places.into_iter().find(|(plugin, _)| *plugin == absent).unwrap();
        let said = format!(
            "[...document.querySelectorAll('{at}')].every((it) => !it.hidden && it.textContent.includes('“{absent}” is not in this site'))"
        );
        browser.until("demo", &said).await;
        // The other plugins work.
        if absent != "greeting" {
            let says = "document.querySelector('#greeting').textContent === 'Good morning'";
            browser.until("demo", says).await;
        }
        let elsewhere = "return [...document.querySelectorAll('.missing')]
            .filter((it) => !it.hidden).map((it) => it.textContent).sort();";
        for words in browser.run("demo", elsewhere).await.as_array().unwrap() {
            assert!(words.as_str().unwrap().contains(absent), "{absent}: {words}");
        }
        let picture = pictures().join(format!("demo-without-{absent}.png"));
        browser.tell(json!({"do": "shot", "page": "demo", "path": picture})).await;
        browser.quiet("demo").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_fails_one_call_and_no_connection() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    browser.run("demo", "document.getElementById('crash').click();").await;
    let said = "document.getElementById('crashed').textContent.startsWith('It panicked.')";
    browser.until("demo", said).await;
    let number = "return Number(document.getElementById('greeting-number').textContent);";
    let before = browser.run("demo", number).await.as_f64().unwrap();
    let goes_on =
        format!("Number(document.getElementById('greeting-number').textContent) > {before}");
    browser.until("demo", &goes_on).await;
    let reconnects = "return document.getElementById('greeting-reconnects').textContent;";
    assert_eq!(browser.run("demo", reconnects).await, "0");
    // Every link of the page works.
    let links = "return await Promise.all([...document.querySelectorAll('a')]
        .map(async ({ href }) => [href, (await fetch(href)).status]));";
    for link in browser.run("demo", links).await.as_array().unwrap() {
        assert_eq!(link[1], 200, "{link}");
    }
    browser.quiet("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_cannot_publish_as_the_handler() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    browser.v2("eve", server.addr, "").await;
    for topic in ["demo/greeting", "demo/ticker"] {
        for event in [json!({"text": "<b>", "number": null}), json!({"value": "x"}), json!(null)] {
            let code =
                format!("return await sync.publish('{topic}', {event}).catch(({{ uri }}) => uri);");
            assert_eq!(browser.run("eve", &code).await, "wamp.error.not_authorized", "{topic}");
        }
    }
    // Every client may publish these events, and the page survives them.
    for event in [json!(null), json!(7), json!({"isOn": "x"}), json!({"isOn": true, "userId": 8})] {
        let code = format!("await sync.publish('oro/maintenance', {event});");
        browser.run("eve", &code).await;
    }
    browser.until("demo", "!document.querySelector('#pane-ann .curtain').hidden").await;
    browser.quiet("demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_keeps_its_name_right_after_an_outage() {
    let (site, server) = served();
    let addr = server.addr;
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let say = |text: &str| {
        format!(
            "const form = document.querySelector('#pane-ann [data-part=say]');
             form.elements.text.value = '{text}';
             form.requestSubmit();"
        )
    };
    drop(server);
    browser.until("demo", "document.querySelectorAll('[data-state=waiting]').length === 3").await;
    // The message waits for the connection and for the name.
    browser.run("demo", &say("right away")).await;
    let server = Server::on(site.path(), addr);
    let heard = "[...document.querySelectorAll('#pane-ben .chat li')].some((line) => line.textContent.includes('right away'))";
    browser.until("demo", heard).await;
    let names = "return [...document.querySelectorAll('#pane-ben .chat b')].map((name) => name.textContent);";
    assert_eq!(browser.run("demo", names).await, json!(["Ann"]));
    drop(server);
}
