//! Requests with an `Idempotency-Key`: each is performed once.

use serde_json::json;

use super::{SHOP, TOKEN, refused, served, subscribed};
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::server::Server;

async fn keyed(server: &Server, token: &str, key: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
    Http::connect(server.addr).await.post("/api/publish", &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_a_repeated_request_without_repeating_it() {
    let (_site, server) = served("");
    let mut subscriber = subscribed(&server, "realm1", "open/a").await;
    let body = json!({"publish": [{"topic": "open/a", "args": [1]}, {"topic": "x"}]}).to_string();
    let first = keyed(&server, TOKEN, "k1", &body).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (200, None));
    for _ in 0..3 {
        let again = keyed(&server, TOKEN, "k1", &body).await;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let other = keyed(&server, TOKEN, "k1", r#"{"topic":"open/a"}"#).await;
    refused(&other, 422, "jackfield.error.idempotency_key_reused");

    // Keys belong to their token, and another key is another request.
    assert_eq!(keyed(&server, SHOP, "k1", r#"{"topic":"open/a"}"#).await.status, 200);
    assert_eq!(keyed(&server, TOKEN, "k2", &body).await.status, 200);
    assert_eq!(subscriber.event().await.args, json!([1]));
    assert_eq!(subscriber.event().await.args, json!([1]));
    subscriber.expect_no_event().await;

    // A refusal is repeated; a failure may be retried.
    let refusal = keyed(&server, TOKEN, "k3", r#"{"topic":"x"}"#).await;
    refused(&refusal, 404, "jackfield.error.no_route");
    let again = keyed(&server, TOKEN, "k3", r#"{"topic":"x"}"#).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for _ in 0..2 {
        let broken = keyed(&server, TOKEN, "k4", r#"{"topic":"trap"}"#).await;
        assert_eq!((broken.status, broken.header("idempotent-replayed")), (500, None));
    }

    for key in ["", &"x".repeat(256), "\u{e9}"] {
        refused(&keyed(&server, TOKEN, key, &body).await, 400, "wamp.error.invalid_argument");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn performs_concurrent_repeats_once_and_answers_all() {
    let (_site, server) = served("");
    let mut subscriber = subscribed(&server, "realm1", "open/a").await;
    // Long enough for the others to arrive while it is being handled.
    let items: Vec<_> = (0..500).map(|n| json!({"topic": "open/a", "args": [n]})).collect();
    let body = json!({ "publish": items }).to_string();
    let asked = (0..20).map(|_| keyed(&server, TOKEN, "same", &body));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|it| (it.status, &it.body) == (200, &answers[0].body)));
    let replayed = answers.iter().filter(|it| it.header("idempotent-replayed").is_some());
    assert_eq!(replayed.count(), 19);
    for number in 0..500 {
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    subscriber.expect_no_event().await;
}
