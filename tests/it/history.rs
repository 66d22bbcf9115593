//! The history of topics: what clients get that were away, over the wire, in both versions and all
//! serializers.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Event};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

pub(crate) mod cuts;
mod durable;
mod positions;
mod retained;

/// A token of the HTTP API.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TOKENS: &str =
    "api: { tokens: [{ name: backend, token: '0123456789abcdef0123456789abcdef' }] }\n";
/// Scripts connect as fast as they can.
const NO_RATES: &str = "limits: { connection_rate: { enabled: false }, address_connection_rate: { enabled: false }, \
                        message_rate: { enabled: false } }\n";

const ROUTES: &str = "\
plain: { channel: 'plain/{name}', handler: { callback: 'broadcast' } }
kept: { channel: 'kept/{name}', handler: { callback: 'broadcast' }, history: { events: 5 } }
dotted: { channel: 'kept.{name}', handler: { callback: 'broadcast' }, history: { events: 5 } }
last:
    channel: 'last/{name}'
    handler: { callback: 'broadcast' }
    history: { on_subscribe: last }
members:
    channel: 'members/{name}'
    handler: { callback: 'broadcast' }
    allow: { subscribe: [member] }
    history: { on_subscribe: last }
inbox:
    channel: 'inbox/{user_id}'
    handler: { callback: 'secured' }
    history: { on_subscribe: last }
words: { channel: 'words/{name}', handler: { callback: 'judging.words' }, history: { on_subscribe: 10 } }
memory: { channel: 'memory/{name}', handler: { callback: 'judging.memory' }, history: { on_subscribe: 10 } }
";

fn site() -> Site {
    let site = Site::new();
    let components = ["broadcast", "secured"].map(build::plugin);
    let [broadcast, secured] = components;
    site.bundle("history", ROUTES, &[broadcast, secured, build::guest("judging")]);
    site
}

async fn join(server: &Server, codec: Codec) -> Client {
    Client::connect(server.addr, codec, "realm1").await
}

async fn publish(publisher: &mut Client, topic: &str, args: Value) -> u64 {
    publisher.publish_acknowledged(topic, json!({}), args, Value::Null).await.unwrap()
}

/// Returns the detail `_stream` of the next event, the answer to a position.
async fn stream(client: &mut Client) -> Value {
    let Event { mut details, args, kwargs, .. } = client.event().await;
    assert_eq!((args, kwargs), (Value::Null, Value::Null), "the answer has no arguments");
    assert_eq!(details.as_object().unwrap().len(), 1, "{details}");
    details["_stream"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_returns_gets_what_it_has_missed_in_every_serializer() {
    let site = site();
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    for codec in Codec::ALL {
        let topic = format!("kept/{codec:?}");
        let mut client = join(&server, codec).await;
        assert_eq!(client.welcome()["roles"]["broker"]["features"]["x_event_recovery"], true);
        let subscription = client.subscribe(&topic, json!({ "_since": {} })).await;
        let begin = stream(&mut client).await;
        assert_eq!((&begin["recovered"], &begin["offset"]), (&json!(false), &json!(0)));
        publish(&mut publisher, &topic, json!(["one"])).await;
        let one = client.event().await;
        assert_eq!((&one.args, &one.details), (&json!(["one"]), &json!({ "_offset": 1 })));
        drop(client);

        // One event while there may still be a subscriber, others without any.
        let two = publish(&mut publisher, &topic, json!(["two"])).await;
        let three = publish(&mut publisher, &topic, json!([3, { "a": [null] }])).await;
        let mut client = join(&server, codec).await;
        let since = json!({ "epoch": begin["epoch"], "offset": 1 });
        assert_eq!(client.subscribe(&topic, json!({ "_since": since })).await, subscription);
        let expect = json!({
            "epoch": begin["epoch"], "offset": 1, "recovered": true, "replayed": 2,
        });
        assert_eq!(stream(&mut client).await, expect);
        for (publication, offset, args) in
            [(two, 2, json!(["two"])), (three, 3, json!([3, { "a": [null] }]))]
        {
            let event = client.event().await;
            assert_eq!(event.publication, publication, "it is the same publication");
            assert_eq!((event.args, event.details), (args, json!({ "_offset": offset })));
        }
        publish(&mut publisher, &topic, json!(["four"])).await;
        assert_eq!(client.event().await.details, json!({ "_offset": 4 }));

        // It asks again while it is subscribed.
        client.subscribe(&topic, json!({ "_since": since })).await;
        let again = stream(&mut client).await;
        assert_eq!((&again["recovered"], &again["replayed"]), (&json!(false), &json!(0)));
        client.expect_no_event().await;

        // More than are kept.
        for number in 5..10 {
            publish(&mut publisher, &topic, json!([number])).await;
        }
        let mut late = join(&server, codec).await;
        late.subscribe(&topic, json!({ "_since": since })).await;
        let unknown = stream(&mut late).await;
        let expect = json!({
            "epoch": begin["epoch"], "offset": 9, "recovered": false, "replayed": 0,
        });
        assert_eq!(unknown, expect);
        late.expect_no_event().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscriber_gets_the_last_event_in_both_versions() {
    let site = site();
    let server = Server::start(site.path());
    // A publisher of version 1 and subscribers of both: frames of every kind are made late.
    let mut publisher = v1::Client::connect(server.addr).await;
    publisher.publish("last/a", &json!("first"), &Reach::Plain);
    publisher.publish("last/a", &json!({ "second": 2 }), &Reach::Plain);
    publisher.round_trip().await;
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        client.subscribe("last/a", json!({})).await;
        let event = client.event().await;
        assert_eq!(
            (event.args, event.details),
            (json!([{ "second": 2 }]), json!({ "_offset": 2 }))
        );
        client.expect_no_event().await;
    }
    for _ in 0..2 {
        let mut page = v1::Client::connect(server.addr).await;
        page.subscribe("last/a");
        assert_eq!(page.event().await.event, json!({ "second": 2 }));
        page.expect_no_event().await;
    }
    // Topics without history, and patterns, have no position.
    let mut client = join(&server, Codec::Json).await;
    let none = json!({ "recovered": false, "replayed": 0 });
    client.subscribe("plain/a", json!({ "_since": {} })).await;
    assert_eq!(stream(&mut client).await, none);
    client.subscribe("last/", json!({ "match": "prefix", "_since": {} })).await;
    assert_eq!(stream(&mut client).await, none);
    client.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_as_a_leak() {
    let site = site();
    let server = Server::start(site.path());
    let mut publisher = join(&server, Codec::Json).await;
    let since = json!({ "_since": { "epoch": "1", "offset": 0 } });
    for topic in ["members/a", "inbox/7"] {
        publish(&mut publisher, topic, json!(["secret"])).await;
        let mut eve = join(&server, Codec::Cbor).await;
        for options in [json!({}), since.clone()] {
            eve.try_subscribe(topic, options).await.unwrap_err();
        }
        eve.subscribe(topic, json!({ "match": "prefix", "_since": {} })).await;
        assert_eq!(stream(&mut eve).await["recovered"], false);
        eve.expect_no_event().await;
        let mut page = v1::Client::connect(server.addr).await;
        page.subscribe(topic);
        page.expect_no_event().await;
    }

    // What the publisher has restricted.
    let restricted = [
        json!({ "eligible_authid": ["somebody else"] }),
        json!({ "exclude_authrole": ["anonymous"] }),
        json!({ "eligible": [publisher.session()] }),
        json!({ "exclude": [publisher.session()] }),
    ];
    for (options, number) in restricted.into_iter().zip(0..) {
        let sent = publisher.publish_acknowledged(
            "words/a",
            options,
            json!([format!("{number}")]),
            Value::Null,
        );
        sent.await.unwrap();
    }
    // What the handler has refused, and what it has not.
    let refused = json!(["@@REFUSED-000001"]);
    let sent = publisher.publish_acknowledged("words/a", json!({}), refused, Value::Null).await;
    assert_eq!(sent.unwrap_err().uri, "judging.error.refused");
    publish(&mut publisher, "words/a", json!(["open"])).await;
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("words/a", json!({})).await;
    assert_eq!(client.event().await.args, json!(["open"]));
    client.expect_no_event().await;

    // What the handler has replaced.
    publish(&mut publisher, "memory/a", json!(["as published"])).await;
    client.subscribe("memory/a", json!({})).await;
    assert_eq!(client.event().await.args, json!([1]));
    client.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_returns_gets_its_own_event() {
    let site = site();
    let server = Server::start(site.path());
    let mut client = join(&server, Codec::MsgPack).await;
    client.subscribe("kept/a", json!({ "_since": {} })).await;
    let begin = stream(&mut client).await;
    publish(&mut client, "kept/a", json!(["mine"])).await;
    client.expect_no_event().await;
    drop(client);
    let mut client = join(&server, Codec::MsgPack).await;
    let since = json!({ "epoch": begin["epoch"], "offset": 0 });
    client.subscribe("kept/a", json!({ "_since": since })).await;
    assert_eq!(stream(&mut client).await["replayed"], 1);
    assert_eq!(client.event().await.args, json!(["mine"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_histories_and_ends_those_without_a_rule() {
    let site = site();
    let server = Server::start(site.path());
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("kept/a", json!({ "_since": {} })).await;
    let begin = stream(&mut client).await;
    publish(&mut client, "kept/a", json!(["one"])).await;
    let since = json!({ "_since": { "epoch": begin["epoch"], "offset": 0 } });
    let returned = async |offset: u64| {
        let mut client = join(&server, Codec::Json).await;
        client.subscribe("kept/a", since.clone()).await;
        let stream = stream(&mut client).await;
        assert_eq!(stream["offset"], offset, "{stream}");
        stream["recovered"].clone()
    };
    let reload = |routes: &str, number: u64| {
        site.rename_over("history/websocket_routing.yml", routes);
        server.until_health("generation", number);
    };
    reload(&ROUTES.replace("events: 5", "events: 3"), 2);
    assert_eq!(returned(0).await, true);
    // Without a history, events are not counted, so it is not known what was missed.
    reload(&ROUTES.replace(", history: { events: 5 }", ""), 3);
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("kept/a", since.clone()).await;
    assert_eq!(stream(&mut client).await, json!({ "recovered": false, "replayed": 0 }));
    reload(ROUTES, 4);
    assert_eq!(returned(1).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_can_be_read_without_a_subscription() {
    let site = site();
    let server = Server::configured(
        site.path(),
        &format!("{TOKENS}history: {{ replay: {{ events: 3 }} }}\n"),
    );
    let mut publisher = join(&server, Codec::Cbor).await;
    for number in 1..=4 {
        publish(&mut publisher, "kept/a", json!([number, { "k": 1.5 }])).await;
    }
    let read = async |args: Value| {
        let mut client = join(&server, Codec::MsgPack).await;
        client
            .call("jackfield.history", json!({}), args, Value::Null)
            .await
            .map(|(args, _)| args[0].clone())
    };
    let offsets = |page: &Value| -> Vec<u64> {
        page["events"].as_array().unwrap().iter().map(|it| it["offset"].as_u64().unwrap()).collect()
    };
    let newest = read(json!(["kept/a"])).await.unwrap();
    assert_eq!((offsets(&newest), &newest["offset"]), (vec![2, 3, 4], &json!(4)));
    assert_eq!(newest["events"][0]["args"], json!([2, { "k": 1.5 }]));
    let since = json!({ "epoch": newest["epoch"], "offset": 1 });
    let page = read(json!(["kept/a", { "since": since, "limit": 2 }])).await.unwrap();
    assert_eq!(
        (offsets(&page), &page["offset"], &page["recovered"]),
        (vec![2, 3], &json!(3), &json!(true))
    );
    let other = json!({ "epoch": "1", "offset": 1 });
    let page = read(json!(["kept/a", { "since": other }])).await.unwrap();
    assert_eq!((offsets(&page), &page["recovered"]), (vec![2, 3, 4], &json!(false)));
    for (args, uri) in [
        (json!(["plain/a"]), "jackfield.error.no_history"),
        (json!(["members/a"]), "wamp.error.not_authorized"),
        (json!(["inbox/7"]), "wamp.error.not_authorized"),
        (json!(["nowhere"]), "jackfield.error.no_route"),
        (json!([]), "wamp.error.invalid_argument"),
        (json!(["kept/a", { "limits": 1 }]), "wamp.error.invalid_argument"),
    ] {
        assert_eq!(read(args.clone()).await.unwrap_err().uri, uri, "{args}");
    }
    // In version 1, the arguments follow the procedure.
    let mut page = v1::Client::connect(server.addr).await;
    let result = page.call("jackfield.history", &[json!("kept/a"), json!({ "limit": 1 })]).await;
    assert_eq!(offsets(&result.unwrap()), [4]);

    let get = async |path: &str| {
        let mut http = Http::connect(server.addr).await;
        http.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        ))
        .await;
        let answer = http.answer().await;
        (answer.status, answer.json())
    };
    let (_, page) = get(&format!(
        "/api/topics/kept%2Fa/history?epoch={}&offset=3",
        newest["epoch"].as_str().unwrap()
    ))
    .await;
    assert_eq!((offsets(&page), &page["recovered"]), (vec![4], &json!(true)));
    let position = json!({ "epoch": newest["epoch"], "offset": 4 });
    assert_eq!(get("/api/topics/kept/a/position").await, (200, position));
    // A token reads what it has published itself.
    let mut http = Http::connect(server.addr).await;
    let token = format!("Bearer {TOKEN}");
    let body = r#"{"topic": "kept/b", "args": ["of this token"]}"#;
    let answer = http.post("/api/publish", &[("Authorization", token.as_str())], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (_, page) = get("/api/topics/kept/b/history").await;
    assert_eq!(page["events"][0]["args"], json!(["of this token"]), "{page}");
    // A position tells nothing of the events, so the handler need not be asked.
    assert_eq!(get("/api/topics/inbox/7/position").await.0, 200);
    for (path, status) in [
        ("/api/topics/inbox/7/history", 403),
        ("/api/topics/members/a/position", 403),
        ("/api/topics/plain/a/history", 404),
        ("/api/topics/kept/a/events", 404),
        ("/api/topics/kept/a/position?limit=1", 422),
        ("/api/topics/kept/a/history?limit=x", 422),
        ("/api/topics/kept/a/history?realm=other", 404),
    ] {
        assert_eq!(get(path).await.0, status, "{path}");
    }
    let mut http = Http::connect(server.addr).await;
    http.send("GET /api/topics/kept/a/history HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_hands_histories_to_the_next_start_and_a_kill_does_not() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let config =
        format!("data: '{}'\nshutdown: {{ spread: 0 }}\n", data.path().join("d").display());
    let file = data.path().join("d/histories");
    let mut server = Server::configured(site.path(), &config);
    let mut client = join(&server, Codec::Cbor).await;
    client.subscribe("kept/a", json!({ "_since": {} })).await;
    let begin = stream(&mut client).await;
    let restricted = json!({ "eligible_authid": ["somebody else"] });
    publish(&mut client, "kept/a", json!([1, { "bytes": "\0AAE=" }])).await;
    client.publish_acknowledged("kept/a", restricted, json!([2]), Value::Null).await.unwrap();
    publish(&mut client, "kept/a", json!([3])).await;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert!(file.exists(), "{}", server.log());

    let mut server = Server::configured(site.path(), &config);
    assert!(!file.exists(), "it is taken once");
    server.logged("the histories of the last run go on topics=1");
    let since = json!({ "_since": { "epoch": begin["epoch"], "offset": 0 } });
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("kept/a", since.clone()).await;
    let recovered = stream(&mut client).await;
    assert_eq!((&recovered["recovered"], &recovered["replayed"]), (&json!(true), &json!(2)));
    let mut offsets = Vec::new();
    for _ in 0..2 {
        let event = client.event().await;
        offsets.push((event.args[0].clone(), event.details["_offset"].clone()));
    }
    assert_eq!(offsets, [(json!(1), json!(1)), (json!(3), json!(3))]);
    publish(&mut client, "kept/a", json!([4])).await;

    // Half of a file is none: the server is killed.
    server.signal("KILL");
    server.exit_code();
    let server = Server::configured(site.path(), &config);
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("kept/a", since.clone()).await;
    assert_eq!(stream(&mut client).await["recovered"], false);
    drop((client, server));

    std::fs::write(&file, "jackfield histories 1\nnonsense").unwrap();
    let server = Server::configured(site.path(), &config);
    server.logged("the histories of the last run are ignored");
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_memory_and_recoveries() {
    let site = site();
    let server = Server::configured(site.path(), "metrics: { enabled: true }\n");
    let mut client = join(&server, Codec::Json).await;
    client.subscribe("kept/a", json!({ "_since": {} })).await;
    let begin = stream(&mut client).await;
    publish(&mut client, "kept/a", json!([1])).await;
    for (epoch, expect) in [(begin["epoch"].clone(), true), (json!("1"), false)] {
        let mut client = join(&server, Codec::Json).await;
        client.subscribe("kept/a", json!({ "_since": { "epoch": epoch, "offset": 0 } })).await;
        assert_eq!(stream(&mut client).await["recovered"], expect);
    }
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await.body;
    for line in [
        "jackfield_history_topics 1",
        "jackfield_history_replayed_events_total 1",
        "jackfield_history_recoveries_total{outcome=\"recovered\"} 1",
        "jackfield_history_recoveries_total{outcome=\"not_recovered\"} 1",
        "jackfield_memory_limit_bytes{part=\"history\"} 67108864",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is not in {page}");
    }
}
