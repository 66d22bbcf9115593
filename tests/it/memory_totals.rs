//! Memory limits of all clients together: unread output, incomplete messages, and events that grow
//! in other codecs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

use crate::limits::raise_open_files;

const MIB: u64 = 1 << 20;
const TOO_LARGE: &str = "wamp.error.payload_size_exceeded";

/// Returns the unread output of all clients in bytes, from /health.
async fn waiting(server: &Server) -> u64 {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    http.answer().await.json()["outboxes"]["bytes"].as_u64().unwrap()
}

/// Returns a client that has published `events` events of 900 KB to itself, and does not read.
pub(crate) async fn hoarder(server: &Server, events: u64) -> Client {
    let mut client = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    client.subscribe("open/hoard", json!({})).await;
    client.socket().stop_reading();
    let options = json!({"exclude_me": false, "eligible": [client.session()]});
    let filling = "x".repeat(900_000);
    for request in 0..events {
        client.send(&json!([16, request + 10, options, "open/hoard", [filling]]));
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_the_fullest_outboxes_first_at_the_total() {
    const TOTAL: u64 = 12 * MIB;
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { outbox: { total: 12 MiB } }\n");
    // A subscriber that is slightly behind: its kernel accepts no more.
    let mut behind = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    behind.subscribe("open/a", json!({})).await;
    behind.socket().stop_reading();
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut sent = 0;
    while waiting(&server).await == 0 {
        publisher.publish("open/a", json!({}), json!([sent, "x".repeat(50_000)]), Value::Null);
        publisher.round_trip().await;
        sent += 1;
    }
    let mut hoarders = Vec::new();
    for _ in 0..12 {
        hoarders.push(hoarder(&server, 12).await);
    }
    server.logged("(limits.outbox.total)");
    // One push on each thread may exceed the limit before the fullest outbox is closed, and a frame
    // that was begun waits for a second.
    assert!(waiting(&server).await < TOTAL + 8 * MIB);
    behind.socket().resume_reading();
    for number in 0..sent {
        assert_eq!(behind.event().await.args[0], number);
    }
    publisher.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_memory_of_outboxes_to_the_operating_system() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let mut probe = Client::connect(server.addr, Codec::Json, "realm1").await;
    probe.round_trip().await;
    let before = server.memory();
    let mut hoarders = Vec::new();
    for _ in 0..40 {
        hoarders.push(hoarder(&server, 8).await);
    }
    let until = Instant::now() + Duration::from_mins(1);
    while server.memory() < before + 60 * MIB {
        assert!(Instant::now() < until, "{} MiB are held", (server.memory() - before) / MIB);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(hoarders);
    // Unused pages are returned within ten seconds or so, even if nothing happens meanwhile.
    let until = Instant::now() + Duration::from_mins(1);
    while server.memory() > before + 24 * MIB {
        assert!(Instant::now() < until, "{} MiB stay", (server.memory() - before) / MIB);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Less than the target of docs/performance.md, so that growth is noticed. It is about 4.6 KiB, with a part of the
/// buffers of the server's threads.
const MAX_IDLE_CONNECTION_BYTES: u64 = 6 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_take_little_memory() {
    const FIRST: usize = 300;
    const MORE: usize = 2_000;
    let site = Site::open();
    raise_open_files();
    let server = Server::configured(site.path(), &format!("limits: {{ {NO_RATES} }}\n"));
    let mut crowd = Vec::new();
    let mut join = async |count: usize| {
        for _ in 0..count {
            let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
            client.subscribe(&format!("open/{}", crowd.len()), json!({})).await;
            crowd.push(client);
        }
    };
    // The buffers of the server's threads, and pages of the allocator that it fills later.
    join(FIRST).await;
    let before = server.memory();
    join(MORE).await;
    let each = (server.memory() - before) / MORE as u64;
    assert!(each <= MAX_IDLE_CONNECTION_BYTES, "{each} bytes");
}

/// Sends the beginning of a message, which stays incomplete.
async fn unfinished(server: &Server, bytes: usize) -> Http {
    let mut http = Http::connect(server.addr).await;
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                Sec-WebSocket-Protocol: wamp\r\n\r\n";
    http.send(head).await;
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&1_000_000_u64.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + bytes, b'x');
    // The server may close it before everything is sent.
    let _ended = http.push(&frame).await;
    http
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_the_longest_incomplete_messages_at_the_total() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { incomplete: 4 MiB }\n");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let short = unfinished(&server, 20_000).await;
    let mut long = Vec::new();
    for _ in 0..8 {
        long.push(unfinished(&server, 900_000).await);
    }
    server.logged("(limits.incomplete)");
    client.round_trip().await;
    drop(short);
}

/// Returns a text that is six times as long in JSON as in MessagePack.
fn growing() -> String {
    "\u{1}".repeat(1_000_000)
}

fn refused<T: std::fmt::Debug>(result: Result<T, WampError>) {
    assert_eq!(result.unwrap_err().uri, TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_an_event_that_grows_too_large() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let mut readers = Vec::new();
    for codec in [Codec::MsgPack, Codec::Json, Codec::Cbor] {
        let mut reader = Client::connect(server.addr, codec, "realm1").await;
        reader.subscribe("open/a", json!({})).await;
        readers.push(reader);
    }
    let mut by_prefix = Client::connect(server.addr, Codec::Json, "realm1").await;
    by_prefix.subscribe("open/", json!({"match": "prefix"})).await;
    let mut publisher = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    let mut publish = async |topic: &str, text: String| {
        publisher.publish_acknowledged(topic, json!({}), json!([text]), Value::Null).await
    };
    for _ in 0..3 {
        refused(publish("open/a", growing()).await);
    }
    // The same for receivers by a pattern.
    refused(publish("open/b", growing()).await);
    publish("open/a", "small".to_owned()).await.unwrap();
    readers.push(by_prefix);
    for reader in &mut readers {
        assert_eq!(reader.event().await.args[0], "small");
        reader.expect_no_event().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_receivers_of_its_own_codec_does_not_grow() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let mut reader = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    reader.subscribe("open/a", json!({})).await;
    let mut publisher = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    let args = json!([growing()]);
    publisher.publish_acknowledged("open/a", json!({}), args, Value::Null).await.unwrap();
    assert_eq!(reader.event().await.args[0], growing());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_413_for_an_event_that_is_too_large() {
    let site = Site::open();
    let config = "limits: { event: 1 KiB }\n\
                  api: { tokens: [{ name: shop, token: '0123456789abcdef0123456789abcdef' }] }\n";
    let server = Server::configured(site.path(), config);
    let mut reader = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    reader.subscribe("open/a", json!({})).await;
    let body = json!({"topic": "open/a", "args": ["x".repeat(2_000)]}).to_string();
    let token = ("Authorization", "Bearer 0123456789abcdef0123456789abcdef");
    let answer = Http::connect(server.addr).await.post("/api/publish", &[token], &body).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert!(answer.body.contains(TOO_LARGE), "{}", answer.body);
    reader.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_results_that_grow_too_large_are_errors_of_the_call() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let mut worker = Client::connect(server.addr, Codec::Json, "realm1").await;
    worker.register("open.proc", json!({})).await.unwrap();
    let mut client = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    refused(client.call("open.proc", json!({}), json!([growing()]), Value::Null).await);
    worker.round_trip().await;
    client.round_trip().await;

    let mut worker = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    worker.register("open.other", json!({})).await.unwrap();
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let call = client.call("open.other", json!({}), json!([]), Value::Null);
    let answer = async {
        let invocation = worker.invocation().await;
        worker.send(&json!([70, invocation[1], {}, [growing()]]));
    };
    let (result, ()) = tokio::join!(call, answer);
    refused(result);
    client.round_trip().await;
}
