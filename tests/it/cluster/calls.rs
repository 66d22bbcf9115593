//! Calls between nodes: registrations of all nodes, results in parts, cancellations, shared procedures,
//! patterns, and nodes that are gone.

use serde_json::{Value, json};

use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;

use super::{Nats, join, node, until_peers};

const TAKEN: &str = "wamp.error.procedure_already_exists";
const UNKNOWN: &str = "wamp.error.no_such_procedure";
const CANCELED: &str = "wamp.error.canceled";

/// Returns a client that announces all features of a callee.
async fn callee(server: &Server, codec: Codec) -> Client {
    let mut options = Options::new(codec);
    options.details["roles"]["callee"] = json!({"features": {
        "call_canceling": true, "progressive_call_results": true, "call_reroute": true,
        "progressive_call_invocations": true, "registration_revocation": true,
    }});
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

/// Sends a CALL, and returns its id.
fn send_call(client: &mut Client, procedure: &str, options: &Value, args: &Value) -> u64 {
    let request = client.next_request();
    client.send(&json!([48, request, options, procedure, args]));
    request
}

async fn call(client: &mut Client, procedure: &str) -> Result<Value, WampError> {
    let answer = client.call(procedure, json!({}), json!([]), Value::Null).await;
    answer.map(|(args, _)| args)
}

/// Takes the next invocation, and answers it with these arguments. Returns the invocation.
async fn answer(callee: &mut Client, args: Value) -> Value {
    let invocation = callee.invocation().await;
    callee.send(&json!([70, invocation[1], {}, args]));
    invocation
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_is_called_from_every_node() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    for codec in Codec::ALL {
        let mut offering = callee(&nodes[0], codec).await;
        let echo = &format!("open/echo{codec:?}");
        let registration = offering.register(echo, json!({})).await.unwrap();
        for (server, other) in nodes.iter().zip(Codec::ALL) {
            let mut caller = Client::connect(server.addr, other, "realm1").await;
            let values = json!([1, "ü", [null, 0.5], {"deep": binary(&[0, 255])}]);
            let request = caller.next_request();
            caller.send(&json!([48, request, {}, echo, values, {"k": values}]));
            let invocation = offering.invocation().await;
            let expect = json!([68, invocation[1], registration, {}, values, {"k": values}]);
            assert_eq!(invocation, expect, "{other:?} to {codec:?}");
            offering.send(&json!([70, invocation[1], {}, invocation[4], invocation[5]]));
            let result = caller.message().await;
            assert_eq!(result, json!([50, request, {}, values, {"k": values}]));
            // The callee fails.
            let request = send_call(&mut caller, echo, &json!({"disclose_me": true}), &json!([]));
            let invocation = offering.invocation().await;
            assert_eq!(invocation[3]["caller"], caller.session());
            assert_eq!(invocation[3]["caller_authrole"], "anonymous");
            let details = json!({"trace": [1]});
            offering.send(&json!([8, 68, invocation[1], details, "com.sorry", ["no"], {"why": 1}]));
            let error = caller.message().await;
            assert_eq!(error, json!([8, 48, request, details, "com.sorry", ["no"], {"why": 1}]));
        }
        let mut page = v1::Client::connect(nodes[1].addr).await;
        let arguments = [json!({"term": 2})];
        let (result, invocation) =
            tokio::join!(page.call(echo, &arguments), answer(&mut offering, json!([7])));
        assert_eq!((result, &invocation[5]), (Ok(json!([7])), &json!({"term": 2})));
    }
    let mut caller = join(&nodes[1]).await;
    assert_eq!(call(&mut caller, "open/none").await.unwrap_err().uri, UNKNOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_is_granted_once() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut first = callee(&nodes[0], Codec::Json).await;
    let mut second = callee(&nodes[1], Codec::Json).await;
    let registration = first.register("open/one", json!({})).await.unwrap();
    let shared = json!({"invoke": "roundrobin"});
    for options in [json!({}), shared.clone()] {
        assert_eq!(second.register("open/one", options).await.unwrap_err().uri, TAKEN);
    }
    first.register("open/shared", shared.clone()).await.unwrap();
    second.register("open/shared", shared).await.unwrap();
    let refused = second.register("open/shared", json!({"invoke": "random"})).await.unwrap_err();
    assert_eq!(refused.uri, TAKEN);
    // A pattern cannot be forced, and ends no procedure of the other node.
    let pattern = json!({"force_reregister": true, "match": "prefix"});
    second.register("open/one", pattern).await.unwrap_err();
    let (result, _) = tokio::join!(call(&mut second, "open/one"), answer(&mut first, json!([1])));
    assert_eq!(result.unwrap(), json!([1]));
    // Another client wants it alone, and its predecessor is told so.
    let forced = second.register("open/one", json!({"force_reregister": true})).await;
    forced.unwrap();
    let revoked = first.message().await;
    assert_eq!((&revoked[0], &revoked[1]), (&json!(67), &json!(0)));
    assert_eq!(revoked[2]["registration"], registration);
    let (result, _) = tokio::join!(call(&mut first, "open/one"), answer(&mut second, json!([2])));
    assert_eq!(result.unwrap(), json!([2]));

    // Both want a procedure at the same time.
    for number in 0..50 {
        let race = format!("open/race-{number}");
        let (one, other) =
            tokio::join!(first.register(&race, json!({})), second.register(&race, json!({})));
        assert_ne!(one.is_ok(), other.is_ok(), "{number}: {one:?} {other:?}");
        let winner = if one.is_ok() { &mut first } else { &mut second };
        let mut caller = join(&nodes[number % 2]).await;
        let (result, _) = tokio::join!(call(&mut caller, &race), answer(winner, json!([number])));
        assert_eq!(result.unwrap(), json!([number]));
    }
    // Its end is known on the other node at once.
    let mut gone = callee(&nodes[0], Codec::Json).await;
    let last = gone.register("open/last", json!({})).await.unwrap();
    gone.unregister(last).await;
    within("the end of the registration", async {
        while second.register("open/last", json!({})).await.is_err() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_in_parts_and_cancellations_pass() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut offering = callee(&nodes[0], Codec::MsgPack).await;
    let mut caller = join(&nodes[1]).await;
    offering.register("open/slow", json!({})).await.unwrap();
    let progress = json!({"receive_progress": true});
    let request = send_call(&mut caller, "open/slow", &progress, &json!([]));
    let invocation = offering.invocation().await;
    assert_eq!(invocation[3], progress);
    for number in 0..100 {
        offering.send(&json!([70, invocation[1], {"progress": true}, [number]]));
    }
    for number in 0..100 {
        let part = caller.message().await;
        assert_eq!(part, json!([50, request, {"progress": true}, [number]]));
    }
    caller.send(&json!([49, request, {"mode": "kill"}]));
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    offering.send(&json!([8, 68, invocation[1], {}, CANCELED, ["as you wish"]]));
    let error = caller.message().await;
    assert_eq!(error, json!([8, 48, request, {}, CANCELED, ["as you wish"]]));

    // The caller does not wait, and a later result is dropped.
    for (mode, is_interrupted) in [("killnowait", true), ("skip", false)] {
        let request = send_call(&mut caller, "open/slow", &json!({}), &json!([]));
        let invocation = offering.invocation().await;
        caller.send(&json!([49, request, {"mode": mode}]));
        let error = caller.message().await;
        assert_eq!((&error[2], &error[4]), (&json!(request), &json!(CANCELED)));
        if is_interrupted {
            assert_eq!(offering.message().await[0], 69);
        }
        offering.send(&json!([70, invocation[1], {}, ["late"]]));
        offering.round_trip().await;
        let (result, _) =
            tokio::join!(call(&mut caller, "open/slow"), answer(&mut offering, json!([mode])));
        assert_eq!(result.unwrap(), json!([mode]));
    }

    // Its time is over.
    let request = send_call(&mut caller, "open/slow", &json!({"timeout": 50}), &json!([]));
    let invocation = offering.invocation().await;
    let error = caller.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(request), &json!("wamp.error.timeout")));
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    assert_eq!(interrupt[2]["reason"], "wamp.error.timeout");

    // Arguments in parts.
    let request = caller.next_request();
    for (number, more) in [(0, true), (1, true), (2, false)] {
        caller.send(&json!([48, request, {"progress": more}, "open/slow", [number]]));
    }
    let mut invocation = Value::Null;
    for number in 0..3 {
        invocation = offering.invocation().await;
        assert_eq!(invocation[4], json!([number]));
        assert_eq!(invocation[3]["progress"] == true, number < 2);
    }
    offering.send(&json!([70, invocation[1], {}, ["whole"]]));
    assert_eq!(caller.message().await, json!([50, request, {}, ["whole"]]));
    // A call that ends early: the rest is discarded.
    let request = caller.next_request();
    caller.send(&json!([48, request, {"progress": true}, "open/slow", [0]]));
    let invocation = offering.invocation().await;
    offering.send(&json!([8, 68, invocation[1], {}, "com.enough"]));
    assert_eq!(caller.message().await[4], "com.enough");
    caller.send(&json!([48, request, {"progress": false}, "open/slow", [1]]));
    caller.round_trip().await;

    // Calls of a caller that has left are interrupted, and those of a callee end.
    send_call(&mut caller, "open/slow", &json!({}), &json!([]));
    let invocation = offering.invocation().await;
    drop(caller);
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    let mut caller = join(&nodes[1]).await;
    let request = send_call(&mut caller, "open/slow", &json!({}), &json!([]));
    offering.invocation().await;
    drop(offering);
    let error = caller.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(request), &json!(CANCELED)));
    within("the end of the procedure", async {
        while call(&mut caller, "open/slow").await.unwrap_err().uri != UNKNOWN {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_procedures_and_patterns_are_called_on_all_nodes() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let mut callees = Vec::new();
    for server in [0, 0, 1] {
        let mut one = callee(&nodes[server], Codec::Json).await;
        one.register("open/turns", json!({"invoke": "roundrobin"})).await.unwrap();
        one.register("open/first", json!({"invoke": "first"})).await.unwrap();
        one.register("open/last", json!({"invoke": "last"})).await.unwrap();
        callees.push(one);
    }
    let mut caller = join(&nodes[2]).await;
    // A node has as many turns as callees.
    for number in 0..30 {
        send_call(&mut caller, "open/turns", &json!({}), &json!([number]));
    }
    for one in &mut callees {
        for _ in 0..10 {
            answer(one, json!([])).await;
        }
    }
    for _ in 0..30 {
        assert_eq!(caller.message().await[0], 50);
    }
    for (procedure, chosen) in [("open/first", 0), ("open/last", 2)] {
        for server in &nodes {
            let mut caller = join(server).await;
            let answering = answer(&mut callees[chosen], json!([chosen]));
            let (result, _) = tokio::join!(call(&mut caller, procedure), answering);
            assert_eq!(result.unwrap(), json!([chosen]), "{procedure}");
        }
    }
    // Those that are not available pass the call on, to the other node as well.
    let request = send_call(&mut caller, "open/first", &json!({}), &json!([]));
    for one in &mut callees[..2] {
        let invocation = one.invocation().await;
        one.send(&json!([8, 68, invocation[1], {}, "wamp.error.unavailable"]));
    }
    answer(&mut callees[2], json!(["taken"])).await;
    assert_eq!(caller.message().await, json!([50, request, {}, ["taken"]]));
    let request = send_call(&mut caller, "open/first", &json!({}), &json!([]));
    for one in &mut callees {
        let invocation = one.invocation().await;
        one.send(&json!([8, 68, invocation[1], {}, "wamp.error.unavailable"]));
    }
    let error = caller.message().await;
    assert_eq!(error[2], request);
    assert_eq!(error[4], "wamp.error.no_available_callee");

    // Patterns: the most specific one, on any node.
    callees[0].register("open/", json!({"match": "prefix"})).await.unwrap();
    callees[2].register("open/p", json!({"match": "prefix"})).await.unwrap();
    callees[1].register(".wild.", json!({"match": "wildcard"})).await.unwrap();
    for (procedure, chosen) in [("open/x", 0), ("open/px", 2)] {
        let answering = answer(&mut callees[chosen], json!([chosen]));
        let (result, invocation) = tokio::join!(call(&mut caller, procedure), answering);
        assert_eq!(result.unwrap(), json!([chosen]));
        assert_eq!(invocation[3]["procedure"], procedure);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_end_with_a_killed_node() {
    let nats = Nats::start();
    let [one, two, three] = ["web-1", "web-2", "web-3"].map(|name| node(&nats, name));
    let mut offering = callee(&one, Codec::Json).await;
    offering.register("open/slow", json!({})).await.unwrap();
    let mut other = callee(&three, Codec::Json).await;
    other.register("open/other", json!({})).await.unwrap();
    // The node of the caller dies.
    let mut lost = join(&three).await;
    send_call(&mut lost, "open/slow", &json!({}), &json!([]));
    let invocation = offering.invocation().await;
    // The node of the callee dies: the same one.
    let mut caller = join(&two).await;
    let request = send_call(&mut caller, "open/other", &json!({}), &json!([]));
    other.invocation().await;
    three.signal("KILL");
    let error = caller.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(request), &json!(CANCELED)));
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    assert_eq!(call(&mut caller, "open/other").await.unwrap_err().uri, UNKNOWN);
    // Its procedure is free again, and the others go on.
    caller.register("open/other", json!({})).await.unwrap();
    let (result, _) =
        tokio::join!(call(&mut caller, "open/slow"), answer(&mut offering, json!([1])));
    assert_eq!(result.unwrap(), json!([1]));
    // A node that stops takes its procedures along at once.
    one.signal("TERM");
    within("the end of the procedure", async {
        while call(&mut caller, "open/slow").await.unwrap_err().uri != UNKNOWN {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_within_a_node_go_on_without_nats() {
    let mut nats = Nats::start();
    let nodes = ["web-1", "web-2"].map(|name| node(&nats, name));
    let mut offering = callee(&nodes[0], Codec::Json).await;
    offering.register("open/slow", json!({})).await.unwrap();
    let (mut near, mut far) = (join(&nodes[0]).await, join(&nodes[1]).await);
    let request = send_call(&mut far, "open/slow", &json!({}), &json!([]));
    let invocation = offering.invocation().await;
    nats.kill();
    // The nodes give each other up: the call ends on both.
    let error = far.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(request), &json!(CANCELED)));
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    let (result, _) = tokio::join!(call(&mut near, "open/slow"), answer(&mut offering, json!([1])));
    assert_eq!(result.unwrap(), json!([1]));
    assert_eq!(call(&mut far, "open/slow").await.unwrap_err().uri, UNKNOWN);
    // Each half grants it. Together again, the older one gets all calls.
    let mut younger = callee(&nodes[1], Codec::Json).await;
    younger.register("open/slow", json!({})).await.unwrap();
    nats.restart();
    for server in &nodes {
        until_peers(server, 1).await;
    }
    let (result, _) =
        tokio::join!(call(&mut far, "open/slow"), answer(&mut offering, json!(["older"])));
    assert_eq!(result.unwrap(), json!(["older"]));
    drop(offering);
    let answering = async {
        loop {
            answer(&mut younger, json!(["younger"])).await;
        }
    };
    let calling = within("a call of the younger one", async {
        while call(&mut near, "open/slow").await.ok() != Some(json!(["younger"])) {}
    });
    tokio::select! {
        () = calling => {}
        () = answering => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_others_call_across_nodes() {
    let nats = Nats::start();
    let nodes = ["web-1", "web-2"].map(|name| node(&nats, name));
    let libraries = [
        Library::AutobahnPython(Codec::MsgPack),
        Library::AutobahnJs(Codec::Json),
        Library::XconnPython(Codec::Cbor),
    ];
    for (number, library) in libraries.into_iter().enumerate() {
        let mut offering = Peer::join(library, nodes[0].addr).await;
        let procedure = format!("open/echo-{number}");
        offering.done(json!({"do": "register", "procedure": procedure})).await;
        for other in libraries {
            let mut peer = Peer::join(other, nodes[1].addr).await;
            let result = peer.call(&procedure, json!([1, "ü"]), json!({})).await;
            assert_eq!(result["args"], json!([1, "ü"]), "{other:?} to {library:?}");
            peer.leave().await;
        }
        offering.leave().await;
    }
}
