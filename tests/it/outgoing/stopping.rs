//! Requests and calls that wait for their answers when the server is stopped.

use serde_json::json;

use super::backend::Backend;
use super::{join, member, order, serve_with, site};
use crate::control::{command, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_waits_for_answers() {
    let (backend, site, data) = (Backend::start().await, site(), tempfile::tempdir().unwrap());
    let more = format!("data: {}\n", data.path().join("data").display());
    let mut server = serve_with(site.path(), &backend.allowed(""), &more);
    let mut client = member(&server).await;
    order(&mut client, json!({ "url": backend.url("/"), "tag": "store" })).await;
    let arrived = backend.request().await;
    server.signal("TERM");
    server.logged("waiting for the answers to requests and calls of plugins requests=1 calls=0");
    client.ended().await;
    arrived.answer("late").await;
    assert_eq!(server.exit_code(), Some(0));
    let log = server.log();
    assert!(!log.contains("still without an answer"), "{log}");

    // The hook has had the answer.
    let server = serve_with(site.path(), &backend.allowed(""), &more);
    let socket = server.control_socket();
    let answered = ["store", "get", "outgoing", "answered", "--socket", socket.to_str().unwrap()];
    let answered = run(command(&answered));
    assert_eq!((answered.code, answered.out.as_str()), (Some(0), "\"true\"\n"), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_after_the_grace_period_are_dropped_and_counted() {
    let (backend, site) = (Backend::start().await, site());
    let grants = format!("{}, calls: {{ allow: ['acme.*'] }}", backend.allowed(""));
    let mut server = serve_with(site.path(), &grants, "shutdown: { grace: 100ms }\n");
    let (mut client, mut callee) = (member(&server).await, join(&server).await);
    callee.register("acme.hang", json!({})).await.unwrap();
    order(&mut client, json!({ "url": backend.url("/"), "times": 2 })).await;
    let (_first, _second) = (backend.request().await, backend.request().await);
    order(&mut client, json!({ "procedure": "acme.hang", "args": [] })).await;
    callee.invocation().await;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let log = server.log();
    // The call has its answer when its callee is gone: mostly before.
    assert!(log.contains("their answers are dropped requests=2"), "{log}");
}
