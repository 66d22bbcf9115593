//! The files of the console: they need no token, may be kept, and may load nothing from elsewhere.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use jackfield_tests::client::within;

/// Status, head in small letters, and body.
async fn request(address: SocketAddr, line: &str, head: &[&str]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\n{}\r\n\r\n", head.join("\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_without_a_token_and_revalidated() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let host = format!("Host: {address}");
    let (code, _, page) = request(address, "GET /", &[&host]).await;
    assert_eq!(code, 200);
    // Every file that the page and its modules name is there, and no other is named.
    let mut files = vec!["/".to_owned()];
    let mut bodies = page;
    let mut seen = 0;
    while seen < files.len() {
        let (code, head, body) = request(address, &format!("GET {}", files[seen]), &[&host]).await;
        assert_eq!(code, 200, "{}", files[seen]);
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "cross-origin-resource-policy: same-origin",
            "x-content-type-options: nosniff",
            "cache-control: no-cache",
        ] {
            assert!(head.contains(part), "{part} of {} is not in {head}", files[seen]);
        }
        assert!(!head.contains("unsafe-") && !head.contains("access-control-"), "{head}");
        let tag = head.split("etag: ").nth(1).and_then(|it| it.lines().next()).expect("a tag");
        let known = format!("If-None-Match: {tag}");
        let (code, _, rest) =
            request(address, &format!("GET {}", files[seen]), &[&host, &known]).await;
        assert_eq!((code, rest.as_str()), (304, ""));
        let named = body.split(['"', '\'']).filter_map(|it| {
            let module = it
                .strip_prefix("./")
                .filter(|it| std::path::Path::new(it).extension().is_some_and(|it| it == "js"));
            module
                .map(|it| format!("/console/{it}"))
                .or_else(|| it.starts_with("/console/").then(|| it.to_owned()))
        });
        for file in named.collect::<Vec<_>>() {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        bodies += &body;
        seen += 1;
    }
    assert!(files.len() > 15, "{files:?}");
    // Markup is never made of texts, and nothing comes from elsewhere.
    for part in ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "https://"]
    {
        assert!(!bodies.contains(part), "{part}");
    }
    assert!(!bodies.replace("http://www.w3.org/2000/svg", "").contains("http://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_still_needs_a_token() {
    let site = Site::open();
    let server = Server::configured(site.path(), &settings());
    let address = address(&server);
    let host = format!("Host: {address}");
    for (line, head, expect) in [
        ("GET /v1/caller", &host, 401),
        ("GET /console/../v1/status", &host, 401),
        ("GET /console/", &host, 401),
        ("POST /", &host, 401),
        // A page whose domain leads to 127.0.0.1.
        ("GET /", &"Host: rebound.example".to_owned(), 403),
        ("GET /console/main.js", &"Host: rebound.example".to_owned(), 403),
    ] {
        let (code, _, body) = request(address, line, &[head]).await;
        assert_eq!(code, expect, "{line}: {body}");
    }
}
