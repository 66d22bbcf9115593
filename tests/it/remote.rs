//! Client commands against a running server: effects, output, exit codes.

mod stdin;
pub(crate) mod tls;

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Exit code and output of a command.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

fn jackfield(arguments: &[&str]) -> Command {
    let mut command = Command::new(build::jackfield());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env_remove("JACKFIELD_TICKET").env_remove("JACKFIELD_JWT").env_remove("JACKFIELD_CA");
    command
}

async fn run(arguments: &[&str]) -> Answer {
    let output = jackfield(arguments).output();
    let output = within(format!("jackfield {arguments:?}"), output).await.expect("jackfield runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn url(server: &Server) -> String {
    format!("ws://{}/", server.addr)
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_supports_every_serializer() {
    let site = Site::open();
    let server = Server::start(site.path());
    let url = url(&server);
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("open/a");
    old.round_trip().await;
    for serializer in ["json", "msgpack", "cbor"] {
        let Answer { code, out, err } = run(&[
            "publish",
            "--url",
            &url,
            "open/a",
            "hello",
            "-17",
            r#"{"b":1,"a":[null,1.5]}"#,
            "\"x\"",
            "--kwargs",
            r#"{"k":"é"}"#,
            "--serializer",
            serializer,
            "--json",
        ])
        .await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{serializer}");
        let event = subscriber.event().await;
        assert_eq!(event.args, json!(["hello", -17, {"b": 1, "a": [null, 1.5]}, "x"]));
        assert_eq!(event.kwargs, json!({"k": "é"}));
        let printed: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(printed, json!({"publication": event.publication}), "{serializer}");
        old.event().await;
    }
    let Answer { code, out, err } =
        run(&["publish", "--url", &url, "open/a", "1", "{", "--text", "--acknowledge=false"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", "sent to open/a\n"));
    assert_eq!(subscriber.event().await.args, json!(["1", "{"]));
    assert_eq!(old.event().await.event, json!(["1", "{"]));
    assert_eq!(run(&["publish", "--url", &url, "open/a", "--disclose-me"]).await.code, Some(0));
    let event = subscriber.event().await;
    assert_eq!((&event.args, event.details["publisher"].is_u64()), (&Value::Null, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribe_prints_events_as_lines() {
    let site = Site::open();
    let server = Server::start(site.path());
    let url = url(&server);
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    for serializer in ["json", "msgpack", "cbor"] {
        let mut listening = listen(&[
            "subscribe",
            "--url",
            &url,
            "open.",
            "--match",
            "prefix",
            "--count",
            "2",
            "--serializer",
            serializer,
        ])
        .await;
        for number in [1, 2] {
            let (topic, args) = (
                format!("open.t{number}"),
                json!([{"n": number, "big": 9_007_199_254_740_993_u64}]),
            );
            publisher.publish_acknowledged(&topic, json!({}), args, json!({"k": 1})).await.unwrap();
        }
        let mut lines = Vec::new();
        while let Some(line) = within("a line", listening.1.next_line()).await.unwrap() {
            lines.push(serde_json::from_str::<Value>(&line).expect("a line of JSON"));
        }
        assert_eq!(lines.len(), 2, "{serializer}");
        for (line, number) in lines.iter().zip([1, 2]) {
            assert_eq!(line["topic"], format!("open.t{number}"));
            assert_eq!(line["args"], json!([{"n": number, "big": 9_007_199_254_740_993_u64}]));
            assert_eq!((&line["kwargs"], line["publication"].is_u64()), (&json!({"k": 1}), true));
        }
        let ended = within("the end", listening.0.wait()).await.unwrap();
        assert_eq!(ended.code(), Some(0));
    }
    // Several topics, and a time limit.
    let Answer { code, out, .. } =
        run(&["subscribe", "--url", &url, "open/a", "open/b", "--timeout", "50ms"]).await;
    assert_eq!((code, out.as_str()), (Some(0), ""));
    let Answer { code, err, .. } =
        run(&["subscribe", "--url", &url, "open/a", "--count", "1", "--timeout", "50ms"]).await;
    assert_eq!(code, Some(4));
    assert!(err.ends_with("error: timed out after 50ms\n"), "{err}");
}

/// Starts a command, and waits until it listens.
async fn listen(
    arguments: &[&str],
) -> (tokio::process::Child, tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) {
    let mut command = jackfield(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = within("to subscribe", said.next_line()).await.unwrap();
    assert!(line.as_ref().is_some_and(|it| it.starts_with("subscribed to ")), "{line:?}");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_publishes_events_that_pages_understand() {
    let site = Site::new();
    let routes = std::fs::read_to_string(build::root().join("plugins/sync/websocket_routing.yml"));
    site.bundle("sync", &routes.unwrap(), &[build::plugin("sync")]);
    let server = Server::start(site.path());
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe("oro/maintenance");
    page.round_trip().await;
    let url = url(&server);
    for (arguments, expected) in [
        (vec!["on"], json!({"isOn": true, "userId": null})),
        (vec!["off", "--user", "7"], json!({"isOn": false, "userId": 7})),
    ] {
        let said = format!("published to oro/maintenance: maintenance is {}\n", arguments[0]);
        let arguments = [&["maintenance"], &arguments[..], &["--url", url.as_str()]].concat();
        let Answer { code, out, err } = run(&arguments).await;
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", &*said), "{arguments:?}");
        assert_eq!(page.event().await.event, expected);
    }
    let Answer { code, out, err } = run(&["maintenance", "on", "--json", "--url", &url]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let done: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&done["topic"], &done["state"]), (&json!("oro/maintenance"), &json!("on")));
    assert!(done["publication"].is_u64(), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_has_its_exit_code() {
    let site = Site::open();
    let server = Server::start(site.path());
    let url = url(&server);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("ws://{}/", listener.local_addr().unwrap())
    };
    // A server that accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!(
        "ws://{}/",
        silent.local_addr().map(|it| (it, Box::leak(Box::new(silent)))).unwrap().0
    );
    let check = async |arguments: &[&str], code: i32, expected: &str| {
        let Answer { code: found, out, err } = run(arguments).await;
        assert_eq!((found, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {expected} is missing in {err}");
    };
    // Refused by the server, with the server's text.
    check(
        &["publish", "--url", &url, "nowhere"],
        1,
        "error: jackfield.error.no_route: no route matches the topic `nowhere`\n  = help: `jackfield match",
    )
    .await;
    check(&["publish", "--url", &url, "a b"], 1, "error: wamp.error.invalid_uri: ").await;
    check(&["subscribe", "--url", &url, "nowhere"], 1, "error: jackfield.error.no_route: ").await;
    check(
        &["subscribe", "--url", &url, "open/a", "--realm", "other"],
        1,
        "error: wamp.error.no_such_realm: ",
    )
    .await;
    check(&["call", "--url", &url, "nothing"], 1, "error: ").await;
    check(&["maintenance", "on", "--url", &url], 1, "error: jackfield.error.no_route: ").await;
    // Errors of the command line.
    check(&["publish", "--url", &url], 2, "TOPIC").await;
    check(&["publish", "--url", "http://x/", "t"], 2, "ws://HOST:PORT/").await;
    check(
        &["publish", "--url", &url, "t", "--kwargs", "[1]"],
        2,
        "the keyword arguments must be a dictionary",
    )
    .await;
    check(&["publish", "--url", &url, "t", "--serializer", "xml"], 2, "msgpack").await;
    check(&["publish", "--url", &url, "t", "--timeout", "soon"], 2, "write a duration").await;
    check(&["subscribe", "--url", &url], 2, "TOPIC").await;
    check(&["subscribe", "--url", &url, "t", "--count", "0"], 2, "--count").await;
    check(&["maintenance", "perhaps", "--url", &url], 2, "on, off").await;
    check(
        &["maintenance", "on", "--url", &url, "--user", "admin"],
        2,
        "numeric id of a user, such as 7",
    )
    .await;
    // No server listens there.
    for command in ["publish", "subscribe", "call"] {
        let expected = format!("error: cannot connect to {closed}: ");
        check(&[command, "--url", &closed, "t"], 3, &expected).await;
    }
    check(
        &["publish", "--url", "ws://no-such-host.invalid/", "t"],
        3,
        "cannot connect to ws://no-such",
    )
    .await;
    let page = format!("wss://{}/", server.addr);
    check(&["publish", "--url", &page, "t"], 3, "error: cannot connect to wss://").await;
    // The server accepts connections and never answers.
    check(&["publish", "--url", &silent, "t", "--timeout", "100ms"], 4, "timed out after 100ms")
        .await;
    check(&["call", "--url", &silent, "t", "--timeout", "200ms"], 4, "timed out after 200ms").await;

    // The server ends while the command is subscribed: the connection is lost, as in a restart.
    let mut listening = listen(&["subscribe", "--url", &url, "open/a"]).await;
    server.signal("TERM");
    let ended = within("the end", listening.0.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribe_ends_with_the_route() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut listening = listen(&["subscribe", "--url", &url(&server), "open/a"]).await;
    site.remove("open/websocket_routing.yml");
    let ended = within("the end", listening.0.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_repeat_no_secret_of_a_url() {
    for url in ["http://hunter2@x", "ws://user:hunter2@127.0.0.1:1/?ticket=hunter2", "hunter2"] {
        let Answer { err, .. } = run(&["publish", "--url", url, "t"]).await;
        assert!(err.starts_with("error: ") && !err.contains("hunter2"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_how_to_authenticate() {
    let site = Site::open();
    site.write("users.yml", "users: {}");
    site.write(
        "jackfield.yml",
        "auth: { tickets: { secret: kernel-secret }, users: { file: users.yml } }",
    );
    let server = Server::start(site.path());
    let url = url(&server);
    let check = async |variables: &[(&str, &str)], more: &[&str], expected: &str| {
        let arguments = [&["publish", "--url", &url, "open/a"], more].concat();
        let output = jackfield(&arguments).envs(variables.iter().copied()).output();
        let output = within("the command", output).await.unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(expected), "{expected} is missing in {err}");
    };
    let help = "  = help: pass a ticket with --ticket or JACKFIELD_TICKET";
    check(&[], &[], help).await;
    // The token of the HTTP API is not used by clients, and an empty ticket is ignored.
    check(&[("JACKFIELD_TICKET", ""), ("JACKFIELD_TOKEN", "x")], &[], help).await;
    check(&[("JACKFIELD_TICKET", "x")], &[], "the ticket comes from JACKFIELD_TICKET").await;
    check(&[("JACKFIELD_JWT", "a.b.c")], &[], "the token comes from JACKFIELD_JWT").await;
    check(&[], &["--token", "a.b.c"], "the token comes from --token").await;
    let made = run(&["ticket", site.path().to_str().unwrap()]).await.out;
    let arguments = ["publish", "--url", &url, "open/a", "--ticket", made.trim()];
    assert_eq!(run(&arguments).await.code, Some(0));
}
