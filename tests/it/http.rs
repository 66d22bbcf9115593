//! Plain HTTP on the WebSocket port, as sent by load balancers, browsers and request smugglers.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The content security policy of every page except the demo.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async fn ask(server: &Server, request: &str) -> Answer {
    let mut http = Http::connect(server.addr).await;
    http.send(request).await;
    http.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_health_checks_of_load_balancers() {
    let site = Site::open();
    for config in ["", "access: { path: /ws, origins: [shop.example] }\n"] {
        let server = Server::configured(site.path(), config);
        for request in [
            // HAProxy's default, with and without a Host.
            "OPTIONS / HTTP/1.0\r\n\r\n",
            "OPTIONS / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "OPTIONS /health HTTP/1.0\r\n\r\n",
            "HEAD / HTTP/1.0\r\n\r\n",
            "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "HEAD /health HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n",
            "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ] {
            let mut tcp = TcpStream::connect(server.addr).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut head = vec![0; 15];
            within(request, tcp.read_exact(&mut head)).await.unwrap();
            let head = String::from_utf8(head).unwrap();
            assert!(
                head.starts_with("HTTP/1.") && head.ends_with(" 200 OK"),
                "{request:?}: {head}"
            );
        }
        // A connection without a request is not logged.
        drop(TcpStream::connect(server.addr).await.unwrap());
        assert!(!server.log().contains("WARN"), "{}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_repeated_headers_of_one_value() {
    let site = Site::open();
    let config = format!("api: {{ tokens: [{{ name: a, token: {TOKEN} }}] }}\n");
    let server = Server::configured(site.path(), &config);
    let body = r#"{"topic":"open/a","args":[1]}"#;
    let request = |more: &str| {
        format!(
            "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nIdempotency-Key: a\r\nOrigin: http://a\r\n\
             Content-Length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    assert_eq!(ask(&server, &request("")).await.status, 200);
    for again in [
        "Idempotency-Key: b\r\n",
        "idempotency-key: a\r\n",
        "Authorization: Bearer x\r\n",
        "Host: y\r\n",
        "Origin: http://b\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Length: 29\r\n",
    ] {
        let answer = ask(&server, &request(again)).await;
        let name = again.split(':').next().unwrap();
        assert_eq!(answer.status, 400, "{again:?}: {answer:?}");
        assert!(answer.body.to_lowercase().contains(&name.to_lowercase()), "{answer:?}");
        // The same after another request, except for this header: equal lengths count as one.
        if name == "Content-Length" {
            continue;
        }
        let mut http = Http::connect(server.addr).await;
        http.send(format!("GET /health HTTP/1.1\r\nHost: x\r\n\r\n{}", request(again))).await;
        assert_eq!(http.answer().await.status, 200);
        assert_eq!(http.answer().await.status, 400, "{again:?}");
    }
    // Proxies add values of their own to these headers.
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n\
                     X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(ask(&server, &request(forwarded)).await.status, 200);

    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: wamp\r\nOrigin: http://a\r\n\
                   Authorization: Bearer x\r\n";
    for again in [
        "Origin: http://b",
        "Authorization: Bearer y",
        "Host: y",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ] {
        let answer = ask(&server, &format!("{upgrade}{again}\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{again:?}: {answer:?}");
    }
    let mut http = Http::connect(server.addr).await;
    http.send(format!("{upgrade}Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n")).await;
    assert_eq!(http.answer().await.status, 101, "a list may come in several lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_security_headers() {
    let site = Site::open();
    let server = Server::demo(site.path());
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        ("GET /demo HTTP/1.1\r\nHost: x\r\n\r\n", 308),
        ("GET /sync.js HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        ("POST /api/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404),
        ("garbage\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 426),
    ] {
        let answer = ask(&server, request).await;
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request:?}");
        }
    }
    let demo = ask(&server, "GET /demo/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let policy = demo.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
}
