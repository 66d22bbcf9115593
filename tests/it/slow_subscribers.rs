//! Slow subscribers, which do not read: they delay no other client, and their memory is bounded.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::{self, Hangup};
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A small limit, so that most of a slow subscriber's data is in the kernel.
/// There are no rates, since the tests send as fast as they can.
const OUTBOX_LIMIT: &str = "limits: { outbox: { bytes: 256 KiB }, message_rate: { enabled: false }, \
                            byte_rate: { enabled: false } }\n";
/// The reason in the log and in GOODBYE.
const REASON: &str = "jackfield.close.slow_subscriber";
/// Nearly the largest event, so that the kernel's buffers fill soon.
const LARGE: usize = 900 * 1024;
/// More large events than the bound and the kernel's buffers hold together.
const TOO_MANY: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_delays_no_other_and_memory_stays_bounded() {
    const EVENTS: usize = 2_000;
    const SIZE: usize = 100 * 1024;
    let site = Site::open();
    let server = Server::configured(site.path(), OUTBOX_LIMIT);
    let mut slow = Vec::new();
    for codec in Codec::ALL {
        let mut client = Client::connect_narrow(server.addr, codec, "realm1").await;
        client.subscribe("open/a", json!({})).await;
        client.socket().stop_reading();
        slow.push(client);
    }
    let mut quick = joined(&server).await;
    quick.subscribe("open/a", json!({})).await;
    let mut publisher = joined(&server).await;
    let before = server.memory();
    let filling = "x".repeat(SIZE);
    let mut most = before;
    for number in 0..EVENTS {
        publish(&mut publisher, json!([number, filling])).await.unwrap();
        assert_eq!(quick.event().await.args[0], number);
        if number % 50 == 0 {
            most = most.max(server.memory());
        }
    }
    let growth = most.saturating_sub(before) >> 20;
    assert!(growth < 48, "{growth} MiB more while 200 MB were published");
    server.logged(REASON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_receives_the_reason_if_it_reads_again() {
    let site = Site::open();
    let server = Server::configured(site.path(), OUTBOX_LIMIT);
    let mut slow = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    slow.subscribe("open/a", json!({})).await;
    slow.round_trip().await;
    slow.socket().stop_reading();
    flood(&server, TOO_MANY).await;
    slow.socket().resume_reading();
    // The received events are complete, and the first ones that were sent.
    let mut expected = 0;
    let goodbye = loop {
        let message = slow.message().await;
        if message[0] != 36 {
            break message;
        }
        assert_eq!(message[4][0], expected);
        assert_eq!(message[4][1].as_str().unwrap().len(), LARGE);
        expected += 1;
    };
    assert_eq!((&goodbye[0], &goodbye[2]), (&json!(6), &json!(REASON)), "{goodbye}");
    let ended = slow.ended().await;
    assert!(matches!(&ended, Ending::Clean { code: Some(1008), .. }), "{ended:?}");
    server.logged(REASON);
    assert!(expected < TOO_MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_of_version_1_is_disconnected_without_a_close_frame() {
    let site = Site::open();
    let server = Server::configured(site.path(), OUTBOX_LIMIT);
    let mut options = v1::Options::default();
    options.handshake.receive_buffer = Some(4096);
    let mut slow = v1::Client::connect_with(server.addr, options).await.unwrap();
    slow.session().await;
    slow.subscribe("open/a");
    slow.round_trip().await;
    slow.socket().stop_reading();
    flood(&server, TOO_MANY).await;
    server.logged(REASON);
    slow.socket().resume_reading();
    // After a Close frame, AutobahnJS would never reconnect.
    assert_eq!(slow.session_hangup().await, Hangup::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_events_instead_keeps_the_subscriber() {
    let site = Site::open();
    let server = Server::configured(site.path(), &format!("{OUTBOX_LIMIT}slow_subscriber: drop\n"));
    let mut slow = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    slow.subscribe("open/a", json!({})).await;
    slow.round_trip().await;
    slow.socket().stop_reading();
    flood(&server, TOO_MANY).await;
    slow.socket().resume_reading();

    // Publishes until the subscriber has caught up.
    let (caught_up, mut stop) = oneshot::channel();
    let mut publisher = joined(&server).await;
    let publishing = tokio::spawn(async move {
        while stop.try_recv().is_err() {
            publish(&mut publisher, json!(["now"])).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    loop {
        let event = slow.event().await;
        if event.args[0] == "now" {
            break;
        }
        seen.push(event.args[0].clone());
    }
    caught_up.send(()).unwrap();
    publishing.await.unwrap();
    assert!(!seen.is_empty() && seen.len() < TOO_MANY, "{seen:?}");
    assert!(seen.iter().zip(0..).all(|(seen, expected)| *seen == expected), "{seen:?}");
    slow.round_trip().await;
    assert!(!server.log().contains(REASON));
}

/// A route for tickers beside the open one; both have the same handler.
const TICKERS: &str = "\
tickers: { channel: 'ticker/{name}', handler: { callback: 'broadcast' }, slow_subscriber: latest }
chat: { channel: 'chat/{name}', handler: { callback: 'broadcast' } }
";

fn ticker_site() -> Site {
    let site = Site::new();
    site.bundle("tickers", TICKERS, &[build::plugin("broadcast")]);
    site
}

/// Publishes large, numbered events to `ticker/a`, more than the kernel accepts for a client that does not
/// read, then a small one, the newest. A subscriber that keeps up gets each of them.
async fn tick(publisher: &mut Client, quick: &mut Client) {
    let filling = "x".repeat(LARGE);
    let numbered = (0..TOO_MANY).map(|number| json!([number, filling]));
    for args in numbered.chain([json!(["newest"])]) {
        let name = args[0].clone();
        let sent = publisher.publish_acknowledged("ticker/a", json!({}), args, Value::Null);
        sent.await.unwrap();
        let event = quick.event().await;
        assert_eq!((&event.args[0], &event.details), (&name, &json!({})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_of_a_ticker_gets_the_newest_event_and_the_number_of_missed_ones() {
    let site = ticker_site();
    let server = Server::configured(site.path(), "metrics: { enabled: true }\n");
    let mut quick = joined(&server).await;
    quick.subscribe("ticker/a", json!({})).await;
    let mut missed = 0;
    for codec in Codec::ALL {
        let mut slow = Client::connect_narrow(server.addr, codec, "realm1").await;
        for topic in ["ticker/a", "ticker/b", "chat/a"] {
            slow.subscribe(topic, json!({})).await;
        }
        slow.socket().stop_reading();
        let mut publisher = joined(&server).await;
        tick(&mut publisher, &mut quick).await;
        // Events of other topics stay, and keep their order.
        for (topic, text) in
            [("ticker/b", "b1"), ("chat/a", "c1"), ("ticker/b", "b2"), ("chat/a", "c2")]
        {
            let sent = publisher.publish_acknowledged(topic, json!({}), json!([text]), Value::Null);
            sent.await.unwrap();
        }
        slow.socket().resume_reading();
        // Each event says how many are missing before it.
        let mut next = 0;
        loop {
            let event = slow.event().await;
            let replaced = event.details["_replaced"].as_u64().unwrap_or_default();
            next += replaced;
            missed += replaced;
            if event.args[0] == "newest" {
                break;
            }
            assert_eq!(event.args[0], next, "{codec:?}");
            next += 1;
        }
        assert_eq!(next, TOO_MANY as u64, "{codec:?}");
        for (text, replaced) in [("c1", json!(null)), ("b2", json!(1)), ("c2", json!(null))] {
            let event = slow.event().await;
            assert_eq!((&event.args[0], &event.details["_replaced"]), (&json!(text), &replaced));
        }
        missed += 1;
        slow.round_trip().await;
    }
    assert!(missed > 3, "{missed}");
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await.body;
    let count = |action: &str| -> u64 {
        let name = format!("jackfield_slow_subscribers_total{{action=\"{action}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    assert_eq!((count("latest"), count("drop"), count("disconnect")), (missed, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_page_of_version_1_gets_the_newest_event_and_replies_of_its_own() {
    let site = ticker_site();
    let server = Server::configured(site.path(), "");
    let mut quick = joined(&server).await;
    quick.subscribe("ticker/a", json!({})).await;
    let mut options = v1::Options::default();
    options.handshake.receive_buffer = Some(4096);
    let mut slow = v1::Client::connect_with(server.addr, options).await.unwrap();
    slow.session().await;
    slow.subscribe("ticker/a");
    slow.round_trip().await;
    slow.socket().stop_reading();
    let mut publisher = joined(&server).await;
    tick(&mut publisher, &mut quick).await;
    slow.socket().resume_reading();
    let mut seen = 0;
    while slow.event().await.event != json!("newest") {
        seen += 1;
    }
    assert!(seen < TOO_MANY, "{seen}");
    slow.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_the_memory_of_a_flooder_that_never_reads() {
    // Each answer is small, so there have to be many: more than the kernel holds.
    const REQUESTS: u64 = 300_000;
    let site = Site::open();
    let config = format!("{OUTBOX_LIMIT}keepalive: {{ interval: 1s, timeout: 500ms }}\n");
    let server = Server::configured(site.path(), &config);
    for pings in [false, true] {
        let logged = server.log().len();
        let before = server.memory();
        let client = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
        client.socket().stop_reading();
        for request in 1..=REQUESTS {
            if pings {
                client.socket().ping(&[7; 125]);
            } else {
                client.send(&json!([32, request, {}, "open/a"]));
            }
        }
        // The server stops reading, and closes once the socket has accepted nothing for a while. On a busy
        // machine, a ping goes unanswered before the socket is full.
        server.logged_after(logged, "connection lost: the client ");
        let growth = server.memory().saturating_sub(before) >> 20;
        assert!(growth < 32, "{growth} MiB more, pings: {pings}");
    }
    let mut quick = joined(&server).await;
    quick.subscribe("open/a", json!({})).await;
    publish(&mut quick, json!(["fine"])).await.unwrap();
    assert_eq!(quick.event().await.args, json!(["fine"]));
}

/// Publishes large, numbered events; all have been queued when it returns.
async fn flood(server: &Server, events: usize) {
    let mut publisher = joined(server).await;
    let filling = "x".repeat(LARGE);
    within("the flood to be taken", async {
        for number in 0..events {
            publish(&mut publisher, json!([number, filling])).await.unwrap();
        }
    })
    .await;
}

async fn joined(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

async fn publish(client: &mut Client, args: Value) -> Result<u64, WampError> {
    client.publish_acknowledged("open/a", json!({"exclude_me": false}), args, Value::Null).await
}
