//! Invariants of `docs/architecture.md`, one test for each, named after it. Most have more tests
//! elsewhere; these are the shortest that would detect a violation.

use serde_json::json;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::{Handshake, Incoming, Socket};
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// One route to each of the misbehaving handlers, `h/spin` and so on.
const HOSTILE: &str = "\
hostile:
    channel: 'h/{handler}'
    handler: { callback: 'echo' }
    requirements: { handler: 'echo' }
hostile.tell: { channel: 'h/tell', handler: { callback: 'tell' } }
hostile.spin: { channel: 'h/spin', handler: { callback: 'spin' } }
hostile.trap: { channel: 'h/trap', handler: { callback: 'writes_then_traps' } }
hostile.hookless: { channel: 'h/hookless', handler: { callback: 'hookless' } }
hostile.effects: { channel: 'h/effects', handler: { callback: 'effects' } }
hostile.elsewhere: { channel: 'elsewhere', handler: { callback: 'spin' } }
";

fn serve() -> (Site, Server) {
    let site = Site::open();
    site.bundle("hostile", HOSTILE, &[build::guest("hostile")]);
    let server = Server::start(site.path());
    (site, server)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_messages_of_a_session_are_handled_in_order() {
    let (_site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    // One topic goes through wasm, the other does not: overtaking would be noticed.
    subscriber.subscribe("h/tell", json!({})).await;
    subscriber.subscribe("open/a", json!({})).await;
    for number in 0..300 {
        publisher.publish("h/tell", json!({}), json!([]), json!({}));
        publisher.publish("open/a", json!({}), json!([number]), json!({}));
    }
    for number in 0..300 {
        let told = subscriber.event().await;
        assert_eq!(told.args, json!([format!("calls {}, key none", number + 1)]));
        assert_eq!(subscriber.event().await.args, json!([number]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_2_subscribed_comes_before_events_and_none_after_unsubscribed() {
    let (_site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    for request in 1..=200_u64 {
        // No answer is awaited, so that the two sessions race.
        publisher.publish("open/race", json!({}), json!([request]), json!({}));
        subscriber.send(&json!([32, 2 * request, {}, "open/race"]));
        publisher.publish("open/race", json!({}), json!([request]), json!({}));
        let (mut subscription, mut unsubscribed) = (None, false);
        while !unsubscribed {
            let message = subscriber.message().await;
            match message[0].as_u64() {
                Some(33) => {
                    subscription = message[2].as_u64();
                    subscriber.send(&json!([34, 2 * request + 1, subscription]));
                }
                Some(36) => assert_eq!(message[1].as_u64(), subscription, "{message}"),
                Some(35) => unsubscribed = true,
                _ => panic!("unexpected: {message}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_2_registered_comes_before_invocations_and_none_after_unregistered() {
    let (_site, server) = serve();
    let (mut caller, mut offering) = (join(&server).await, join(&server).await);
    let mut call = 0;
    for request in 1..=200_u64 {
        // No answer is awaited, so that the two sessions race.
        let mut send_call = || {
            call += 1;
            caller.send(&json!([48, call, {}, "open/race", [request]]));
        };
        send_call();
        offering.send(&json!([64, 2 * request, {}, "open/race"]));
        send_call();
        let (mut registration, mut unregistered) = (None, false);
        while !unregistered {
            let message = offering.message().await;
            match message[0].as_u64() {
                Some(65) => {
                    registration = message[2].as_u64();
                    offering.send(&json!([66, 2 * request + 1, registration]));
                }
                Some(68) => {
                    assert_eq!(message[2].as_u64(), registration, "{message}");
                    offering.send(&json!([70, message[1], {}]));
                }
                Some(67) => unregistered = true,
                _ => panic!("unexpected: {message}"),
            }
        }
    }
    // Each call is answered once.
    let mut answers = std::collections::BTreeSet::new();
    while answers.len() < 400 {
        let message = caller.message().await;
        let answered = if message[0] == 50 { &message[1] } else { &message[2] };
        assert!(answers.insert(answered.as_u64().unwrap()), "{message}");
    }
    caller.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_3_at_most_one_wasm_call_a_publish_and_none_without_a_hook() {
    let (_site, server) = serve();
    let mut publisher = join(&server).await;
    let mut subscribers = Vec::new();
    for _ in 0..10 {
        let mut subscriber = join(&server).await;
        subscriber.subscribe("h/tell", json!({})).await;
        subscriber.subscribe("h/hookless", json!({})).await;
        subscribers.push(subscriber);
    }
    for _ in 0..3 {
        publisher.publish("h/tell", json!({}), json!([]), json!({}));
    }
    // Its hooks would panic if they were called.
    publisher.publish_acknowledged("h/hookless", json!({}), json!([7]), json!({})).await.unwrap();
    for subscriber in &mut subscribers {
        for call in 1..=3 {
            let told = subscriber.event().await.args;
            assert_eq!(told, json!([format!("calls {call}, key none")]));
        }
        assert_eq!(subscriber.event().await.args, json!([7]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_4_payloads_pass_undecoded_between_clients_of_one_codec() {
    let (_site, server) = serve();
    let raw = |socket: &Socket, text: &str| socket.send_text(text);
    let open = || async {
        let protocols = vec!["wamp.2.json".to_owned()];
        let handshake = Handshake { protocols, ..Handshake::default() };
        let mut socket = Socket::open(server.addr, handshake).await.expect("an open socket");
        raw(&socket, r#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{}}}]"#);
        assert!(text(&mut socket).await.starts_with("[2,"));
        socket
    };
    let (mut subscriber, publisher) = (open().await, open().await);
    raw(&subscriber, r#"[32,1,{},"open/raw"]"#);
    assert!(text(&mut subscriber).await.starts_with("[33,"));
    // Spaces, escapes, digits and repeated keys that no decoder and encoder would reproduce. The
    // broker's own tests count the encodings of an event.
    let payload = r#"[1.0, 1e2 ,18446744073709552000,"\u00e9\/"],{"b" : 1,"a":2,"b":3}"#;
    raw(&publisher, &format!(r#"[16,1,{{}},"open/raw",{payload}]"#));
    let event = text(&mut subscriber).await;
    assert!(event.ends_with(&format!("{payload}]")), "{event}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_5_effects_happen_only_if_the_hook_returns() {
    let (_site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("h/trap", json!({})).await;
    subscriber.subscribe("h/tell", json!({})).await;
    // The hook writes to its store, publishes, and then panics.
    let failed = publisher.publish_acknowledged("h/trap", json!({}), json!(["x"]), json!({})).await;
    assert_eq!(failed.unwrap_err().uri, "jackfield.error.handler_failed");
    publisher.publish_acknowledged("h/tell", json!({}), json!([]), json!({})).await.unwrap();
    // The first event is that of a later successful hook, and the store is unchanged.
    assert_eq!(subscriber.event().await.args, json!(["calls 1, key none"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_events_of_handlers_enter_no_handler() {
    let (_site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    // The handler of `elsewhere` never returns from on-publish; the hook of `h/effects` publishes
    // to that topic.
    subscriber.subscribe("elsewhere", json!({})).await;
    let accepted =
        publisher.publish_acknowledged("h/effects", json!({}), json!(["hello"]), json!({})).await;
    accepted.unwrap();
    assert_eq!(subscriber.event().await.args, json!(["hello"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_7_a_plugin_costs_its_own_lane_and_fails_closed() {
    let (_site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    let mut other = join(&server).await;
    subscriber.subscribe("h/spin", json!({})).await;
    publisher.publish("h/spin", json!({ "acknowledge": true }), json!([]), json!({}));
    // The lane runs an endless loop; other clients are served.
    for number in 0..20 {
        let topic = format!("open/{number}");
        other.publish_acknowledged(&topic, json!({}), json!([]), json!({})).await.unwrap();
    }
    let refused = publisher.message().await;
    assert_eq!((&refused[0], &refused[4]), (&json!(8), &json!("jackfield.error.handler_failed")));
    subscriber.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_8_a_wrong_file_leaves_the_running_generation_alone() {
    let (site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("open/a", json!({})).await;
    // One route is removed and another is invalid: the whole reload is refused.
    site.write("open/websocket_routing.yml", "test.broken:\n    chanel: 'x'\n");
    server.logged("websocket_routing.yml:2:5");
    publisher.publish_acknowledged("open/a", json!({}), json!([1]), json!({})).await.unwrap();
    assert_eq!(subscriber.event().await.args, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_9_every_queue_is_bounded_and_slow_subscribers_delay_no_other() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { outbox: { bytes: 256KiB } }\n");
    let mut publisher = join(&server).await;
    let mut quick = join(&server).await;
    let mut slow = Client::connect_narrow(server.addr, Codec::Json, "realm1").await;
    quick.subscribe("open/flood", json!({})).await;
    slow.subscribe("open/flood", json!({})).await;
    slow.socket().stop_reading();
    let text = "x".repeat(16 * 1024);
    for number in 0..2_000 {
        publisher.publish("open/flood", json!({}), json!([number, text]), json!({}));
        assert_eq!(quick.event().await.args[0], json!(number));
    }
    server.logged("jackfield.close.slow_subscriber");
}

#[test]
fn invariant_10_no_crate_may_panic_or_be_unsafe() {
    let manifest = std::fs::read_to_string(build::root().join("Cargo.toml")).unwrap();
    // CI makes every warning an error.
    for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing", "todo"] {
        assert!(manifest.contains(&format!("{lint} = \"warn\"")), "the lint {lint} is off");
    }
    assert!(manifest.contains("unsafe_code = \"deny\""));
    let crates = ["host", "host/broker", "host/sandbox", "host/wamp", "plugin-sdk", "routing"];
    for name in crates {
        let path = build::root().join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} has lints of its own");
    }
    let ci = std::fs::read_to_string(build::root().join("Makefile")).unwrap();
    assert!(ci.contains(
        "clippy --release --locked --workspace $(FEATURES) --all-targets -- -D warnings"
    ));
}

async fn text(socket: &mut Socket) -> String {
    match within("a text message", socket.next()).await {
        Incoming::Text(text) => text,
        other => panic!("expected a text message: {other:?}"),
    }
}
