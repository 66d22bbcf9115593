//! Payload passthru mode: payloads that clients have packed, and handlers do not open.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOPIC: &str = "open.packed";

fn packed() -> Value {
    json!({"ppt_scheme": "x_own", "ppt_serializer": "cbor", "ppt_cipher": "xsalsa20poly1305", "ppt_keyid": "k1"})
}

/// Returns a client that announces the mode in all roles.
async fn packing(server: &Server, codec: Codec) -> Client {
    let mut options = Options::new(codec);
    let feature = json!({"features": {"payload_passthru_mode": true}});
    options.details["roles"] =
        json!({"publisher": feature, "subscriber": feature, "caller": feature, "callee": feature});
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

#[tokio::test]
async fn packed_payloads_keep_their_attributes() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe(TOPIC);
    page.round_trip().await;
    for codec in Codec::ALL {
        let mut receiver = packing(&server, codec).await;
        receiver.subscribe(TOPIC, json!({})).await;
        let procedure = format!("open.work{codec:?}");
        receiver.register(&procedure, json!({})).await.unwrap();
        for other in Codec::ALL {
            let mut sender = packing(&server, other).await;
            let item = json!([binary(&[0, 255, 7])]);
            let options = packed();
            sender.publish_acknowledged(TOPIC, options, item.clone(), Value::Null).await.unwrap();
            let event = receiver.event().await;
            assert_eq!((event.details, event.args), (packed(), item.clone()), "{other:?}");
            let request = sender.next_request();
            sender.send(&json!([48, request, packed(), procedure, item]));
            let invocation = receiver.invocation().await;
            assert_eq!((&invocation[3], &invocation[4]), (&packed(), &item));
            receiver.send(&json!([70, invocation[1], packed(), item]));
            assert_eq!(sender.message().await, json!([50, request, packed(), item]));
        }
    }
    // Version 1 has no place for the attributes.
    page.expect_no_event().await;
}

#[tokio::test]
async fn handlers_and_others_without_the_mode_get_no_packed_payload() {
    let site = Site::open();
    let routes = "\
sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }
blind: { channel: 'blind/{name}', handler: { callback: 'blind' } }
";
    site.bundle("methods", routes, &[build::guest("methods")]);
    let server = Server::start(site.path());
    let mut sender = packing(&server, Codec::Json).await;
    let error = sender.call("sample/sum", packed(), json!([1]), Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.feature_not_supported");
    assert!(error.args[0].as_str().unwrap().contains("the handler of the route `sample`"));
    let published = sender.publish_acknowledged("blind/x", packed(), json!([1]), Value::Null).await;
    assert_eq!(published.unwrap_err().uri, "wamp.error.feature_not_supported");
    let mut plain = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    plain.register("open.plain", json!({})).await.unwrap();
    let error = sender.call("open.plain", packed(), json!([1]), Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.feature_not_supported");
    // A callee may pack for callers that unpack alone.
    sender.register("open.packs", json!({})).await.unwrap();
    let request = plain.next_request();
    plain.send(&json!([48, request, {}, "open.packs"]));
    let invocation = sender.invocation().await;
    sender.send(&json!([70, invocation[1], packed(), ["secret"]]));
    let error = plain.message().await;
    assert_eq!(error[4], "wamp.error.feature_not_supported");
    assert!(!error.to_string().contains("secret"), "{error}");
    // Sending without an announcement ends the session.
    plain.send(&json!([16, 9, packed(), TOPIC, ["p"]]));
    let (reason, details) = plain.aborted().await;
    assert_eq!(reason, "wamp.error.protocol_violation");
    assert!(details["message"].as_str().unwrap().contains("roles.publisher"), "{details}");
}

#[tokio::test]
async fn wampy_packs_and_unpacks() {
    let site = Site::open();
    let server = Server::start(site.path());
    let options = json!({"ppt_scheme": "mqtt", "ppt_serializer": "native"});
    for codec in Codec::ALL {
        let mut subscriber = Peer::join(Library::Wampy(codec), server.addr).await;
        subscriber.subscribe(TOPIC, json!({})).await;
        let mut publisher = Peer::join(Library::Wampy(Codec::Json), server.addr).await;
        publisher.publish(TOPIC, json!([1, "ü"]), json!({"k": 2}), options.clone()).await;
        let (topic, args, kwargs) = subscriber.event().await;
        assert_eq!((topic.as_str(), args, kwargs), (TOPIC, json!([1, "ü"]), json!({"k": 2})));
        subscriber.leave().await;
        publisher.leave().await;
    }
}
