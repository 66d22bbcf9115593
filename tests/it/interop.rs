//! Third-party clients against the real server: each with every serializer that it has, and all
//! with each other across serializers and both versions of the protocol. `matrix` has the table of their
//! features.

mod matrix;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::{v1, v2};
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Events per publisher.
const EVENTS: u64 = 20;

fn v1_libraries() -> impl Iterator<Item = Library> {
    [Library::AutobahnV1, Library::WampIo].into_iter().filter(|library| library.runs())
}

#[tokio::test]
async fn every_client_receives_every_event_in_order() {
    const TOPIC: &str = "open.all";
    let site = Site::open();
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe(TOPIC);
    page.round_trip().await;
    let mut peers = Vec::new();
    for library in Library::all_v2().chain(v1_libraries()) {
        let mut peer = Peer::join(library, server.addr).await;
        peer.subscribe(TOPIC, json!({})).await;
        peers.push((library, peer));
    }
    // A v1 client has no answer to wait for; its own event shows that it is subscribed.
    let is_v1 = |library: Library| matches!(library, Library::AutobahnV1 | Library::WampIo);
    for (index, (library, peer)) in peers.iter_mut().enumerate() {
        if is_v1(*library) {
            mark(peer, TOPIC, &format!("{index} is subscribed")).await;
        }
    }
    for (index, (library, peer)) in peers.iter_mut().enumerate() {
        for number in 0..EVENTS {
            // Without a pause in between; the acknowledgement of the last one covers all.
            let last = number == EVENTS - 1 && !is_v1(*library);
            let options = if last { json!({"acknowledge": true}) } else { json!({}) };
            let event = json!({
                "from": index, "number": number, "text": "ünï😀", "list": [1, -2, 0.5, true, null],
                "map": {"k": [{"deep": "er"}]},
            });
            peer.publish(TOPIC, json!([event]), json!({}), options).await;
        }
        if is_v1(*library) {
            mark(peer, TOPIC, &format!("{index} has published")).await;
        }
    }
    page.publish(TOPIC, &json!({"end": true}), &v1::Reach::Plain);
    let libraries: Vec<_> = peers.iter().map(|(library, _)| *library).collect();
    for (index, (library, peer)) in peers.iter_mut().enumerate() {
        let mut heard = BTreeMap::<u64, Vec<u64>>::new();
        loop {
            let (topic, args, kwargs) = peer.event().await;
            assert_eq!(topic, TOPIC);
            assert_eq!(kwargs, json!({}), "{library:?}");
            let event = &args[0];
            match event["from"].as_u64() {
                Some(from) => {
                    assert_eq!(event["text"], "ünï😀", "{library:?}");
                    assert_eq!(event["list"], json!([1, -2, 0.5, true, null]), "{library:?}");
                    assert_eq!(event["map"], json!({"k": [{"deep": "er"}]}), "{library:?}");
                    heard.entry(from).or_default().push(event["number"].as_u64().unwrap());
                }
                None if event["end"] == true => break,
                None => assert!(event.is_string(), "{library:?}: {args}"),
            }
        }
        let everything: Vec<_> = (0..EVENTS).collect();
        for (from, source) in libraries.iter().enumerate() {
            // Version 1 sends its own events back, version 2 does not.
            let due = if from == index && !is_v1(*library) { None } else { Some(&everything) };
            let found = heard.get(&(from as u64));
            assert_eq!(found, due, "{library:?} from {source:?}");
        }
    }
}

#[tokio::test]
async fn every_v2_client_subscribes_publishes_and_leaves() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut reference = Vec::new();
    for codec in Codec::ALL {
        let mut client = v2::Client::connect(server.addr, codec, "realm1").await;
        client.subscribe("open.t", json!({})).await;
        reference.push(client);
    }
    for library in Library::all_v2() {
        let mut peer = Peer::start(library, server.addr, "realm1", "/");
        let joined = peer.until("to join", |line| line.get("joined").is_some()).await;
        // Other clients of the tests need not receive the peer's events.
        let to_peer = json!({"eligible": [joined["joined"]]});
        peer.subscribe("open.t", json!({})).await;
        peer.subscribe("open.pattern", json!({"match": "prefix"})).await;
        let payloads: Vec<(Value, Value)> = vec![
            (json!([]), json!({})),
            (json!([1, "two", [3]]), json!({})),
            (json!([]), json!({"k": {"n": [null]}})),
            (json!(["a"]), json!({"k": "v"})),
        ];
        for (args, kwargs) in payloads {
            // From the peer to the tests' clients, and back.
            let options = json!({"acknowledge": true});
            peer.publish("open.t", args.clone(), kwargs.clone(), options).await;
            for client in &mut reference {
                let event = client.event().await;
                let found = (or(event.args, json!([])), or(event.kwargs, json!({})));
                assert_eq!(found, (args.clone(), kwargs.clone()), "{library:?}");
            }
            for client in &mut reference {
                for topic in ["open.t", "open.pattern.x"] {
                    client.publish(topic, to_peer.clone(), args.clone(), kwargs.clone());
                    let (_, heard_args, heard_kwargs) = peer.event().await;
                    assert_eq!((&heard_args, &heard_kwargs), (&args, &kwargs), "{library:?}");
                }
            }
        }
        let failed = peer.tell(json!({"do": "subscribe", "topic": "nowhere", "options": {}})).await;
        assert_eq!(failed["error"], "jackfield.error.no_route", "{library:?}: {failed}");
        peer.unsubscribe("open.t").await;
        reference[0].publish("open.t", json!({}), json!(["unheard"]), json!(null));
        for client in &mut reference[1..] {
            assert_eq!(client.event().await.args, json!(["unheard"]));
        }
        reference[0].publish("open.pattern.x", json!({}), json!(["last"]), json!(null));
        assert_eq!(peer.event().await.1, json!(["last"]), "{library:?} is not subscribed any more");
        peer.leave().await;
    }
}

#[tokio::test]
async fn binary_crosses_all_serializers() {
    let site = Site::open();
    let server = Server::start(site.path());
    let libraries = [
        Library::AutobahnPython as fn(Codec) -> Library,
        Library::XconnPython,
        Library::AutobahnJs,
        Library::Wampy,
    ];
    let value = json!([binary(&[0, 1, 127, 128, 255]), {"in": binary(b"deep")}]);
    let mut peers = Vec::new();
    for library in
        libraries.into_iter().flat_map(|library| [Codec::MsgPack, Codec::Cbor].map(library))
    {
        let mut peer = Peer::join(library, server.addr).await;
        peer.subscribe("open.binary", json!({})).await;
        peers.push((library, peer));
    }
    for codec in Codec::ALL {
        let mut client = v2::Client::connect(server.addr, codec, "realm1").await;
        let args = json!([value]);
        let kwargs = json!({"value": value});
        let publish =
            client.publish_acknowledged("open.binary", json!({}), args.clone(), kwargs.clone());
        publish.await.unwrap();
        for (library, peer) in &mut peers {
            let (_, heard_args, heard_kwargs) = peer.event().await;
            assert_eq!((&heard_args, &heard_kwargs), (&args, &kwargs), "{codec:?} to {library:?}");
        }
    }
    let mut reference = Vec::new();
    for codec in Codec::ALL {
        let mut client = v2::Client::connect(server.addr, codec, "realm1").await;
        client.subscribe("open.binary", json!({})).await;
        reference.push(client);
    }
    for (library, peer) in &mut peers {
        let options = json!({"acknowledge": true});
        peer.publish("open.binary", json!([value]), json!({"value": value}), options).await;
        for client in &mut reference {
            let event = client.event().await;
            let found = (event.args, event.kwargs);
            assert_eq!(found, (json!([value]), json!({"value": value})), "from {library:?}");
        }
    }
}

/// autobahn-python's own order of preference selects the first supported one.
#[tokio::test]
async fn respects_the_clients_order_of_subprotocols() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut peer = Peer::start(Library::AutobahnPythonDefault, server.addr, "realm1", "/");
    let joined = peer.until("to join", |line| line.get("joined").is_some()).await;
    let protocol = joined["protocol"].as_str().unwrap();
    assert!(Codec::ALL.iter().any(|codec| codec.subprotocol() == protocol), "{joined}");
}

#[tokio::test]
async fn every_v2_client_understands_a_refusal_to_join() {
    let site = Site::open();
    let server = Server::start(site.path());
    for library in Library::all_v2() {
        let mut peer = Peer::start(library, server.addr, "no.such.realm", "/");
        let answer =
            peer.until("to be refused", |line| line.get("refused").is_some()).await.to_string();
        assert!(answer.contains("no_such_realm"), "{library:?}: {answer}");
    }
}

/// Publishes a mark: when a v1 client receives it, its earlier messages have been handled.
async fn mark(peer: &mut Peer, topic: &str, text: &str) {
    peer.publish(topic, json!([text]), json!({}), json!({})).await;
    peer.until("its own event", |line| line["args"] == json!([text])).await;
}

fn or(value: Value, default: Value) -> Value {
    if value.is_null() { default } else { value }
}
