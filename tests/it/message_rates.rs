//! Rates of messages and bytes of a session: more slowly, then an error, then the end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::{Ending, Incoming};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const EXCEEDED: &str = "jackfield.error.rate_limit_exceeded";
const CLOSED: &str = "jackfield.close.rate_limit_exceeded";

/// A server with these limits and metrics.
fn serve(limits: &str) -> (Site, Server) {
    let site = Site::open();
    let config = format!("limits: {{ {limits} }}\nmetrics: {{ enabled: true }}\n");
    let server = Server::configured(site.path(), &config);
    (site, server)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Returns a sample of the metrics.
async fn metric(server: &Server, name: &str) -> u64 {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await;
    let sample = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    page.body.lines().find_map(sample).unwrap_or_else(|| panic!("{name}: {page:?}"))
}

/// Sends acknowledged publications with these request ids, without waiting for answers.
fn send(client: &Client, requests: std::ops::Range<u64>, text: &str) {
    for request in requests {
        client.send(&json!([16, request, {"acknowledge": true}, "open/a", [text]]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_above_its_rate_is_read_more_slowly() {
    let (_site, server) = serve("message_rate: { per_second: 100, burst: 50 }, rate_grace: 1h");
    let mut quick = join(&server).await;
    let began = Instant::now();
    send(&quick, 1..151, "x");
    let mut other = join(&server).await;
    other.round_trip().await;
    for request in 1..151 {
        let answer = quick.message().await;
        assert_eq!((&answer[0], &answer[1]), (&json!(17), &json!(request)), "{answer}");
    }
    // The burst at once, and a hundred messages in a second.
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(metric(&server, "jackfield_throttled_total{action=\"delay\"}").await > 0);
    assert_eq!(metric(&server, "jackfield_throttled_total{action=\"close\"}").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_are_read_at_the_rate_of_bytes() {
    let limits = "byte_rate: { per_second: 1 MiB, burst: 256 KiB }, rate_grace: 1h";
    let (_site, server) = serve(limits);
    let mut client = join(&server).await;
    let began = Instant::now();
    send(&client, 1..9, &"x".repeat(128 << 10));
    for _ in 1..9 {
        assert_eq!(client.message().await[0], 17);
    }
    assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_stays_above_its_rate_is_refused_and_then_closed() {
    let limits = "message_rate: { per_second: 200, burst: 20 }, rate_grace: 500ms";
    let (_site, server) = serve(limits);
    let mut client = join(&server).await;
    let mut next = 1;
    let mut refused = 0;
    let goodbye = loop {
        // Always more than it may send.
        send(&client, next..next + 20, "x");
        next += 20;
        let answer = client.message().await;
        match answer[0].as_u64() {
            Some(17) => assert_eq!(refused, 0, "accepted after a refusal: {answer}"),
            Some(8) => {
                assert_eq!(answer[4], EXCEEDED, "{answer}");
                refused += 1;
            }
            _ => break answer,
        }
    };
    assert_eq!((&goodbye[0], &goodbye[2]), (&json!(6), &json!(CLOSED)), "{goodbye}");
    assert!(refused > 0);
    client.ended().await;
    server.logged(&format!("closed by the router: {CLOSED}"));
    let reason = "jackfield_refusals_total{kind=\"publish\",reason=\"rate\"}";
    assert!(metric(&server, reason).await >= refused);
    assert_eq!(metric(&server, "jackfield_throttled_total{action=\"close\"}").await, 1);
    let closed =
        async { while metric(&server, "jackfield_closes_total{reason=\"rate\"}").await == 0 {} };
    within("the end of the connection", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_counts_as_waiting_memory_while_its_session_pauses() {
    const WAITING: &str = "jackfield_memory_bytes{part=\"waiting\"}";
    let site = Site::open();
    // A paused session notices by a ping that its client has gone.
    let config = "limits: { byte_rate: { per_second: 1 KiB, burst: 64 KiB }, rate_grace: 1h }\n\
                  keepalive: { interval: 1s, timeout: 1s }\nmetrics: { enabled: true }\n";
    let server = Server::configured(site.path(), config);
    let client = join(&server).await;
    send(&client, 1..2, &"x".repeat(256 << 10));
    let counted = async { while metric(&server, WAITING).await < 256 << 10 {} };
    within("the message in the memory that waits", counted).await;
    drop(client);
    let released = async { while metric(&server, WAITING).await > 0 {} };
    within("the end of the message", released).await;
}

const WAITING: &str = "\
sample:
    channel: 'sample/{method}'
    handler: { callback: 'methods' }
    lanes: 2
release:
    channel: 'on/{lane}/{method}'
    handler: { callback: 'methods' }
";

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_cancelled_ahead_of_their_turn_count() {
    const PAIRS: u64 = 30;
    let site = Site::open();
    site.bundle("methods", WAITING, &[build::guest("methods")]);
    let config = "\
limits: { message_rate: { per_second: 20, burst: 20 }, rate_grace: 1h }
metrics: { enabled: true }
plugins: { named: { methods: { deadline: 10m } } }
";
    let server = Server::configured(site.path(), config);
    let mut client = join(&server).await;
    client.send(&json!([48, 1, {}, "sample/wait"]));
    for request in 2..2 + PAIRS {
        client.send(&json!([48, request, {}, "sample/waited"]));
        client.send(&json!([49, request, {}]));
    }
    // The first ones are cancelled while the call waits; above the rate, no message is read ahead.
    let error = client.message().await;
    assert_eq!((&error[0], &error[2]), (&json!(8), &json!(2)), "{error}");
    for lane in 0..8 {
        let mut other = join(&server).await;
        other.send(&json!([48, 1, {}, format!("on/{lane}/release")]));
        assert_eq!(other.message().await[0], 50);
    }
    for _ in 1..=PAIRS {
        client.message().await;
    }
    client.round_trip().await;
    assert!(metric(&server, "jackfield_throttled_total{action=\"delay\"}").await > 0);
    let received = "jackfield_messages_total{direction=\"received\",kind";
    let cancels = metric(&server, &format!("{received}=\"cancel\",codec=\"json\"}}")).await;
    assert_eq!(cancels, PAIRS);
}

/// Returns a masked frame with this first byte and no payload.
fn empty_frame(first: u8) -> [u8; 6] {
    [first, 0x80, 1, 2, 3, 4]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_endless_frames_ends_its_connection() {
    let (_site, server) = serve("message_rate: { per_second: 100, burst: 50 }");
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    stream.write_all(&empty_frame(0x01)).await.unwrap();
    let frames = empty_frame(0x00).repeat(20_000);
    // The server may close while the rest is written. A reset is an end, too; the close frame came
    // before it.
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let (_written, _read) =
        tokio::join!(writer.write_all(&frames), reader.read_to_end(&mut answer));
    let close =
        answer.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == 1009_u16.to_be_bytes());
    assert!(close, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(metric(&server, "jackfield_memory_bytes{part=\"incomplete\"}").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_loses_no_publication_and_gets_an_error_for_calls() {
    let limits = "message_rate: { per_second: 200, burst: 20 }, rate_grace: 500ms";
    let (_site, server) = serve(limits);
    let mut subscriber = join(&server).await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut page = v1::Client::connect(server.addr).await.into_socket();
    for number in 0..1_000 {
        page.send_text(json!([7, "open/a", number]).to_string());
        if number % 20 == 0 {
            page.send_text(json!([2, format!("call{number}"), "open/a"]).to_string());
        }
    }
    let mut refused = 0;
    let ended = loop {
        match within("the end", page.next()).await {
            Incoming::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message[0] == 4 && message[2] == EXCEEDED {
                    assert!(message[1].as_str().unwrap().starts_with("call"), "{message}");
                    refused += 1;
                }
            }
            Incoming::Ended(ended) => break ended,
            _ => {}
        }
    };
    // Without a Close frame: after one, AutobahnJS would never connect again.
    assert!(matches!(ended, Ending::Lost(_)), "{ended:?}");
    assert!(refused > 0);
    // All publications that were read have arrived, in order.
    let name = "jackfield_messages_total{direction=\"received\",kind=\"publish\",codec=\"v1\"}";
    let read = metric(&server, name).await;
    assert!((20..1_000).contains(&read), "{read}");
    for number in 0..read {
        assert_eq!(subscriber.event().await.args[0], number);
    }
}
