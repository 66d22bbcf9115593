//! Limits of a connection's life: keepalive, handshake timeout, connection limit, shutdown.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::{self, Hangup};
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const SHORT: &str = "keepalive: { interval: 100ms, timeout: 1s }\n";
/// Events for each subscriber in the tests of a shutdown.
const EVENTS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn keeps_silent_clients_and_closes_dead_ones() {
    let site = Site::open();
    let server = Server::configured(site.path(), SHORT);
    // Both answer pings, and do nothing else.
    let mut silent = joined(&server).await;
    silent.subscribe("open/a", json!({})).await;
    let mut old = v1::Client::connect(server.addr).await;
    // Several in a row, so that the silent ones have been silent for several timeouts.
    for _ in 0..4 {
        let logged = server.log().len();
        let dead = joined(&server).await;
        dead.socket().stop_reading();
        server.logged_after(logged, "the client does not answer pings");
    }
    let logged = server.log().len();
    let mut dead = v1::Client::connect(server.addr).await;
    dead.subscribe("open/a");
    dead.round_trip().await;
    dead.socket().stop_reading();
    server.logged_after(logged, "connection lost: the client does not answer pings");
    dead.socket().resume_reading();
    assert_eq!(dead.session_hangup().await, Hangup::Lost);
    silent.round_trip().await;
    old.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_connections_without_a_handshake() {
    let site = Site::open();
    let server = Server::configured(site.path(), "handshake_timeout: 1s\n");
    for begun in ["", "GET /ws HT", "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"]
    {
        let (logged, mut answer) = (server.log().len(), String::new());
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        tcp.write_all(begun.as_bytes()).await.unwrap();
        // An end or a reset, but never an answer.
        let _ended = within("the end", tcp.read_to_string(&mut answer)).await;
        assert_eq!(answer, "", "{begun:?}");
        server.logged_after(logged, "the handshake failed: it took too long");
    }
    joined(&server).await.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_connections_without_a_session_at_timeout_and_shutdown() {
    let site = Site::open();
    let server = Server::configured(site.path(), "handshake_timeout: 1s\n");
    let mut fresh = opened(&server).await;
    let (reason, details) = fresh.aborted().await;
    assert_eq!(reason, "wamp.error.timeout");
    assert_eq!(details["message"], "no session was opened in time");

    // Grace period and timeouts are far longer than this test waits.
    let config = "shutdown: { grace: 1h }\nhandshake_timeout: 1h\n";
    let mut server = Server::configured(site.path(), config);
    let mut fresh = opened(&server).await;
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    server.signal("TERM");
    assert!(matches!(fresh.ended().await, Ending::Lost(_)));
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_endless_heads() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { handshake: 2 KiB }\n");
    let long = "x".repeat(2100);
    for (head, status) in [
        (format!("GET /?ticket={long}"), "HTTP/1.1 431 "),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}"), "HTTP/1.1 431 "),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(100)), "HTTP/1.1 431 "),
        ("garbage\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
        (
            "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_owned(),
            "HTTP/1.1 505 ",
        ),
    ] {
        let answer = ask(server.addr, &head).await;
        assert!(answer.starts_with(status), "{head:.40} … was answered by {answer}");
    }
    joined(&server).await.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enforces_the_connection_limit() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { connections: 2 }\n");
    let (_first, second) = (joined(&server).await, joined(&server).await);
    let third = try_join(&server).await;
    assert!(matches!(&third, Err(NoSession::Refused(refused)) if refused.status == Some(503)));
    server.logged("maximum connections reached (limits.connections = 2); answered 503");
    // Health checks and browsers still get an answer, one for each connection.
    server.until_health("sessions", 2);
    let answer = ask(server.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"),
        "{answer}"
    );
    drop(second);
    within("a free place", async { while try_join(&server).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_says_goodbye_to_every_session() {
    for signal in ["TERM", "INT"] {
        let site = Site::open();
        let mut server = Server::start(site.path());
        let mut busy = Client::connect_narrow(server.addr, Codec::Cbor, "realm1").await;
        busy.subscribe("open/a", json!({})).await;
        busy.round_trip().await;
        let mut old = v1::Client::connect(server.addr).await;
        old.subscribe("open/a");
        old.round_trip().await;
        let mut idle = joined(&server).await;

        // Events queued before the signal are delivered after it.
        busy.socket().stop_reading();
        let filling = "x".repeat(20 * 1024);
        for number in 0..EVENTS {
            let args = json!([{"number": number, "filling": filling}]);
            idle.publish_acknowledged("open/a", json!({}), args, Value::Null).await.unwrap();
        }
        server.signal(signal);
        server.logged("shutting down");
        busy.socket().resume_reading();

        // Without GOODBYE and without a Close frame: after that, every library reconnects.
        assert!(matches!(idle.ended().await, Ending::Lost(_)));
        assert_eq!(idle.try_message(), None);
        for number in 0..EVENTS {
            assert_eq!(busy.event().await.args[0]["number"], number, "SIG{signal}");
            assert_eq!(old.event().await.event["number"], number, "SIG{signal}");
        }
        assert!(matches!(busy.ended().await, Ending::Lost(_)));
        assert_eq!(busy.try_message(), None);
        // AutobahnJS 0.8 reconnects after this one only.
        assert_eq!(old.session_hangup().await, Hangup::Lost);
        assert_eq!(server.exit_code(), Some(0), "SIG{signal}");
        assert!(TcpStream::connect(server.addr).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_after_its_grace() {
    let site = Site::open();
    let mut server = Server::configured(site.path(), "shutdown: { grace: 200ms }\n");
    let mut stuck = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    stuck.subscribe("open/a", json!({})).await;
    stuck.socket().stop_reading();
    let half = TcpStream::connect(server.addr).await.unwrap();
    let mut publisher = joined(&server).await;
    let large = "x".repeat(900 * 1024);
    for _ in 0..8 {
        let args = json!([large]);
        publisher.publish_acknowledged("open/a", json!({}), args, Value::Null).await.unwrap();
    }
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    drop(half);
}

/// Opens a WebSocket without a session.
async fn opened(server: &Server) -> Client {
    let Options { handshake, .. } = Options::new(Codec::Json);
    Client::open(server.addr, Codec::Json, handshake).await.expect("an open WebSocket")
}

async fn joined(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

async fn try_join(server: &Server) -> Result<Client, NoSession> {
    Client::connect_with(server.addr, Codec::Json, "realm1", Options::new(Codec::Json)).await
}

/// Sends a request other than a WebSocket handshake, and returns the answer.
async fn ask(addr: SocketAddr, head: &str) -> String {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Bytes beyond the limit are not read, so a reset may follow the answer.
    let _ended = within("an answer", tcp.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}
