//! Backpressure: clients that send faster than they, or others, read are slowed down, and close no
//! other connection.

use serde_json::json;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SLOW: &str = "jackfield.close.slow_subscriber";

fn serve(config: &str) -> (Site, Server) {
    let site = Site::open();
    let routes = "sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }\n";
    site.bundle("methods", routes, &[build::guest("methods")]);
    let server = Server::configured(site.path(), config);
    (site, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_calls_in_flight_are_all_answered() {
    let (_site, server) = serve("");
    for library in [Library::AutobahnPython(Codec::Json), Library::AutobahnJs(Codec::Json)] {
        let mut peer = Peer::join(library, server.addr).await;
        let burst =
            json!({"do": "burst", "procedure": "sample/echo", "count": 5_000, "size": 2_000});
        assert_eq!(peer.done(burst).await["whole"], 5_000, "{library:?}");
        peer.leave().await;
    }
    assert!(!server.log().contains(SLOW));
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_reading_a_client_that_does_not_read_its_replies() {
    const CALLS: u64 = 60_000;
    let (_site, server) =
        serve("limits: { outbox: { bytes: 64 KiB }, message_rate: { enabled: false } }\n");
    let before = server.memory();
    let mut client = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    client.socket().stop_reading();
    for request in 1..=CALLS {
        client.send(&json!([48, request, {}, "no/such"]));
    }
    // Other clients are served meanwhile, and the answers take no memory.
    let mut other = Client::connect(server.addr, Codec::Json, "realm1").await;
    for _ in 0..50 {
        other.round_trip().await;
    }
    let growth = server.memory().saturating_sub(before) >> 20;
    assert!(growth < 16, "{growth} MiB more");
    client.socket().resume_reading();
    for request in 1..=CALLS {
        let message = client.message().await;
        assert_eq!((&message[0], &message[2]), (&json!(8), &json!(request)), "{message}");
    }
    client.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_reading_a_client_that_does_not_read_its_pongs() {
    // On a busy machine, the client reads nothing for a long time.
    let (_site, server) = serve(
        "limits: { outbox: { bytes: 64 KiB }, message_rate: { enabled: false } }\n\
         keepalive: { interval: 10m, timeout: 5m }\n",
    );
    let before = server.memory();
    let mut client = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    client.socket().stop_reading();
    for _ in 0..60_000 {
        client.socket().ping(&[7; 100]);
    }
    let mut other = Client::connect(server.addr, Codec::Json, "realm1").await;
    for _ in 0..50 {
        other.round_trip().await;
    }
    let growth = server.memory().saturating_sub(before) >> 20;
    assert!(growth < 16, "{growth} MiB more");
    client.socket().resume_reading();
    client.round_trip().await;
}

/// A flood many times larger than the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn slows_a_flooding_publisher_and_loses_no_event() {
    const EVENTS: u64 = 40_000;
    let (_site, server) =
        serve("limits: { outbox: { bytes: 128 KiB }, message_rate: { enabled: false } }\n");
    let mut subscriber = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/flood", json!({})).await;
    let publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let filling = "x".repeat(200);
    for number in 0..EVENTS {
        publisher.send(&json!([16, number + 1, {}, "open/flood", [number, filling]]));
    }
    for number in 0..EVENTS {
        assert_eq!(subscriber.event().await.args[0], number);
    }
    assert!(!server.log().contains(SLOW));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_subscriber_delays_a_publisher_once() {
    const EVENTS: u64 = 2_000;
    let (_site, server) = serve("limits: { outbox: { bytes: 1 MiB }, publisher_delay: 1h }\n");
    let mut dead = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    dead.subscribe("open/a", json!({})).await;
    dead.socket().stop_reading();
    let mut quick = Client::connect(server.addr, Codec::Json, "realm1").await;
    quick.subscribe("open/a", json!({})).await;
    let publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let filling = "x".repeat(10_000);
    for number in 0..EVENTS {
        publisher.send(&json!([16, number + 1, {}, "open/a", [number, filling]]));
    }
    // A delay of each publication, of up to an hour, would be noticed.
    for number in 0..EVENTS {
        assert_eq!(quick.event().await.args[0], number);
    }
    server.logged(SLOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn slows_publishers_over_http() {
    const BATCHES: u64 = 40;
    const EVENTS: u64 = 500;
    let config = "limits: { outbox: { bytes: 128 KiB } }\n\
                  api: { tokens: [{ name: shop, token: '0123456789abcdef0123456789abcdef' }] }\n";
    let (_site, server) = serve(config);
    let mut subscriber = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/flood", json!({})).await;
    let addr = server.addr;
    let publishing = tokio::spawn(async move {
        for batch in 0..BATCHES {
            let event =
                |n| json!({"topic": "open/flood", "args": [batch * EVENTS + n, "x".repeat(100)]});
            let body = json!({"publish": (0..EVENTS).map(event).collect::<Vec<_>>()}).to_string();
            let mut http = Http::connect(addr).await;
            let token = ("Authorization", "Bearer 0123456789abcdef0123456789abcdef");
            let answer = http.post("/api/publish", &[token], &body).await;
            assert_eq!(answer.status, 200);
        }
    });
    for number in 0..BATCHES * EVENTS {
        assert_eq!(subscriber.event().await.args[0], number);
    }
    within("the publishing", publishing).await.unwrap();
    assert!(!server.log().contains(SLOW));
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_a_client_whose_socket_accepts_nothing() {
    let (_site, server) = serve("keepalive: { interval: 200ms, timeout: 150ms }\n");
    let mut client = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    client.subscribe("open/self", json!({})).await;
    client.socket().stop_reading();
    let filling = "x".repeat(900_000);
    for number in 0..8 {
        let options = json!({"exclude_me": false});
        client.send(&json!([16, number + 10, options, "open/self", [filling]]));
    }
    let pinger = async {
        loop {
            client.socket().ping(b"");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::task::spawn_blocking({
        let server = std::sync::Arc::new(server);
        move || drop(server.logged("the client has read nothing for 150 ms"))
    });
    tokio::select! {
        () = pinger => {}
        ended = ended => ended.unwrap(),
    }
}

/// PHP's publishers read nothing after WELCOME: simulated here, beside a page that answers pings.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_of_version_1_that_answers_no_ping_keeps_its_session() {
    let (_site, server) = serve("keepalive: { interval: 100ms, timeout: 1s }\n");
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe("open/a");
    page.round_trip().await;
    let mut publisher = v1::Client::connect(server.addr).await;
    publisher.session().await;
    publisher.socket().stop_reading();
    // Sessions of version 2, and those with a subscription, end meanwhile: several rounds of pings.
    for round in 0..3 {
        let logged = server.log().len();
        let mut dead = v1::Client::connect(server.addr).await;
        dead.subscribe("open/b");
        dead.round_trip().await;
        dead.socket().stop_reading();
        server.logged_after(logged, "the client does not answer pings");
        publisher.publish("open/a", &json!(round), &v1::Reach::Plain);
        assert_eq!(page.event().await.event, json!(round));
    }
    // A subscription restores the rule.
    let logged = server.log().len();
    publisher.subscribe("open/c");
    server.logged_after(logged, "the client does not answer pings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_version_1_that_answered_a_ping_must_keep_answering() {
    let (_site, server) = serve("keepalive: { interval: 200ms, timeout: 1s }\n");
    let mut client = v1::Client::connect(server.addr).await;
    client.session().await;
    // The library answers pings by itself while it reads.
    for _ in 0..40 {
        client.round_trip().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    client.socket().stop_reading();
    server.logged("the client does not answer pings");
}
