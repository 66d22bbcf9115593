//! `jackfield publish TOPIC -`: events from standard input.

use std::io::ErrorKind;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{Answer, jackfield, url};

/// Runs a command on this standard input.
async fn fed(arguments: &[&str], input: &str) -> Answer {
    let mut command = jackfield(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Err(error) = stdin.write_all(input.as_bytes()).await {
        // A command that ends with an error may not have read its input.
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    drop(stdin);
    let output =
        within(format!("jackfield {arguments:?}"), child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_reads_events_from_standard_input() {
    let site = Site::open();
    let server = Server::start(site.path());
    let url = url(&server);
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut check = async |more: &[&str], input: &str, code: i32, err: &str, events: Value| {
        let arguments = [&["publish", "--url", &url, "open/a"], more].concat();
        let answer = fed(&arguments, input).await;
        assert_eq!(answer.code, Some(code), "{}", answer.err);
        assert!(answer.err.starts_with(err), "{}\n{err}", answer.err);
        for event in events.as_array().unwrap() {
            assert_eq!(&subscriber.event().await.args, event, "{input:?}");
        }
        answer
    };
    check(&["-"], "{\n  \"a\": 1\n}\n", 0, "published 1 event to open/a\n", json!([[{"a": 1}]]))
        .await;
    check(
        &["-"],
        "{\"a\":1}\n[2]\n\"x\"\n17",
        0,
        "published 4 events to open/a\n",
        json!([[{"a": 1}], [[2]], ["x"], [17]]),
    )
    .await;
    check(&["-"], "", 0, "published 0 events to open/a\n", json!([])).await;
    let lines = json!([["a {"], ["17"]]);
    check(&["-", "--text"], "a {\n17\n", 0, "published 2 events to open/a\n", lines).await;
    check(&["-", "--acknowledge=false"], "1", 0, "sent 1 event to open/a\n", json!([[1]])).await;
    let printed = check(&["-", "--json"], "1 2", 0, "", json!([[1], [2]])).await;
    assert_eq!(printed.out.lines().count(), 2, "{}", printed.out);
    // Values before the invalid one are published.
    let broken = check(
        &["-"],
        "1\n{\"a\": }\n2\n",
        2,
        "published 1 event to open/a\nerror: standard input is invalid JSON: expected value at line 2",
        json!([[1]]),
    )
    .await;
    assert!(broken.err.contains("  = help: ") && broken.err.contains("--text"), "{}", broken.err);
    check(&["-", "x"], "1", 2, "error: `-` (standard input) cannot be combined", json!([])).await;
    // `-` with other arguments, and unread input.
    check(&["--text", "a", "-"], "1", 0, "published to open/a\n", json!([["a", "-"]])).await;
    check(&[], "1", 0, "published to open/a\n", json!([null])).await;
    check(
        &["{a: 1}"],
        "",
        2,
        "error: argument 1 is invalid JSON: key must be a string at",
        json!([]),
    )
    .await;
    check(&["{a: 1}", "--text"], "", 0, "published to", json!([["{a: 1}"]])).await;
    let refused = fed(&["publish", "--url", &url, "nowhere", "-"], "1 2").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("published 0 events to nowhere\nerror: jackfield.error.no_route"));
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_sends_each_event_as_it_arrives() {
    let site = Site::open();
    let server = Server::configured(site.path(), "keepalive: { interval: 200ms, timeout: 1s }");
    let url = url(&server);
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe("open/a", json!({})).await;
    let mut command = jackfield(&["publish", "--url", &url, "open/a", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1\n").await.unwrap();
    assert_eq!(subscriber.event().await.args, json!([1]));
    // The command answers pings while it has no input, and outlives clients that do not answer.
    for _ in 0..2 {
        let logged = server.log().len();
        let mute = Client::connect(server.addr, Codec::Json, "realm1").await;
        mute.socket().stop_reading();
        server.logged_after(logged, "the client does not answer pings");
    }
    stdin.write_all(b"2\n").await.unwrap();
    assert_eq!(subscriber.event().await.args, json!([2]));
    drop(stdin);
    let output = within("the command", child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
