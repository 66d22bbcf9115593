//! Static files for browsers: headers, caching, and the demo, which is served on request only.

use jackfield_tests::build;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const CLIENT: [(&str, &str); 4] = [
    ("/sync", "sync"),
    ("/sync/content", "content"),
    ("/sync/maintenance", "maintenance"),
    ("/sync/model", "model"),
];

/// The policy of each file of the demo, as a browser may open any of them as a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let mut http = Http::connect(server.addr).await;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    http.send(request).await;
    http.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_the_client_as_it_is_shipped() {
    let site = Site::open();
    let server = Server::start(site.path());
    for (path, name) in CLIENT {
        for suffix in [".js", ".classic.js"] {
            let file = build::root().join("host/browser").join(format!("{name}{suffix}"));
            let file = std::fs::read_to_string(file).unwrap();
            // With a query, as pages add one to bypass caches.
            for query in ["", "?v=1"] {
                let path = format!("{path}{suffix}{query}");
                let answer = ask(&server, "GET", &path, "").await;
                assert_eq!((answer.status, &answer.body), (200, &file), "{path}");
                for (name, value) in [
                    ("content-type", "text/javascript; charset=utf-8"),
                    ("x-content-type-options", "nosniff"),
                    ("access-control-allow-origin", "*"),
                    ("cross-origin-resource-policy", "cross-origin"),
                    ("cache-control", "no-cache"),
                ] {
                    assert_eq!(answer.header(name), Some(value), "{path}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_304_to_a_known_etag() {
    let site = Site::open();
    let server = Server::start(site.path());
    let first = ask(&server, "GET", "/sync.js", "").await;
    let tag = first.header("etag").unwrap();
    let other = ask(&server, "GET", "/sync/model.js", "").await;
    assert_ne!(other.header("etag"), Some(tag));
    let check = async |known: &str, status: u16| {
        let answer = ask(&server, "GET", "/sync.js", &format!("If-None-Match: {known}\r\n")).await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some(tag)), "{known}");
        assert_eq!(answer.body.is_empty(), status == 304, "{known}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{known}");
    };
    check(tag, 304).await;
    check(&format!("W/{tag}"), 304).await;
    check(&format!("\"other\", {tag}"), 304).await;
    check("*", 304).await;
    check("\"other\"", 200).await;
    check("nonsense", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_methods_that_write() {
    let site = Site::open();
    let server = Server::demo(site.path());
    let mut http = Http::connect(server.addr).await;
    http.send("HEAD /sync.js HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let mut raw = String::new();
    let mut tcp = http.into_tcp();
    while !raw.contains("\"ok\":true") {
        let mut buffer = [0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut tcp, &mut buffer);
        let count = jackfield_tests::client::within("both answers", read).await.unwrap();
        assert!(count > 0, "{raw}");
        raw.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(raw.starts_with("HTTP/1.1 200 OK\r\n") && !raw.contains("export class"), "{raw}");
    for path in ["/sync.js", "/demo/"] {
        assert_eq!(ask(&server, "POST", path, "Content-Length: 0\r\n").await.status, 405, "{path}");
    }
    for path in ["/sync.d.ts", "/sync/", "/demo/none.js", "/demo/../sync.js", "/sync.js/"] {
        assert_eq!(ask(&server, "GET", path, "").await.status, 426, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_the_demo_with_the_demo_option_only() {
    let site = Site::open();
    let server = Server::demo(site.path());
    for (query, location) in [("", "/demo/"), ("?x=1", "/demo/?x=1"), ("?", "/demo/?")] {
        let answer = ask(&server, "GET", &format!("/demo{query}"), "").await;
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)));
    }
    let mut count = 0;
    for file in std::fs::read_dir(build::root().join("host/browser/demo")).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let kind = match name.rsplit_once('.').unwrap().1 {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        let path = format!("/demo/{}", if name == "index.html" { "" } else { name });
        let answer = ask(&server, "GET", &path, "").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(answer.body, std::fs::read_to_string(&file).unwrap(), "{path}");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        count += 1;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        // No part comes from another server, and no script or style is inline.
        for elsewhere in ["http://", "https://", "src=\"//", "<style", " style=", " onclick"] {
            let found = answer.body.replace("http://www.w3.org/2000/svg", "").contains(elsewhere);
            assert!(!found, "{path} has {elsewhere}");
        }
    }
    assert_eq!(count, 10);

    let server = Server::start(site.path());
    for path in ["/demo", "/demo/", "/demo/demo.js"] {
        assert_eq!(ask(&server, "GET", path, "").await.status, 426, "{path}");
    }
}
