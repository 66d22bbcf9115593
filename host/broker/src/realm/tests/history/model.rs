//! Model: users that come, go and are cut, against the list of all publications.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Publish,
    /// For one user only.
    PublishFor(usize),
    /// For all but one session.
    PublishWithout(usize),
    Arrive(usize),
    /// The connection is lost after so many more messages were read.
    Cut(usize, usize),
    AskAgain(usize),
    Evict,
    End,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..3_usize;
    prop_oneof![
        8 => Just(Step::Publish),
        1 => user.clone().prop_map(Step::PublishFor),
        1 => user.clone().prop_map(Step::PublishWithout),
        5 => user.clone().prop_map(Step::Arrive),
        4 => (user.clone(), 0..4_usize).prop_map(|(user, read)| Step::Cut(user, read)),
        1 => user.prop_map(Step::AskAgain),
        1 => Just(Step::Evict),
        1 => Just(Step::End),
        1 => Just(Step::Wait),
    ]
}

/// One user: its connection, what it has seen, and what it must not miss.
#[derive(Default)]
struct User {
    peer: Option<Peer>,
    has_begun: bool,
    position: Since,
    /// The publications that it has to see next, in order.
    due: VecDeque<u64>,
    gaps: usize,
}

impl User {
    /// Reads messages, and compares them with what is due.
    fn read(&mut self, count: usize) {
        let Some(peer) = &self.peer else { return };
        for message in peer.read().into_iter().take(count) {
            let message: Value = serde_json::from_str(&message).unwrap();
            let details = &message[3];
            if let Some(stream) = details.get("_stream") {
                if stream["recovered"] == false {
                    assert_eq!(stream["replayed"], 0);
                    self.gaps += usize::from(!self.due.is_empty());
                    self.due.clear();
                }
                self.position.epoch = stream["epoch"].as_str().map(str::to_owned);
                self.position.offset = stream["offset"].as_u64();
            } else if message[0] == 36 {
                assert_eq!(message[4][0].as_u64(), self.due.pop_front(), "{message}");
                let offset = details["_offset"].as_u64();
                assert!(offset > self.position.offset, "{message} at {:?}", self.position);
                self.position.offset = offset;
            }
        }
    }
}

/// Runs steps. Returns how often a user was told that it has missed events.
fn run(steps: Vec<Step>) -> usize {
    let mut world = World::new();
    let mut users: [User; 3] = Default::default();
    let mut sessions = 100;
    let arrive_all = (0..3).map(Step::Arrive);
    for step in steps.into_iter().chain(arrive_all) {
        match step {
            Step::Publish => {
                let number = world.publish(&Restriction::default());
                users.iter_mut().filter(|it| it.has_begun).for_each(|it| it.due.push_back(number));
            }
            Step::PublishFor(user) => {
                let names = Some(BTreeSet::from([format!("user{user}")]));
                let filter = ReceiverFilter { eligible_authid: names, ..ReceiverFilter::default() };
                let number = world.publish(&published_to(filter));
                if users[user].has_begun {
                    users[user].due.push_back(number);
                }
            }
            Step::PublishWithout(user) => {
                let session = users[user].peer.as_ref().map(|peer| peer.session.id);
                let without = session.unwrap_or(SessionId::new(1).unwrap());
                let filter =
                    ReceiverFilter { exclude: [without].into(), ..ReceiverFilter::default() };
                let number = world.publish(&narrowed_to(filter));
                for (index, it) in users.iter_mut().enumerate() {
                    if it.has_begun && (index != user || session.is_none()) {
                        it.due.push_back(number);
                    }
                }
            }
            Step::Arrive(user) => {
                if users[user].peer.is_none() {
                    sessions += 1;
                    let peer = world.join(sessions, &format!("user{user}"), V2);
                    world.subscribe(&peer, Some(&users[user].position));
                    users[user].peer = Some(peer);
                    users[user].has_begun = true;
                    // What it has missed comes now, or it is told now.
                    users[user].read(usize::MAX);
                    assert!(users[user].due.is_empty());
                }
            }
            Step::Cut(user, count) => {
                users[user].read(count);
                if let Some(peer) = users[user].peer.take() {
                    world.realm.leave(peer.session.id);
                }
            }
            Step::AskAgain(user) => {
                users[user].read(usize::MAX);
                if let Some(peer) = &users[user].peer {
                    world.subscribe(peer, Some(&users[user].position));
                    users[user].read(usize::MAX);
                }
            }
            Step::Evict => {
                world.history.set_limits(1, ReplayLimits::default());
                let payload = Payload::empty(Codec::Json);
                let recording = Recording { rule: world.rule, now: world.now, is_durable: false };
                let event =
                    Publication { recording: Some(&recording), ..publication("u", &payload) };
                world.realm.publish(&event, &mut PendingFlushes::default()).unwrap();
                world.history.set_limits(1 << 20, ReplayLimits::default());
            }
            Step::End => world.realm.end_histories(|_| true),
            Step::Wait => world.now += Duration::from_secs(30),
        }
    }
    for user in &mut users {
        user.read(usize::MAX);
        assert!(user.due.is_empty());
    }
    users.iter().map(|user| user.gaps).sum()
}

proptest! {
    /// A client that returns has seen each publication once, in order, or was told of a gap.
    #[test]
    fn no_client_has_a_silent_hole(steps in proptest::collection::vec(step(), 0..80)) {
        run(steps);
    }
}

#[test]
fn the_model_tells_of_gaps_only_for_a_reason() {
    use Step::{Arrive, Cut, End, Publish};
    let cut = [Arrive(0), Publish, Publish, Publish, Cut(0, 3), Publish, Arrive(0)];
    assert_eq!(run(cut.into()), 0);
    assert_eq!(run([Arrive(0), Publish, Cut(0, 0), End, Arrive(0)].into()), 1);
}
