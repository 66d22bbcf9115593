//! Pages with compression, which Chromium offers by itself.

use serde_json::json;

use super::Browser;
use crate::compression::{SETTINGS, sent_bytes};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn pages_exchange_compressed_events() {
    let site = Site::open();
    let server = Server::configured(site.path(), SETTINGS);
    let mut browser = Browser::start().await;
    browser.v2("new", server.addr, "").await;
    browser.v1("old", server.addr).await;
    browser.run("new", "await sync.subscribe('open/a', (value) => heard.push(value)).ready;").await;
    let subscribe = "oro.subscribe('open/a', (value) => heard.push(value));";
    browser.run("old", &format!("{subscribe} oro.session.publish('open/a', 'old');")).await;
    browser.until("old", "heard.length === 1").await;
    browser.until("new", "heard.length === 1").await;
    let before = sent_bytes(&server).await;
    let long = "Array.from({ length: 5000 }, (_, at) => `order ${at * 7919 % 1000} of ünï`).join()";
    let publish = format!("await sync.publish('open/a', {long}, {{ excludeMe: false }});");
    browser.run("new", &publish).await;
    for page in ["new", "old"] {
        browser.until(page, "heard.length === 2").await;
        assert_eq!(browser.run(page, &format!("return heard[1] === {long};")).await, json!(true));
        browser.quiet(page).await;
    }
    let sent = sent_bytes(&server).await - before;
    assert!(sent < 40_000, "{sent} bytes of an event of 90 000");
}
