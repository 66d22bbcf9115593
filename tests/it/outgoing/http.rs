//! Requests of HTTP.

use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::json;

use super::backend::Backend;
use super::{VERSION, count, join, member, order, report, serve, site};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_as_a_hook_with_its_context() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = member(&server).await;
    let headers = json!({ "authorization": "Bearer s3cret" });
    let url = backend.url("/v1/rates?token=t0ken");
    let body = json!({ "a": 1 });
    order(&mut client, json!({ "url": url, "headers": headers, "body": body, "tag": 7 })).await;
    let arrived = backend.request().await;
    assert!(
        arrived.text.starts_with("POST /v1/rates?token=t0ken HTTP/1.1\r\n"),
        "{}",
        arrived.text
    );
    for part in ["authorization: Bearer s3cret\r\n", "content-length: 7\r\n", "\r\n\r\n{\"a\":1}"] {
        assert!(arrived.text.contains(part), "{}", arrived.text);
    }
    assert_eq!(count(&server, "http").await["in_flight"], 1);
    // No lane waits: another hook runs meanwhile.
    let (args, _) =
        client.call("out/a", json!({}), json!([{ "do": "echo" }]), json!({})).await.unwrap();
    assert_eq!(args, json!([{ "do": "echo" }]));
    arrived.answer("fine").await;
    assert_eq!(report(&mut client).await, json!(["answer", 7, [200, "fine"]]));
    let count = count(&server, "http").await;
    assert_eq!(count, json!({ "in_flight": 0, "accepted": 1, "refused": 0, "dropped": 0 }));
    let log = server.log();
    assert!(!log.contains("s3cret") && !log.contains("t0ken"), "credentials are in no log: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_is_not_granted_and_names_the_line_to_add() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = member(&server).await;
    let mut refused = async |what: serde_json::Value, part: &str| {
        order(&mut client, what).await;
        let report = report(&mut client).await;
        assert_eq!(report[0], "refused", "{report}");
        assert!(report[3].as_str().unwrap().contains(part), "{report}");
    };
    let line = "add \"https://evil.example\" to `http.allow` of the plugin";
    refused(json!({ "url": "https://evil.example/x" }), line).await;
    let other = format!("http://127.0.0.1:{}", backend.addr.port() ^ 1);
    refused(json!({ "url": other }), "the port is not allowed").await;
    let name = format!("http://localhost:{}/", backend.addr.port());
    refused(json!({ "url": name }), "the host is not allowed").await;
    // Header injection.
    let url = backend.url("/");
    let split = json!({ "url": url, "headers": { "x-a": "b\r\nhost: evil.example" } });
    refused(split, "header 1 is malformed").await;
    let split = json!({ "url": url, "headers": { "x-a\r\nhost": "evil.example" } });
    refused(split, "header 1 is malformed").await;
    refused(json!({ "url": url, "headers": { "Host": "evil.example" } }), "is the host's").await;
    let split = json!({ "url": format!("{url}\r\nx: y") });
    refused(split, "the URL is malformed").await;
    refused(json!({ "url": url, "method": "GET / HTTP/1.1\r\nx: y" }), "the method is none").await;
    assert!(backend.is_idle(), "nothing was sent");
    server.logged("a request is not sent: denied: the host is not allowed; to allow it, add");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_private_addresses_are_denied_unless_allowed() {
    let (backend, site) = (Backend::start().await, site());
    let origin = format!("http://localhost:{}", backend.addr.port());
    let server = serve(site.path(), &format!("http: {{ allow: ['{origin}'] }}"));
    let mut client = member(&server).await;
    order(&mut client, json!({ "url": origin, "tag": 1 })).await;
    let denied = report(&mut client).await;
    assert_eq!((&denied[0], &denied[1]), (&json!("failed"), &json!(1)));
    assert!(denied[3].as_str().unwrap().contains("`http.private: true`"), "{denied}");
    assert!(backend.is_idle());
    drop(server);

    let server = serve(site.path(), &format!("http: {{ allow: ['{origin}'], private: true }}"));
    let mut client = member(&server).await;
    order(&mut client, json!({ "url": origin, "tag": 2 })).await;
    backend.request().await.answer("inside").await;
    assert_eq!(report(&mut client).await, json!(["answer", 2, [200, "inside"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_servers_cost_no_more_than_the_limits() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed("response: 1000, timeout: 1s"));
    let mut client = member(&server).await;
    let mut fails = async |answer: &str, part: &str| {
        order(&mut client, json!({ "url": backend.url("/") })).await;
        backend.request().await.write(answer).await;
        let report = report(&mut client).await;
        assert_eq!(report[0], "failed", "{part}: {report}");
        assert!(report[3].as_str().unwrap().contains(part), "{part}: {report}");
    };
    let huge =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}", "x".repeat(2_000));
    fails(&huge, "too large").await;
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000));
    fails(&endless, "too large").await;
    fails("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", "ended the connection").await;
    fails("220 mail.example ESMTP\r\n", "not HTTP").await;
    fails("", "ended the connection").await;
    // A redirect is an answer, and is not followed.
    order(&mut client, json!({ "url": backend.url("/") })).await;
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        backend.url("/2")
    );
    backend.request().await.write(&moved).await;
    assert_eq!(report(&mut client).await, json!(["answer", null, [302, ""]]));
    // A server that hangs.
    order(&mut client, json!({ "url": backend.url("/"), "timeout": 50 })).await;
    let hung = backend.request().await;
    let report = report(&mut client).await;
    assert!(report[3].as_str().unwrap().contains("did not answer in time"), "{report}");
    hung.ended().await;
    assert!(backend.is_idle(), "no redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_bounded() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed("in_flight: 2"));
    let mut client = member(&server).await;
    order(&mut client, json!({ "url": backend.url("/"), "times": 5 })).await;
    let (first, second) = (backend.request().await, backend.request().await);
    for _ in 0..3 {
        let report = report(&mut client).await;
        assert_eq!(report[0], "refused");
        assert!(report[3].as_str().unwrap().contains("too many requests"), "{report}");
    }
    first.answer("1").await;
    second.answer("2").await;
    for _ in 0..2 {
        assert_eq!(report(&mut client).await[0], "answer");
    }
    let count = count(&server, "http").await;
    assert_eq!(count, json!({ "in_flight": 0, "accepted": 2, "refused": 3, "dropped": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_traps_sends_nothing() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed("in_flight: 1"));
    let mut client = member(&server).await;
    let trap = json!([{ "url": backend.url("/"), "trap": true }]);
    let failed = client.publish_acknowledged("out/a", json!({}), trap, json!({})).await;
    assert_eq!(failed.unwrap_err().uri, "jackfield.error.handler_failed");
    // Its permit is free again.
    order(&mut client, json!({ "url": backend.url("/after"), "tag": 1 })).await;
    let arrived = backend.request().await;
    assert!(arrived.text.starts_with("POST /after "), "{}", arrived.text);
    arrived.answer("").await;
    assert_eq!(report(&mut client).await, json!(["answer", 1, [200, ""]]));
    assert!(backend.is_idle());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_goes_to_the_next_version_of_the_plugin() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = member(&server).await;
    order(&mut client, json!({ "url": backend.url("/"), "tag": 1 })).await;
    let arrived = backend.request().await;
    let next = "@@VERSION-000002";
    replace(&site, &server, next);
    arrived.answer("late").await;
    let event = client.event().await;
    assert_eq!(event.args[0], json!([next, "answer", 1, [200, "late"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_plugin_is_dropped_and_counted() {
    let (backend, site) = (Backend::start().await, site());
    // Another route keeps the plugin.
    let two = format!("{}two:\n    channel: 'two'\n    handler: outgoing\n", super::ROUTES);
    site.write("out/websocket_routing.yml", &two);
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = join(&server).await;
    order(&mut client, json!({ "url": backend.url("/"), "tag": 1 })).await;
    let arrived = backend.request().await;
    site.write("out/websocket_routing.yml", "two:\n    channel: 'two'\n    handler: outgoing\n");
    server.logged("generation=2");
    arrived.answer("late").await;
    while count(&server, "http").await["dropped"] != 1 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(count(&server, "http").await["in_flight"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_a_session_that_has_left_still_arrives() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut watcher = member(&server).await;
    let mut client = join(&server).await;
    order(&mut client, json!({ "url": backend.url("/"), "tag": 1 })).await;
    let arrived = backend.request().await;
    drop(client);
    arrived.answer("ok").await;
    assert_eq!(report(&mut watcher).await, json!(["answer", 1, [200, "ok"]]));
}

#[test]
fn an_import_without_a_grant_is_denied_with_the_line_to_add() {
    let site = site();
    let path = site.path().to_str().unwrap();
    let output = crate::control::run(crate::control::command(&["check", path]));
    assert_eq!(output.code, Some(1), "{output:?}");
    let all = format!("{}{}", output.out, output.err);
    let line = "`plugins: { named: { \"outgoing\": { http: { allow: [\"https://HOST\"] } } } }`";
    for part in ["imports `jackfield:plugin/", "which is not granted", "= help: grant "] {
        assert!(all.contains(part), "{all}");
    }
    assert!(all.contains(line) || all.contains("calls: { allow: [\"PROCEDURE\"] }"), "{all}");
}

/// Deploys another version, and waits until it serves.
fn replace(site: &Site, server: &Server, version: &str) {
    let mut bytes = std::fs::read(build::guest("outgoing")).unwrap();
    let old = VERSION.as_bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + old.len()].copy_from_slice(version.as_bytes());
    site.rename_over("out/guest_outgoing.wasm", bytes);
    server.logged("generation=2");
}
