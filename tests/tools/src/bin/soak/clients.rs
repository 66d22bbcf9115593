//! Clients of the soak test besides the load clients (`client::counting`): short visits, readers
//! that do not read, a publisher that provokes faults, and an author who keeps replacing files.
//! Each runs until the test stops it, and fails the test if the server misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use jackfield_tests::{build, client};

/// Path of the replaced plugin in the site.
const VERSIONED: &str = "v/guest_versioned.wasm";
/// Its routing file, in two forms: the second one has an additional route.
pub(crate) const ROUTING: [&str; 2] = [
    "soak.versioned: { channel: 'v/{name}', handler: { callback: 'versioned' } }\n",
    "soak.versioned: { channel: 'v/{name}', handler: { callback: 'versioned' } }\n\
     soak.further: { channel: 'w/{name}', handler: { callback: 'versioned' } }\n",
];
/// An invalid routing file: the reload fails and is logged.
const BROKEN: &str = "broken/websocket_routing.yml";

const SLOW_TOPIC: &str = "open/much";
/// The pause between two large events.
const SLOW_PACE: Duration = Duration::from_millis(20);
const LARGE: usize = 64 * 1024;
/// More large events than a slow reader's outbox and the kernel's buffers hold.
const TOO_MANY: u64 = 256;

/// Counters of the soak.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) visits: AtomicU64,
    pub(crate) publications: AtomicU64,
    pub(crate) cut_off: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) refused_reloads: AtomicU64,
    /// Large events that the slow readers should have read.
    large: AtomicU64,
}

/// State shared by all tasks.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) done: Arc<Done>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl World {
    fn goes_on(&self) -> bool {
        !*self.stopping.borrow()
    }

    async fn join(&self, codec: Codec) -> Client {
        Client::connect(self.server.addr, codec, "realm1").await
    }

    fn count(&self, what: impl Fn(&Done) -> &AtomicU64) {
        what(&self.done).fetch_add(1, Ordering::Relaxed);
    }
}

/// Joins topics with and without hooks, publishes, and leaves in one of four ways.
pub(crate) async fn come_and_go(world: World, me: usize) {
    let mut visit = me;
    while world.goes_on() {
        visit += 1;
        match visit % 4 {
            0 => visit_in_version_1(&world, me, visit).await,
            1 => visit_in_version_2(&world, me, visit, Codec::Json).await,
            2 => visit_in_version_2(&world, me, visit, Codec::MsgPack).await,
            _ => visit_in_version_2(&world, me, visit, Codec::Cbor).await,
        }
        world.count(|done| &done.visits);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn visit_in_version_2(world: &World, me: usize, visit: usize, codec: Codec) {
    let mut client = world.join(codec).await;
    // A topic that is used only once.
    let own = format!("open/{me}-{visit}");
    let subscription = client.subscribe(&own, json!({})).await;
    client.subscribe(&format!("v/{}", visit % 4), json!({})).await;
    client.subscribe(&format!("open/{me}-"), json!({"match": "prefix"})).await;
    client.subscribe("acme/chat/soak", json!({})).await;
    client.subscribe("open/a", json!({})).await;
    // Both of its own subscriptions get the event.
    let options = || json!({"exclude_me": false});
    let said = json!([visit, "hello"]);
    client.publish_acknowledged(&own, options(), said.clone(), Value::Null).await.unwrap();
    let mut heard = 0;
    while heard < 2 {
        // Other clients publish to the other topics meanwhile.
        heard += usize::from(client.event().await.args == said);
    }
    client.unsubscribe(subscription).await.expect("it was subscribed");
    let greeting = json!([{"text": "hello"}]);
    client.publish_acknowledged("acme/chat/soak", options(), greeting, Value::Null).await.unwrap();
    world.done.publications.fetch_add(2, Ordering::Relaxed);
    match visit / 4 % 3 {
        0 => drop(client.goodbye().await),
        1 => client.socket().close(1000, "enough"),
        // As a killed browser: TCP simply ends.
        _ => {}
    }
}

async fn visit_in_version_1(world: &World, me: usize, visit: usize) {
    let mut client = v1::Client::connect(world.server.addr).await;
    let own = format!("open/{me}-{visit}");
    client.subscribe(&own);
    client.subscribe(&format!("v/{}", visit % 4));
    client.subscribe("acme/chat/soak");
    client.publish(&own, &json!(visit), &Reach::Plain);
    client.publish("acme/chat/soak", &json!({"text": "hello"}), &Reach::Plain);
    while client.event().await.event != visit {}
    client.unsubscribe(&own, None);
    client.round_trip().await;
    world.done.publications.fetch_add(2, Ordering::Relaxed);
    match visit / 4 % 3 {
        0 => client.close(),
        // As a machine that was switched off.
        1 => client.into_socket().reset(),
        _ => {}
    }
}

/// Publishes large events to a reader that keeps up and must receive all of them.
pub(crate) async fn publish_much(world: World) {
    let mut publisher = world.join(Codec::Json).await;
    let mut reader = world.join(Codec::MsgPack).await;
    reader.subscribe(SLOW_TOPIC, json!({})).await;
    let filling = "x".repeat(LARGE);
    let mut number = 0_u64;
    // The slow readers wait for this number of events, so this task ends after them.
    while world.goes_on() || Arc::strong_count(&world.done) > 2 {
        let args = json!([number, filling]);
        publisher.publish_acknowledged(SLOW_TOPIC, json!({}), args, Value::Null).await.unwrap();
        assert_eq!(reader.event().await.args[0], number, "a large event is lost");
        number += 1;
        world.count(|done| &done.large);
        world.count(|done| &done.publications);
        tokio::time::sleep(SLOW_PACE).await;
    }
}

/// Subscribes, stops reading, and is disconnected for it; reconnects and repeats.
pub(crate) async fn read_nothing(world: World, me: usize) {
    while world.goes_on() {
        let codec = Codec::ALL[me % Codec::ALL.len()];
        let mut client = Client::connect_narrow(world.server.addr, codec, "realm1").await;
        client.subscribe(SLOW_TOPIC, json!({})).await;
        client.socket().stop_reading();
        let until = world.done.large.load(Ordering::Relaxed) + TOO_MANY;
        within("large events", async {
            while world.done.large.load(Ordering::Relaxed) < until {
                tokio::time::sleep(SLOW_PACE).await;
            }
        })
        .await;
        client.socket().resume_reading();
        client.ended().await;
        world.count(|done| &done.cut_off);
    }
}

/// Publishes to a handler that panics each time, and expects an error each time.
pub(crate) async fn provoke(world: World) {
    let mut client = world.join(Codec::Json).await;
    while world.goes_on() {
        let refused = client.publish_acknowledged("h/trap", json!({}), json!([]), Value::Null);
        refused.await.expect_err("a handler that panics refuses");
        world.count(|done| &done.faults);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Replaces the plugin every few seconds and sometimes its routes; sometimes the file is invalid.
pub(crate) async fn replace(world: World, site: Arc<Site>) {
    let original = std::fs::read(build::guest("versioned")).unwrap();
    let at = original.windows(10).position(|bytes| bytes == b"@@VERSION-").expect("a version");
    let mut client = world.join(Codec::Json).await;
    client.subscribe("v/ask", json!({})).await;
    let mut number = 1_usize;
    while world.goes_on() {
        number += 1;
        let version = format!("@@VERSION-{number:06}");
        let mut component = original.clone();
        component[at..at + version.len()].copy_from_slice(version.as_bytes());
        site.rename_over(VERSIONED, component);
        within(format!("version {number}"), async { while ask(&mut client).await != version {} })
            .await;
        world.count(|done| &done.reloads);
        if number.is_multiple_of(5) {
            site.write("v/websocket_routing.yml", ROUTING[number / 5 % 2]);
        }
        if number.is_multiple_of(10) {
            site.write(BROKEN, "a routing file: [");
            reported(&world.server, "failed").await;
            site.remove("broken");
            reported(&world.server, "ok").await;
            world.count(|done| &done.refused_reloads);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// Returns the version that answers.
async fn ask(client: &mut Client) -> Value {
    let options = json!({"exclude_me": false});
    client.publish_acknowledged("v/ask", options, json!(["which"]), Value::Null).await.unwrap();
    client.event().await.args[1].clone()
}

/// Waits until `/health` reports this outcome of the last reload.
async fn reported(server: &Server, outcome: &str) {
    let began = std::time::Instant::now();
    while tokio::task::block_in_place(|| server.health())["reload"] != outcome {
        assert!(began.elapsed() < client::PATIENCE, "the reload is never {outcome}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns whether a log line reports something that the soak test provoked.
pub(crate) fn is_provoked(line: &str) -> bool {
    line.contains("jackfield.close.slow_subscriber")
        || line.contains("broken/websocket_routing.yml")
        || line.contains("reload failed;")
        || line.contains("plugin hostile")
        || line.contains("plugin=\"hostile\"")
}
