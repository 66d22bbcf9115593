//! Limits of users: connections, in the handshake of both versions and in the session of WAMP v2, and
//! rates, which the application itself does not have.

use serde_json::json;

use super::{Guarded, in_query};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::Reach;
use jackfield_tests::client::v2;
use jackfield_tests::client::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_at_the_limit_leaves_room_for_others() {
    let guarded = Guarded::start("limits: { user_connections: 2 }\n");
    let first = guarded.page_of("ann").await;
    let mut second = guarded.page_of("ann").await;
    let query = in_query(&guarded.ticket(Some("ann")).await);
    let (status, text) = guarded.page(&query).await.err().unwrap();
    assert_eq!(status, Some(429));
    assert!(text.contains("too many connections of this user"), "{text}");
    // By a ticket in the session.
    let mut options = v2::Options::new(Codec::Json);
    options.details["authmethods"] = json!(["ticket"]);
    let client = v2::Client::open(guarded.server.addr, Codec::Json, options.handshake).await;
    let mut client = client.unwrap();
    client.send(&json!([1, "realm1", options.details]));
    assert_eq!(client.message().await[0], 4);
    client.send(&json!([5, guarded.ticket(Some("ann")).await, {}]));
    let (reason, details) = client.aborted().await;
    assert_eq!(reason, "wamp.error.unavailable");
    assert!(details["message"].as_str().unwrap().contains("connections of this user"), "{details}");
    guarded.server.logged("maximum connections of one user reached (limits.user_connections = 2)");
    // Another user, and the application itself, which has no limit.
    guarded.page_of("bob").await.round_trip().await;
    let backend = in_query(&guarded.ticket(None).await);
    let mut backends = Vec::new();
    for _ in 0..4 {
        backends.push(guarded.page(&backend).await.unwrap());
    }
    second.round_trip().await;
    drop(first);
    let free = async { while guarded.page(&query).await.is_err() {} };
    within("the place of the connection that ended", free).await;
}

/// Sessions of the application itself have no rate; users have.
#[tokio::test(flavor = "multi_thread")]
async fn the_backend_has_no_rate() {
    let limits = "limits: { message_rate: { per_second: 1, burst: 10 }, rate_grace: 100ms }\n";
    let guarded = Guarded::start(limits);
    let mut backend = guarded.page(&in_query(&guarded.ticket(None).await)).await.unwrap();
    for number in 0..200 {
        backend.publish("open/a", &json!(number), &Reach::Plain);
    }
    backend.round_trip().await;
    let mut ann = guarded.page_of("ann").await;
    for number in 0..30 {
        ann.subscribe(&format!("open/{number}"));
    }
    assert!(matches!(ann.ended().await, Ending::Lost(_)));
    backend.round_trip().await;
}
