//! Clients that move to another node get what they have missed, or are told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

use super::{Nats, Node, join, node, publish, until_peers};

const TOPIC: &str = "kept/a";

/// A client that follows its position, as `sync.js` does.
struct Follower {
    client: Option<Client>,
    position: Value,
    heard: Vec<Value>,
}

impl Follower {
    /// Subscribes at a node. Returns the answer.
    async fn subscribe(&mut self, server: &Server) -> Value {
        let mut client = join(server).await;
        client.subscribe(TOPIC, json!({ "_since": self.position })).await;
        let answer = client.event().await.details["_stream"].clone();
        self.position = json!({ "epoch": answer["epoch"], "offset": answer["offset"], "at": {} });
        self.client = Some(client);
        answer
    }

    async fn new(server: &Server) -> Self {
        let mut follower = Self { client: None, position: json!({}), heard: Vec::new() };
        follower.subscribe(server).await;
        follower
    }

    async fn hear(&mut self, count: u64) {
        for _ in 0..count {
            let event = self.client.as_mut().unwrap().event().await;
            self.position["offset"] = event.details["_offset"].clone();
            let at = &event.details["_at"];
            self.position["at"][at[0].as_str().unwrap()] = at[1].clone();
            self.heard.push(event.args[0].clone());
        }
    }

    /// Moves to a node, and hears the events that it has missed. PUBLISHED does not say that another node has the
    /// event, so the last ones may come behind the replay. On a busy machine, a node that was not heard in time is a
    /// doubt.
    async fn move_to(&mut self, server: &Server, missed: u64) {
        let position = self.position.clone();
        loop {
            let answer = self.subscribe(server).await;
            if answer["recovered"] == true {
                let replayed = answer["replayed"].as_u64().unwrap();
                assert!(replayed <= missed, "{answer}");
                return self.hear(missed).await;
            }
            self.position = position.clone();
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn three(nats: &Nats) -> [Node; 3] {
    let nodes = ["web-1", "web-2", "web-3"].map(|name| node(nats, name));
    for node in &nodes {
        until_peers(node, 2).await;
    }
    nodes
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_recovered_at_any_node() {
    let nats = Nats::start();
    let nodes = three(&nats).await;
    let mut publishers = Vec::new();
    for node in &nodes {
        publishers.push(join(node).await);
    }
    let mut follower = Follower::new(&nodes[0]).await;
    let mut next = 0;
    for round in 0..6 {
        // While it is connected, and while it is away.
        for (is_away, count) in [(false, 3), (true, 4)] {
            for _ in 0..count {
                publish(&mut publishers[usize::try_from(next % 3).unwrap()], TOPIC, next..next + 1)
                    .await;
                next += 1;
            }
            if is_away {
                follower.move_to(&nodes[(round + 1) % 3], count).await;
            } else {
                follower.hear(count).await;
                follower.client = None;
            }
        }
    }
    // Those of one publisher are in order, and all of them come once.
    for publisher in 0..3 {
        let of = follower.heard.iter().filter(|it| it.as_u64().unwrap() % 3 == publisher);
        let of: Vec<_> = of.cloned().collect();
        let all = numbers(0..next);
        let expected = all.iter().filter(|it| it.as_u64().unwrap() % 3 == publisher).cloned();
        assert_eq!(of, expected.collect::<Vec<_>>());
    }
}

/// The node that stops is the only one with subscribers. Then the next one stops as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_hands_its_topics_over() {
    let nats = Nats::start();
    let [mut one, mut two, three] = three(&nats).await;
    let mut publisher = join(&three).await;
    let mut follower = Follower::new(&one).await;
    publish(&mut publisher, TOPIC, 0..2).await;
    follower.hear(2).await;
    let mut own = join(&one).await;
    publish(&mut own, TOPIC, 2..4).await;
    follower.client = None;
    one.signal("TERM");
    assert_eq!(one.exit_code(), Some(0));
    publish(&mut publisher, TOPIC, 4..6).await;
    follower.move_to(&two, 4).await;
    let four = node(&nats, "web-4");
    until_peers(&four, 2).await;
    follower.client = None;
    two.signal("TERM");
    assert_eq!(two.exit_code(), Some(0));
    publish(&mut publisher, TOPIC, 6..7).await;
    follower.move_to(&four, 1).await;
    assert_eq!(follower.heard, numbers(0..7));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_killed_node_are_recovered_before_it_is_missed() {
    for _ in 0..5 {
        if move_from_killed_node().await {
            return;
        }
    }
    panic!("the killed node was missed before its client came back, five times");
}

/// Returns whether the client came back before the killed node was missed: on a busy machine, it may not.
async fn move_from_killed_node() -> bool {
    let nats = Nats::start();
    let [one, two, three] = three(&nats).await;
    let mut publisher = join(&three).await;
    let mut follower = Follower::new(&one).await;
    let mut other = Follower::new(&two).await;
    publish(&mut publisher, TOPIC, 0..2).await;
    let mut own = join(&one).await;
    publish(&mut own, TOPIC, 2..3).await;
    follower.hear(3).await;
    other.hear(3).await;
    let killed = Instant::now();
    one.signal("KILL");
    publish(&mut publisher, TOPIC, 3..5).await;
    let answer = follower.subscribe(&two).await;
    if answer["recovered"] == false && killed.elapsed() > Duration::from_secs(1) {
        return false;
    }
    assert_eq!(answer["recovered"], json!(true));
    assert!(answer["replayed"].as_u64().unwrap() <= 2, "{answer}");
    follower.hear(2).await;
    assert_eq!(follower.heard, numbers(0..5));
    // When it is given up, its last events may be missing: an earlier position is not enough any more.
    let position = follower.position.clone();
    let told = follower.client.as_mut().unwrap().event().await.details["_stream"].clone();
    assert_eq!(told["recovered"], json!(false), "{told}");
    for node in [&two, &three] {
        until_peers(node, 1).await;
        follower.position = position.clone();
        assert_eq!(follower.subscribe(node).await["recovered"], json!(false));
    }
    // The position of now is good on the other node.
    follower.client = None;
    publish(&mut publisher, TOPIC, 5..6).await;
    follower.move_to(&two, 1).await;
    assert_eq!(follower.heard, numbers(0..6));
    true
}
