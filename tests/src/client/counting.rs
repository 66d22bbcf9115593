//! Load clients of both versions that publish and receive without pause and check every event: none
//! may be lost, duplicated, out of order, or handled by an older version after a newer one. For
//! tests and measurements during which something changes, such as `reload::load`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Barrier, watch};

use super::codec::Codec;
use super::v1::{self, Reach};
use super::v2;

/// State shared by all clients.
pub struct Workload {
    /// Client `n` uses topic `n` modulo their number. Topics that the versioned guest handles add
    /// its version to events; those without a hook add none.
    pub topics: Vec<String>,
    /// Pause between two events of a client; `None` publishes as soon as the last one returned.
    pub pace: Option<Duration>,
    everybody: Barrier,
    /// Events that each client has published so far.
    published: Vec<AtomicU64>,
}

/// A client of either protocol.
pub enum Peer {
    V1(Box<v1::Client>),
    V2(v2::Client),
}

/// One event: its publisher, its sequence number, and the version that handled it.
pub type Received = ((u64, u64), String);

/// Received events of one client, by publisher: their number, and the version that handled the last
/// one.
#[derive(Default)]
struct Tally(BTreeMap<u64, (u64, String)>);

impl Workload {
    pub fn new(clients: usize, topics: Vec<String>, pace: Option<Duration>) -> Arc<Self> {
        let published = (0..clients).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { topics, pace, everybody: Barrier::new(clients), published })
    }

    /// Returns the number of events that each client has published so far.
    pub fn published(&self) -> impl Iterator<Item = u64> {
        self.published.iter().map(|count| count.load(Ordering::SeqCst))
    }

    /// Returns the clients on the same topic, including this one.
    fn company(&self, me: usize) -> impl Iterator<Item = usize> {
        (0..self.published.len()).filter(move |it| it % self.topics.len() == me % self.topics.len())
    }
}

/// Publishes and receives until the test stops it; then receives the remaining events, and checks
/// that each arrived once and in order.
pub async fn run_client(
    mut peer: Peer,
    me: usize,
    workload: Arc<Workload>,
    stopping: watch::Receiver<bool>,
    mut received: impl FnMut(Received),
) {
    let topic = &workload.topics[me % workload.topics.len()];
    peer.subscribe(topic).await;
    workload.everybody.wait().await;
    let mut tally = Tally::default();
    let mut sequence = 0;
    loop {
        // Decided before publishing, so that the last event is newer than the last version.
        let last = *stopping.borrow();
        peer.publish(topic, &json!({"from": me, "sequence": sequence}));
        while tally.of(me) <= sequence {
            received(tally.take(peer.event().await));
        }
        sequence += 1;
        workload.published[me].store(sequence, Ordering::SeqCst);
        if last {
            break;
        }
        if let Some(pace) = workload.pace {
            tokio::time::sleep(pace).await;
        }
    }
    workload.everybody.wait().await;
    for other in workload.company(me) {
        let published = workload.published[other].load(Ordering::SeqCst);
        while tally.of(other) < published {
            received(tally.take(peer.event().await));
        }
        assert_eq!(tally.of(other), published, "events of client {other} at client {me}");
    }
    peer.expect_no_event().await;
}

impl Tally {
    fn of(&self, publisher: usize) -> u64 {
        self.0.get(&(publisher as u64)).map_or(0, |(count, _)| *count)
    }

    /// Checks an event: the next one of its publisher, from the same version as the one before or a
    /// newer one.
    fn take(&mut self, (event, version): (Value, String)) -> Received {
        let (from, sequence) =
            (event["from"].as_u64().unwrap(), event["sequence"].as_u64().unwrap());
        let (count, last) = self.0.entry(from).or_default();
        assert_eq!(sequence, *count, "an event of client {from} is lost, doubled or out of order");
        assert!(version >= *last, "client {from}, event {sequence}: {last} came back as {version}");
        *count += 1;
        last.clone_from(&version);
        ((from, sequence), version)
    }
}

impl Peer {
    /// Connects; clients alternate between versions and codecs.
    pub async fn connect(addr: SocketAddr, me: usize) -> Self {
        let codec = match me % 4 {
            0 => return Self::V1(Box::new(v1::Client::connect(addr).await)),
            1 => Codec::Json,
            2 => Codec::MsgPack,
            _ => Codec::Cbor,
        };
        Self::V2(v2::Client::connect(addr, codec, "realm1").await)
    }

    pub async fn subscribe(&mut self, topic: &str) {
        match self {
            Self::V1(client) => {
                client.subscribe(topic);
                client.round_trip().await;
            }
            Self::V2(client) => drop(client.subscribe(topic, json!({})).await),
        }
    }

    /// Publishes, with delivery to itself.
    pub fn publish(&mut self, topic: &str, event: &Value) {
        match self {
            Self::V1(client) => client.publish(topic, event, &Reach::Plain),
            Self::V2(client) => {
                client.publish(topic, json!({"exclude_me": false}), json!([event]), Value::Null);
            }
        }
    }

    /// Returns the event, and the version that handled it; empty without a hook.
    pub async fn event(&mut self) -> (Value, String) {
        let args = match self {
            Self::V1(client) => client.event().await.event,
            Self::V2(client) => client.event().await.args,
        };
        match &args {
            // In version 1, a single argument is the event itself.
            Value::Object(_) => (args, String::new()),
            args if args.get(1).is_none() => (args[0].clone(), String::new()),
            args => (args[0].clone(), args[1].as_str().expect("a version").to_owned()),
        }
    }

    async fn expect_no_event(&mut self) {
        match self {
            Self::V1(client) => client.expect_no_event().await,
            Self::V2(client) => client.expect_no_event().await,
        }
    }
}
