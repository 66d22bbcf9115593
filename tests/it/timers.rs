//! Timers of handlers against the real server: their topics, start and end, and the effect of
//! reloads and faults. Intervals are short, and no time is measured: the tests wait for ticks. Due
//! times are tested in `host/src/timers.rs`.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::reload::reloading;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SETTLE: &str = "watch: { settle: 20ms }\n";

/// Starts a server with routes to the clocks of the guest `methods`, which count by topic, publish
/// `[count, subscribers, whether the host asks, attributes]`, and answer calls with the count.
fn serve(routes: &str) -> (Site, Server) {
    let site = Site::open();
    site.bundle("methods", routes, &[build::guest("methods")]);
    let server = Server::configured(site.path(), SETTLE);
    (site, server)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Returns the number of ticks of the topic so far.
async fn ticks(client: &mut Client, topic: &str) -> u64 {
    let answer = client.call(topic, json!({}), json!([]), Value::Null).await;
    answer.unwrap().0[0].as_u64().unwrap()
}

/// Waits until the timer of a topic has run at least `least` times.
async fn until_ticks(client: &mut Client, topic: &str, least: u64) {
    within(format!("{least} ticks of {topic}"), async {
        while ticks(client, topic).await < least {}
    })
    .await;
}

/// Returns the subscriber's next tick: its subscription and the clock's value.
async fn tick(client: &mut Client) -> (u64, Value) {
    let event = client.event().await;
    (event.subscription, event.args[0].clone())
}

const CLOCKS: &str = "\
clock: { channel: 'clock/{name}', handler: { callback: 'clock' } }
quick: { channel: 'quick/{name}', handler: { callback: 'clock' }, timer: 50ms }
";

/// The first route has the handler's own interval, and the second route its own.
#[tokio::test(flavor = "multi_thread")]
async fn each_topic_has_a_timer_while_it_has_subscribers() {
    let (_site, server) = serve(CLOCKS);
    let mut asker = join(&server).await;
    let mut one = join(&server).await;
    let mut page = v1::Client::connect(server.addr).await;
    let a = one.subscribe("clock/a", json!({})).await;
    let b = one.subscribe("quick/b", json!({})).await;
    page.subscribe("quick/b");
    page.round_trip().await;
    let mut heard = HashMap::<u64, u64>::new();
    while heard.len() < 2 || heard.values().any(|&count| count < 3) {
        let (subscription, said) = tick(&mut one).await;
        let count = heard.entry(subscription).or_default();
        *count += 1;
        assert_eq!(said[0], *count, "each topic has its own timer: {said}");
        let (subscribers, name) = if subscription == a { (1, "a") } else { (2, "b") };
        assert_eq!(said, json!([*count, subscribers, true, [["name", name]]]));
        assert!([a, b].contains(&subscription));
    }
    assert_eq!(page.event().await.event[0], 1);

    // The last subscriber of a topic leaves: by UNSUBSCRIBE …
    one.unsubscribe(a).await.unwrap();
    let left = ticks(&mut asker, "clock/a").await;
    // … or by closing its connection, and the other clock continues.
    drop(one);
    let before = ticks(&mut asker, "quick/b").await;
    until_ticks(&mut asker, "quick/b", before + 5).await;
    // One tick may have been pending.
    let after = ticks(&mut asker, "clock/a").await;
    assert!(after <= left + 1, "{after} ticks, {left} when the last subscriber left");
    page.unsubscribe("quick/b", None);
    page.round_trip().await;
    let left = ticks(&mut asker, "quick/b").await;

    // It starts again with the next subscriber.
    asker.subscribe("clock/a", json!({})).await;
    for count in after + 1..after + 4 {
        assert_eq!(tick(&mut asker).await.1[0], count);
    }
    assert!(ticks(&mut asker, "quick/b").await <= left + 1);
    assert_eq!(ticks(&mut asker, "clock/c").await, 0, "the topic never had a subscriber");
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_start_no_timer_but_receive_its_events() {
    let (_site, server) = serve(CLOCKS);
    let (mut by_prefix, mut by_name) = (join(&server).await, join(&server).await);
    by_prefix.subscribe("quick/", json!({"match": "prefix"})).await;
    by_name.subscribe("quick/a", json!({})).await;
    let event = by_prefix.event().await;
    assert_eq!(event.details["topic"], "quick/a");
    assert_eq!(event.args[0], json!([1, 1, true, [["name", "a"]]]));
    assert_eq!(ticks(&mut by_prefix, "quick/b").await, 0);
}

const FROM_START: &str = "\
start: { channel: 'start', handler: { callback: 'unhurried' }, timer: { every: 50ms, from: start } }
other: { channel: 'other', handler: { callback: 'clock' }, timer: { from: start } }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_may_run_from_the_start() {
    let (site, server) = serve(FROM_START);
    let mut client = join(&server).await;
    // None of the topics has a subscriber.
    until_ticks(&mut client, "start", 3).await;
    until_ticks(&mut client, "other", 2).await;
    client.subscribe("start", json!({})).await;
    let (_, said) = tick(&mut client).await;
    assert_eq!(said, json!([said[0], 1, true, []]));
    let routes = FROM_START.replace("other", "third");
    reloading(&server, || site.write("methods/websocket_routing.yml", routes));
    until_ticks(&mut client, "third", 2).await;
    let gone = client.call("other", json!({}), json!([]), Value::Null).await;
    assert_eq!(gone.unwrap_err().uri, "wamp.error.no_such_procedure");
}

/// Subscribers stay, and their topics' timers follow the new routes.
#[tokio::test(flavor = "multi_thread")]
async fn timers_follow_reloads() {
    let route = |timer: &str| {
        format!(
            "clock: {{ channel: 'clock/{{name}}', handler: {{ callback: 'unhurried' }}{timer} }}\n\
             witness: {{ channel: 'witness', handler: {{ callback: 'unhurried' }}, \
             timer: {{ every: 50ms, from: start }} }}\n"
        )
    };
    let (site, server) = serve(&route(""));
    let (mut client, mut asker) = (join(&server).await, join(&server).await);
    client.subscribe("clock/a", json!({})).await;
    let change = |timer: &str| site.write("methods/websocket_routing.yml", route(timer));

    change(", timer: 50ms");
    for count in 1..=3 {
        assert_eq!(tick(&mut client).await.1[0], count);
    }
    // Endless reloads, each before the timer is due, do not prevent its ticks.
    let slow = ", timer: 500ms";
    change(slow);
    let mut reloads = 0;
    let known = ticks(&mut asker, "clock/a").await;
    within("a tick between reloads", async {
        while ticks(&mut asker, "clock/a").await < known + 2 {
            let logged = server.log().len();
            // Another file, although its routes are the same.
            reloads += 1;
            site.write("methods/websocket_routing.yml", format!("{}# {reloads}\n", route(slow)));
            server.logged_after(logged, "generation ready");
        }
    })
    .await;

    change("");
    within("the timer to stop", async {
        loop {
            let before = ticks(&mut asker, "clock/a").await;
            let witnessed = ticks(&mut asker, "witness").await;
            until_ticks(&mut asker, "witness", witnessed + 30).await;
            if ticks(&mut asker, "clock/a").await == before {
                return;
            }
        }
    })
    .await;

    change(", timer: 60ms");
    let before = ticks(&mut asker, "clock/a").await;
    until_ticks(&mut asker, "clock/a", before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tick_keeps_the_timer_running() {
    let routes = "\
faulty: { channel: 'faulty', handler: { callback: 'faulty' }, timer: 50ms }
slow: { channel: 'slow/{name}', handler: { callback: 'slow' }, timer: 50ms }
clock: { channel: 'clock', handler: { callback: 'clock' }, timer: 50ms }
";
    let (_site, mut server) = serve(routes);
    let mut client = join(&server).await;
    client.subscribe("faulty", json!({})).await;
    // The first fault is logged in full, then each doubling of their number.
    let fault = "on-timer of handler faulty for topic faulty: ";
    for times in ["times=2", "times=4"] {
        let log = server.logged(times);
        let told = log.matches(fault).count();
        assert!(log.contains(fault) && told <= 3, "{log}");
    }
    // Other clocks in the same lane continue, even if each tick takes longer than its interval.
    let mut other = join(&server).await;
    other.subscribe("slow/a", json!({})).await;
    other.subscribe("slow/b", json!({})).await;
    let clock = other.subscribe("clock", json!({})).await;
    let mut heard = HashMap::<u64, u64>::new();
    while heard.len() < 3 || heard.values().any(|&count| count < 3) {
        let (subscription, said) = tick(&mut other).await;
        let count = heard.entry(subscription).or_default();
        *count += 1;
        assert_eq!(said[0], *count);
    }
    assert!(heard.contains_key(&clock));
    assert!(server.is_alive());
    // Its publications before the fault were never sent.
    client.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_topics_have_a_thousand_timers() {
    let routes = "\
many: { channel: 'many/{n}', handler: { callback: 'unhurried' }, timer: 500ms, lanes: 2 }
";
    let (_site, server) = serve(routes);
    let mut client = join(&server).await;
    for n in 0..1_000 {
        client.send(&json!([32, n + 1, {}, format!("many/{n}")]));
    }
    let mut heard = HashMap::<u64, u64>::new();
    while heard.len() < 1_000 || heard.values().any(|&count| count < 2) {
        let message = client.message().await;
        if message[0] == 36 {
            *heard.entry(message[1].as_u64().unwrap()).or_default() += 1;
        }
    }
}

/// Pages of OroPlatform depend on it, and its routing files have no `timer`. The plugin's interval
/// of 50 seconds is tested in the plugin.
#[tokio::test(flavor = "multi_thread")]
async fn publishes_the_ping_of_the_sync_plugin() {
    let site = Site::new();
    let route = "oro_sync.ping: { channel: 'oro/ping', handler: { callback: 'oro_sync.ping' }";
    site.bundle("sync", &format!("{route}, timer: 50ms }}\n"), &[build::plugin("sync")]);
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe("oro/ping");
    for _ in 0..3 {
        let event = page.event().await;
        assert_eq!((&*event.topic, event.event), ("oro/ping", json!("Connection keep alive")));
    }
}
