//! Long messages for a slow handler: they wait within a total, their clients are read no further,
//! and none of them is lost.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

const MIB: u64 = 1 << 20;
const LONG: usize = 900_000;
/// Long enough to pause reading, and short enough that all of them fit into an outbox.
const MEDIUM: usize = 60_000;

/// Starts a server with a handler that takes 20 ms for each event, and one that ends at its
/// deadline.
fn serve(config: &str) -> (Site, Server) {
    let site = Site::open();
    let routes = "slow: { channel: 'slow/{id}', handler: { callback: 'delayed' } }\n\
                  sleep: { channel: 'sleep/{id}', handler: { callback: 'sleep' } }\n";
    site.bundle("hostile", routes, &[build::guest("hostile")]);
    let server = Server::configured(site.path(), config);
    (site, server)
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

async fn join(server: &Server, codec: Codec, from: u8) -> Client {
    let mut options = Options::new(codec);
    options.handshake.source = Some(address(from));
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

fn waiting(server: &Server) -> u64 {
    server.health()["waiting"]["bytes"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_publications_wait_within_a_total_and_none_is_lost() {
    const PUBLISHERS: usize = 160;
    const OLD_PUBLISHERS: usize = 40;
    let (_site, server) =
        serve(&format!("limits: {{ waiting: 16 MiB, client_percent: 50, {NO_RATES} }}\n"));
    let mut subscriber = join(&server, Codec::Json, 9).await;
    subscriber.subscribe("slow/old", json!({})).await;
    let mut other = join(&server, Codec::Json, 2).await;
    let long = json!("x".repeat(LONG));
    let mut publishing = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let mut client = join(&server, Codec::Json, 1).await;
        let long = long.clone();
        publishing.spawn(async move {
            client
                .publish_acknowledged("slow/a", json!({}), json!([long]), Value::Null)
                .await
                .unwrap();
        });
    }
    for _ in 0..OLD_PUBLISHERS {
        let mut client = v1::Client::connect(server.addr).await;
        publishing.spawn(async move {
            client.publish("slow/old", &json!("x".repeat(MEDIUM)), &Reach::Plain);
            client.round_trip().await;
        });
    }
    let receiving = tokio::spawn(async move {
        for _ in 0..OLD_PUBLISHERS {
            assert_eq!(subscriber.event().await.args[0].as_str().unwrap().len(), MEDIUM);
        }
    });
    let mut most = 0;
    while !publishing.is_empty() {
        most = most.max(waiting(&server));
        // Messages of other clients are handled, long and short ones.
        for payload in [&long, &json!("short")] {
            other
                .publish_acknowledged("open/b", json!({}), json!([payload]), Value::Null)
                .await
                .unwrap();
        }
        while let Some(done) = publishing.try_join_next() {
            done.unwrap();
        }
    }
    within("all events", receiving).await.unwrap();
    // Each thread may have read one more message before it noticed that there was no room.
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(most >= 2 * MIB, "{most} bytes waited at most");
    assert!(most < 8 * MIB + (threads + 1) * MIB, "{most} bytes waited");
    assert_eq!(waiting(&server), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_read_no_further_is_not_given_up_for_its_silence() {
    let config = "limits: { waiting: 1 MiB, client_percent: 50 }\n\
                  keepalive: { interval: 1s, timeout: 500ms }\n\
                  plugins: { named: { hostile: { deadline: 4s } } }\n";
    let (_site, server) = serve(config);
    let mut first = join(&server, Codec::MsgPack, 1).await;
    let long = json!(["x".repeat(LONG)]);
    let args = long.clone();
    let failing = tokio::spawn(async move {
        first.publish_acknowledged("sleep/a", json!({}), args, Value::Null).await.unwrap_err()
    });
    // A handler gets a message in MessagePack as JSON, which is counted as well.
    within("the first message", async { while waiting(&server) < 2 * LONG as u64 {} }).await;
    // From the same address: its message is read no further until the handler has ended.
    let mut second = join(&server, Codec::Json, 1).await;
    second.publish_acknowledged("open/b", json!({}), long.clone(), Value::Null).await.unwrap();
    assert_eq!(waiting(&server), 0, "the second one did not wait");
    assert_eq!(failing.await.unwrap().uri, "jackfield.error.handler_failed");
    second.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_calls_are_answered_in_their_turn() {
    let (_site, server) = serve("limits: { waiting: 2 MiB }\n");
    let mut calling = JoinSet::new();
    for (number, codec) in (0..30).zip(Codec::ALL.into_iter().cycle()) {
        let mut client = join(&server, codec, 1).await;
        calling.spawn(async move {
            let args = json!([number, "x".repeat(LONG)]);
            // One call waits, and the next ones are read ahead.
            let other = client.next_request();
            client.send(&json!([48, other, {}, "slow/a", args]));
            client.send(&json!([48, other + (1 << 30), {}, "slow/a", args]));
            for _ in 0..2 {
                let result = client.message().await;
                assert_eq!((&result[0], &result[3][0]), (&json!(50), &json!(number)));
            }
        });
    }
    let mut most = 0;
    while !calling.is_empty() {
        most = most.max(waiting(&server));
        while let Some(done) = calling.try_join_next() {
            done.unwrap();
        }
    }
    // In MessagePack and CBOR, a call counts with the JSON for its handler.
    let threads = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(most >= LONG as u64, "{most} bytes waited at most");
    assert!(most < 2 * MIB + (threads + 1) * 3 * MIB, "{most} bytes waited");
    assert_eq!(waiting(&server), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_messages_are_handled_slowly_is_not_given_up_for_its_silence() {
    let config = "keepalive: { interval: 1s, timeout: 500ms }\n";
    let (_site, server) = serve(config);
    let mut client = join(&server, Codec::Json, 1).await;
    // Four seconds of work in one piece: pongs wait behind it in the socket.
    for number in 0..200 {
        client.publish("slow/a", json!({}), json!([number]), Value::Null);
    }
    client.publish_acknowledged("slow/a", json!({}), json!([]), Value::Null).await.unwrap();
    client.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_requests_of_a_token_at_its_share_are_told_to_try_again() {
    const TOKENS: [&str; 2] =
        ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"];
    async fn publish(server: &Server, token: usize, topic: &str) -> Answer {
        let bearer = format!("Bearer {}", TOKENS[token]);
        let body = json!({ "topic": topic, "args": ["x".repeat(LONG)] }).to_string();
        let mut http = Http::connect(server.addr).await;
        http.post("/api/publish", &[("Authorization", &bearer)], &body).await
    }
    let config = format!(
        "limits: {{ waiting: 2 MiB }}\nplugins: {{ named: {{ hostile: {{ deadline: 8s }} }} }}\n\
         api:\n  body_timeout: 200ms\n  tokens:\n    - {{ name: a, token: {} }}\n    \
         - {{ name: b, token: {} }}\n",
        TOKENS[0], TOKENS[1]
    );
    let (_site, server) = serve(&config);
    let server = std::sync::Arc::new(server);
    let slow = std::sync::Arc::clone(&server);
    let failing = tokio::spawn(async move { publish(&slow, 0, "sleep/a").await });
    within("the first body", async { while waiting(&server) < LONG as u64 {} }).await;
    let refused = publish(&server, 0, "open/b").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert!(refused.json()["message"].as_str().unwrap().contains("(limits.waiting)"));
    // The share is that of one token: another one is served meanwhile.
    assert_eq!(publish(&server, 1, "open/b").await.status, 200);
    assert_eq!(failing.await.unwrap().status, 500);
    assert_eq!(publish(&server, 0, "open/b").await.status, 200);
}
