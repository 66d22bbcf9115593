//! Plain HTTP on the WebSocket port: keep-alive, limits, and the page for browsers.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{TOKEN, publish, refused, served, subscribed};
use jackfield_tests::client::http::Http;
use jackfield_tests::client::{v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

fn request(body: &str, more: &str) -> String {
    format!(
        "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests() {
    let (_site, server) = served("");
    let mut subscriber = subscribed(&server, "realm1", "open/a").await;
    let mut http = Http::connect(server.addr).await;
    let body = |number: u64| json!({"topic": "open/a", "args": [number]}).to_string();
    for number in 0..20 {
        http.send(request(&body(number), "")).await;
        assert_eq!(http.answer().await.json()["delivered"], 1);
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
    // Several at once, one of them refused and one in chunks.
    http.send([request(&body(20), ""), request("{", ""), request(&body(21), "")].concat()).await;
    assert_eq!(http.answer().await.status, 200);
    assert_eq!(http.answer().await.status, 400);
    assert_eq!(http.answer().await.status, 200);
    let chunked =
        request("", "Transfer-Encoding: chunked\r\n").replace("Content-Length: 0\r\n", "");
    http.send(format!("{chunked}10\r\n{{\"topic\":\"open/a\r\n2\r\n\"}}\r\n0\r\n\r\n")).await;
    assert_eq!(http.answer().await.json()["delivered"], 1);
    http.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(http.answer().await.json()["ok"], true);
    http.ended().await;
    assert_eq!(subscriber.event().await.args, json!([20]));
    assert_eq!(subscriber.event().await.args, json!([21]));
}

/// A request of the maximum length, byte by byte and in pieces of any size.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_come_in_pieces() {
    let (_site, server) = served("");
    let request = request(&json!({"topic": "open/a"}).to_string(), "");
    let mut http = Http::connect(server.addr).await;
    for piece in request.as_bytes().chunks(7) {
        http.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(http.answer().await.status, 200);
    // A client that shuts its side down still gets its answer.
    let mut tcp = http.into_tcp();
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut answer = String::new();
    within("an answer", tcp.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_opens_on_a_connection_that_served_plain_requests() {
    let (_site, server) = served("");
    let mut http = Http::connect(server.addr).await;
    http.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    http.answer().await;
    http.send(
        "GET /ws?ticket=x HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: wamp\r\n\r\n",
    )
    .await;
    // Response and WELCOME are one write, here as well.
    let mut answer = vec![0; 4096];
    let mut tcp = http.into_tcp();
    let count = within("the answer", tcp.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(answer.split("\r\n\r\n").nth(1).unwrap().contains("[0,\""), "{answer}");

    // A refused upgrade gets the same answer.
    let mut http = Http::connect(server.addr).await;
    http.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    http.answer().await;
    http.send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        .await;
    let answer = http.answer().await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));
    http.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_in_size_and_time() {
    let (_site, server) = served("  body: 64 KiB\n  body_timeout: 1s\n");
    let large = "x".repeat(64 * 1024 + 1);

    // Announced: refused before it is sent.
    let mut http = Http::connect(server.addr).await;
    let head = request(&large, "Expect: 100-continue\r\n");
    http.send(head.strip_suffix(&large).unwrap()).await;
    refused(&http.answer().await, 413, "wamp.error.payload_size_exceeded");

    // Sent nevertheless, far more than fits into any buffer: the answer can still be read.
    let mut http = Http::connect(server.addr).await;
    let huge = "x".repeat(32 << 20);
    let _cut_off = http.push(request(&huge, "")).await;
    refused(&http.answer().await, 413, "wamp.error.payload_size_exceeded");

    // Without Content-Length.
    let mut http = Http::connect(server.addr).await;
    let chunked =
        request("", "Transfer-Encoding: chunked\r\n").replace("Content-Length: 0\r\n", "");
    let _cut_off = http.push(format!("{chunked}10001\r\n{large}\r\n0\r\n\r\n")).await;
    refused(&http.answer().await, 413, "wamp.error.payload_size_exceeded");

    // A body that never ends.
    let mut http = Http::connect(server.addr).await;
    http.send(request("{}", "").replace("Content-Length: 2", "Content-Length: 3")).await;
    refused(&http.answer().await, 408, "wamp.error.timeout");
    http.ended().await;

    // A waiting client is asked to continue.
    let mut http = Http::connect(server.addr).await;
    let body = json!({"topic": "open/a"}).to_string();
    let whole = request(&body, "Expect: 100-continue\r\n");
    http.send(whole.strip_suffix(&body).unwrap()).await;
    assert_eq!(http.answer().await.status, 100);
    http.send(body).await;
    assert_eq!(http.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_idle_and_malformed_connections() {
    let (_site, server) = served("  idle_timeout: 1s\n");
    let mut http = Http::connect(server.addr).await;
    http.send(request(r#"{"topic":"open/a"}"#, "")).await;
    assert_eq!(http.answer().await.status, 200);
    http.ended().await;
    let mut http = Http::connect(server.addr).await;
    http.send([&request(r#"{"topic":"open/a"}"#, ""), "POST /api/pub"].concat()).await;
    assert_eq!(http.answer().await.status, 200);
    within("the end", async {
        let mut rest = Vec::new();
        let _reset = http.into_tcp().read_to_end(&mut rest).await;
    })
    .await;

    for garbage in
        ["\r\n\r\n\u{0}garbage\r\n\r\n", "GET\r\n\r\n", "POST /api/publish HTTP/3\r\n\r\n"]
    {
        let mut http = Http::connect(server.addr).await;
        http.send([&request(r#"{"topic":"open/a"}"#, ""), garbage].concat()).await;
        assert_eq!(http.answer().await.status, 200);
        assert_eq!(http.answer().await.status, 400, "{garbage}");
        http.ended().await;
    }
    assert_eq!(publish(&server, &json!({"topic": "open/a"})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_connections_that_do_not_read() {
    let (_site, server) = served("  idle_timeout: 1s\n");
    let mut http = Http::connect(server.addr).await;
    let many = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    // Until every buffer between the two is full, and the server closes.
    within("the end", async { while http.push(&many).await.is_ok() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_both_kinds_are_counted_together() {
    let (_site, server) = served("limits: { connections: 2 }\n");
    let mut http = Http::connect(server.addr).await;
    http.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 200);
    let _old = v1::Client::connect(server.addr).await;
    let third = v1::Client::connect_with(server.addr, v1::Options::default()).await;
    assert_eq!(third.map(drop).unwrap_err().refused.status, Some(503));
    server.logged("maximum connections reached (limits.connections = 2); answered 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_requests_end_and_keeps_no_idle_connection() {
    let (_site, mut server) = served("shutdown: { grace: 1h }\n");
    let mut idle = Http::connect(server.addr).await;
    idle.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut busy = Http::connect(server.addr).await;
    let body = json!({"topic": "open/a"}).to_string();
    let whole = request(&body, "Expect: 100-continue\r\n");
    busy.send(whole.strip_suffix(&body).unwrap()).await;
    assert_eq!(busy.answer().await.status, 100);
    server.signal("TERM");
    idle.ended().await;
    busy.send(body).await;
    assert_eq!(busy.answer().await.status, 200);
    busy.ended().await;
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_concurrent_requests() {
    let (_site, server) = served("  requests: 1\n  body_timeout: 1h\n");
    let body = json!({"topic": "open/a"}).to_string();
    let whole = request(&body, "Expect: 100-continue\r\n");
    let mut first = Http::connect(server.addr).await;
    first.send(whole.strip_suffix(&body).unwrap()).await;
    assert_eq!(first.answer().await.status, 100);
    let answer = publish(&server, &json!({"topic": "open/a"})).await;
    refused(&answer, 429, "jackfield.error.too_many_requests");
    assert_eq!(answer.header("retry-after"), Some("1"));
    first.send(body).await;
    assert_eq!(first.answer().await.status, 200);
    let answer = publish(&server, &json!({"topic": "open/a"})).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_the_server_to_browsers() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut http = Http::connect(server.addr).await;
    for (line, status) in [
        ("GET / HTTP/1.1", 200),
        ("HEAD / HTTP/1.1", 200),
        ("GET http://example.com/?x=y HTTP/1.1", 200),
        ("GET /health HTTP/1.1", 200),
        ("HEAD /health HTTP/1.1", 200),
        ("GET /ws HTTP/1.1", 426),
        ("POST / HTTP/1.1", 405),
        ("DELETE /health HTTP/1.1", 405),
    ] {
        if line.starts_with("HEAD") {
            // The length is that of the omitted body.
            let mut http = Http::connect(server.addr).await;
            http.send(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
            let mut answer = String::new();
            let mut tcp = http.into_tcp();
            within("an answer", tcp.read_to_string(&mut answer)).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
                "{answer}"
            );
            continue;
        }
        http.send(format!("{line}\r\nHost: x\r\n\r\n")).await;
        let answer = http.answer().await;
        assert_eq!(answer.status, status, "{line}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{line}");
        match status {
            426 => assert_eq!(answer.header("upgrade"), Some("websocket")),
            405 => assert_eq!(answer.header("allow"), Some("GET, HEAD")),
            _ => {}
        }
        if line.contains("/ws") || line.contains("?x=y") {
            for word in ["WebSocket", "wamp.2.json", "/health", "docs"] {
                assert!(answer.body.contains(word), "{word} is missing in {}", answer.body);
            }
        }
    }
    // Health checks of HTTP/1.0 have no Host.
    let mut old = Http::connect(server.addr).await;
    old.send("GET /health HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.json()["ok"], true);
    old.ended().await;
}
