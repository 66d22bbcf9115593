//! Fifty clients publish and receive without pause while the plugin under them is replaced, time
//! and again. Each counts what it receives from each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::{Barrier, watch};

use super::{VERSIONED_WASM, ask, ask_until, asker, component, version, versioned_site};
use crate::client::codec::Codec;
use crate::client::v1::{self, Reach};
use crate::client::v2;
use crate::server::Server;

/// Five topics of ten clients each.
const TOPICS: usize = 5;
const CLIENTS: usize = 50;
/// How often the plugin is replaced.
const REPLACEMENTS: u32 = 4;
/// Round trips of a bystander between two replacements, so that each version sees some traffic.
const BETWEEN: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_costs_no_client_and_no_event() {
    let site = versioned_site();
    let server = Server::start(site.path());
    let ground = Arc::new(Ground {
        everybody: Barrier::new(CLIENTS),
        published: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
    });
    let (stop, stopping) = watch::channel(false);
    let mut players = Vec::new();
    for me in 0..CLIENTS {
        let peer = Peer::connect(&server, me).await;
        players.push(tokio::spawn(play(peer, me, Arc::clone(&ground), stopping.clone())));
    }

    let mut bystander = asker(&server).await;
    for number in 2..=1 + REPLACEMENTS {
        for _ in 0..BETWEEN {
            assert_eq!(ask(&mut bystander).await, version(number - 1));
        }
        site.rename_over(VERSIONED_WASM, component(number));
        ask_until(&mut bystander, number - 1, number).await;
    }
    stop.send(true).unwrap();

    // Everybody who received an event received it from the same version.
    let mut handled = BTreeMap::new();
    for player in players {
        for (event, by) in player.await.expect("the client played to the end") {
            let first = handled.entry(event).or_insert_with(|| by.clone());
            assert_eq!(*first, by, "{event:?} was handled by two versions");
        }
    }
    for (me, published) in ground.published.iter().enumerate() {
        let last = published.load(Ordering::SeqCst) - 1;
        let of = |sequence| handled[&(me as u64, sequence)].as_str();
        assert_eq!(of(0), version(1), "the first event of client {me}");
        assert_eq!(of(last), version(1 + REPLACEMENTS), "the last event of client {me}");
    }
}

/// What the clients share.
struct Ground {
    everybody: Barrier,
    /// How many events each has published, once it has stopped.
    published: Vec<AtomicU64>,
}

/// A client of either protocol.
enum Peer {
    V1(Box<v1::Client>),
    V2(v2::Client),
}

/// What was received: publisher and sequence number, and the version that handled it.
type Received = Vec<((u64, u64), String)>;

/// Publishes and receives until told to stop; then receives what is still to come, and checks
/// that it was everything, once and in order.
async fn play(
    mut peer: Peer,
    me: usize,
    ground: Arc<Ground>,
    stopping: watch::Receiver<bool>,
) -> Received {
    let topic = format!("v/{}", me % TOPICS);
    peer.subscribe(&topic).await;
    ground.everybody.wait().await;
    let mut received = Tally::default();
    let mut sequence = 0;
    loop {
        // Decided before publishing, so that the last event is younger than the last version.
        let last = *stopping.borrow();
        peer.publish(&topic, &json!({"from": me, "sequence": sequence}));
        while received.of(me) <= sequence {
            received.take(peer.event().await);
        }
        sequence += 1;
        if last {
            break;
        }
    }
    ground.published[me].store(sequence, Ordering::SeqCst);
    ground.everybody.wait().await;
    for other in (0..CLIENTS).filter(|other| other % TOPICS == me % TOPICS) {
        let published = ground.published[other].load(Ordering::SeqCst);
        while received.of(other) < published {
            received.take(peer.event().await);
        }
        assert_eq!(received.of(other), published, "events of client {other} at client {me}");
    }
    peer.expect_no_event().await;
    received.all
}

/// What one client has received.
#[derive(Default)]
struct Tally {
    all: Received,
    /// By publisher: how many events, and the version that handled the last one.
    publishers: BTreeMap<u64, (u64, String)>,
}

impl Tally {
    fn of(&self, publisher: usize) -> u64 {
        self.publishers.get(&(publisher as u64)).map_or(0, |(count, _)| *count)
    }

    /// The next event of its publisher, by the same version as the one before or a newer one.
    fn take(&mut self, (event, version): (Value, String)) {
        let (from, sequence) =
            (event["from"].as_u64().unwrap(), event["sequence"].as_u64().unwrap());
        let (count, last) = self.publishers.entry(from).or_default();
        assert_eq!(sequence, *count, "an event of client {from} is lost, doubled or out of order");
        assert!(version >= *last, "client {from}, event {sequence}: {last} came back as {version}");
        *count += 1;
        last.clone_from(&version);
        self.all.push(((from, sequence), version));
    }
}

impl Peer {
    /// Every protocol and codec has its part.
    async fn connect(server: &Server, me: usize) -> Self {
        let codec = match me % 4 {
            0 => return Self::V1(Box::new(v1::Client::connect(server.addr).await)),
            1 => Codec::Json,
            2 => Codec::MsgPack,
            _ => Codec::Cbor,
        };
        Self::V2(v2::Client::connect(server.addr, codec, "realm1").await)
    }

    async fn subscribe(&mut self, topic: &str) {
        match self {
            Self::V1(client) => {
                client.subscribe(topic);
                client.round_trip().await;
            }
            Self::V2(client) => drop(client.subscribe(topic, json!({})).await),
        }
    }

    fn publish(&mut self, topic: &str, event: &Value) {
        match self {
            Self::V1(client) => client.publish(topic, event, &Reach::Plain),
            Self::V2(client) => {
                client.publish(topic, json!({"exclude_me": false}), json!([event]), Value::Null);
            }
        }
    }

    /// The event, and the version that handled it.
    async fn event(&mut self) -> (Value, String) {
        let args = match self {
            Self::V1(client) => client.event().await.event,
            Self::V2(client) => client.event().await.args,
        };
        (args[0].clone(), args[1].as_str().expect("a version").to_owned())
    }

    async fn expect_no_event(&mut self) {
        match self {
            Self::V1(client) => client.expect_no_event().await,
            Self::V2(client) => client.expect_no_event().await,
        }
    }
}
