//! The HTTP API against the real server: authorization, answers, receivers. Connections and their
//! failures are in `connections`, repeated requests in `idempotency`.

mod connections;
mod idempotency;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SHOP: &str = "fedcba9876543210fedcba9876543210";

const ROUTES: &str = "\
test.staff: { channel: 'staff/{name}', handler: { callback: 'echo' }, allow: { publish: [staff] } }
test.backend: { channel: 'backend', handler: { callback: 'tell' }, allow: { publish: [backend] } }
test.refuse: { channel: 'refuse', handler: { callback: 'refuse' } }
test.trap: { channel: 'trap', handler: { callback: 'trap' } }
sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }
members: { channel: 'members/{method}', handler: { callback: 'methods' }, allow: { call: [staff] } }
test.nowhere: { channel: 'nowhere', handler: { callback: 'echo' } }
";

/// Starts a server with two realms and two tokens, one of them valid for one realm only.
fn served(more: &str) -> (Site, Server) {
    let site = Site::open();
    site.bundle("hostile", ROUTES, &[build::guest("hostile"), build::guest("methods")]);
    let config = format!(
        "realms: [realm1, shop]\napi:\n  tokens:\n    - {{ name: deploy, token: {TOKEN} }}\n    \
         - {{ name: shop, token: {SHOP}, roles: [staff, backend], realm: shop }}\n{more}"
    );
    let server = Server::configured(site.path(), &config);
    (site, server)
}

async fn subscribed(server: &Server, realm: &str, topic: &str) -> Client {
    let mut client = Client::connect(server.addr, Codec::Json, realm).await;
    client.subscribe(topic, json!({})).await;
    client
}

/// Publishes on a connection of its own.
async fn publish(server: &Server, body: &Value) -> Answer {
    publish_as(server, TOKEN, &body.to_string()).await
}

async fn publish_as(server: &Server, token: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    Http::connect(server.addr).await.post("/api/publish", &headers, body).await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, uri: &str) -> String {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(uri)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()["message"].as_str().expect("a message").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_arrive_unchanged() {
    let (_site, server) = served("");
    let mut json = subscribed(&server, "realm1", "open/a").await;
    let mut cbor = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    cbor.subscribe("open/a", json!({})).await;
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("open/a");
    old.round_trip().await;

    let args = r#"[{"b": 1, "a": [18446744073709551615, -1.50, "é\u00e9\/", {}]}]"#;
    let body = format!(r#"{{"topic": "open/a", "args": {args}}}"#);
    let answer = publish_as(&server, TOKEN, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["delivered"], 3);
    let expected: Value = serde_json::from_str(args).unwrap();
    for client in [&mut json, &mut cbor] {
        let event = client.event().await;
        assert_eq!((&event.args, event.publication), (&expected, id(&answer)));
        assert_eq!(event.details.get("publisher"), None);
    }
    assert_eq!(old.event().await.event, expected[0]);

    // Keyword arguments, no arguments, and a disclosed publisher.
    let body = json!({"topic": "open/a", "kwargs": {"k": 1}, "disclose_me": true});
    assert_eq!(publish(&server, &body).await.status, 200);
    let event = json.event().await;
    assert_eq!((event.args, event.kwargs), (json!([]), json!({"k": 1})));
    assert_eq!(event.details["publisher_authid"], "deploy");
    assert_eq!(event.details["publisher_authrole"], "backend");
    let answer = publish(&server, &json!({"topic": "open/a", "args": null})).await;
    assert_eq!(answer.json()["delivered"], 3);
    assert_eq!(json.event().await.args, Value::Null);
}

fn id(answer: &Answer) -> u64 {
    answer.json()["publication"].as_u64().expect("a publication")
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_receivers_as_wamp_does() {
    let (_site, server) = served("");
    let mut one = subscribed(&server, "realm1", "open/a").await;
    let mut other = subscribed(&server, "realm1", "open/a").await;
    let (one_id, other_id) = (one.session(), other.session());
    let check = async |options: Value, delivered: u64| {
        let mut body = json!({"topic": "open/a", "args": [delivered]});
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = publish(&server, &body).await;
        assert_eq!(answer.json()["delivered"], delivered, "{body} {answer:?}");
    };
    check(json!({"eligible": [one_id]}), 1).await;
    assert_eq!(one.event().await.args, json!([1]));
    check(json!({"exclude": [one_id]}), 1).await;
    assert_eq!(other.event().await.args, json!([1]));
    check(json!({"exclude": [one_id, other_id]}), 0).await;
    check(json!({"exclude": []}), 2).await;
    check(json!({"eligible_authrole": ["anonymous"]}), 2).await;
    check(json!({"eligible_authrole": ["staff"]}), 0).await;
    check(json!({"exclude_authrole": ["anonymous"]}), 0).await;
    check(json!({"eligible_authid": [format!("anonymous-{one_id}")]}), 1).await;
    check(json!({"exclude_authid": [format!("anonymous-{one_id}"), "x"]}), 1).await;

    for key in ["eligible", "eligible_authid", "eligible_authrole"] {
        let answer = publish(&server, &json!({"topic": "open/a", key: []})).await;
        let message = refused(&answer, 422, "wamp.error.invalid_argument");
        assert!(message.contains(&format!("`{key}` names no session")), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn separates_realms_and_tokens() {
    let (_site, server) = served("");
    let mut first = subscribed(&server, "realm1", "open/a").await;
    let mut shop = subscribed(&server, "shop", "open/a").await;
    let publish = async |token: &str, realm: Option<&str>| {
        let body = match realm {
            Some(realm) => json!({"topic": "open/a", "args": [token, realm], "realm": realm}),
            None => json!({"topic": "open/a", "args": [token, null]}),
        };
        publish_as(&server, token, &body.to_string()).await
    };
    assert_eq!(publish(TOKEN, None).await.status, 200);
    assert_eq!(first.event().await.args, json!([TOKEN, null]));
    assert_eq!(publish(TOKEN, Some("shop")).await.status, 200);
    assert_eq!(shop.event().await.args, json!([TOKEN, "shop"]));
    assert_eq!(publish(SHOP, None).await.status, 200);
    assert_eq!(shop.event().await.args, json!([SHOP, null]));
    assert_eq!(publish(SHOP, Some("shop")).await.status, 200);
    assert_eq!(shop.event().await.args, json!([SHOP, "shop"]));
    refused(&publish(SHOP, Some("realm1")).await, 403, "wamp.error.not_authorized");
    refused(&publish(TOKEN, Some("other")).await, 404, "wamp.error.no_such_realm");
    first.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorizes_publications_like_those_of_clients() {
    let (_site, server) = served("");
    let publish_to = async |token: &str, topic: &str| {
        publish_as(&server, token, &json!({"topic": topic, "args": ["x"]}).to_string()).await
    };
    // Roles allow publications, and hooks change them.
    let message = refused(&publish_to(TOKEN, "staff/a").await, 403, "wamp.error.not_authorized");
    assert!(message.contains("`test.staff` does not allow your roles"), "{message}");
    assert_eq!(publish_to(SHOP, "staff/a").await.status, 200);
    let mut told = subscribed(&server, "realm1", "backend").await;
    assert_eq!(publish_to(TOKEN, "backend").await.json()["delivered"], 1);
    let heard = told.event().await.args[0].as_str().unwrap().to_owned();
    assert!(heard.starts_with("calls "), "{heard}");

    // A hook rejects with its own message; it gets the token's name.
    let message = refused(&publish_to(TOKEN, "refuse").await, 422, "com.example.error.refused");
    assert!(message.contains(r#" deploy backend ["backend"] token {} "#), "{message}");
    let message = refused(&publish_to(SHOP, "refuse").await, 422, "com.example.error.refused");
    assert!(message.contains(r#" shop staff ["staff", "backend"] token {} "#), "{message}");

    // A failing hook, and the pause of its circuit breaker.
    refused(&publish_to(TOKEN, "trap").await, 500, "jackfield.error.handler_failed");
    let held = loop {
        let answer = publish_to(TOKEN, "trap").await;
        if answer.status != 500 {
            break answer;
        }
    };
    refused(&held, 503, "jackfield.error.handler_on_hold");
    assert_eq!(held.header("retry-after"), Some("1"));

    for (topic, status, uri) in [
        ("elsewhere", 404, "jackfield.error.no_route"),
        ("open/a b", 422, "wamp.error.invalid_uri"),
        ("", 422, "wamp.error.invalid_uri"),
        ("wamp.session.on_join", 422, "wamp.error.invalid_uri"),
        (&"x".repeat(1025), 422, "wamp.error.invalid_uri"),
    ] {
        refused(&publish_to(TOKEN, topic).await, status, uri);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_a_batch_in_order_with_an_answer_each() {
    let (_site, server) = served("  batch: 100\n");
    let mut subscriber = subscribed(&server, "realm1", "open/a").await;
    let body = json!({"publish": [
        {"topic": "open/a", "args": [0]},
        {"topic": "elsewhere"},
        {"topic": "open/a", "arg": [1]},
        {"args": [1]},
        ["open/a", [1]],
        {"topic": "open/a", "args": {"not": "a list"}},
        {"topic": "refuse"},
        {"topic": "open/b", "args": [1]},
        {"topic": "open/a", "args": [2]},
    ]});
    let answer = publish(&server, &body).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["failed"], 6);
    let published = answer["published"].as_array().unwrap();
    let kinds: Vec<_> = published.iter().map(|it| (&it["item"], &it["error"])).collect();
    let invalid = json!("wamp.error.invalid_argument");
    let expected = [
        (Value::Null, Value::Null),
        (json!(1), json!("jackfield.error.no_route")),
        (json!(2), invalid.clone()),
        (json!(3), invalid.clone()),
        (json!(4), invalid.clone()),
        (json!(5), invalid),
        (json!(6), json!("com.example.error.refused")),
        (Value::Null, Value::Null),
        (Value::Null, Value::Null),
    ];
    assert_eq!(kinds, expected.iter().map(|(item, error)| (item, error)).collect::<Vec<_>>());
    let words = published.iter().map(|it| it["message"].as_str().unwrap_or_default());
    let words: Vec<_> = words.collect();
    assert!(words[2].contains("unknown field `arg`"), "{words:?}");
    assert!(words[3].contains("missing field `topic`"), "{words:?}");
    assert!(words[4].contains("it has to be an object"), "{words:?}");
    assert!(words[5].contains("the arguments must be a list"), "{words:?}");
    assert_eq!(subscriber.event().await.args, json!([0]));
    assert_eq!(subscriber.event().await.args, json!([2]));

    // The maximum number, in order; and one more than that.
    let many: Vec<_> = (0..101).map(|n| json!({"topic": "open/a", "args": [n]})).collect();
    let answer = publish(&server, &json!({"publish": many[..100]})).await;
    assert_eq!(answer.json()["failed"], 0);
    for number in 0..100 {
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    let answer = publish(&server, &json!({ "publish": many })).await;
    refused(&answer, 413, "wamp.error.payload_size_exceeded");
    assert_eq!(publish(&server, &json!({"publish": []})).await.json()["failed"], 0);
    subscriber.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorizes_calls_like_those_of_clients() {
    let (_site, server) = served("");
    let call = async |token: &str, body: Value| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        Http::connect(server.addr).await.post("/api/call", &headers, &body.to_string()).await
    };
    let answer = call(TOKEN, json!({"procedure": "sample/sum", "args": [2, 5]})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"args": [7], "kwargs": {}})));
    let named = json!({"procedure": "sample/add", "kwargs": {"a": 1, "b": 2}, "realm": "shop"});
    assert_eq!(call(SHOP, named.clone()).await.json()["args"], json!([{"result": 3}]));
    assert_eq!(call(TOKEN, named).await.status, 200);
    let sum = json!({"procedure": "members/sum", "args": [1]});
    refused(&call(TOKEN, sum.clone()).await, 403, "wamp.error.not_authorized");
    assert_eq!(call(SHOP, sum).await.json()["args"], json!([1]));
    for (body, status, uri) in [
        (json!({"procedure": "nowhere/at/all"}), 404, "wamp.error.no_such_procedure"),
        (json!({"procedure": "open/a"}), 404, "wamp.error.no_such_procedure"),
        (json!({"procedure": "a b"}), 422, "wamp.error.invalid_uri"),
        (json!({"procedure": "staff/a"}), 200, ""),
        (json!({"procedure": "refuse"}), 422, "com.example.error.unwilling"),
        (json!({"procedure": "sample/sum", "args": 1}), 422, "wamp.error.invalid_argument"),
        (json!({"topic": "sample/sum"}), 422, "wamp.error.invalid_argument"),
        (json!({"procedure": "sample/sum", "realm": "x"}), 404, "wamp.error.no_such_realm"),
    ] {
        let answer = call(TOKEN, body.clone()).await;
        if status == 200 {
            assert_eq!(answer.json(), json!({"args": [], "kwargs": {}}), "{body}");
        } else {
            refused(&answer, status, uri);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_malformed_requests() {
    let (_site, server) = served("  body: 1 KiB\n");
    let bearer = format!("Bearer {TOKEN}");
    let auth = ("Authorization", bearer.as_str());
    let good = r#"{"topic":"open/a"}"#;
    let mut http = Http::connect(server.addr).await;

    // Bodies that are not JSON, or not of the API's form.
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("topic=open/a", 400),
        ("{\"topic\":\"open/a\"} x", 400),
        ("{\"topic\":\"\u{1}\"}", 400),
        ("[]", 422),
        ("17", 422),
        ("{}", 422),
        (r#"{"topic":17}"#, 422),
        (r#"{"topic":"open/a","topic":"open/b"}"#, 422),
        (r#"{"topic":"open/a","eligible":["x"]}"#, 422),
        (r#"{"topic":"open/a","eligible":[0]}"#, 422),
        (r#"{"publish":17}"#, 422),
        (r#"{"publish":[],"topic":"open/a"}"#, 422),
        (r#"["open/a",[1]]"#, 422),
        (r#""open/a""#, 422),
    ] {
        let answer = http.post("/api/publish", &[auth], body).await;
        let words = refused(&answer, status, "wamp.error.invalid_argument");
        assert!(!words.contains("struct"), "{words}");
    }
    let answer = http.post("/api/publish", &[auth], r#"[{"topic":"open/a"}]"#).await;
    let words = refused(&answer, 422, "wamp.error.invalid_argument");
    assert!(words.contains(r#"{"publish": [{"topic": …}, …]}"#), "{words}");
    for body in [r#"["sample/sum",[1]]"#, "17"] {
        let answer = http.post("/api/call", &[auth], body).await;
        let words = refused(&answer, 422, "wamp.error.invalid_argument");
        assert_eq!(words, "this is not a call: it has to be an object");
    }
    let deep = format!(r#"{{"topic":"open/a","args":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let answer = http.post("/api/publish", &[auth], &deep).await;
    assert!([400, 422].contains(&answer.status), "{answer:?}");

    // The identity of the token.
    for (header, uri, challenge) in [
        (None, "wamp.error.authentication_required", r#"Bearer realm="jackfield""#),
        (Some("Basic eDp5"), "wamp.error.authentication_required", r#"Bearer realm="jackfield""#),
        (
            Some("Bearer 0123456789abcdef0123456789abcdee"),
            "wamp.error.authentication_denied",
            r#"Bearer realm="jackfield", error="invalid_token""#,
        ),
    ] {
        let mut http = Http::connect(server.addr).await;
        let headers: Vec<_> = header.map(|it| ("Authorization", it)).into_iter().collect();
        let answer = http.post("/api/publish", &headers, good).await;
        refused(&answer, 401, uri);
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }

    let log = server.logged("a request to the HTTP API is refused: its token is unknown");
    assert!(log.contains("peer=127.0.0.1:"), "{log}");
    assert!(!log.contains("cdef0123"), "{log}");

    // Body and headers.
    let kind = |kind: &str| format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", good.len());
    let asked = async |line: &str, headers: &str| {
        let mut http = Http::connect(server.addr).await;
        let auth = format!("Authorization: {bearer}\r\n");
        http.send(format!("{line} HTTP/1.1\r\nHost: x\r\n{auth}{headers}\r\n{good}")).await;
        http.answer().await
    };
    for headers in [
        format!("Content-Length: {}\r\n", good.len()),
        kind("application/x-www-form-urlencoded"),
        kind("text/json"),
        kind("application/json\r\nContent-Encoding: gzip"),
    ] {
        let answer = asked("POST /api/publish", &headers).await;
        refused(&answer, 415, "jackfield.error.unsupported_media_type");
    }
    let answer = asked("POST /api/publish", &kind("Application/JSON; charset=utf-8")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for method in ["GET", "PUT", "OPTIONS"] {
        let answer = asked(&format!("{method} /api/publish"), &kind("application/json")).await;
        refused(&answer, 405, "jackfield.error.method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    let answer = asked("POST /api/other", &kind("application/json")).await;
    refused(&answer, 404, "jackfield.error.not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn disables_the_api_without_tokens() {
    let site = Site::open();
    let server = Server::start(site.path());
    server.logged("the HTTP API is off");
    let answer = publish(&server, &json!({"topic": "open/a"})).await;
    refused(&answer, 404, "jackfield.error.not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn never_logs_a_token() {
    let (_site, server) = served("");
    server.logged("the HTTP API is on");
    publish(&server, &json!({"topic": "open/a"})).await;
    publish_as(&server, "wrong-and-secret-too", "{}").await;
    publish_as(&server, TOKEN, "{").await;
    let log = server.log();
    assert!(log.contains(r#"tokens=["deploy","shop"]"#), "{log}");
    for secret in [TOKEN, SHOP, "wrong-and-secret-too"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Sessions of WebSocket clients are counted.
#[tokio::test(flavor = "multi_thread")]
async fn health_counts_sessions() {
    let (_site, server) = served("");
    let before = server.health();
    assert_eq!((&before["ok"], &before["sessions"]), (&json!(true), &json!(0)), "{before}");
    let options = Options::new(Codec::Json);
    let _one = Client::connect_with(server.addr, Codec::Json, "shop", options).await.unwrap();
    let _other = v1::Client::connect(server.addr).await;
    server.until_health("sessions", 2);
    assert_eq!(server.health()["generation"], 1);
}
