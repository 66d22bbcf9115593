//! Missed events of pages: `sync.js` recovers them from the history of the topic, or tells the page of a
//! gap.

use serde_json::{Value, json};

use super::Browser;
use super::network::Network;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROUTES: &str = "\
log: { channel: 'log/{name}', handler: { callback: broadcast }, history: { events: 2000, bytes: 4 MiB } }
maintenance:
    channel: oro/maintenance
    handler: { callback: broadcast }
    history: { events: 1, age: 24h, on_subscribe: last }
";

fn site() -> Site {
    let site = Site::new();
    site.bundle("log", ROUTES, &[build::plugin("broadcast")]);
    site
}

async fn publish(backend: &mut Client, topic: &str, value: Value) {
    let sent = backend.publish_acknowledged(topic, json!({}), json!([value]), Value::Null);
    sent.await.unwrap();
}

/// Subscribes a page to the log, and counts its gaps.
async fn follow(browser: &mut Browser, page: &str) {
    let code = "globalThis.gaps = [];
         sync.addEventListener('gap', ({ detail }) => gaps.push(detail));
         await sync.subscribe('log/a', (value) => heard.push(value)).ready;";
    browser.run(page, code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_every_event_after_outages_under_load() {
    const EVENTS: u64 = 1_200;
    let site = site();
    // A page may miss nearly all of them on a busy machine.
    let replay = "history: { replay: { events: 2000, bytes: 4 MiB } }\n";
    let server = Server::configured(site.path(), replay);
    let network = Network::to(server.addr).await;
    let mut browser = Browser::start().await;
    browser.v2("page", network.addr, "retry: { first: 50 }").await;
    follow(&mut browser, "page").await;
    let mut backend = Client::connect(server.addr, Codec::Json, "realm1").await;
    let gone = "told.filter(([name]) => name === 'disconnected').length";
    let mut resets = 0;
    for number in 0..EVENTS {
        publish(&mut backend, "log/a", json!(number)).await;
        if number % 200 == 100 {
            let is_back = format!("sync.state === 'connected' && {gone} === {resets}");
            browser.until("page", &is_back).await;
            network.reset();
            resets += 1;
            // Some events are published while the page is away, some while it comes back.
            if number % 400 == 100 {
                browser.until("page", &format!("{gone} === {resets}")).await;
            }
        }
    }
    browser.until("page", &format!("heard.at(-1) === {}", EVENTS - 1)).await;
    let heard = browser.run("page", "return heard;").await;
    assert_eq!(heard, json!((0..EVENTS).collect::<Vec<_>>()));
    assert_eq!(browser.run("page", "return gaps;").await, json!([]));
    assert_eq!(browser.run("page", &format!("return {gone};")).await, resets);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_of_a_gap() {
    let site = site();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    browser.v2("page", addr, "").await;
    follow(&mut browser, "page").await;
    let mut backend = Client::connect(addr, Codec::Json, "realm1").await;
    publish(&mut backend, "log/a", json!("before")).await;
    browser.until("page", "heard.length === 1").await;
    // A server that was killed does not know the events that it had.
    drop(backend);
    drop(server);
    let _server = Server::on(site.path(), addr);
    browser.until("page", "gaps.length === 1").await;
    let gaps = browser.run("page", "return gaps;").await;
    assert_eq!(gaps, json!([{ "topic": "log/a", "match": "exact" }]));
    let mut backend = Client::connect(addr, Codec::Json, "realm1").await;
    publish(&mut backend, "log/a", json!("after")).await;
    browser.until("page", "heard.at(-1) === 'after'").await;
    assert_eq!(browser.run("page", "return heard;").await, json!(["before", "after"]));
}

/// The maintenance of OroPlatform, by configuration alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_page_has_the_state_of_the_maintenance() {
    let site = site();
    let server = Server::start(site.path());
    let mut backend = Client::connect(server.addr, Codec::Json, "realm1").await;
    for on in [false, true] {
        let state = json!({ "isOn": on, "userId": null });
        publish(&mut backend, "oro/maintenance", state).await;
    }
    let mut browser = Browser::start().await;
    browser.v2("new", server.addr, "").await;
    let notice = format!(
        "const {{ maintenanceNotice }} = await import(`http://{}/sync/maintenance.js`);
         maintenanceNotice(sync);",
        server.addr
    );
    browser.run("new", &notice).await;
    browser.until("new", "document.querySelector('dialog.jackfield-maintenance')").await;
    browser.v1("old", server.addr).await;
    browser.run("old", "oro.subscribe('oro/maintenance', (value) => heard.push(value));").await;
    browser.until("old", "heard.length === 1 && heard[0].isOn").await;
    let state = json!({ "isOn": false, "userId": null });
    publish(&mut backend, "oro/maintenance", state).await;
    browser.until("new", "!document.querySelector('dialog.jackfield-maintenance')").await;
    browser.until("old", "heard.length === 2 && !heard[1].isOn").await;
}
