//! Schemas of payloads against the real server: publications and calls of each version and codec, and
//! of the HTTP API; reloads of schema files; the commands that inspect a site.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{Client, Options, WampError};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use crate::commands::jackfield;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const INVALID: &str = "wamp.error.invalid_argument";

const ROUTES: &str = "\
chat:
    channel: 'chat/{room}'
    handler: { callback: 'broadcast' }
    schema: message.schema.json
counted:
    channel: 'counted/{room}'
    handler: { callback: 'reader' }
    schema: { type: integer }
parts:
    channel: 'parts/{room}'
    handler: { callback: 'broadcast' }
    schema: { args: { items: { type: string }, minItems: 1 }, kwargs: { required: [at] } }
closed:
    channel: 'closed/{room}'
    handler: { callback: 'broadcast' }
    schema: { const: secret }
    allow: { publish: [staff], call: [staff] }
sums:
    channel: 'sums/{method}'
    handler: { callback: 'methods' }
    schema: { call: { args: { items: { type: integer } } } }
open:
    channel: 'open/{name}'
    handler: { callback: 'broadcast' }
";

const MESSAGE: &str = r#"{
    "type": "object",
    "required": ["text"],
    "properties": { "text": { "type": "string", "maxLength": 5 }, "from": { "$ref": "user.schema.json" } },
    "additionalProperties": false
}"#;

const SETTINGS: &str = "watch: { settle: 20ms }\napi:\n  tokens:\n    - { name: shop, token: \
                        0123456789abcdef0123456789abcdef }\n";

fn served() -> (Site, Server) {
    let site = Site::new();
    site.write("acme/user.schema.json", r#"{ "type": "integer", "minimum": 1 }"#);
    site.write("acme/message.schema.json", MESSAGE);
    site.bundle("acme", ROUTES, &[build::plugin("broadcast"), build::guest("methods")]);
    let server = Server::configured(site.path(), SETTINGS);
    (site, server)
}

async fn joined(server: &Server, codec: Codec) -> Client {
    Client::connect(server.addr, codec, "realm1").await
}

async fn publish(
    client: &mut Client,
    topic: &str,
    args: Value,
    kwargs: Value,
) -> Result<u64, WampError> {
    client.publish_acknowledged(topic, json!({}), args, kwargs).await
}

/// Returns the sentence of a refusal after the name of the route.
#[track_caller]
fn violation(refused: &WampError, route: &str) -> String {
    assert_eq!(refused.uri, INVALID, "{refused:?}");
    let message = refused.args[0].as_str().unwrap();
    let begin = format!("the payload does not satisfy the schema of the route `{route}`: ");
    message.strip_prefix(&begin).unwrap_or_else(|| panic!("{message}")).to_owned()
}

async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Authorization", authorization.as_str())];
    Http::connect(server.addr).await.post(path, &headers, &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_publications_that_do_not_satisfy_the_schema() {
    let (_site, server) = served();
    for codec in Codec::ALL {
        let mut reader = joined(&server, Codec::Json).await;
        reader.subscribe("chat/a", json!({})).await;
        let mut client = joined(&server, codec).await;
        let cases = [
            (json!([{"text": "too long"}]), "`maxLength` is 5, found 8 (at `/text`)"),
            (json!([{"text": "a", "from": 0}]), "`minimum` is 1, found 0 (at `/from`)"),
            (
                json!([{"text": "a", "\u{1b}[31m": 0}]),
                "`additionalProperties` is false, found `\\u{1b}[31m`",
            ),
            (json!(["a"]), "`type` is object, found string"),
            (json!([]), "it describes one positional argument alone, found 0"),
        ];
        for (args, expected) in cases {
            let refused = publish(&mut client, "chat/a", args.clone(), Value::Null).await;
            assert_eq!(violation(&refused.unwrap_err(), "chat"), expected, "{codec:?} {args}");
            // Without `acknowledge`, there is no answer and no event.
            client.publish("chat/a", json!({}), args, Value::Null);
        }
        let long = "x".repeat(100_000);
        let refused =
            publish(&mut client, "chat/a", json!([{ long: 1, "text": "a" }]), Value::Null).await;
        let shown = violation(&refused.unwrap_err(), "chat");
        assert!(shown.len() < 1_000, "{} bytes", shown.len());
        publish(&mut client, "chat/a", json!([{"text": "hello", "from": 7}]), Value::Null)
            .await
            .unwrap();
        // It is the first event that arrives.
        assert_eq!(reader.event().await.args, json!([{"text": "hello", "from": 7}]), "{codec:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn positional_and_keyword_arguments_have_schemas_of_their_own() {
    let (_site, server) = served();
    for codec in Codec::ALL {
        let mut client = joined(&server, codec).await;
        let mut check = async |args: Value, kwargs: Value, expected: Option<&str>| {
            let result = publish(&mut client, "parts/a", args, kwargs).await;
            let found = result.map(drop).map_err(|it| violation(&it, "parts"));
            assert_eq!(found.err().as_deref(), expected, "{codec:?}");
        };
        check(json!(["a", "b"]), json!({"at": 1}), None).await;
        check(
            json!(["a", 1]),
            json!({"at": 1}),
            Some("`type` is string, found number (at `/args/1`)"),
        )
        .await;
        check(
            json!(["a"]),
            json!({}),
            Some("`required` names `at`, which is missing (at `/kwargs`)"),
        )
        .await;
        check(json!([]), json!({"at": 1}), Some("`minItems` is 1, found 0 (at `/args`)")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_gets_the_answer_of_refused_publications() {
    let (_site, server) = served();
    let mut reader = joined(&server, Codec::Json).await;
    reader.subscribe("chat/a", json!({})).await;
    let mut page = v1::Client::connect(server.addr).await;
    page.session().await;
    page.publish("chat/a", &json!({"text": 5}), &Reach::Plain);
    page.round_trip().await;
    let refused = page.ignored().last().unwrap();
    assert_eq!(
        (&refused[0], &refused[1], &refused[2]),
        (&json!(4), &json!("chat/a"), &json!(INVALID))
    );
    let message = refused[3].as_str().unwrap();
    assert!(message.ends_with("`type` is string, found number (at `/text`)"), "{message}");
    page.publish("chat/a", &json!({"text": "good"}), &Reach::Plain);
    assert_eq!(reader.event().await.args, json!([{"text": "good"}]));
    // A call with a list of integers, and one without.
    assert_eq!(page.call("sums/sum", &[json!(2), json!(3)]).await.unwrap(), json!([5]));
    let refused = page.call("sums/sum", &[json!(2), json!("x")]).await.unwrap_err();
    assert!(format!("{refused:?}").contains("(at `/args/1`)"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_api_is_refused_with_status_422() {
    let (_site, server) = served();
    let answer =
        post(&server, "/api/publish", &json!({"topic": "chat/a", "args": [{"text": 1}]})).await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (422, Some(INVALID)),
        "{answer:?}"
    );
    let several = json!({"publish": [
        {"topic": "chat/a", "args": [{"text": "a"}]},
        {"topic": "chat/a", "args": [{}]},
    ]});
    let answer = post(&server, "/api/publish", &several).await;
    let body = answer.json();
    assert_eq!((answer.status, &body["failed"]), (200, &json!(1)), "{body}");
    assert!(
        body["published"][1]["message"].as_str().unwrap().contains("`required` names `text`"),
        "{body}"
    );
    let answer =
        post(&server, "/api/call", &json!({"procedure": "sums/sum", "args": [1, "x"]})).await;
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (422, Some(INVALID)),
        "{answer:?}"
    );
    let answer =
        post(&server, "/api/call", &json!({"procedure": "sums/sum", "args": [1, 2]})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_get_checked_events_alone_and_roles_come_first() {
    let (_site, server) = served();
    let mut client = joined(&server, Codec::Cbor).await;
    client.subscribe("counted/a", json!({})).await;
    let refused = publish(&mut client, "counted/a", json!(["x"]), Value::Null).await.unwrap_err();
    assert_eq!(violation(&refused, "counted"), "`type` is integer, found string");
    publish(&mut client, "counted/a", json!([1]), Value::Null).await.unwrap();
    // A client without the role learns nothing of the schema.
    let refused = publish(&mut client, "closed/a", json!(["x"]), Value::Null).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.not_authorized");
    let refused = client.call("closed/a", json!({}), json!(["x"]), Value::Null).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.not_authorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_handlers_and_of_clients_are_checked() {
    let (_site, server) = served();
    let mut callee = joined(&server, Codec::MsgPack).await;
    callee.register("chat/bot", json!({})).await.unwrap();
    for codec in Codec::ALL {
        let mut client = joined(&server, codec).await;
        let sum = client.call("sums/sum", json!({}), json!([1, 2]), Value::Null).await.unwrap();
        assert_eq!(sum.0, json!([3]));
        let refused =
            client.call("sums/sum", json!({}), json!([1, null]), Value::Null).await.unwrap_err();
        assert_eq!(violation(&refused, "sums"), "`type` is integer, found null (at `/args/1`)");
        // Its publications are not.
        publish(&mut client, "sums/sum", json!([null]), Value::Null).await.unwrap();
        let refused =
            client.call("chat/bot", json!({}), json!([{}]), Value::Null).await.unwrap_err();
        assert_eq!(violation(&refused, "chat"), "`required` names `text`, which is missing");
        client.send(&json!([48, 900, {"progress": true}, "chat/bot", [{"text": "a"}]]));
        let refused = client.message().await;
        assert_eq!(
            (&refused[0], &refused[4]),
            (&json!(8), &json!("wamp.error.feature_not_supported")),
            "{refused}"
        );
    }
    // The callee has got none of them.
    let client = joined(&server, Codec::Json).await;
    client.send(&json!([48, 1, {}, "chat/bot", [{"text": "a"}]]));
    assert_eq!(callee.invocation().await[4], json!([{"text": "a"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_cannot_be_checked_are_refused() {
    let (_site, server) = served();
    let mut options = Options::new(Codec::Json);
    let features = json!({"features": {"payload_passthru_mode": true}});
    options.details = json!({"roles": {"publisher": features, "subscriber": features}});
    let mut sender =
        Client::connect_with(server.addr, Codec::Json, "realm1", options).await.unwrap();
    let packed = json!({"ppt_scheme": "x_test", "acknowledge": true});
    sender.send(&json!([16, 1, packed, "chat/a", ["packed"]]));
    let refused = sender.message().await;
    assert_eq!(
        (&refused[0], &refused[4]),
        (&json!(8), &json!("wamp.error.feature_not_supported")),
        "{refused}"
    );
    assert!(refused[5][0].as_str().unwrap().contains("without `ppt_scheme`"), "{refused}");

    // `{"text": BYTES}`, `{"text": "a", "text": 1}`, NaN, and the key 1.
    let cases: [(Codec, &[u8], &str); 6] = [
        (
            Codec::MsgPack,
            b"\x94\x10\x05\x81\xabacknowledge\xc3\xa6chat/a\x91\x81\xa4text\xc4\x01a",
            "has no bytes",
        ),
        (
            Codec::Cbor,
            b"\x85\x10\x05\xa1\x6backnowledge\xf5\x66chat/a\x81\xa1\x64text\x41a",
            "has no bytes",
        ),
        (
            Codec::MsgPack,
            b"\x95\x10\x05\x81\xabacknowledge\xc3\xa6chat/a\x91\x82\xa4text\xa1a\xa4text\x01",
            "a key appears twice (`text`)",
        ),
        (
            Codec::MsgPack,
            b"\x95\x10\x05\x81\xabacknowledge\xc3\xa9counted/a\x91\xcb\x7f\xf8\0\0\0\0\0\0",
            "exactly",
        ),
        (
            Codec::Cbor,
            b"\x85\x10\x05\xa1\x6backnowledge\xf5\x69counted/a\x81\xf9\x7e\x00",
            "exactly",
        ),
        (
            Codec::MsgPack,
            b"\x95\x10\x05\x81\xabacknowledge\xc3\xa6chat/a\x91\x81\x01\x01",
            "`required`",
        ),
    ];
    for (codec, bytes, expected) in cases {
        let mut bytes = bytes.to_vec();
        // Five elements, in each codec.
        bytes[0] = if codec == Codec::MsgPack { 0x95 } else { 0x85 };
        let mut client = joined(&server, codec).await;
        client.socket().send_binary(bytes);
        let refused = client.message().await;
        assert_eq!((&refused[0], &refused[4]), (&json!(8), &json!(INVALID)), "{refused}");
        assert!(refused[5][0].as_str().unwrap().contains(expected), "{codec:?}: {refused}");
    }
    let mut client = joined(&server, Codec::Json).await;
    for (event, expected) in [
        (r#"{"text": "\u0000YQ=="}"#, "has no bytes"),
        (r#"{"text": "a", "text": "b"}"#, "a key appears twice (`text`)"),
    ] {
        client
            .socket()
            .send_text(format!(r#"[16, 1, {{"acknowledge": true}}, "chat/a", [{event}]]"#));
        let refused = client.message().await;
        assert!(refused[5][0].as_str().unwrap().contains(expected), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn testaments_are_checked_when_they_are_left() {
    let (_site, server) = served();
    server.reconfigure(&format!(
        "{SETTINGS}rules:\n  - {{ uri: wamp., match: prefix, allow: {{ call: [anonymous] }} }}\n"
    ));
    server.logged("settings");
    let mut client = joined(&server, Codec::Json).await;
    let refused = client
        .call(
            "wamp.session.add_testament",
            json!({}),
            json!(["chat/a", [{"text": 1}], {}]),
            Value::Null,
        )
        .await;
    assert_eq!(
        violation(&refused.unwrap_err(), "chat"),
        "`type` is string, found number (at `/text`)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_schema_files_are_followed_and_broken_ones_keep_the_old_generation() {
    let (site, server) = served();
    let mut client = joined(&server, Codec::Json).await;
    let mut publish_text = async |text: &str| {
        let result = publish(&mut client, "chat/a", json!([{"text": text}]), Value::Null).await;
        result.map(drop).map_err(|it| violation(&it, "chat"))
    };
    publish_text("longer").await.unwrap_err();

    // A file that another one refers to has an error, and then the other one.
    let logged = server.log().len();
    site.write("acme/user.schema.json", r#"{ "type": "integre" }"#);
    let refused = server.logged_after(logged, "reload failed;");
    let place = format!(
        "{}:1:11: error: in the schema of route `chat`, at `/type`",
        site.file("acme/user.schema.json").display()
    );
    assert!(refused.contains(&place), "{place}\n{refused}");
    server.until_health("reload", "failed");
    assert_eq!(publish_text("longer").await.unwrap_err(), "`maxLength` is 5, found 6 (at `/text`)");

    site.write("acme/user.schema.json", r#"{ "type": "integer" }"#);
    server.until_health("reload", "ok");
    // The line may follow the health.
    server.logged_after(logged, "generation ready");
    let logged = server.log().len();
    site.rename_over("acme/message.schema.json", MESSAGE.replace('5', "9"));
    server.logged_after(logged, "generation ready");
    publish_text("longer").await.unwrap();

    site.remove("acme/message.schema.json");
    let refused = server.logged_after(logged, "reload failed;");
    assert!(
        refused.contains("cannot read the schema")
            && refused.contains("websocket_routing.yml:4:13: error:"),
        "{refused}"
    );
    publish_text("longer").await.unwrap();
    publish_text("much longer").await.unwrap_err();
}

#[test]
fn check_reports_errors_of_schemas_and_routes_lists_them() {
    let site = Site::new();
    site.write("acme/user.schema.json", "true");
    site.write("acme/message.schema.json", MESSAGE);
    site.bundle("acme", ROUTES, &[build::plugin("broadcast"), build::guest("methods")]);
    let good = jackfield("check", site.path(), &[]);
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    let routes: Value =
        serde_json::from_str(&jackfield("routes", site.path(), &["--json"]).out).unwrap();
    let schemas: Vec<&Value> = routes.as_array().unwrap().iter().map(|it| &it["schema"]).collect();
    let both = json!(["publish", "call"]);
    assert_eq!(schemas, [&both, &both, &both, &both, &json!(["call"]), &json!([])]);

    site.write(
        "acme/message.schema.json",
        MESSAGE.replace("\"maxLength\": 5", "\"maxLength\": \"5\""),
    );
    for more in [&[][..], &["--routing-only"]] {
        let bad = jackfield("check", site.path(), more);
        assert_eq!(bad.code, Some(1), "{}{}", bad.out, bad.err);
        let place = format!(
            "{}:4:62: error: in the schema of route `chat`, at `/properties/text/maxLength`",
            site.file("acme/message.schema.json").display()
        );
        assert!(bad.out.contains(&place), "{place}\n{}", bad.out);
    }
}

#[test]
fn errors_show_no_line_of_a_file_outside_of_the_site() {
    let (site, outside) = (Site::new(), Site::new());
    site.bundle("acme", "chat: { channel: c, handler: broadcast, schema: m.schema.json }\n", &[]);
    let check = |text: &str, is_shown: bool, link: bool| {
        outside.write("private", text);
        let file = site.file("acme/m.schema.json");
        let _absent = std::fs::remove_file(&file);
        if link {
            std::os::unix::fs::symlink(outside.file("private"), &file).unwrap();
        } else {
            site.write("acme/m.schema.json", text);
        }
        let answer = jackfield("check", site.path(), &["--routing-only"]);
        assert!(answer.out.contains("m.schema.json:1:"), "{}{}", answer.out, answer.err);
        let all = format!("{}{}", answer.out, answer.err);
        assert_eq!(all.contains("hunter2"), is_shown, "{all}");
    };
    for text in ["root:hunter2:0\n", "[\"hunter2\"]\n", "{\"type\":\"hunter2\"}\n"] {
        check(text, false, true);
        check(text, true, false);
    }
}
