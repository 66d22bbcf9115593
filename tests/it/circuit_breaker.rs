//! Circuit breaker of a handler that panics for some events: their senders are refused, all other
//! clients are served.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const FAILED: &str = "jackfield.error.handler_failed";
const ON_HOLD: &str = "jackfield.error.handler_on_hold";

/// Starts a server with a handler for every auction, which panics for the bid `trap`.
fn auctions(config: &str) -> (Site, Server) {
    let site = Site::open();
    let route = "auction:\n    channel: 'auction/{id}'\n    handler: { callback: 'effects' }\n";
    site.bundle("hostile", route, &[build::guest("hostile")]);
    let server = Server::configured(site.path(), config);
    (site, server)
}

async fn join(server: &Server, from: IpAddr) -> Client {
    let mut options = Options::new(Codec::Json);
    options.handshake.source = Some(from);
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap()
}

async fn bid(client: &mut Client, topic: &str, bid: &str) -> Result<u64, WampError> {
    client.publish_acknowledged(topic, json!({}), json!([bid]), Value::Null).await
}

/// Sends failing bids until they are refused. Returns their number.
async fn fail_until_refused(client: &mut Client, topic: &str) -> usize {
    let mut failures = 0;
    loop {
        let error = bid(client, topic, "trap").await.unwrap_err();
        if error.uri == ON_HOLD {
            return failures;
        }
        assert_eq!(error.uri, FAILED);
        failures += 1;
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test(flavor = "multi_thread")]
async fn refuses_the_session_that_fails_and_serves_all_others() {
    // Longer than the bids take on a busy machine.
    let (_site, server) = auctions("plugins: { default: { circuit_breaker: { pause: 8s } } }\n");
    let (mut visitor, mut other) = (join(&server, HERE).await, join(&server, HERE).await);
    assert_eq!(fail_until_refused(&mut visitor, "auction/a").await, 5);
    for topic in ["auction/a", "auction/b"] {
        for _ in 0..20 {
            bid(&mut other, topic, "1").await.unwrap();
        }
    }
    let log = server.logged("circuit breaker opened");
    let session = visitor.session();
    assert!(log.contains(&format!("for session {session} on topic auction/a: 5 faults")), "{log}");
    let health = server.health();
    let open = &health["circuit_breakers"][0];
    assert_eq!(open["handler"], "effects", "{health}");
    assert_eq!(open["state"], "closed", "{health}");
    assert_eq!(open["open"], json!({"sessions": 1, "clients": 0, "topics": 0}), "{health}");
    // The visitor's good bids are refused for a while, and then accepted again.
    assert_eq!(bid(&mut visitor, "auction/a", "1").await.unwrap_err().uri, ON_HOLD);
    let again = within("the end of the pause", async {
        while let Err(error) = bid(&mut visitor, "auction/a", "1").await {
            assert_eq!(error.uri, ON_HOLD);
            // Below the rate of messages.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    again.await;
    server.logged(&format!("circuit breaker closed for session {session} on topic auction/a"));
    assert_eq!(server.health()["circuit_breakers"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_session_of_version_1_that_goes_from_topic_to_topic() {
    let (_site, server) = auctions("");
    let (mut visitor, mut other) =
        (v1::Client::connect(server.addr).await, join(&server, HERE).await);
    for round in 0..200 {
        visitor.publish(&format!("auction/{}", round % 50), &json!("trap"), &Reach::Plain);
    }
    visitor.round_trip().await;
    server.logged("circuit breaker opened for session");
    // A session is refused after four times as many faults as a topic.
    assert_eq!(server.health()["circuit_breakers"][0]["faults"], 20);
    for topic in ["auction/0", "auction/40", "auction/x"] {
        bid(&mut other, topic, "1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_the_handler_when_it_fails_for_many() {
    let (_site, server) = auctions("");
    let mut clients = Vec::new();
    for n in 1..=6 {
        clients.push(join(&server, Ipv4Addr::new(127, 0, 0, n).into()).await);
    }
    let (last, failing) = clients.split_last_mut().unwrap();
    for (n, client) in failing.iter_mut().enumerate() {
        let failed = bid(client, &format!("auction/{n}"), "trap").await.unwrap_err();
        assert_eq!(failed.uri, FAILED);
    }
    assert_eq!(bid(last, "auction/x", "1").await.unwrap_err().uri, ON_HOLD);
    server.logged("circuit breaker opened for the whole handler: 5 faults within 10s");
    assert_eq!(server.health()["circuit_breakers"][0]["state"], "open");
    within("the end of the pause", async { while bid(last, "auction/x", "1").await.is_err() {} })
        .await;
    server.logged("circuit breaker closed for the whole handler");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_its_settings() {
    let breaker = "plugins: { named: { hostile: { circuit_breaker: ";
    let (_site, server) = auctions(&format!("{breaker}{{ faults: 2, pause: 30s }} }} }} }}\n"));
    let mut visitor = join(&server, HERE).await;
    assert_eq!(fail_until_refused(&mut visitor, "auction/a").await, 2);
    server.logged("refusing calls for 30s");
    let (_site, server) = auctions(&format!("{breaker}{{ enabled: false }} }} }} }}\n"));
    let mut visitor = join(&server, HERE).await;
    for _ in 0..50 {
        assert_eq!(bid(&mut visitor, "auction/a", "trap").await.unwrap_err().uri, FAILED);
    }
}
