//! PHP publishers of the back end against the real server: they connect only if the answer to their
//! handshake arrives in one piece and alone, and they close without a Close frame. They are
//! reproduced here byte for byte; `php/script.rs` runs PHP itself.

pub(crate) mod script;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::php::{Generation, Publisher};
use jackfield_tests::client::{v1, v2, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const GENERATIONS: [Generation; 3] = [Generation::Oro, Generation::OroAbsolute, Generation::Gos];

/// Returns a site with the topics to which OroPlatform's back end publishes.
fn oro() -> Site {
    let site = Site::open();
    let routes = build::root().join("plugins/sync/websocket_routing.yml");
    let routes = std::fs::read_to_string(routes).unwrap();
    site.bundle("sync", &routes, &[build::plugin("sync")]);
    site
}

async fn connect(server: &Server, generation: Generation) -> Publisher {
    let target = "/ws?ticket=SWRwUG85UVF0%3D%3D";
    let connected = Publisher::connect(server.addr, target, generation).await;
    connected.unwrap_or_else(|failure| panic!("{generation:?}: {failure:?}"))
}

#[tokio::test]
async fn connects_every_generation_of_publishers() {
    let site = oro();
    let server = Server::start(site.path());
    for generation in GENERATIONS {
        for _ in 0..20 {
            let publisher = connect(&server, generation).await;
            assert!(!publisher.session().is_empty());
        }
    }
    // Also while other clients keep the server busy, and at the same time.
    let mut noise = v1::Client::connect(server.addr).await;
    noise.subscribe("open/noise");
    for number in 0..1000 {
        noise.publish("open/noise", &json!(number), &v1::Reach::Plain);
    }
    let many = (0..30).map(|number| connect(&server, GENERATIONS[number % 3]));
    let publishers = futures_util::future::join_all(many).await;
    let ids: std::collections::HashSet<_> = publishers.iter().map(Publisher::session).collect();
    assert_eq!(ids.len(), publishers.len());
}

#[tokio::test]
async fn answers_the_handshake_in_one_read() {
    let site = oro();
    let server = Server::start(site.path());
    for target in ["/", "/ws?ticket=x%3D", "ws://127.0.0.1:1/ws?ticket=x%3D", "ws://other"] {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wamp\r\n\
             Sec-WebSocket-Version: 13\r\nOrigin: 127.0.0.1\r\n\r\n",
            server.addr
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 8192];
        let length = within("the answer", tcp.read(&mut answer)).await.unwrap();
        answer.truncate(length);
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a whole head") + 4;
        let (head, frame) = answer.split_at(end);
        let head = str::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{target}: {head}");
        assert!(!head.contains(['[', ']']), "{target}: {head}");
        let lower = head.to_ascii_lowercase();
        assert!(lower.contains("sec-websocket-protocol: wamp\r\n"), "{target}: {head}");
        assert!(lower.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        // One short text frame, unmasked, whose length byte does not look like a bracket.
        assert_eq!(frame[0], 0x81, "{target}");
        assert_eq!(usize::from(frame[1]), frame.len() - 2, "nothing follows WELCOME: {frame:?}");
        assert!(![b'[', b']'].contains(&frame[1]));
        let welcome: Value = serde_json::from_slice(&frame[2..]).unwrap();
        assert_eq!((&welcome[0], &welcome[2]), (&json!(0), &json!(1)), "{welcome}");
        // The absence of bytes cannot be awaited; the publishers wait for 1 ms.
        let silence = std::time::Duration::from_millis(50);
        let more = tokio::time::timeout(silence, tcp.read(&mut [0; 1])).await;
        assert!(more.is_err(), "{target}: something follows WELCOME: {more:?}");
    }
}

#[tokio::test]
async fn its_publications_reach_every_kind_of_subscriber() {
    const TOPIC: &str = "oro/maintenance";
    let site = oro();
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe(TOPIC);
    page.round_trip().await;
    let mut others = Vec::new();
    for codec in Codec::ALL {
        let mut client = v2::Client::connect(server.addr, codec, "realm1").await;
        client.subscribe(TOPIC, json!({})).await;
        others.push(client);
    }
    for (number, generation) in GENERATIONS.into_iter().enumerate() {
        let mut publisher = connect(&server, generation).await;
        for (payload, expect) in [
            (json!({"isOn": true, "userId": null}), json!({"isOn": true, "userId": null})),
            (
                json!([{"username": "ü/😀", "tagname": "t"}]),
                json!([{"username": "ü/😀", "tagname": "t"}]),
            ),
            (json!({"a": {}, "n": number}), json!({"a": [], "n": number})),
            (json!("{\"as\":\"text\"}"), json!("{\"as\":\"text\"}")),
            (json!(""), json!("")),
            (json!(null), json!(null)),
            (json!("x".repeat(70_000)), json!("x".repeat(70_000))),
        ] {
            publisher.publish(TOPIC, &payload).await.unwrap();
            let event = page.event().await;
            assert_eq!((&*event.topic, &event.event), (TOPIC, &expect), "{generation:?}");
            for client in &mut others {
                assert_eq!(client.event().await.args, json!([expect]), "{generation:?}");
            }
        }
        publisher.disconnect().await.unwrap();
    }
    assert!(page.page_errors().is_empty(), "{:?}", page.page_errors());
}

#[tokio::test]
async fn closing_after_publishing_loses_nothing() {
    const TOPIC: &str = "oro/data/update";
    let site = oro();
    let mut server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe(TOPIC);
    page.round_trip().await;
    for generation in GENERATIONS {
        for politely in [false, true] {
            let mut publisher = connect(&server, generation).await;
            for number in 0..200 {
                publisher.publish(TOPIC, &json!([number, "x".repeat(1000)])).await.unwrap();
            }
            if politely {
                publisher.disconnect().await.unwrap();
            } else {
                drop(publisher);
            }
            for number in 0..200 {
                let event = page.event().await.event;
                assert_eq!(event[0], number, "{generation:?}, politely: {politely}");
            }
        }
        // As a web request: connect, publish once, close.
        for number in 0..20 {
            let mut publisher = connect(&server, generation).await;
            publisher.publish(TOPIC, &json!(number)).await.unwrap();
            drop(publisher);
            assert_eq!(page.event().await.event, number, "{generation:?}");
        }
    }
    page.expect_no_event().await;
    assert!(server.is_alive());
}

#[tokio::test]
async fn refused_publications_do_not_disturb_the_publisher() {
    let site = oro();
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe("oro/ping");
    page.subscribe("oro/email_event/7/1");
    page.subscribe("open/t");
    page.round_trip().await;
    let mut publisher = connect(&server, Generation::Oro).await;
    // A foreign mailbox, a topic that accepts no publications, and a topic without a route: the
    // publisher never reads the answers.
    for topic in ["oro/email_event/7/1", "oro/email_event/7/*", "oro/ping", "oro/nothing"] {
        publisher.publish(topic, &json!({"hasNewEmail": true})).await.unwrap();
    }
    publisher.publish("open/t", &json!("heard")).await.unwrap();
    assert_eq!(page.event().await.event, "heard");
    page.expect_no_event().await;
}
