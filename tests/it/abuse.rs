//! Hostile clients: they may damage their own connection, and no other.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_violates_the_protocol_delays_no_event() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut victim = Client::connect(server.addr, Codec::Json, "realm1").await;
    victim.subscribe("open/a", json!({})).await;
    let endings = [
        ("a reserved opcode", frame(0x83, b"")),
        ("a close", frame(0x88, &[0x03, 0xe8])),
        ("text that is no WAMP", frame(0x81, b"nonsense")),
        ("a goodbye", frame(0x81, br#"[6,{},"wamp.close.normal"]"#)),
    ];
    let mut attackers = Vec::new();
    for (number, (what, ending)) in endings.into_iter().enumerate() {
        let mut attacker = TcpStream::connect(server.addr).await.unwrap();
        attacker.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let hello = frame(0x81, br#"[1,"realm1",{"roles":{"publisher":{}}}]"#);
        attacker.write_all(&hello).await.unwrap();
        let mut welcome = Vec::new();
        while !String::from_utf8_lossy(&welcome).contains("[2,") {
            within("WELCOME", attacker.read_buf(&mut welcome)).await.unwrap();
        }
        let publish = format!(r#"[16,1,{{}},"open/a",[{number}]]"#);
        let both = [frame(0x81, publish.as_bytes()), ending].concat();
        attacker.write_all(&both).await.unwrap();
        assert_eq!(victim.event().await.args, json!([number]), "{what}");
        // All attackers' sockets are open, so the server still lingers after its farewells. Other
        // lines are those of the server's own probe.
        let log = server.log();
        let peer = format!("peer={}", attacker.local_addr().unwrap());
        let log: String = log.lines().filter(|line| line.contains(&peer)).collect();
        assert!(!log.contains("violation"), "{what}: the event came after the end\n{log}");
        assert!(!log.contains("closed by the client"), "{what}: the event came late\n{log}");
        attackers.push(attacker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frees_the_buffer_of_a_large_message() {
    let site = Site::open();
    let server = Server::start(site.path());
    let large = "x".repeat(1_000_000);
    let mut crowd = Vec::new();
    let mut before = 0;
    for number in 0..101 {
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        let published =
            client.publish_acknowledged("open/a", json!({}), json!([large]), json!({})).await;
        published.expect("PUBLISHED");
        // The cost of a large message itself is not tested here.
        if number == 0 {
            before = server.memory();
        }
        crowd.push(client);
    }
    let growth = server.memory().saturating_sub(before) >> 20;
    assert!(growth < 25, "{growth} MiB stay for 100 connections that once sent 1 MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_long_topics_before_storing_them() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast\n");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let (longest, longer) = ("x".repeat(1024), "x".repeat(1025));
    for policy in ["exact", "prefix", "wildcard"] {
        let options = json!({ "match": policy });
        client.try_subscribe(&longest, options.clone()).await.expect("1024 bytes are allowed");
        let refused = client.try_subscribe(&longer, options).await.unwrap_err();
        assert_eq!(refused.uri, "wamp.error.invalid_uri", "{policy}");
        assert!(refused.details.to_string().len() < 200, "the topic is sent back: {refused:?}");
    }
    let refused = client.publish_acknowledged(&longer, json!({}), json!([]), json!({})).await;
    assert_eq!(refused.unwrap_err().uri, "wamp.error.invalid_uri");
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe(&longer);
    old.round_trip().await;
    assert!(old.ignored().iter().any(|it| it[1] == "(too long)"), "{:?}", old.ignored());
}

/// Returns a frame of a client, masked with a key of zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|it| *it < 126).expect("a short frame");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
