//! Results of `on_call` that come later.

use serde_json::{Value, json};

use super::backend::Backend;
use super::{count, join, member, order, report, serve, site};

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_request_completes_a_call() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = join(&server).await;
    client.send(&json!([48, 900, {}, "out/a", [{ "url": backend.url("/") }]]));
    let arrived = backend.request().await;
    // The session goes on.
    client.round_trip().await;
    arrived.answer("done").await;
    assert_eq!(client.message().await, json!([50, 900, {}, [[200, "done"]]]));
    let count = count(&server, "later").await;
    assert_eq!(count, json!({ "in_flight": 0, "accepted": 1, "refused": 0, "dropped": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_deferral_reaches_the_caller_at_once() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let mut client = join(&server).await;
    let denied = json!([{ "url": "https://evil.example/" }]);
    let error = client.call("out/a", json!({}), denied, Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.runtime_error", "{error:?}");
    assert_eq!(count(&server, "later").await["in_flight"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_once() {
    let (backend, site) = (Backend::start().await, site());
    let server = serve(site.path(), &backend.allowed(""));
    let (mut watcher, mut client) = (member(&server).await, join(&server).await);
    let mut wait = async |client: &mut jackfield_tests::client::v2::Client, request: u64| {
        client.send(&json!([48, request, {}, "out/a", [{ "do": "wait" }]]));
        report(&mut watcher).await[1].as_u64().unwrap()
    };
    // CANCEL answers at once, and a result afterwards is too late.
    let later = wait(&mut client, 901).await;
    client.send(&json!([49, 901, {}]));
    assert_eq!(client.message().await[4], "wamp.error.canceled");
    let complete = |later: u64| json!({ "complete": later, "tell": "out/b" });
    client.subscribe("out/b", json!({})).await;
    order(&mut client, complete(later)).await;
    assert_eq!(client.event().await.args[0][2], false);
    assert_eq!(count(&server, "later").await["dropped"], 1);
    // A result, and a second one.
    let later = wait(&mut client, 902).await;
    let publisher = &mut join(&server).await;
    order(publisher, complete(later)).await;
    let mut messages = [client.message().await, client.message().await];
    messages.sort_by_key(|message| message[0].as_u64());
    assert_eq!(messages[1], json!([50, 902, {}, ["completed"]]));
    order(publisher, complete(later)).await;
    assert_eq!(client.event().await.args[0][2], false);
    // A session that ends takes its call with it.
    let later = wait(&mut client, 903).await;
    drop(client);
    while count(&server, "later").await["in_flight"] != 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    order(publisher, complete(later)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_deferred_call_is_bounded() {
    let (backend, site) = (Backend::start().await, site());
    let settings = format!("{}, later: {{ timeout: 100ms, in_flight: 1 }}", backend.allowed(""));
    let server = serve(site.path(), &settings);
    let mut client = join(&server).await;
    let wait = json!([{ "do": "wait" }]);
    let error = client.call("out/a", json!({}), wait.clone(), Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.timeout", "{error:?}");
    // The caller's own time, if it is shorter.
    let options = json!({ "timeout": 20 });
    let error = client.call("out/a", options, wait.clone(), Value::Null).await.unwrap_err();
    assert!(
        error.uri == "wamp.error.timeout" && format!("{error:?}").contains("20 ms"),
        "{error:?}"
    );
    // A hook that traps gives its place back.
    let trap = json!([{ "do": "trap" }]);
    let error = client.call("out/a", json!({}), trap, Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "jackfield.error.handler_failed");
    assert_eq!(count(&server, "later").await["in_flight"], 0);
    let twice = json!([{ "do": "twice" }]);
    let error = client.call("out/a", json!({}), twice, Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "jackfield.error.handler_failed");
}
