//! Scenarios of the measurement: clients that publish, join and leave, each step complete before
//! the next. Each scenario runs with two numbers of steps, and the difference of their counts is
//! taken, so that the cost of counting cancels out.

use serde_json::{Value, json};

use crate::connection::visit;
use crate::valgrind::Counted;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::Client;
use jackfield_tests::site::Site;

/// Instructions of one unit of each scenario, in the order in which they were counted.
pub(crate) type Measured = Vec<(&'static str, u64)>;

const HOOK_ROUTES: &str = "\
callgrind.versioned:
    channel: 'v/{name}'
    handler: { callback: 'versioned' }
";
const READ_ROUTES: &str = "\
callgrind.blind:
    channel: 'blind/{name}'
    handler: { callback: 'blind' }
callgrind.reader:
    channel: 'reader/{name}'
    handler: { callback: 'reader' }
";

/// Repetitions of a step: for the warm-up, and the two numbers whose difference is measured.
#[derive(Clone, Copy)]
struct Steps {
    warm: u64,
    few: u64,
    many: u64,
}

/// The number of rounds of which the median is taken: odd.
const ROUNDS: usize = 3;
const STEPS: Steps = Steps { warm: 50, few: 50, many: 150 };
/// For steps that take as long as a hundred of the others.
const LONG_STEPS: Steps = Steps { warm: 3, few: 4, many: 16 };
const CROWD: u64 = 100;

/// Returns a site with a topic that is broadcast without a hook, and three with hooks in Rust: one
/// changes the event, one reads nothing, and one reads the event.
pub(crate) fn site() -> Site {
    let site = Site::open();
    site.bundle("v", HOOK_ROUTES, &[build::guest("versioned")]);
    site.bundle("m", READ_ROUTES, &[build::guest("methods")]);
    site
}

/// Counts every scenario.
pub(crate) async fn measure(server: &Counted) -> Measured {
    let mut measured = Measured::new();
    let mut add = |scenario, instructions| {
        println!("{scenario:36} {instructions:>9} instructions");
        measured.push((scenario, instructions));
    };
    add("publish to 1, v2 JSON", publish(server, Codec::Json, "open/json", 1).await);
    let each = publish(server, Codec::Json, "open/crowd", CROWD).await / CROWD;
    add("publish to 100, v2 JSON, a delivery", each);
    add("publish to 1, v2 MessagePack", publish(server, Codec::MsgPack, "open/msgpack", 1).await);
    add("publish to 1, v2 CBOR", publish(server, Codec::Cbor, "open/cbor", 1).await);
    add("publish to 1, v1", publish_v1(server).await);
    add("publish to 1, hook in Rust", publish(server, Codec::Json, "v/hook", 1).await);
    add("publish to 1, hook reads nothing", publish(server, Codec::Json, "blind/hook", 1).await);
    add("publish to 1, hook reads the event", publish(server, Codec::Json, "reader/hook", 1).await);
    add("connect, subscribe and leave", join(server).await);
    measured
}

/// Returns an event of about 128 bytes, with values as applications send them.
fn event() -> Value {
    json!({
        "type": "message",
        "id": 81_273,
        "from": "Alice",
        "text": "The parcel has arrived, and somebody has to sign for it.",
        "tags": ["a", "b"],
        "urgent": false
    })
}

/// Counts one acknowledged publication, its deliveries and PUBLISHED.
async fn publish(server: &Counted, codec: Codec, topic: &str, subscribers: u64) -> u64 {
    let mut publisher = Client::connect(server.server.addr, codec, "realm1").await;
    let mut crowd = Vec::new();
    for _ in 0..subscribers {
        let mut subscriber = Client::connect(server.server.addr, codec, "realm1").await;
        subscriber.subscribe(topic, json!({})).await;
        crowd.push(subscriber);
    }
    let steps = if subscribers == 1 { STEPS } else { LONG_STEPS };
    each(server, steps, async |_| {
        let args = json!([event()]);
        publisher.publish_acknowledged(topic, json!({}), args, Value::Null).await.unwrap();
        for subscriber in &mut crowd {
            subscriber.event().await;
        }
    })
    .await
}

/// Counts one publication of WAMP v1, which has no acknowledgement.
async fn publish_v1(server: &Counted) -> u64 {
    let mut publisher = v1::Client::connect(server.server.addr).await;
    let mut subscriber = v1::Client::connect(server.server.addr).await;
    subscriber.subscribe("open/old");
    subscriber.round_trip().await;
    each(server, STEPS, async |_| {
        publisher.publish("open/old", &event(), &Reach::Plain);
        subscriber.event().await;
    })
    .await
}

/// Counts a connection from its first byte to its last, with one subscription.
async fn join(server: &Counted) -> u64 {
    let steps = Steps { warm: 5, few: 10, many: 30 };
    each(server, steps, async |step| visit(server, &format!("open/join-{step:04}")).await).await
}

/// Returns the instructions of one step: the difference between many and few steps, as the median of
/// several rounds. Some work happens once in a while: a probe of the server's health, the end of
/// threads that were busy at the start.
async fn each(server: &Counted, steps: Steps, mut step: impl AsyncFnMut(u64)) -> u64 {
    let mut done = 0;
    let mut count = async |amount: u64| {
        for _ in 0..amount {
            server.idle().await;
            step(done).await;
            done += 1;
        }
        server.idle().await;
        server.count()
    };
    count(steps.warm).await;
    let mut rounds = [0; ROUNDS];
    for round in &mut rounds {
        let few = count(steps.few).await;
        *round = (count(steps.many).await - few) / (steps.many - steps.few);
    }
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}
