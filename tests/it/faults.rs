//! Faults of handlers here, and of the machine and the network in the modules; `docs/reliability.md` has
//! a table of all.
//!
//! Handlers that fail, each in another way: the publisher gets an error, nothing is delivered, all
//! other clients are served meanwhile, and the plugin recovers.

mod cable;
mod clock;
mod databases;
mod half_open;
mod memory;
mod names;
pub(crate) mod open_files;
mod reconnects;
mod slow_bytes;

use std::collections::HashSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const FAILED: &str = "jackfield.error.handler_failed";

/// Every handler to which these tests publish, at `h/` and its name.
const HANDLERS: &[&str] = &[
    "allocate",
    "effects",
    "exit",
    "flood_log",
    "long_log",
    "nonsense",
    "nonsense_publish",
    "publish_storm",
    "recurse",
    "shout",
    "sleep",
    "spin",
    "tell",
    "trap",
    "writes_then_spins",
    "writes_then_traps",
];

/// The name of each fault in the log.
const FAULTS: &[(&str, &str, &str)] = &[
    ("spin", "deadline", "did not return within 1000 ms"),
    ("sleep", "deadline", "did not return within 1000 ms"),
    ("allocate", "memory", "needs more than its 16777216 bytes of memory"),
    ("trap", "trap", "this is what I do"),
    ("recurse", "trap", "trapped: "),
    // A component can report failure only, without a code.
    ("exit", "exit", "called exit with code 1"),
    ("nonsense", "bad_answer", "gave a bad answer: "),
    ("nonsense_publish", "bad_answer", "gave a bad answer: "),
    ("publish_storm", "effects", "gave more than its 1000 effects"),
    ("shout", "output", "gave more than its 1048576 bytes of output"),
    ("writes_then_traps", "trap", "after the writes"),
    ("writes_then_spins", "deadline", "did not return within 1000 ms"),
];

/// Handlers whose plugin was running when it failed: the log has a backtrace.
const WITH_BACKTRACE: &[&str] = &["spin", "allocate", "trap", "recurse", "writes_then_traps"];

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_handler_fails_closed_and_comes_back() {
    let (_site, mut server) = hostile();
    let mut publisher = joined(&server).await;
    let mut subscriber = joined(&server).await;
    let mut old = v1::Client::connect(server.addr).await;
    subscriber.subscribe("h/tell", json!({})).await;
    for (handler, kind, message) in FAULTS {
        let topic = format!("h/{handler}");
        if *handler != "trap" {
            subscriber.subscribe(&topic, json!({})).await;
            old.subscribe(&topic);
            old.round_trip().await;
        }
        let logged = server.log().len();
        let error = publish(&mut publisher, &topic, json!(["x"])).await.unwrap_err();
        assert_eq!(error.uri, FAILED, "{handler}");
        let told = error.args.to_string();
        assert!(!told.contains(message), "clients are not told how {handler} failed: {told}");

        // No event was delivered, and the store is unchanged.
        subscriber.expect_no_event().await;
        old.expect_no_event().await;
        publish(&mut publisher, "h/tell", json!([])).await.unwrap();
        let answer = subscriber.event().await.args;
        assert_eq!(answer, json!(["calls 1, key none"]), "after {handler}, an instance is fresh");

        // One log line has all details.
        let who = format!("plugin hostile, on-publish of handler {handler} for topic {topic}: ");
        let log = server.logged_after(logged, &who);
        let mut lines = log.lines().filter(|line| line.contains("hostile"));
        let line = lines.next().unwrap();
        assert_eq!(lines.next(), None, "{handler}");
        let fields = format!(
            "plugin=\"hostile\" handler=\"{handler}\" topic=\"{topic}\" hook=on-publish kind=\"{kind}\""
        );
        for part in ["ERROR", &who, message, &fields] {
            assert!(line.contains(part), "{handler}: {part} is missing in:\n{line}");
        }
        // The compiler may have inlined a hook into the function that the component exports.
        let backtrace = line.split(" backtrace=").nth(1).unwrap_or_default();
        let shown = ["guest_hostile", "#on-publish"].iter().any(|name| backtrace.contains(name));
        assert!(shown || !WITH_BACKTRACE.contains(handler), "{handler} has no backtrace:\n{line}");
    }
    assert!(server.is_alive());
    assert_eq!(old.page_errors(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_publishers_continue_after_a_fault() {
    let (_site, server) = hostile();
    let mut subscriber = joined(&server).await;
    subscriber.subscribe("h/tell", json!({})).await;
    let mut old = v1::Client::connect(server.addr).await;
    old.publish("h/trap", &json!("x"), &Reach::Plain);
    old.publish("h/tell", &json!("x"), &Reach::Plain);
    old.round_trip().await;
    assert_eq!(subscriber.event().await.args, json!(["calls 1, key none"]));
    let mut publisher = joined(&server).await;
    publisher.publish("h/trap", json!({}), json!(["x"]), Value::Null);
    publish(&mut publisher, "h/tell", json!([])).await.unwrap();
    assert_eq!(subscriber.event().await.args, json!(["calls 1, key none"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_traps_refuses_the_subscription() {
    let (_site, server) = hostile();
    let mut client = joined(&server).await;
    let error = client.try_subscribe("h/trap", json!({})).await.unwrap_err();
    assert_eq!(error.uri, FAILED);
    server.logged("on-subscribe of handler trap for topic h/trap: ");
    client.subscribe("h/tell", json!({})).await;
    publish(&mut client, "h/tell", json!([])).await.unwrap();
    assert_eq!(client.event().await.args, json!(["calls 1, key none"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_while_a_handler_spins() {
    served_while_spinning(1, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_while_more_handlers_spin_than_there_are_threads() {
    served_while_spinning(8, 3).await;
}

/// Spins in this number of lanes at once, for three seconds, and counts the work of other clients.
/// `least` is far below the count of an idle machine, and above that of a server whose threads are
/// blocked by spinning.
async fn served_while_spinning(lanes: usize, least: usize) {
    let site = Site::open();
    let routes = "spin:\n    channel: 'spin/{n}'\n    handler: { callback: 'spin' }\n    lanes: ";
    site.bundle("hostile", &format!("{routes}{lanes}\n"), &[build::guest("hostile")]);
    let deadline = "plugins: { named: { hostile: { deadline: 3s } } }\n";
    let server = Server::configured(site.path(), deadline);
    let (mut caller, mut responder) = (joined(&server).await, joined(&server).await);
    caller.subscribe("open/pong", json!({})).await;
    responder.subscribe("open/ping", json!({})).await;
    // Tasks that still wait when the test ends are aborted.
    let mut spinning = JoinSet::new();
    // More topics than lanes, so that no lane is idle.
    for n in 0..lanes * 4 {
        let mut publisher = joined(&server).await;
        let topic = format!("spin/{n}");
        spinning.spawn(async move { publish(&mut publisher, &topic, json!([])).await });
    }
    let mut round_trips = 0;
    let error = loop {
        if let Some(ended) = spinning.try_join_next() {
            break ended.unwrap().unwrap_err();
        }
        publish(&mut caller, "open/ping", json!([round_trips])).await.unwrap();
        assert_eq!(responder.event().await.args, json!([round_trips]));
        publish(&mut responder, "open/pong", json!([round_trips])).await.unwrap();
        assert_eq!(caller.event().await.args, json!([round_trips]));
        round_trips += 1;
    };
    // On busy cores, a call that waits for its turn may be refused before the first one ends.
    assert!([FAILED, "jackfield.error.handler_busy"].contains(&error.uri.as_str()), "{error:?}");
    assert!(round_trips >= least, "{round_trips} round trips while {lanes} lanes spun for 3 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_cannot_flood_the_log() {
    let (_site, server) = hostile();
    let mut client = joined(&server).await;
    // A hundred thousand lines may take longer than the deadline of a call; both results are fine.
    let _either = publish(&mut client, "h/flood_log", json!([])).await;
    let log = server.logged("log lines suppressed");
    let lines = log.lines().filter(|line| line.contains("jackfield::plugin")).count();
    assert!((1..5_000).contains(&lines), "{lines} lines");
    assert!(
        log.contains("plugin=\"hostile\" handler=\"flood_log\" topic=\"h/flood_log\""),
        "{log}"
    );

    let (_site, server) = hostile();
    let mut client = joined(&server).await;
    publish(&mut client, "h/long_log", json!([])).await.unwrap();
    let log = server.logged("more bytes left out");
    let longest = log.lines().map(str::len).max();
    assert!(longest < Some(10_000), "a line of {longest:?} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_across_faults() {
    let (_site, server) = hostile();
    let mut client = joined(&server).await;
    publish(&mut client, "h/tell", json!([])).await.unwrap();
    let before = server.memory();
    let mut faults = HashSet::new();
    for _ in 0..4 {
        for handler in ["allocate", "recurse", "shout", "publish_storm"] {
            let error = publish(&mut client, &format!("h/{handler}"), json!([])).await.unwrap_err();
            faults.insert((handler, error.uri));
        }
    }
    assert_eq!(faults.len(), 4, "{faults:?}");
    let growth = server.memory().saturating_sub(before) >> 20;
    assert!(growth < 64, "{growth} MiB more after sixteen instances of up to 16 MiB");
}

/// With `log.format: json`, a fault is one object with typed values.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_json_log_has_fields() {
    let site = Site::new();
    let routes = "h.trap: { channel: 'h/trap', handler: { callback: 'trap' } }\n";
    site.bundle("hostile", routes, &[build::guest("hostile")]);
    let settings = "log: { format: json }\nrealms: [realm1, shop]\n";
    let server = Server::configured(site.path(), settings);
    let mut publisher = joined(&server).await;
    publish(&mut publisher, "h/trap", json!([])).await.unwrap_err();
    let log = server.logged("on-publish of handler trap");
    let lines: Vec<Value> = log.lines().filter_map(|it| serde_json::from_str(it).ok()).collect();
    let line = |found: &dyn Fn(&Value) -> bool| {
        let mut lines = lines.iter().filter(|line| found(line));
        let line = lines.next().unwrap_or_else(|| panic!("no such line in:\n{log}"));
        assert_eq!(lines.next(), None);
        line
    };
    let fault = line(&|line| line["fields"]["kind"] == "trap");
    assert_eq!(fault["level"], "ERROR");
    let fields = &fault["fields"];
    assert!(fields["message"].as_str().unwrap().contains("this is what I do"), "{fault}");
    for (field, value) in
        [("plugin", "hostile"), ("handler", "trap"), ("topic", "h/trap"), ("hook", "on-publish")]
    {
        assert_eq!(fields[field], value, "{fault}");
    }
    assert!(fields["backtrace"].is_string(), "{fault}");
    let serving = line(&|line| line["fields"]["message"] == "serving");
    assert_eq!(serving["fields"]["realms"], json!(["realm1", "shop"]));
    let ready = line(&|line| line["fields"]["message"] == "generation ready");
    assert!(ready["fields"]["took_ms"].is_u64(), "{ready}");
}

/// Returns a server with a route to each handler of the hostile guest.
fn hostile() -> (Site, Server) {
    let site = Site::open();
    let route = |handler: &&str| {
        format!(
            "h.{handler}:\n    channel: 'h/{handler}'\n    handler: {{ callback: '{handler}' }}\n"
        )
    };
    let routes: String = HANDLERS.iter().map(route).collect();
    site.bundle("hostile", &routes, &[build::guest("hostile")]);
    // Long enough for everything except endless loops on a busy machine.
    let limits = "plugins: { named: { hostile: { deadline: 1s, memory: 16 MiB } } }\n";
    let server = Server::configured(site.path(), limits);
    (site, server)
}

async fn joined(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

async fn publish(client: &mut Client, topic: &str, args: Value) -> Result<u64, WampError> {
    client.publish_acknowledged(topic, json!({"exclude_me": false}), args, Value::Null).await
}
