//! Forms of one publication for clients of every codec and both versions: the same for all, nothing
//! rounded, nothing lost.

use serde_json::{Value, json};

use super::join;
use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOPIC: &str = "open/t";

/// Returns one subscriber of each codec, and a page.
async fn subscribers(server: &Server) -> (Vec<Client>, v1::Client) {
    let mut clients = Vec::new();
    for codec in Codec::ALL {
        let mut client = join(server, codec).await;
        client.subscribe(TOPIC, json!({})).await;
        clients.push(client);
    }
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe(TOPIC);
    page.round_trip().await;
    (clients, page)
}

#[tokio::test]
async fn every_shape_arrives_everywhere() {
    let none = || json!(null);
    // Args and kwargs as published; as received by version 2; as received by version 1.
    let cases = [
        (none(), none(), none(), none(), none()),
        (json!([]), none(), none(), none(), none()),
        (json!([]), json!({}), none(), none(), none()),
        (json!([1]), json!({}), json!([1]), none(), json!(1)),
        (json!([1]), none(), json!([1]), none(), json!(1)),
        (json!([null]), none(), json!([null]), none(), none()),
        (json!([{}]), none(), json!([{}]), none(), json!({})),
        (json!([[]]), none(), json!([[]]), none(), json!([])),
        (json!([[1, 2]]), none(), json!([[1, 2]]), none(), json!([1, 2])),
        (json!([1, "two", {}]), none(), json!([1, "two", {}]), none(), json!([1, "two", {}])),
        (json!([]), json!({"k": [1]}), json!([]), json!({"k": [1]}), json!({"k": [1]})),
        (
            json!([1]),
            json!({"k": {"": null}}),
            json!([1]),
            json!({"k": {"": null}}),
            json!({"args": [1], "kwargs": {"k": {"": null}}}),
        ),
    ];
    let site = Site::open();
    let server = Server::start(site.path());
    let (mut clients, mut page) = subscribers(&server).await;
    for from in Codec::ALL {
        let mut publisher = join(&server, from).await;
        for (args, kwargs, args_due, kwargs_due, event_due) in &cases {
            publisher.publish(TOPIC, json!({}), args.clone(), kwargs.clone());
            for (to, client) in Codec::ALL.iter().zip(&mut clients) {
                let event = client.event().await;
                let found = (&event.args, &event.kwargs);
                assert_eq!(found, (args_due, kwargs_due), "{from:?} to {to:?}: {args} {kwargs}");
            }
            assert_eq!(page.event().await.event, *event_due, "{from:?} to v1: {args} {kwargs}");
        }
        publisher.round_trip().await;
    }
}

#[tokio::test]
async fn every_value_arrives_everywhere_unchanged() {
    let long = "x".repeat(70_000);
    let deep = (0..30).fold(json!(1), |inner, _| json!([{ "in": inner }]));
    let values = [
        json!([0, 23, 24, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_296_u64]),
        json!([9_007_199_254_740_993_u64, u64::MAX, i64::MAX, i64::MIN, -1, -32, -33, -129]),
        json!([0.5, -1.25, 1e300, 2.225_073_858_507_201_4e-308, 5e-324]),
        json!([true, false, null, {}, [], "", {"": ""}]),
        json!(["é😀\u{7f}\u{80}\u{2028}\"\\/\n", {"ключ": "значение"}]),
        json!([binary(&[]), binary(&[0, 1, 254, 255]), {"in": [binary(b"deep")]}]),
        json!([binary(&[7; 70_000])]),
        json!([long, vec![1; 70_000]]),
        deep,
        json!((0..1000).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>()),
    ];
    let site = Site::open();
    let server = Server::start(site.path());
    let (mut clients, mut page) = subscribers(&server).await;
    for from in Codec::ALL {
        let publisher = &mut join(&server, from).await;
        for value in &values {
            let (args, kwargs) = (json!([value, 1]), json!({"value": value}));
            publisher.publish(TOPIC, json!({}), args.clone(), kwargs.clone());
            for (to, client) in Codec::ALL.iter().zip(&mut clients) {
                let event = client.event().await;
                let same = event.args == args && event.kwargs == kwargs;
                assert!(same, "{from:?} to {to:?}: {}", clip(value));
            }
            let event = page.event().await.event;
            let same = event == json!({"args": args, "kwargs": kwargs});
            assert!(same, "{from:?} to v1: {}", clip(value));
        }
    }
    for value in &values {
        page.publish(TOPIC, value, &Reach::ExcludeMe(true));
        for (to, client) in Codec::ALL.iter().zip(&mut clients) {
            let event = client.event().await;
            let same = event.args == json!([value]) && event.kwargs.is_null();
            assert!(same, "v1 to {to:?}: {}", clip(value));
        }
    }
    page.expect_no_event().await;
}

/// Text that begins with NUL but is not base64 stays text.
#[tokio::test]
async fn a_text_that_resembles_binary_stays_text() {
    let site = Site::open();
    let server = Server::start(site.path());
    let (mut clients, mut page) = subscribers(&server).await;
    let publisher = join(&server, Codec::Json).await;
    for text in ["\0", "\0é", "\0not base64!", "\0A", "\0\0AAEC"] {
        let value = json!(text);
        publisher.send(&json!([16, 1, {}, TOPIC, [value]]));
        for (to, client) in Codec::ALL.iter().zip(&mut clients) {
            let event = client.event().await;
            // `\0` alone is the empty binary in every codec of the tests.
            assert_eq!(event.args, json!([value]), "to {to:?}");
        }
        assert_eq!(page.event().await.event, value);
    }
}

/// Ids of requests as some libraries write them: floats without a fraction.
#[tokio::test]
async fn replies_carry_integer_ids_to_float_requests() {
    let site = Site::open();
    let server = Server::start(site.path());
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        client.send(&json!([32.0, 7.0, {}, TOPIC]));
        // The tests' client accepts only integers as ids.
        let answer = client.message().await;
        assert_eq!((&answer[0], &answer[1]), (&json!(33), &json!(7)), "{codec:?}");
        assert!(answer[2].is_u64(), "{codec:?}: {answer}");
        let options = json!({"acknowledge": true, "exclude_me": false});
        client.send(&json!([16, 1_u64 << 53, options, TOPIC]));
        let mut answers = [client.message().await, client.message().await];
        answers.sort_by_key(|answer| answer[0].as_u64());
        let [published, event] = answers;
        assert_eq!((&published[0], &published[1]), (&json!(17), &json!(1_u64 << 53)));
        assert!(published[2].is_u64() && event[1].is_u64(), "{published} {event}");
        assert_eq!(event[2], published[2], "{codec:?}");
        assert_eq!(event.as_array().unwrap().len(), 4, "nothing was published, nothing is sent");
    }
}

fn clip(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
