//! Outages that pages survive: a server that is killed, or stopped in order, and started again; a
//! network that is down for five seconds, or resets every connection; twenty tabs that reconnect at
//! once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Browser;
use super::network::Network;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOPICS: [&str; 3] = ["open/a", "open/b", "open/c"];

/// Subscribes a page to all topics.
async fn listen(browser: &mut Browser, page: &str) {
    let topics = json!(TOPICS);
    let code = match page {
        "old" => format!(
            "for (const topic of {topics}) oro.subscribe(topic, (value) => heard.push(value));
             oro.session.publish('open/a', 'ready');"
        ),
        _ => format!(
            "for (const topic of {topics}) await sync.subscribe(topic, (value) => heard.push(value)).ready;
             await sync.publish('open/a', 'ready', {{ excludeMe: false }});"
        ),
    };
    browser.run(page, &code).await;
    browser.until(page, "heard.includes('ready')").await;
}

/// Publishes one event to each topic.
async fn publish(server: &Server, text: &str) {
    let mut backend = Client::connect(server.addr, Codec::Json, "realm1").await;
    for topic in TOPICS {
        let event = json!([format!("{text} {topic}")]);
        backend.publish_acknowledged(topic, json!({}), event, Value::Null).await.unwrap();
    }
}

async fn hear(browser: &mut Browser, page: &str, text: &str) {
    for topic in TOPICS {
        let code = format!("heard.filter((it) => it === '{text} {topic}').length === 1");
        browser.until(page, &code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_reconnect_to_a_killed_or_stopped_server() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    browser.v2("new", addr, "").await;
    browser.v1("old", addr).await;
    for page in ["new", "old"] {
        listen(&mut browser, page).await;
    }
    publish(&server, "before").await;
    for (time, signal) in (1..).zip(["KILL", "TERM"]) {
        server.signal(signal);
        server.exit_code();
        browser.until("new", "sync.state === 'waiting'").await;
        browser.until("old", "oro.session === null").await;
        server = Server::on(site.path(), addr);
        // The event is fired when all topics are subscribed to again.
        let connected =
            format!("told.filter(([name]) => name === 'connected').length === {time} + 1");
        browser.until("new", &connected).await;
        browser.until("old", "oro.session").await;
        // The subscriptions precede this publication; version 1 confirms none.
        let text = format!("again {time}");
        browser.run("old", &format!("oro.session.publish('open/c', '{text}');")).await;
        browser.until("old", &format!("heard.includes('{text}')")).await;
        publish(&server, signal).await;
        for page in ["new", "old"] {
            hear(&mut browser, page, signal).await;
        }
    }
    for page in ["new", "old"] {
        hear(&mut browser, page, "before").await;
    }
    // Each attempt of the old page had a new ticket; the new page has none in its URLs.
    let sockets = browser.sockets("old").await;
    let tickets: BTreeSet<_> =
        sockets.iter().filter_map(|url| url.split_once("?ticket=")).collect();
    assert!(tickets.len() >= 3 && tickets.len() == sockets.len(), "{sockets:?}");
    let sockets = browser.sockets("new").await;
    assert!(sockets.iter().all(|url| !url.contains("ticket")), "{sockets:?}");
    let told = browser
        .run("new", "return told.filter(([name]) => name !== 'retrying').map(([name]) => name);")
        .await;
    assert_eq!(
        told,
        json!(["connected", "disconnected", "connected", "disconnected", "connected"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_outage_of_five_seconds_loses_nothing() {
    let site = Site::open();
    let server = Server::start(site.path());
    let network = Network::to(server.addr).await;
    let mut browser = Browser::start().await;
    browser.v2("new", network.addr, "").await;
    browser.v1("old", network.addr).await;
    // Reconnects often, without the long back-off.
    let impatient = "heartbeat: 200, timeout: 800";
    browser.v2("impatient", network.addr, impatient).await;
    for page in ["new", "old", "impatient"] {
        listen(&mut browser, page).await;
    }
    let sent = tokio::time::Instant::now();
    network.cut();
    publish(&server, "meanwhile").await;
    browser.until("impatient", "sync.state !== 'connected'").await;
    tokio::time::sleep_until(sent + Duration::from_secs(5)).await;
    network.mend();
    for page in ["new", "old"] {
        hear(&mut browser, page, "meanwhile").await;
    }
    // A client that has given up knows that it may have missed events, and has reconnected.
    let again = "told.filter(([name]) => name === 'connected').length === 2";
    browser.until("impatient", again).await;
    let resumed = browser
        .run("impatient", "return told.findLast(([name]) => name === 'connected')[1].resumed;");
    assert_eq!(resumed.await, true);
    publish(&server, "after").await;
    for page in ["new", "old", "impatient"] {
        hear(&mut browser, page, "after").await;
    }
    assert_eq!(browser.run("old", "return oro.states;").await, json!(["open"]));
    assert_eq!(
        browser.run("new", "return told.map(([name]) => name);").await,
        json!(["connected"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_reconnect_when_the_network_ends_their_connections() {
    let site = Site::open();
    let server = Server::start(site.path());
    let network = Network::to(server.addr).await;
    let mut browser = Browser::start().await;
    browser.v2("new", network.addr, "").await;
    browser.v1("old", network.addr).await;
    for page in ["new", "old"] {
        listen(&mut browser, page).await;
    }
    for time in 1..3 {
        network.reset();
        let again = format!("told.filter(([name]) => name === 'connected').length === {time} + 1");
        browser.until("new", &again).await;
        browser.until("old", &format!("oro.states.length === {time} * 2 + 1")).await;
        let text = format!("again {time}");
        browser.run("old", &format!("oro.session.publish('open/c', '{text}');")).await;
        browser.until("old", &format!("heard.includes('{text}')")).await;
        let text = format!("after {time}");
        publish(&server, &text).await;
        for page in ["new", "old"] {
            hear(&mut browser, page, &text).await;
        }
    }
    // AutobahnJS reports a lost connection; after a clean close, the page would not reconnect.
    assert_eq!(
        browser.run("old", "return oro.states;").await,
        json!(["open", 2, "open", 2, "open"])
    );
    let why = "return told.filter(([name]) => name === 'disconnected').map(([, { error }]) => error.message);";
    let lost = "connection lost (1006)";
    assert_eq!(browser.run("new", why).await, json!([lost, lost]));
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_pattern_subscriptions() {
    let site = Site::open();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    browser.v2("new", addr, "").await;
    let subscribe = "
        const keep = (_value, { topic }) => heard.push(topic);
        await sync.subscribe('open/', keep, { match: 'prefix' }).ready;";
    browser.run("new", subscribe).await;
    publish(&server, "before").await;
    browser.until("new", "heard.length === 3").await;
    drop(server);
    browser.until("new", "sync.state === 'waiting'").await;
    let server = Server::on(site.path(), addr);
    browser.until("new", "told.filter(([name]) => name === 'connected').length === 2").await;
    publish(&server, "after").await;
    browser.until("new", "heard.length === 6").await;
    let topics = json!([TOPICS, TOPICS].concat());
    assert_eq!(browser.run("new", "return heard;").await, topics);
    let leave = "sync.unsubscribe('open/', undefined, { match: 'prefix' });
        await sync.publish('open/a', 1, { excludeMe: false });
        return heard.length;";
    assert_eq!(browser.run("new", leave).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tabs_reconnect_spread_over_time() {
    const TABS: usize = 20;
    let site = Site::open();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    let tabs: Vec<String> = (0..TABS).map(|number| format!("tab {number}")).collect();
    browser.v2(&tabs[0], addr, "").await;
    let url = format!("{}/page.html", browser.home);
    for tab in &tabs[1..] {
        browser.tell(json!({"do": "open", "page": tab, "url": url, "beside": tabs[0]})).await;
        browser.connect_v2(tab, &format!("http://{addr}"), "").await;
    }
    for tab in &tabs {
        listen(&mut browser, tab).await;
    }
    server.until_health("sessions", TABS);
    publish(&server, "one").await;
    for tab in &tabs {
        hear(&mut browser, tab, "one").await;
    }
    drop(server);
    let mut delays = BTreeSet::new();
    for tab in &tabs {
        browser.until(tab, "told.some(([name]) => name === 'retrying')").await;
        let first = "return String(told.find(([name]) => name === 'retrying')[1].delay);";
        delays.insert(browser.run(tab, first).await.to_string());
    }
    assert_eq!(delays.len(), TABS, "they did not choose for themselves: {delays:?}");
    let server = Server::on(site.path(), addr);
    for tab in &tabs {
        let again = "told.filter(([name]) => name === 'connected').length === 2";
        browser.until(tab, again).await;
    }
    publish(&server, "two").await;
    for tab in &tabs {
        hear(&mut browser, tab, "two").await;
    }
}
