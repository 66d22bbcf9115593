//! Shutdown in steps: the wait for load balancers, the queue of the socket, the random ends of sessions,
//! and the window for reconnects that clients are told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::client::{v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_while_load_balancers_are_told() {
    let site = Site::open();
    let mut server = Server::configured(site.path(), "shutdown: { wait: 1h }\n");
    let mut before = joined(&server).await;
    before.subscribe("open/a", json!({})).await;
    server.signal("TERM");
    server.logged("waiting 3600s for load balancers (shutdown.wait)");
    let mut http = Http::connect(server.addr).await;
    http.send(HEALTH).await;
    let health = http.answer().await;
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("stopping")));
    // Clients that the load balancer still sends are served, on old connections and on new ones.
    let mut after = joined(&server).await;
    after.publish_acknowledged("open/a", json!({}), json!([1]), Value::Null).await.unwrap();
    assert_eq!(before.event().await.args, json!([1]));
    let mut old = v1::Client::connect(server.addr).await;
    old.round_trip().await;
    http.send(HEALTH).await;
    assert_eq!(http.answer().await.status, 503, "the connection is kept");
    // Changes of the site and of the operator go on.
    let begun = server.log().len();
    site.bundle(
        "second",
        "second: { channel: 'second', handler: { callback: 'broadcast' } }\n",
        &[],
    );
    server.logged_after(begun, "generation=2 routes=3");
    server.signal("HUP");
    let socket = server.control_socket();
    let (code, reload) = crate::control::ask(&socket, "POST", "/v1/reload", "{}").await;
    assert_eq!((code, &reload["result"]), (200, &json!("unchanged")), "{reload}");
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_after_the_wait() {
    let site = Site::open();
    let mut server = Server::configured(site.path(), "shutdown: { wait: 200ms }\n");
    let mut client = joined(&server).await;
    let signalled = Instant::now();
    server.signal("TERM");
    assert!(matches!(client.ended().await, Ending::Lost(_)));
    assert!(signalled.elapsed() >= Duration::from_millis(200));
    assert_eq!(server.exit_code(), Some(0));
}

/// At most 20 ms for each session after the first, so 980 ms for 50. The chance that all of them end
/// within the first half of it is 2^-50.
#[tokio::test(flavor = "multi_thread")]
async fn ends_sessions_one_after_another() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let mut clients = Vec::new();
    for _ in 0..25 {
        clients.push(joined(&server).await);
    }
    let mut old = Vec::new();
    for _ in 0..25 {
        old.push(v1::Client::connect(server.addr).await);
    }
    server.until_health("sessions", 50);
    let signalled = Instant::now();
    server.signal("TERM");
    server.logged("ending sessions over 980ms sessions=50");
    assert_eq!(server.exit_code(), Some(0));
    assert!(signalled.elapsed() >= Duration::from_millis(490), "{:?}", signalled.elapsed());
    for client in &mut clients {
        assert!(matches!(client.ended().await, Ending::Lost(_)));
    }
    for client in &mut old {
        assert_eq!(client.session_hangup().await, v1::Hangup::Lost);
    }
}

/// A client that reads nothing for a while, but within the grace period.
#[tokio::test(flavor = "multi_thread")]
async fn delivers_what_is_queued_within_the_grace_period() {
    // More than the kernel's buffers hold.
    const EVENTS: usize = 12;
    let site = Site::open();
    let config = "shutdown: { spread: 0s, grace: 60s }
limits: { outbox: { bytes: 16 MiB }, publisher_delay: 1ms, byte_rate: { enabled: false } }\n";
    let mut server = Server::configured(site.path(), config);
    let mut slow = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    slow.subscribe("open/a", json!({})).await;
    slow.socket().stop_reading();
    let mut publisher = joined(&server).await;
    let filling = "x".repeat(900 << 10);
    for number in 0..EVENTS {
        let args = json!([number, filling]);
        let sent = publisher.publish_acknowledged("open/a", json!({}), args, Value::Null);
        within("the answer to a publication", sent).await.unwrap();
    }
    server.signal("TERM");
    assert!(matches!(publisher.ended().await, Ending::Lost(_)));
    // Longer than a client of any other end may take.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    slow.socket().resume_reading();
    for number in 0..EVENTS {
        assert_eq!(slow.event().await.args[0], number);
    }
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_all_sessions_at_once_without_a_spread() {
    let site = Site::open();
    let mut server = Server::configured(site.path(), "shutdown: { spread: 0s }\n");
    let clients = [joined(&server).await, joined(&server).await];
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let log = server.log();
    assert!(!log.contains("ending sessions over"), "{log}");
    drop(clients);
}

/// A socket that is closed resets the connections in its queue. Here they arrive while the server is
/// stopped, so that it finds the signal and the queue at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn answers_the_connections_in_the_queue_of_its_socket() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    server.signal("STOP");
    let mut queued = Vec::new();
    for _ in 0..20 {
        let mut http = Http::connect(server.addr).await;
        http.send(HEALTH).await;
        queued.push(http);
    }
    let (addr, mut upgrades) = (server.addr, tokio::task::JoinSet::new());
    for _ in 0..5 {
        let options = Options::new(Codec::Json);
        upgrades.spawn(async move {
            Client::connect_with(addr, Codec::Json, "realm1", options).await.map(|_| ())
        });
    }
    server.signal("TERM");
    server.signal("CONT");
    for http in &mut queued {
        let answer = http.answer().await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    while let Some(ended) = within("the upgrades", upgrades.join_next()).await {
        // Some may have been accepted before the signal was noticed: their session has ended.
        if let Err(NoSession::Refused(refused)) = ended.unwrap() {
            assert_eq!(refused.status, Some(503));
        }
    }
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_clients_a_window_for_reconnects() {
    let site = Site::open();
    for (config, expect) in [
        ("", json!({"max_ms": 1_000})),
        ("shutdown: { spread: 300ms }\n", json!({"max_ms": 300})),
        ("shutdown: { spread: 0s }\n", Value::Null),
    ] {
        let server = Server::configured(site.path(), config);
        for codec in [Codec::Json, Codec::Cbor, Codec::MsgPack] {
            let client = Client::connect(server.addr, codec, "realm1").await;
            assert_eq!(client.welcome()["_retry"], expect, "{config}");
        }
    }
    // 20 ms for each session that was there before.
    let server = Server::start(site.path());
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(v1::Client::connect(server.addr).await);
    }
    server.until_health("sessions", 60);
    let client = joined(&server).await;
    assert_eq!(client.welcome()["_retry"], json!({"max_ms": 1_180}));
}

async fn joined(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}
