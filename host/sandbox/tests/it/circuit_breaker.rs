//! A handler that keeps failing is not called for those whose calls fail; for all others it is.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use jackfield_sandbox::{
    Caller, CircuitScope, CircuitState, CircuitStatus, FaultKind, HookRequest, Lanes, LoginFrom,
};

use crate::stage::{delivered, hostile, kind, load, policy, publish, request, route, sandbox};

/// A client's call about a topic.
#[derive(Clone, Copy)]
struct From {
    session: u64,
    user: &'static str,
    topic: &'static str,
}

/// The client of a user or an address, as a host may number it.
fn client(name: &str) -> u64 {
    name.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte))
}

async fn label(lanes: &Lanes, handler: &str, from: From) -> Result<(), FaultKind> {
    let request = request(handler, &[]);
    let client = client(from.user);
    let session = request.session.map(|caller| Caller {
        id: from.session,
        authid: from.user,
        client,
        ..caller
    });
    let request = HookRequest { session, topic: from.topic, ..request };
    let outcome = lanes.of(from.topic).on_publish(&request, "[]", "{}").await;
    outcome.map(drop).map_err(|fault| fault.kind)
}

async fn scope(lanes: &Lanes, from: From) -> Option<CircuitScope> {
    match label(lanes, "trap", from).await {
        Err(FaultKind::CircuitOpen { scope, .. }) => Some(scope),
        Err(FaultKind::Trap(_)) => None,
        other => panic!("{other:?}"),
    }
}

const ANN: From = From { session: 1, user: "ann", topic: "t/a" };

#[tokio::test]
async fn refuses_a_session_on_the_topic_where_it_fails() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    for _ in 0..5 {
        assert_eq!(scope(&lanes, ANN).await, None);
    }
    assert_eq!(scope(&lanes, ANN).await, Some(CircuitScope::Client));
    // The handler is called for its other topics, and for other sessions, of the same user too.
    assert_eq!(scope(&lanes, From { topic: "t/b", ..ANN }).await, None);
    assert_eq!(scope(&lanes, From { session: 2, ..ANN }).await, None);
    assert_eq!(scope(&lanes, From { session: 3, user: "bob", ..ANN }).await, None);
}

#[tokio::test]
async fn refuses_a_session_that_fails_on_many_topics() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    for topic in ["t/0", "t/1", "t/2", "t/3"] {
        for _ in 0..5 {
            assert_eq!(scope(&lanes, From { topic, ..ANN }).await, None);
        }
    }
    assert_eq!(scope(&lanes, From { topic: "t/4", ..ANN }).await, Some(CircuitScope::Client));
    assert_eq!(scope(&lanes, From { session: 2, ..ANN }).await, None);
}

#[tokio::test]
async fn refuses_a_client_that_fails_in_many_sessions() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let mut session = 0;
    let mut faults = 0;
    while scope(&lanes, From { session, ..ANN }).await.is_none() {
        // A session that has failed four times gives way to the next.
        faults += 1;
        session = faults / 4;
    }
    assert_eq!(faults, 100);
    assert_eq!(scope(&lanes, From { session: 999, ..ANN }).await, Some(CircuitScope::Client));
    assert_eq!(scope(&lanes, From { session: 1000, user: "bob", ..ANN }).await, None);
}

#[tokio::test]
async fn refuses_a_topic_where_many_clients_fail() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    // Each client counts once.
    for (session, user) in (1..).zip(["ann", "ann", "bob", "eve", "kim", "joe"]) {
        assert_eq!(scope(&lanes, From { session, user, ..ANN }).await, None);
    }
    let other = From { session: 9, user: "liz", ..ANN };
    assert_eq!(scope(&lanes, other).await, Some(CircuitScope::Topic));
    assert_eq!(scope(&lanes, From { topic: "t/b", ..other }).await, None);
}

#[tokio::test]
async fn refuses_the_handler_where_many_clients_fail_on_many_topics() {
    let plugin = load(&sandbox(), "hostile", policy()).await;
    let lanes = plugin.start(1, &[route("trap"), route("echo")]).await.unwrap();
    let clients =
        ["ann", "bob", "eve", "joe", "kim"].into_iter().zip(["t/0", "t/1", "t/2", "t/3", "t/4"]);
    for (session, (user, topic)) in (1..).zip(clients) {
        assert_eq!(scope(&lanes, From { session, user, topic }).await, None);
    }
    let other = From { session: 9, user: "liz", topic: "t/9" };
    assert_eq!(scope(&lanes, other).await, Some(CircuitScope::Handler));
    // The handler, not the plugin.
    assert_eq!(label(&lanes, "echo", other).await, Ok(()));
    let status = |handler: &str| plugin.circuits().find(|it| it.handler == handler).unwrap();
    let CircuitStatus { state, faults, opened, .. } = status("trap");
    assert_eq!((state, faults, opened), (CircuitState::Open, 5, 1));
    assert!(!status("echo").is_open());
}

#[tokio::test]
async fn takes_anonymous_sessions_of_one_address_for_one_client() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let fail = async |session: u64, address: IpAddr, topic: &'static str| {
        let request = request("trap", &[]);
        let name = format!("anonymous-{session}");
        let session = request.session.map(|caller| Caller {
            id: session,
            authid: &name,
            client: client(&address.to_string()),
            anonymous_from: Some(address),
            ..caller
        });
        let request = HookRequest { session, topic, ..request };
        kind(lanes.of(topic).on_publish(&request, "[]", "{}").await)
    };
    let address = |last| IpAddr::from(Ipv4Addr::new(192, 0, 2, last));
    for (session, topic) in (1..30).zip(["t/0", "t/1", "t/2"].into_iter().cycle()) {
        assert_eq!(fail(session, address(1), topic).await.label(), "trap");
    }
    for (session, topic) in (100..).zip(["t/0", "t/1", "t/2", "t/0"]) {
        let last = u8::try_from(session).unwrap();
        assert_eq!(fail(session, address(last), topic).await.label(), "trap");
    }
    let FaultKind::CircuitOpen { scope, .. } = fail(200, address(9), "t/9").await else {
        panic!("the handler is called again")
    };
    assert_eq!(scope, CircuitScope::Handler);
}

#[tokio::test]
async fn locks_no_user_out_because_of_logins_from_another_address() {
    let plugin = load(&sandbox(), "hostile", policy()).await;
    let lanes = plugin.start(1, &[route("trap")]).await.unwrap();
    let fail = async |address: Option<IpAddr>, name: &'static str| {
        let login = Some(LoginFrom { address });
        let request = request("trap", &[]);
        let request = HookRequest { session: None, login, topic: name, ..request };
        kind(lanes.of(name).on_publish(&request, "[]", "{}").await)
    };
    let address = |last| Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, last)));
    for _ in 0..5 {
        assert_eq!(fail(address(1), "ann").await.label(), "trap");
    }
    assert_eq!(fail(address(1), "ann").await.label(), "on_hold");
    assert_eq!(fail(address(2), "ann").await.label(), "trap");
    assert_eq!(fail(None, "ann").await.label(), "trap");
    let circuits = plugin.circuits().find(|it| it.handler == "trap").unwrap();
    assert_eq!((circuits.sessions, circuits.clients, circuits.topics), (1, 0, 0));
}

#[tokio::test]
async fn calls_the_handler_again_after_the_pause() {
    let lanes = hostile(&sandbox(), policy(), &["echo", "trap"]).await;
    let lane = lanes.of("t/1");
    for _ in 0..5 {
        assert_eq!(kind(publish(lane, "trap", "{}").await).label(), "trap");
    }
    let began = Instant::now();
    let FaultKind::CircuitOpen { until, .. } = kind(publish(lane, "trap", "{}").await) else {
        panic!("the handler is called again")
    };
    assert!(until > began);
    // A refusal is not a fault: the instance stays, and so does everything else.
    assert!(delivered(lane, "echo").await.contains("calls 1,"));
    assert_eq!(kind(publish(lane, "trap", "{}").await).label(), "on_hold");
    assert!(delivered(lane, "echo").await.contains("calls 2,"));
    // The next fault means a longer pause.
    tokio::time::sleep_until(until.into()).await;
    assert_eq!(kind(publish(lane, "trap", "{}").await).label(), "trap");
    let FaultKind::CircuitOpen { until: again, .. } = kind(publish(lane, "trap", "{}").await)
    else {
        panic!("the handler is called again")
    };
    assert!(again - until > until - began);
}

#[tokio::test]
async fn refuses_calls_that_waited_while_the_handler_failed() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let lanes = lanes.clone();
            tokio::spawn(async move { kind(publish(lanes.of("t/1"), "trap", "{}").await).label() })
        })
        .collect();
    let mut labels = Vec::new();
    for call in calls {
        labels.push(call.await.unwrap());
    }
    assert_eq!(labels.iter().filter(|l| **l == "trap").count(), 5, "{labels:?}");
    assert_eq!(labels.iter().filter(|l| **l == "on_hold").count(), 15, "{labels:?}");
}

#[tokio::test]
async fn refuses_nothing_where_it_is_disabled() {
    let mut policy = policy();
    policy.limits.breaker.enabled = false;
    let lanes = hostile(&sandbox(), policy, &["trap"]).await;
    for _ in 0..50 {
        assert_eq!(scope(&lanes, ANN).await, None);
    }
}

#[tokio::test]
async fn goes_by_the_client_that_the_host_names() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let mut faults = 0;
    while scope(&lanes, From { session: faults / 4, ..ANN }).await.is_none() {
        faults += 1;
    }
    let mut request = request("trap", &[]);
    request.session = request.session.map(|caller| Caller { client: client("token"), ..caller });
    let outcome = lanes.of(ANN.topic).on_publish(&request, "[]", "{}").await;
    assert_eq!(kind(outcome).label(), "trap");
}
