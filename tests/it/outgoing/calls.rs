//! Calls of procedures by plugins.

use serde_json::{Value, json};

use super::backend::Backend;
use super::{count, join, member, order, report, serve, site};

const ALLOWED: &str = "calls: { allow: ['out/*', 'acme.*'] }";

#[tokio::test(flavor = "multi_thread")]
async fn reaches_handlers_and_clients() {
    let site = site();
    let server = serve(site.path(), ALLOWED);
    let (mut client, mut callee) = (member(&server).await, join(&server).await);
    callee.register("acme.double", json!({ "disclose_caller": true })).await.unwrap();
    // A handler, which is the caller itself: its lane does not wait.
    let args = json!([{ "do": "who" }]);
    order(&mut client, json!({ "procedure": "out/a", "args": args, "tag": 1 })).await;
    let who = json!([["plugin:outgoing", "plugin", "plugin"]]);
    assert_eq!(report(&mut client).await, json!(["answer", 1, who]));
    // A client.
    order(&mut client, json!({ "procedure": "acme.double", "args": [21], "tag": 2 })).await;
    let invocation = callee.invocation().await;
    assert_eq!(invocation[4], json!([21]));
    callee.send(&json!([70, invocation[1], {}, [42], { "unit": "m" }]));
    assert_eq!(report(&mut client).await, json!(["answer", 2, [42]]));
    // Its error.
    order(&mut client, json!({ "procedure": "acme.double", "args": [1], "tag": 3 })).await;
    let invocation = callee.invocation().await;
    callee.send(&json!([8, 68, invocation[1], {}, "acme.error.odd", ["one"]]));
    assert_eq!(report(&mut client).await, json!(["failed", 3, "acme.error.odd", "one"]));
    let count = count(&server, "calls").await;
    assert_eq!(count, json!({ "in_flight": 0, "accepted": 3, "refused": 0, "dropped": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_an_answer() {
    let site = site();
    let server = serve(site.path(), ALLOWED);
    let mut client = member(&server).await;
    let mut fails = async |what: Value, kind: &str, uri: &str| {
        order(&mut client, what).await;
        let report = report(&mut client).await;
        assert_eq!((&report[0], &report[2]), (&json!(kind), &json!(uri)), "{report}");
    };
    let denied = json!({ "procedure": "other.secret", "args": [] });
    fails(denied, "refused", "wamp.error.not_authorized").await;
    let none = json!({ "procedure": "acme.none", "args": [] });
    fails(none, "failed", "wamp.error.no_such_procedure").await;
    let unwilling = json!({ "procedure": "out/a", "args": [{ "do": "fail" }] });
    fails(unwilling, "failed", "acme.error.unwilling").await;
    let trap = json!({ "procedure": "out/a", "args": [{ "do": "twice" }] });
    fails(trap, "failed", "jackfield.error.handler_failed").await;
    // A callee that hangs, and one that leaves.
    let mut callee = join(&server).await;
    callee.register("acme.hang", json!({})).await.unwrap();
    let hang = json!({ "procedure": "acme.hang", "args": [], "timeout": 50 });
    fails(hang.clone(), "failed", "wamp.error.timeout").await;
    callee.invocation().await;
    order(&mut client, json!({ "procedure": "acme.hang", "args": [] })).await;
    callee.invocation().await;
    drop(callee);
    assert_eq!(report(&mut client).await[2], "wamp.error.canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_lead_to_each_other_end() {
    let site = site();
    let server = serve(site.path(), ALLOWED);
    let mut client = member(&server).await;
    // Each deferred call makes the next one, by an order within the order.
    let nested = |depth: usize| {
        (0..depth).fold(
            json!({ "do": "echo" }),
            |inner, _| json!({ "procedure": "out/a", "args": [inner] }),
        )
    };
    let (args, _) = client.call("out/a", json!({}), json!([nested(8)]), Value::Null).await.unwrap();
    assert!(args.to_string().contains("echo"), "{args}");
    let error = client.call("out/a", json!({}), json!([nested(9)]), Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.unavailable", "{error:?}");
    assert_eq!(count(&server, "calls").await["in_flight"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_lead_to_calls_end() {
    let site = site();
    let server = serve(site.path(), ALLOWED);
    let mut client = member(&server).await;
    let echo = json!({ "procedure": "out/a", "args": [{ "do": "echo" }] });
    let again =
        json!({ "procedure": "out/a", "args": [{ "do": "echo" }], "tag": 1, "again": echo });
    order(&mut client, again).await;
    let mut answers = 0;
    let refused = loop {
        let report = report(&mut client).await;
        if report[0] != "answer" {
            break report;
        }
        answers += 1;
    };
    assert_eq!((&refused[0], &refused[2]), (&json!("refused"), &json!("wamp.error.unavailable")));
    assert_eq!(refused[3], "calls of plugins led to each other 8 times");
    // Results may be reported after the refusal that the last one led to.
    while answers < 8 {
        assert_eq!(report(&mut client).await[0], "answer");
        answers += 1;
    }
    let count = count(&server, "calls").await;
    assert_eq!(count, json!({ "in_flight": 0, "accepted": 8, "refused": 1, "dropped": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_end_although_requests_are_between_them() {
    let backend = Backend::start().await;
    let site = site();
    let server = serve(site.path(), &format!("{}, {ALLOWED}", backend.allowed("")));
    let mut client = member(&server).await;
    let args = json!([{ "do": "loop", "url": backend.url("/") }]);
    order(&mut client, json!({ "procedure": "out/a", "args": args, "tag": 1 })).await;
    for _ in 0..8 {
        backend.request().await.answer("on").await;
    }
    let refused = loop {
        let report = report(&mut client).await;
        if report[0] == "refused" {
            break report;
        }
    };
    assert_eq!(refused[2], "wamp.error.unavailable", "{refused}");
    assert!(backend.is_idle(), "the last call was not made");
    assert_eq!(count(&server, "calls").await["accepted"], 8);
}
