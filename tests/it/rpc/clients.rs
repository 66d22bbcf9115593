//! Procedures that clients register: calls between sessions of every codec and both versions,
//! checks of registrations, and calls whose caller or callee leaves. Details are in the broker's
//! own tests.

use serde_json::{Value, json};

use super::{UNKNOWN, call, join, serve};
use crate::reload::reloading;
use jackfield_tests::build;
use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Returns a client that announces all features of a callee.
async fn callee(server: &Server, codec: Codec) -> Client {
    let mut options = Options::new(codec);
    options.details["roles"]["callee"] = json!({"features": {
        "call_canceling": true, "progressive_call_results": true, "registration_revocation": true,
    }});
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

/// Sends a CALL, and returns its id.
fn send_call(client: &mut Client, procedure: &str, options: &Value, args: &Value) -> u64 {
    let request = client.next_request();
    client.send(&json!([48, request, options, procedure, args]));
    request
}

/// Returns the URI of the error.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, WampError>) -> String {
    answer.unwrap_err().uri
}

#[tokio::test]
async fn every_codec_calls_every_codec() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut offering = callee(&server, codec).await;
        // The previous callee has left, which the server may not have noticed.
        let echo = &format!("open/echo{codec:?}");
        let registration = offering.register(echo, json!({})).await.unwrap();
        for other in Codec::ALL {
            let mut caller = join(&server, other).await;
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
            let request = send_call(&mut caller, echo, &json!({}), &json!([]));
            let invocation = offering.invocation().await;
            let details = json!({"trace": [1, {"deep": binary(&[0, 255])}]});
            offering.send(&json!([8, 68, invocation[1], details, "com.sorry", ["no"], {"why": 1}]));
            let error = caller.message().await;
            assert_eq!(error, json!([8, 48, request, details, "com.sorry", ["no"], {"why": 1}]));
        }
        let mut page = v1::Client::connect(server.addr).await;
        let answering = async {
            let invocation = offering.invocation().await;
            assert_eq!(invocation[5], json!({"term": 2}));
            offering.send(&json!([70, invocation[1], {}, [7]]));
        };
        let arguments = [json!({"term": 2})];
        let (answer, ()) = tokio::join!(page.call(echo, &arguments), answering);
        assert_eq!(answer, Ok(json!([7])));
    }
}

#[tokio::test]
async fn checks_registrations_against_routes_and_roles() {
    let site = Site::open();
    let routes = "\
sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }
guarded: { channel: 'guarded.{name}', handler: { callback: 'mute' }, allow: { register: [staff] } }
";
    site.bundle("methods", routes, &[build::guest("methods")]);
    let server = Server::start(site.path());
    let mut client = callee(&server, Codec::Json).await;
    for (procedure, options, uri) in [
        // A handler's procedures cannot be registered, nor can those without a route.
        ("sample/sum", json!({}), "wamp.error.procedure_already_exists"),
        ("guarded.x", json!({}), "wamp.error.not_authorized"),
        ("nowhere", json!({}), "jackfield.error.no_route"),
        ("wamp.session.count", json!({}), "wamp.error.invalid_uri"),
        ("wamp.", json!({"match": "prefix"}), "wamp.error.invalid_uri"),
        ("a b", json!({}), "wamp.error.invalid_uri"),
        ("open..x", json!({}), "wamp.error.invalid_uri"),
    ] {
        assert_eq!(refused(client.register(procedure, options).await), uri, "{procedure}");
    }
    client.register("open/a", json!({})).await.unwrap();
    let mut other = callee(&server, Codec::Cbor).await;
    let taken = "wamp.error.procedure_already_exists";
    assert_eq!(refused(other.register("open/a", json!({})).await), taken);
    assert_eq!(refused(client.register("open/a", json!({})).await), taken);

    // A pattern is accepted, and called only for procedures that its callee may register by name.
    client.register("", json!({"match": "prefix"})).await.unwrap();
    client.register("open.", json!({"match": "wildcard"})).await.unwrap();
    for procedure in ["guarded.x", "nowhere"] {
        assert_eq!(call(&mut other, procedure, json!([])).await, Err(UNKNOWN.to_owned()));
    }
    let closed = call(&mut other, "wamp.session.count", json!([])).await;
    assert_eq!(closed, Err("wamp.error.not_authorized".to_owned()));
    assert_eq!(call(&mut other, "sample/sum", json!([1])).await, Ok(json!([1])));
    send_call(&mut other, "open/b", &json!({"disclose_me": true}), &json!([]));
    let details = &client.invocation().await[3];
    assert_eq!(details["procedure"], "open/b");
    assert_eq!(details["caller"], other.session());
    assert_eq!(details["caller_authrole"], "anonymous");
}

#[tokio::test]
async fn registers_any_procedure_where_no_route_is_needed() {
    let site = Site::new();
    let server = Server::configured(site.path(), "unrouted: broadcast\n");
    let mut offering = callee(&server, Codec::MsgPack).await;
    let mut caller = join(&server, Codec::Json).await;
    assert_eq!(call(&mut caller, "com.acme.sum", json!([])).await, Err(UNKNOWN.to_owned()));
    offering.register("com.acme.sum", json!({})).await.unwrap();
    send_call(&mut caller, "com.acme.sum", &json!({}), &json!([1, 2]));
    let invocation = offering.invocation().await;
    offering.send(&json!([70, invocation[1], {}, [3]]));
    assert_eq!(caller.message().await[3], json!([3]));
}

#[tokio::test]
async fn cancels_calls_and_streams_progressive_results() {
    let (_site, server) = serve();
    let (mut offering, mut caller) =
        (callee(&server, Codec::Json).await, join(&server, Codec::Json).await);
    offering.register("open/slow", json!({})).await.unwrap();
    let request =
        send_call(&mut caller, "open/slow", &json!({"receive_progress": true}), &json!([]));
    let invocation = offering.invocation().await;
    assert_eq!(invocation[3], json!({"receive_progress": true}));
    offering.send(&json!([70, invocation[1], {"progress": true}, [1]]));
    assert_eq!(caller.message().await, json!([50, request, {"progress": true}, [1]]));
    caller.send(&json!([49, request, {"mode": "kill"}]));
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
    offering.send(&json!([8, 68, invocation[1], {}, "wamp.error.canceled"]));
    assert_eq!(caller.message().await, json!([8, 48, request, {}, "wamp.error.canceled"]));

    // Without a mode the caller does not wait, and a later result is dropped.
    let request = send_call(&mut caller, "open/slow", &json!({}), &json!([]));
    let invocation = offering.invocation().await;
    caller.send(&json!([49, request, {}]));
    assert_eq!(caller.message().await[4], "wamp.error.canceled");
    assert_eq!(offering.message().await[0], 69);
    offering.send(&json!([70, invocation[1], {}, ["late"]]));
    offering.round_trip().await;
    caller.round_trip().await;
}

#[tokio::test]
async fn fails_calls_of_a_callee_that_has_gone() {
    let (_site, server) = serve();
    let mut offering = callee(&server, Codec::Json).await;
    let (mut caller, mut page) =
        (join(&server, Codec::Cbor).await, v1::Client::connect(server.addr).await);
    offering.register("open/slow", json!({})).await.unwrap();
    let request = send_call(&mut caller, "open/slow", &json!({}), &json!([]));
    let gone = async {
        // Waits until both calls have arrived.
        offering.invocation().await;
        offering.invocation().await;
        drop(offering);
    };
    let (answer, ()) = tokio::join!(page.call("open/slow", &[]), gone);
    assert_eq!(answer.unwrap_err().uri, "wamp.error.canceled");
    let error = caller.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(request), &json!("wamp.error.canceled")));
    assert_eq!(call(&mut caller, "open/slow", json!([])).await, Err(UNKNOWN.to_owned()));

    // Calls of a caller that has left are interrupted.
    let mut offering = callee(&server, Codec::Json).await;
    offering.register("open/slow", json!({})).await.unwrap();
    send_call(&mut caller, "open/slow", &json!({}), &json!([]));
    let invocation = offering.invocation().await;
    drop(caller);
    let interrupt = offering.message().await;
    assert_eq!((&interrupt[0], &interrupt[1]), (&json!(69), &invocation[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_calls_round_robin() {
    let (_site, server) = serve();
    let mut callees = Vec::new();
    for codec in Codec::ALL {
        let mut one = callee(&server, codec).await;
        one.register("open/shared", json!({"invoke": "roundrobin"})).await.unwrap();
        callees.push(one);
    }
    let mut caller = join(&server, Codec::Json).await;
    for number in 0..30_usize {
        send_call(&mut caller, "open/shared", &json!({}), &json!([number]));
    }
    for number in 0..30_usize {
        let one = &mut callees[number % 3];
        let invocation = one.invocation().await;
        assert_eq!(invocation[4], json!([number]));
        one.send(&json!([70, invocation[1], {}, [number]]));
        assert_eq!(caller.message().await[3], json!([number]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_revokes_registrations_without_a_route() {
    let (site, server) = serve();
    let mut offering = callee(&server, Codec::Json).await;
    let mut caller = join(&server, Codec::Json).await;
    let first = offering.register("open/first", json!({})).await.unwrap();
    let second = offering.register("open.second", json!({})).await.unwrap();
    // One loses its route, and a handler answers the other from now on.
    let routes = "\
dotted: { channel: 'open.{method}', handler: { callback: 'methods' } }
";
    reloading(&server, || {
        site.remove("open");
        site.write("methods/websocket_routing.yml", routes);
    });
    let mut revoked = Vec::new();
    while revoked.len() < 2 {
        let message = offering.message().await;
        assert_eq!((&message[0], &message[1]), (&json!(67), &json!(0)), "{message}");
        revoked.push(message[2]["registration"].as_u64().unwrap());
    }
    revoked.sort_unstable();
    assert_eq!(revoked, [first, second]);
    assert_eq!(call(&mut caller, "open/first", json!([])).await, Err(UNKNOWN.to_owned()));
    assert_eq!(call(&mut caller, "open.sum", json!([2, 5])).await, Ok(json!([7])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_revokes_registrations_that_are_no_longer_allowed() {
    let (site, server) = serve();
    let routes = |allow: &str| {
        format!("free: {{ channel: 'free.{{name}}', handler: {{ callback: 'mute' }}{allow} }}\n")
    };
    let allowing = |allow: &str| {
        reloading(&server, || site.write("free/websocket_routing.yml", routes(allow)));
    };
    allowing("");
    let mut offering = callee(&server, Codec::Json).await;
    let mut plain = join(&server, Codec::Cbor).await;
    let mut caller = join(&server, Codec::Json).await;
    let registration = offering.register("free.a", json!({})).await.unwrap();
    let kept = offering.register("open/a", json!({})).await.unwrap();
    plain.register("free.b", json!({})).await.unwrap();
    allowing(", allow: { register: [anonymous] }");
    send_call(&mut caller, "free.a", &json!({}), &json!(["for it"]));
    let invocation = offering.invocation().await;
    assert_eq!(invocation[2], registration, "a session with the role keeps its registration");
    allowing(", allow: { register: [staff] }");
    let revoked = offering.message().await;
    assert_eq!((&revoked[0], &revoked[1]), (&json!(67), &json!(0)), "{revoked}");
    assert_eq!(revoked[2]["registration"], registration);
    // The callee may still answer an earlier invocation.
    offering.send(&json!([70, invocation[1], {}, ["done"]]));
    assert_eq!(caller.message().await[3], json!(["done"]));
    for procedure in ["free.a", "free.b"] {
        let answer = call(&mut caller, procedure, json!(["secret"])).await;
        assert_eq!(answer, Err(UNKNOWN.to_owned()), "{procedure}");
    }
    send_call(&mut caller, "open/a", &json!({}), &json!([]));
    assert_eq!(offering.invocation().await[2], kept);
}

/// The roles of a pattern's callee are checked at each call.
#[tokio::test(flavor = "multi_thread")]
async fn pattern_registrations_follow_the_roles_that_a_reload_changes() {
    let site = Site::open();
    let routes = |role: &str| {
        format!(
            "pat: {{ channel: 'com.pat.{{name}}', handler: {{ callback: 'mute' }}, \
             allow: {{ register: [{role}] }} }}\n"
        )
    };
    site.bundle("methods", &routes("anonymous"), &[build::guest("methods")]);
    let server = Server::start(site.path());
    let mut offering = callee(&server, Codec::Json).await;
    let mut caller = join(&server, Codec::Json).await;
    for (policy, pattern) in [("prefix", "com.pat."), ("wildcard", "com.pat.")] {
        let registration = offering.register(pattern, json!({"match": policy})).await.unwrap();
        for (role, called) in [("anonymous", true), ("staff", false), ("anonymous", true)] {
            reloading(&server, || {
                site.write(
                    "methods/websocket_routing.yml",
                    routes(role) + &format!("# {policy}\n"),
                );
            });
            if called {
                send_call(&mut caller, "com.pat.x", &json!({}), &json!([]));
                let invocation = offering.invocation().await;
                assert_eq!(invocation[3]["procedure"], "com.pat.x");
                offering.send(&json!([70, invocation[1], {}, ["here"]]));
                assert_eq!(caller.message().await[3], json!(["here"]), "{policy}");
            } else {
                let answer = call(&mut caller, "com.pat.x", json!([])).await;
                assert_eq!(answer, Err(UNKNOWN.to_owned()), "{policy}");
            }
        }
        offering.send(&json!([66, 9_000, registration]));
        assert_eq!(offering.message().await, json!([67, 9_000]));
    }
}

/// Wampy, for one, announces no features.
#[tokio::test]
async fn accepts_progressive_results_of_callees_that_did_not_announce_them() {
    let (_site, server) = serve();
    let mut offering = join(&server, Codec::Json).await;
    let mut caller = join(&server, Codec::MsgPack).await;
    offering.register("open/slow", json!({})).await.unwrap();
    let request =
        send_call(&mut caller, "open/slow", &json!({"receive_progress": true}), &json!([]));
    let invocation = offering.invocation().await;
    assert_eq!(invocation[3], json!({"receive_progress": true}));
    offering.send(&json!([70, invocation[1], {"progress": true}, [1]]));
    offering.send(&json!([70, invocation[1], {}, [2]]));
    assert_eq!(caller.message().await, json!([50, request, {"progress": true}, [1]]));
    assert_eq!(caller.message().await, json!([50, request, {}, [2]]));
}

/// An ERROR would look like the answer to the pending call.
#[tokio::test]
async fn rejects_the_request_id_of_an_open_call() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut offering = callee(&server, codec).await;
        let slow = &format!("open/slow{codec:?}");
        offering.register(slow, json!({})).await.unwrap();
        // Repeated for a callee, and for a handler.
        for repeated in [slow.as_str(), "sample/sum"] {
            let mut caller = join(&server, codec).await;
            caller.send(&json!([48, 7_000, {}, slow]));
            offering.invocation().await;
            caller.send(&json!([48, 7_000, {}, repeated]));
            let (reason, details) = caller.aborted().await;
            assert_eq!(reason, "wamp.error.protocol_violation", "{codec:?} {repeated}");
            assert!(details["message"].as_str().unwrap().contains("7000"), "{details}");
            // The callee is interrupted, as the caller has left.
            assert_eq!(offering.message().await[0], 69);
        }
        // The id of an ended call is free again.
        let mut caller = join(&server, codec).await;
        for _ in 0..2 {
            caller.send(&json!([48, 7_000, {}, "sample/sum", [1]]));
            assert_eq!(caller.message().await[3], json!([1]));
        }
    }
}

#[tokio::test]
async fn third_party_clients_are_called() {
    let (_site, server) = serve();
    let mut callers = Vec::new();
    for codec in Codec::ALL {
        callers.push(join(&server, codec).await);
    }
    for (number, library) in Library::all_v2().enumerate() {
        let mut peer = Peer::join(library, server.addr).await;
        let procedure = format!("open.peer{number}");
        peer.done(json!({"do": "register", "procedure": procedure})).await;
        for caller in &mut callers {
            let (args, kwargs) = (json!(["é", [1, null]]), json!({"k": {"n": 1}}));
            let answer = caller.call(&procedure, json!({}), args.clone(), kwargs.clone());
            let answer = within(format!("{library:?} to answer"), answer).await.unwrap();
            assert_eq!(answer, (args, kwargs), "{library:?}");
        }
        // The peer also calls itself.
        let own = peer.call(&procedure, json!([1, 2]), json!({"k": 1})).await;
        assert_eq!(
            (&own["args"], &own["kwargs"]),
            (&json!([1, 2]), &json!({"k": 1})),
            "{library:?}"
        );
        peer.leave().await;
        for caller in &mut callers {
            assert_eq!(call(caller, &procedure, json!([])).await, Err(UNKNOWN.to_owned()));
        }
    }
}
