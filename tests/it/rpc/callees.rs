//! Calls between clients that end by a timeout, and the choice among several callees.

use serde_json::{Value, json};

use super::{join, serve};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;

const UNAVAILABLE: &str = "wamp.error.unavailable";

/// Returns a client that announces these features as a callee.
async fn callee(server: &Server, features: Value) -> Client {
    let mut options = Options::new(Codec::Json);
    options.details["roles"]["callee"] = json!({ "features": features });
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap()
}

async fn every_feature(server: &Server) -> Client {
    let features = json!({"call_canceling": true, "call_timeout": true, "call_reroute": true});
    callee(server, features).await
}

fn send_call(client: &mut Client, procedure: &str, options: &Value) -> u64 {
    let request = client.next_request();
    client.send(&json!([48, request, options, procedure, [1]]));
    request
}

#[tokio::test]
async fn ends_calls_of_clients_at_their_timeouts() {
    let (_site, server) = serve();
    let (mut first, mut caller) = (every_feature(&server).await, join(&server, Codec::Json).await);
    first.register("open/slow", json!({})).await.unwrap();
    // The later call ends earlier.
    let long = send_call(&mut caller, "open/slow", &json!({"timeout": 400}));
    let short = send_call(&mut caller, "open/slow", &json!({"timeout": 50}));
    let ids = [first.invocation().await[1].clone(), first.invocation().await[1].clone()];
    for (call, id, limit) in [(short, &ids[1], 50), (long, &ids[0], 400)] {
        let text = format!("the call took longer than its timeout of {limit} ms");
        let error = json!([8, 48, call, {"message": text}, "wamp.error.timeout", [text]]);
        assert_eq!(caller.message().await, error);
        let options = json!({"mode": "killnowait", "reason": "wamp.error.timeout"});
        assert_eq!(first.message().await, json!([69, id, options]));
    }
    // An answer that comes later is dropped, and the id can be used again.
    first.send(&json!([70, ids[0], {}, ["late"]]));
    first.round_trip().await;
    caller.round_trip().await;
    assert_eq!(caller.try_message(), None);

    // The callee keeps the time if it says so in REGISTER and in HELLO.
    first.register("open/own", json!({"forward_timeout": true})).await.unwrap();
    send_call(&mut caller, "open/own", &json!({"timeout": 1}));
    let invocation = first.invocation().await;
    assert_eq!(invocation[3], json!({"timeout": 1}));
    first.send(&json!([8, 68, invocation[1], {}, "wamp.error.timeout"]));
    assert_eq!(caller.message().await[4], "wamp.error.timeout");
}

#[tokio::test]
async fn third_party_callers_have_timeouts() {
    let (_site, server) = serve();
    let mut silent = every_feature(&server).await;
    silent.register("open.silent", json!({})).await.unwrap();
    for library in [
        Library::AutobahnPython(Codec::Cbor),
        Library::XconnPython(Codec::Json),
        Library::AutobahnJs(Codec::MsgPack),
        Library::Wampy(Codec::Json),
    ] {
        let mut peer = Peer::join(library, server.addr).await;
        let call = json!({"do": "call", "procedure": "open.silent", "options": {"timeout": 50}});
        let answer = within(format!("{library:?} to time out"), peer.tell(call)).await;
        assert!(answer.to_string().contains("wamp.error.timeout"), "{library:?}: {answer}");
        peer.leave().await;
    }
    for _ in 0..4 {
        let invocation = silent.invocation().await;
        let interrupt = silent.message().await;
        assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    }
}

#[tokio::test]
async fn unavailable_callees_pass_calls_on() {
    let (_site, server) = serve();
    let shared = json!({"invoke": "roundrobin"});
    let mut callees = Vec::new();
    for features in [json!({"call_reroute": true}), json!({}), json!({"call_reroute": true})] {
        let mut one = callee(&server, features).await;
        one.register("open/shared", shared.clone()).await.unwrap();
        callees.push(one);
    }
    let mut caller = join(&server, Codec::MsgPack).await;
    let request = send_call(&mut caller, "open/shared", &json!({}));
    let mut expect = json!(null);
    for one in &mut callees {
        let invocation = within("the next callee", one.invocation()).await;
        assert_eq!(invocation[4], json!([1]));
        expect = invocation[1].clone();
        if request == 1 {
            one.send(&json!([8, 68, invocation[1], {}, UNAVAILABLE]));
        }
    }
    assert!(expect.is_u64());
    assert_eq!(caller.message().await[4], "wamp.error.no_available_callee");
    // The second call begins with the first callee again.
    send_call(&mut caller, "open/shared", &json!({}));
    let invocation = callees[0].invocation().await;
    callees[0].send(&json!([8, 68, invocation[1], {}, UNAVAILABLE]));
    let invocation = callees[1].invocation().await;
    callees[1].send(&json!([70, invocation[1], {}, ["here"]]));
    assert_eq!(caller.message().await[3], json!(["here"]));
}

#[tokio::test]
async fn limits_the_concurrent_calls_of_a_callee() {
    let (_site, server) = serve();
    let mut one = callee(&server, json!({})).await;
    let options = json!({"concurrency": 1, "invoke": "queue_least_loaded"});
    one.register("open/one", options).await.unwrap();
    let mut caller = join(&server, Codec::Cbor).await;
    let first = send_call(&mut caller, "open/one", &json!({}));
    let invocation = one.invocation().await;
    let second = send_call(&mut caller, "open/one", &json!({}));
    let error = caller.message().await;
    assert_eq!(
        (&error[2], &error[4]),
        (&json!(second), &json!("wamp.error.max_concurrency_reached"))
    );
    assert!(error[5][0].as_str().unwrap().contains("`concurrency: 1`"), "{error}");
    one.send(&json!([70, invocation[1], {}, [2]]));
    assert_eq!(caller.message().await, json!([50, first, {}, [2]]));
    send_call(&mut caller, "open/one", &json!({}));
    one.invocation().await;
}

#[tokio::test]
async fn a_client_takes_over_the_procedure_of_a_stale_one() {
    let (_site, server) = serve();
    let mut stale = callee(&server, json!({"registration_revocation": true})).await;
    let registration = stale.register("open/one", json!({})).await.unwrap();
    let mut caller = join(&server, Codec::Json).await;
    let first = send_call(&mut caller, "open/one", &json!({}));
    let invocation = stale.invocation().await;

    let mut fresh = callee(&server, json!({})).await;
    let taken = fresh.register("open/one", json!({})).await.unwrap_err();
    assert_eq!(taken.uri, "wamp.error.procedure_already_exists");
    let pattern = json!({"force_reregister": true, "match": "prefix"});
    let refused = fresh.register("open/", pattern).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.invalid_argument");
    fresh.register("open/one", json!({"force_reregister": true})).await.unwrap();
    let reason = "jackfield.close.registration_replaced";
    let ended = json!([67, 0, {"registration": registration, "reason": reason}]);
    assert_eq!(stale.message().await, ended);
    stale.send(&json!([70, invocation[1], {}, ["old"]]));
    assert_eq!(caller.message().await, json!([50, first, {}, ["old"]]));

    let second = send_call(&mut caller, "open/one", &json!({}));
    let invocation = fresh.invocation().await;
    fresh.send(&json!([70, invocation[1], {}, ["new"]]));
    assert_eq!(caller.message().await, json!([50, second, {}, ["new"]]));
}

#[tokio::test]
async fn wrong_options_are_named() {
    let (_site, server) = serve();
    for (message, text) in [
        (json!([64, 1, {"concurrency": 0}, "open/x"]), "REGISTER.Options.concurrency"),
        (json!([64, 1, {"concurrency": "2"}, "open/x"]), "REGISTER.Options.concurrency"),
        (json!([64, 1, {"concurrency": -1}, "open/x"]), "REGISTER.Options.concurrency"),
        (json!([64, 1, {"force_reregister": 1}, "open/x"]), "REGISTER.Options.force_reregister"),
        (json!([64, 1, {"invoke": "busy"}, "open/x"]), "REGISTER.Options.invoke"),
        (json!([64, 1, {"forward_timeout": 1}, "open/x"]), "REGISTER.Options.forward_timeout"),
        (json!([48, 1, {"timeout": -1}, "open/x"]), "CALL.Options.timeout"),
        (json!([48, 1, {"timeout": "1"}, "open/x"]), "CALL.Options.timeout"),
        (json!([48, 1, {"timeout": 0.5}, "open/x"]), "CALL.Options.timeout"),
    ] {
        let mut client = join(&server, Codec::Json).await;
        client.send(&message);
        let (reason, details) = client.aborted().await;
        assert_eq!(reason, "wamp.error.protocol_violation");
        let said = details["message"].as_str().unwrap();
        assert!(said.starts_with(text), "{message}: {said}");
    }
    // Null counts as absent, and so does a timeout beyond the range of the clock.
    let mut offering = every_feature(&server).await;
    offering.register("open/null", json!({"concurrency": null, "invoke": null})).await.unwrap();
    let mut caller = join(&server, Codec::Json).await;
    for timeout in [json!(null), json!(0), json!(u64::MAX)] {
        send_call(&mut caller, "open/null", &json!({"timeout": timeout}));
        let invocation = offering.invocation().await;
        offering.send(&json!([70, invocation[1], {}]));
        assert_eq!(caller.message().await[0], 50);
    }
}
