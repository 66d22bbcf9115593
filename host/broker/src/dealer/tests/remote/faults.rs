//! Lost messages, forged calls, and snapshots of procedures.

use super::*;

#[test]
fn a_call_after_a_loss_is_interrupted() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    nodes.call(0, 3, "a");
    assert_eq!(nodes.both[1].told(1).len(), 1);
    // The node of the callee has noted the loss before the call.
    let batch = &mut PendingFlushes::default();
    nodes.both[0].dealer.interrupt_node(&nodes.others[0], batch);
    nodes.pass();
    assert!(nodes.both[1].told(1)[0].starts_with("[69,1,"));
    assert!(nodes.both[0].told(3)[0].contains("interrupted"));
    nodes.check_empty();
}

#[test]
fn a_node_cancels_calls_of_its_own_clients_only() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    let call = nodes.call(0, 3, "a");
    nodes.both[1].told(1);
    let request = RequestId::new(1).unwrap();
    let cancel = Cancel { request, mode: CancelMode::KillNoWait };
    let batch = &mut PendingFlushes::default();
    let dealer = &nodes.both[1].dealer;
    let caller = SessionId::new(3).unwrap();
    dealer.cancel_remote(NodeId(7), caller, &cancel, "a.reason", batch);
    nodes.both[1].check(1, &[]);
    nodes.both[1].answer(1, 1, false);
    nodes.pass();
    nodes.both[0].check(3, &[&format!("[50,{call},{{}},[\"done\"]]")]);
    nodes.check_empty();
}

#[test]
fn a_forced_registration_that_is_refused_ends_none() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    nodes.register(0, 1, "b", RegisterOptions::default(), 1).unwrap();
    let forced =
        |policy| RegisterOptions { force_reregister: true, policy, ..RegisterOptions::default() };
    let check = |nodes: &mut Nodes, session, procedure, policy| {
        nodes.register(0, session, procedure, forced(policy), 9)
    };
    // Before other nodes are asked to end theirs, and when they have not.
    let pattern = check(&mut nodes, 2, "a", MatchPolicy::Prefix);
    assert_eq!(pattern, Err(RegisterError::ForcedPattern));
    assert_eq!(check(&mut nodes, 1, "b", MatchPolicy::Exact), Err(RegisterError::Again));
    assert_eq!(check(&mut nodes, 2, "a", MatchPolicy::Exact), Err(RegisterError::Taken));
    for (place, procedure) in [(1, "a"), (0, "b")] {
        nodes.call(0, 3, procedure);
        assert_eq!(nodes.both[place].told(1).len(), 1, "{procedure} is still registered");
        nodes.both[place].answer(1, 1, false);
        nodes.pass();
        nodes.both[0].told(3);
    }
    // With an own callee, while another node keeps its one: as after a division.
    nodes.register(0, 1, "c", RegisterOptions::default(), 5).unwrap();
    nodes.register(1, 2, "c", RegisterOptions::default(), 4).unwrap();
    let error = check(&mut nodes, 2, "c", MatchPolicy::Exact);
    assert_eq!(error, Err(RegisterError::Taken));
    assert_eq!(nodes.both[0].told(1), Vec::<String>::new(), "it is not revoked");
    nodes.check_empty();
}

#[test]
fn patterns_count_where_an_exact_registration_is_elsewhere() {
    let mut nodes = Nodes::new();
    nodes
        .register(
            1,
            1,
            "a",
            RegisterOptions { policy: MatchPolicy::Prefix, ..RegisterOptions::default() },
            1,
        )
        .unwrap();
    nodes.register(0, 1, "a.b", RegisterOptions::default(), 2).unwrap();
    // The caller's node does not know the exact one yet.
    nodes.both[0].leave(1);
    nodes.call(0, 3, "a.b");
    assert_eq!(nodes.both[1].told(1).len(), 1);
    nodes.check_empty();
}

#[test]
fn a_node_calls_in_the_name_of_its_own_clients_alone() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    nodes.call(0, 3, "a");
    assert_eq!(nodes.both[1].told(1).len(), 1);
    // Session 3 waits on node 0, and node 7 calls in its name.
    let bounds = Bounds { bytes: 1 << 20, frames: 1_000, overflow: Overflow::Disconnect };
    let identity = Identity::anonymous("x".to_owned(), Ipv4Addr::LOCALHOST.into());
    let (id, outbox) = (SessionId::new(3).unwrap(), Arc::new(Outbox::new(bounds)));
    let forged = relay(id, identity, Relay::Caller(NodeId(7)), CALLER_FEATURES, outbox);
    let call = Call {
        request: CallId::V2(RequestId::new(99).unwrap()),
        options: CallOptions::default(),
        procedure: "a".to_owned(),
        payload: Payload::from_json("[8]", "").unwrap(),
    };
    let batch = &mut PendingFlushes::default();
    let refused = nodes.both[1].dealer.call(&forged, &call, |_| true, 5, None, batch);
    assert_eq!(refused, Err(CallError::Repeated));
    nodes.both[1].check(1, &[]);
    nodes.check_empty();
}

#[test]
fn a_snapshot_ends_the_parts_of_nodes_that_it_lacks() {
    let mut nodes = Nodes::new();
    let terms = Terms::with(None, InvocationPolicy::RoundRobin, 1);
    let part = |nodes: &Nodes, place: usize| (Arc::clone(&nodes.others[place]), terms);
    for policy in [MatchPolicy::Exact, MatchPolicy::Wildcard] {
        let dealer = &nodes.both[0].dealer;
        // Both sessions stand for another node here.
        dealer.set_remotes("a..b", policy, &[part(&nodes, 0), part(&nodes, 1)]).unwrap();
        dealer.set_remotes("a..b", policy, &[part(&nodes, 1)]).unwrap();
        let batch = &mut PendingFlushes::default();
        dealer.leave(nodes.others[1].id, batch);
        dealer.set_remotes("a..b", policy, &[]).unwrap();
    }
    let share = shared(InvocationPolicy::RoundRobin);
    nodes.register(0, 1, "c", share, 2).unwrap();
    nodes.both[0].dealer.set_remotes("c", MatchPolicy::Exact, &[part(&nodes, 0)]).unwrap();
    nodes.both[0].dealer.set_remotes("c", MatchPolicy::Exact, &[]).unwrap();
    nodes.call(0, 3, "c");
    assert_eq!(nodes.both[0].told(1).len(), 1, "its own callee stays");
    nodes.check_empty();
}
