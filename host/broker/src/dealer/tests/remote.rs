//! Calls between two dealers, whose frames are passed by hand.

use std::collections::HashSet;

use jackfield_wamp::error_uri;

use super::*;
use crate::peers::NodeId;
use crate::registrations::{Claim, Terms};
use crate::relay::{CALLER_FEATURES, NODE_FEATURES, RELAY_DIALECT, Relay, RelayedMessage};

mod faults;

/// Two nodes, with the session that stands for the other one on each.
struct Nodes {
    both: [Fixture; 2],
    others: [Arc<Session>; 2],
    outboxes: [Arc<Outbox>; 2],
}

fn relay(
    id: SessionId,
    identity: Identity,
    relay: Relay,
    features: Features,
    outbox: Arc<Outbox>,
) -> Arc<Session> {
    let session = Session::new(id, identity, RELAY_DIALECT, features, outbox, Arc::new(NoLink));
    Arc::new(session.standing_for(relay))
}

impl Nodes {
    fn new() -> Self {
        let mut nodes = [Fixture::new(), Fixture::numbered(10)];
        for (id, node) in (0..).zip(&mut nodes) {
            let dealer = Dealer::new(encode, 1 << 20, LIMITS).in_cluster(NodeId(id));
            node.dealer = dealer;
        }
        let bounds = Bounds { bytes: 1 << 20, frames: 1_000, overflow: Overflow::Disconnect };
        let outboxes = [(); 2].map(|()| Arc::new(Outbox::new(bounds)));
        let other = |place: usize| {
            let id = SessionId::new(100 + place as u64).unwrap();
            let identity = Identity::anonymous("node".to_owned(), Ipv4Addr::LOCALHOST.into());
            let node = Relay::Callees(NodeId(1 - place as u64));
            relay(id, identity, node, NODE_FEATURES, Arc::clone(&outboxes[place]))
        };
        Self { both: nodes, others: [0, 1].map(other), outboxes }
    }

    /// Registers on a node, at a time, and tells the other one.
    fn register(
        &mut self,
        place: usize,
        session: usize,
        procedure: &str,
        options: RegisterOptions,
        stamp: u64,
    ) -> Result<(), RegisterError> {
        let request = self.both[place].request();
        let register = Register { request, options, procedure: procedure.to_owned() };
        let claim = Claim { stamp, node: NodeId(place as u64) };
        let (node, batch) = (&self.both[place], &mut PendingFlushes::default());
        node.dealer.check_register(node.session(session), &register, claim)?;
        node.dealer.register_claimed(node.session(session), &register, claim, batch)?;
        node.told(session);
        self.tell_offers();
        Ok(())
    }

    /// Tells each node the procedures of the other one.
    fn tell_offers(&self) {
        for place in [0, 1] {
            let (node, other) = (&self.both[place].dealer, &self.both[1 - place].dealer);
            for key in node.take_changed_offers("realm") {
                let (uri, policy) = (key.uri(), key.policy());
                let terms = Terms::of_stake(&Terms::stake(node.terms(uri, policy)));
                let part = terms.map(|terms| (Arc::clone(&self.others[1 - place]), terms));
                other.set_remotes(uri, policy, part.as_slice()).unwrap();
            }
        }
    }

    /// Passes frames until none is left.
    fn pass(&self) {
        loop {
            let mut is_quiet = true;
            for place in [0, 1] {
                let mut bytes = Vec::new();
                let drained = self.others[place].outbox().drain(|slices| {
                    for slice in slices {
                        bytes.extend_from_slice(slice);
                    }
                    Ok(slices.iter().map(|slice| slice.len()).sum())
                });
                drained.unwrap();
                is_quiet &= bytes.is_empty();
                let (messages, are_all_read) = RelayedMessage::decode_all(bytes.into());
                assert!(are_all_read);
                for message in messages {
                    self.arrive(1 - place, message);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn arrive(&self, place: usize, message: RelayedMessage) {
        let (dealer, other) = (&self.both[place].dealer, &self.others[place]);
        let batch = &mut PendingFlushes::default();
        match message {
            RelayedMessage::Call(caller, call) => {
                let kind = Relay::Caller(NodeId(1 - place as u64));
                let outbox = Arc::clone(&self.outboxes[place]);
                let (id, identity) = (caller.session, caller.identity());
                let from = relay(id, identity, kind, CALLER_FEATURES, outbox);
                if caller.continues {
                    dealer.go_on(&from, &call, batch);
                } else if let Err(error) = dealer.call(&from, &call, |_| true, 5, None, batch) {
                    let uri = error_uri::NO_SUCH_PROCEDURE;
                    dealer.refuse_remote(&from, &call, (uri, &error.to_string()), batch);
                }
            }
            RelayedMessage::Cancel(caller, cancel, reason) => {
                dealer.cancel_remote(NodeId(1 - place as u64), caller, &cancel, &reason, batch);
            }
            RelayedMessage::Yield(answer) => dealer.answer(other, &answer, epoch, batch),
            RelayedMessage::Failed(error) => {
                dealer.fail(other, &error, |_, _| true, 5, batch);
            }
            RelayedMessage::Refused(error) => {
                dealer.refused_by_node(other, &error, |_, _| true, 5, batch);
            }
        }
    }

    fn call(&mut self, place: usize, session: usize, procedure: &str) -> u64 {
        let call = self.both[place].call(session, procedure).unwrap();
        self.pass();
        call
    }

    /// Checks that nothing remains after all sessions have left.
    fn check_empty(self) {
        for node in &self.both {
            (1..=4).for_each(|session| node.leave(session));
        }
        self.tell_offers();
        self.pass();
        for (node, other) in self.both.into_iter().zip(&self.others) {
            node.dealer.leave(other.id, &mut PendingFlushes::default());
            node.check_empty();
        }
    }
}

#[test]
fn all_nodes_choose_the_same_callee_of_a_resource_key() {
    let mut nodes = Nodes::new();
    for (stamp, (place, session)) in (1..).zip([(0, 1), (0, 2), (1, 1)]) {
        let nkey = Some(format!("{place} {session}"));
        let options = RegisterOptions { nkey, ..shared(InvocationPolicy::First) };
        nodes.register(place, session, "a", options, stamp).unwrap();
    }
    let mut found = HashSet::new();
    for key in 0..60 {
        let mut chosen = Vec::new();
        for caller in [0, 1] {
            let (runmode, rkey) = (Some("partition".to_owned()), Some(key.to_string()));
            let options = CallOptions { runmode, rkey, ..CallOptions::default() };
            nodes.both[caller].call_with(3, "a", options).unwrap();
            nodes.pass();
            for (place, session) in [(0, 1), (0, 2), (1, 1)] {
                for message in nodes.both[place].told(session) {
                    let id = message.strip_prefix("[68,").unwrap().split(',').next().unwrap();
                    nodes.both[place].answer(session, id.parse().unwrap(), false);
                    chosen.push((place, session));
                }
            }
            nodes.pass();
            assert_eq!(nodes.both[caller].told(3).len(), 1, "RESULT");
        }
        let [one, other] = chosen[..] else { panic!("{chosen:?}") };
        assert_eq!(one, other, "{key}");
        found.insert(one);
    }
    assert_eq!(found.len(), 3, "each callee has some keys");
    nodes.check_empty();
}

#[test]
fn a_call_is_answered_by_a_callee_of_another_node() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "sum", RegisterOptions::default(), 1).unwrap();
    let options =
        CallOptions { receive_progress: true, disclose_me: true, ..CallOptions::default() };
    let call = nodes.both[0].call_with(2, "sum", options).unwrap();
    nodes.pass();
    let details = r#"{"caller":2,"caller_authid":"user2","caller_authrole":"anonymous","receive_progress":true}"#;
    nodes.both[1].check(1, &[&format!("[68,1,1,{details},[7]]")]);
    nodes.both[1].answer(1, 1, true);
    nodes.both[1].answer(1, 1, false);
    nodes.pass();
    let progress = format!("[50,{call},{{\"progress\":true}},[\"done\"]]");
    nodes.both[0].check(2, &[&progress, &format!("[50,{call},{{}},[\"done\"]]")]);
    // Of version 1, and a failure.
    nodes.call(0, 4, "sum");
    nodes.both[1].told(1);
    nodes.both[1].fail(1, 2);
    nodes.pass();
    let told = nodes.both[0].told(4);
    assert!(told[0].contains("com.sorry"), "{told:?}");
    // A call within the node of the callee stays there.
    nodes.call(1, 2, "sum");
    assert_eq!(nodes.both[1].told(1).len(), 1);
    nodes.check_empty();
}

#[test]
fn a_cancellation_reaches_the_callee() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "sum", RegisterOptions::default(), 1).unwrap();
    let call = nodes.call(0, 1, "sum");
    nodes.both[1].told(1);
    nodes.both[0].cancel(1, call, CancelMode::Kill);
    nodes.pass();
    let interrupt = r#"[69,1,{"mode":"kill","reason":"wamp.error.canceled"}]"#;
    nodes.both[1].check(1, &[interrupt]);
    nodes.both[0].check(1, &[]);
    nodes.both[1].fail(1, 1);
    nodes.pass();
    assert!(nodes.both[0].told(1)[0].contains("com.sorry"));
    // The caller leaves, and then the callee.
    nodes.call(0, 1, "sum");
    nodes.both[1].told(1);
    nodes.both[0].leave(1);
    nodes.pass();
    assert!(nodes.both[1].told(1)[0].starts_with("[69,2,"));
    let call = nodes.call(0, 2, "sum");
    nodes.both[1].leave(1);
    nodes.pass();
    let told = nodes.both[0].told(2);
    assert!(told[0].starts_with(&format!("[8,48,{call},")) && told[0].contains("canceled"));
    nodes.check_empty();
}

#[test]
fn the_older_claim_wins() {
    let mut nodes = Nodes::new();
    let single = RegisterOptions::default;
    nodes.register(0, 1, "a", single(), 5).unwrap();
    assert_eq!(nodes.register(1, 1, "a", single(), 6), Err(RegisterError::Taken));
    let round = shared(InvocationPolicy::RoundRobin);
    let other = RegisterError::SharedOtherwise(InvocationPolicy::Single);
    assert_eq!(nodes.register(1, 1, "a", round, 6), Err(other));
    // Both were announced before either was known; the younger one withdraws on its node.
    nodes.register(1, 1, "a", single(), 4).unwrap();
    assert_eq!(nodes.register(0, 2, "a", single(), 3), Err(RegisterError::Taken), "its own node");
    // After the nodes were apart, the older one gets all calls.
    nodes.call(0, 3, "a");
    nodes.call(1, 3, "a");
    assert_eq!((nodes.both[0].told(1).len(), nodes.both[1].told(1).len()), (0, 2));
    nodes.both[1].leave(1);
    nodes.pass();
    nodes.tell_offers();
    nodes.call(1, 2, "a");
    assert_eq!(nodes.both[0].told(1).len(), 1, "the younger one is left");
    nodes.check_empty();
}

#[test]
fn a_node_has_as_many_turns_as_callees() {
    let mut nodes = Nodes::new();
    for (policy, name) in [(InvocationPolicy::RoundRobin, "a"), (InvocationPolicy::Last, "b")] {
        for (stamp, (place, session)) in [(0, 1), (1, 1), (1, 2)].into_iter().enumerate() {
            nodes.register(place, session, name, shared(policy), stamp as u64).unwrap();
        }
    }
    for _ in 0..9 {
        nodes.call(0, 3, "a");
    }
    let told = |nodes: &Nodes| {
        [(0, 1), (1, 1), (1, 2)].map(|(place, session)| nodes.both[place].told(session).len())
    };
    assert_eq!(told(&nodes), [3, 3, 3]);
    nodes.call(0, 3, "b");
    assert_eq!(told(&nodes), [0, 0, 1], "the newest one");
    nodes.check_empty();
}

#[test]
fn a_call_that_no_callee_takes_goes_to_another_node() {
    let mut nodes = Nodes::new();
    let first = || shared(InvocationPolicy::First);
    for (stamp, (place, session)) in [(1, 1), (1, 2), (0, 1)].into_iter().enumerate() {
        nodes.register(place, session, "a", first(), stamp as u64).unwrap();
    }
    let call = nodes.call(0, 3, "a");
    for session in [1, 2] {
        assert_eq!(nodes.both[1].told(session).len(), 1);
        nodes.both[1].fail_with(session, 1, error_uri::UNAVAILABLE);
        nodes.pass();
    }
    assert_eq!(nodes.both[0].told(1).len(), 1);
    nodes.both[0].answer(1, 1, false);
    nodes.both[0].check(3, &[&format!("[50,{call},{{}},[\"done\"]]")]);
    // The callees of the other node are gone, and this one does not know it yet.
    nodes.both[1].leave(1);
    nodes.both[1].leave(2);
    nodes.call(0, 3, "a");
    assert_eq!(nodes.both[0].told(1).len(), 1);
    nodes.check_empty();
}

#[test]
fn calls_end_when_the_connection_is_interrupted() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    let call = nodes.call(0, 3, "a");
    assert_eq!(nodes.both[1].told(1).len(), 1);
    let batch = &mut PendingFlushes::default();
    nodes.both[0].dealer.interrupt_node(&nodes.others[0], batch);
    let told = nodes.both[0].told(3);
    assert!(told[0].starts_with(&format!("[8,48,{call},")) && told[0].contains("interrupted"));
    nodes.both[1].dealer.leave_callers(NodeId(0), batch);
    assert!(nodes.both[1].told(1)[0].starts_with("[69,1,"));
    // A late answer is none to the next call.
    nodes.call(0, 3, "a");
    nodes.both[1].answer(1, 1, false);
    nodes.pass();
    nodes.both[0].check(3, &[]);
    nodes.check_empty();
}

#[test]
fn arguments_in_parts_reach_another_node() {
    let mut nodes = Nodes::new();
    nodes.register(1, 1, "a", RegisterOptions::default(), 1).unwrap();
    let options = CallOptions { progress: true, ..CallOptions::default() };
    let call = nodes.both[0].call_with(2, "a", options).unwrap();
    let part = |progress| Call {
        request: CallId::V2(RequestId::new(call).unwrap()),
        options: CallOptions { progress, ..CallOptions::default() },
        procedure: "a".to_owned(),
        payload: Payload::from_json("[8]", "").unwrap(),
    };
    let go_on = |nodes: &Nodes, progress| {
        let batch = &mut PendingFlushes::default();
        let node = &nodes.both[0];
        assert_eq!(node.dealer.go_on(node.session(2), &part(progress), batch), Continued::Yes);
        nodes.pass();
    };
    go_on(&nodes, true);
    let more = r#"{"progress":true}"#;
    nodes.both[1].check(1, &[&format!("[68,1,1,{more},[7]]"), &format!("[68,1,1,{more},[8]]")]);
    // The callee ends it. The rest is on its way then.
    nodes.both[1].fail(1, 1);
    go_on(&nodes, false);
    nodes.both[1].check(1, &[]);
    assert!(nodes.both[0].told(2)[0].contains("com.sorry"));
    nodes.check_empty();
}
