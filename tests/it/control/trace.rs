//! Traces of messages: each kind of step, filters, bounds, and readers that are slow.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{ask, command};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::{v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROUTES: &str = "test.words:\n    channel: 'words/{name}'\n    handler: { callback: 'judging.words' }\n\
                      test.log:\n    channel: 'judging/log/{number}'\n    handler: { callback: 'broadcast' }\n";
const REFUSED: &str = "@@REFUSED-000001";

fn served() -> (Site, Server) {
    let site = Site::new();
    site.bundle("j", ROUTES, &[build::guest("judging"), build::plugin("broadcast")]);
    let server = Server::start(site.path());
    (site, server)
}

/// A `jackfield trace --json` that runs.
struct Trace {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Trace {
    /// Starts a trace, and waits until it traces.
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let site = site.path().to_str().unwrap();
        let mut command = command(&[&["trace", "--site", site, "--json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut trace = Self { child, lines };
        let begin = trace.line();
        assert_eq!((&begin["step"], &begin["format"]), (&json!("begin"), &json!(1)), "{begin}");
        trace
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the trace has ended");
        serde_json::from_str(&line).expect(&line)
    }

    /// The steps of the next message, to its end.
    fn message(&mut self) -> Vec<Value> {
        let mut steps = Vec::new();
        loop {
            let line = self.line();
            let is_end = ["accept", "refuse"].map(Value::from).contains(&line["step"]);
            steps.push(line);
            if is_end {
                return steps;
            }
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn names(steps: &[Value]) -> Vec<&str> {
    steps.iter().map(|step| step["step"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_each_step_of_a_publication() {
    let (site, server) = served();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut page = v1::Client::connect(server.addr).await;
    page.subscribe("words/a");
    page.round_trip().await;
    let mut trace = Trace::start(&site, &["words/a"]);
    let id = ann.session();
    let user = format!("anonymous-{id}");

    ann.publish_acknowledged("words/a", json!({}), json!(["secret"]), Value::Null).await.unwrap();
    assert_eq!(page.event().await.event, "secret");
    let steps = trace.message();
    assert_eq!(names(&steps), ["message", "route", "hook", "deliver", "accept"], "{steps:?}");
    for step in &steps {
        assert_eq!((&step["message"], &step["topic"]), (&json!(1), &json!("words/a")), "{step}");
        assert_eq!((&step["session"], &step["user"]), (&json!(id), &json!(user)), "{step}");
        assert_eq!((&step["realm"], &step["dropped"]), (&json!("realm1"), &json!(0)), "{step}");
        assert!(step["time"].is_string() && !step.to_string().contains("secret"), "{step}");
    }
    let [message, route, hook, deliver, accept] = &steps[..] else { unreachable!() };
    assert_eq!(message["kind"], "publish");
    assert_eq!(
        (&route["route"], &route["handler"]),
        (&json!("test.words"), &json!("judging.words"))
    );
    assert_eq!((&route["plugin"], &route["hook"]), (&json!("judging"), &json!("publish")));
    assert_eq!((&hook["hook"], &hook["verdict"]), (&json!("publish"), &json!("broadcast")));
    assert_eq!((&hook["effects"], &hook["writes"]), (&json!(["publish"]), &json!(1)));
    assert!(hook["took_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(deliver["receiver_count"], 1);
    assert!(deliver["receivers"][0]["user"].as_str().unwrap().starts_with("anonymous-"));
    assert_eq!(accept["delivered"], 1);

    let refused = ann.publish_acknowledged("words/a", json!({}), json!([REFUSED]), Value::Null);
    refused.await.unwrap_err();
    let steps = trace.message();
    assert_eq!(names(&steps), ["message", "route", "hook", "refuse"], "{steps:?}");
    assert_eq!(
        (&steps[2]["verdict"], &steps[2]["error"]),
        (&json!("reject"), &json!("judging.error.refused"))
    );
    assert_eq!(
        (&steps[3]["error"], &steps[3]["message"]),
        (&json!("judging.error.refused"), &json!(2))
    );

    // Other kinds of messages, and a topic that is not traced.
    ann.publish_acknowledged("words/b", json!({}), json!(["x"]), Value::Null).await.unwrap();
    let subscription = ann.subscribe("words/a", json!({})).await;
    ann.unsubscribe(subscription).await.unwrap();
    ann.call("words/a", json!({}), json!([]), Value::Null).await.unwrap_err();
    let [subscribe, unsubscribe, call] = [(); 3].map(|()| trace.message());
    assert_eq!(names(&subscribe), ["message", "route", "accept"]);
    assert_eq!((&subscribe[0]["kind"], &subscribe[1]["hook"]), (&json!("subscribe"), &Value::Null));
    assert_eq!((&unsubscribe[0]["kind"], names(&unsubscribe).len()), (&json!("unsubscribe"), 3));
    assert_eq!((&call[0]["kind"], names(&call)[2]), (&json!("call"), "refuse"));
    assert_eq!(call[2]["error"], "wamp.error.no_such_procedure");
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_events_of_handlers_and_payloads_where_wanted() {
    let (site, server) = served();
    let mut ann = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    let mut trace = Trace::start(&site, &["judging/log/0001", "--payload"]);
    let long = "\u{1b}[2J".to_owned() + &"y".repeat(5_000);
    ann.publish_acknowledged("words/a", json!({}), json!([long]), Value::Null).await.unwrap();
    let steps = trace.message();
    assert_eq!(names(&steps), ["message", "deliver", "accept"], "{steps:?}");
    assert_eq!((&steps[0]["kind"], &steps[0]["session"]), (&json!("effect"), &Value::Null));
    let args = steps[0]["args"].as_str().unwrap();
    assert!(args.contains("u001b[2J") && !args.contains('\u{1b}'), "{args}");
    assert!(args.len() < 1_200 && args.contains("more bytes left out"), "{args}");
    assert_eq!(steps[1]["receiver_count"], 0);
    drop(trace);
    server.logged(r#"action="trace" topic="judging/log/0001" with="payload" result="begun""#);
    server.logged(r#"action="trace" topic="judging/log/0001" with="payload" result="ended""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_traced_as_publisher_and_as_receiver() {
    let (site, server) = served();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut bob = Client::connect(server.addr, Codec::Json, "realm1").await;
    bob.subscribe("words/a", json!({})).await;
    let user = format!("anonymous-{}", bob.session());
    let mut trace = Trace::start(&site, &["--user", &user]);
    for (topic, event) in [("words/b", "for others"), ("words/a", "for bob")] {
        ann.publish_acknowledged(topic, json!({}), json!([event]), Value::Null).await.unwrap();
    }
    let (message, deliver) = (trace.line(), trace.line());
    assert_eq!((&message["step"], &message["topic"]), (&json!("message"), &json!("words/a")));
    assert_eq!(message["session"], ann.session());
    let receivers = json!([{ "session": bob.session(), "user": user }]);
    assert_eq!((&deliver["step"], &deliver["receivers"]), (&json!("deliver"), &receivers));
    // His own messages have all steps. Nobody else is called.
    bob.register("a.procedure", json!({})).await.unwrap_err();
    let register = trace.message();
    assert_eq!(
        (&register[0]["kind"], names(&register)),
        (&json!("register"), vec!["message", "route", "refuse"])
    );
    bob.publish_acknowledged("words/c", json!({}), json!(["x"]), Value::Null).await.unwrap();
    assert_eq!(names(&trace.message()), ["message", "route", "hook", "deliver", "accept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn readable_lines_end_by_themselves() {
    let (site, server) = served();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    let site = site.path().to_str().unwrap();
    let mut shown = command(&["trace", "words/a", "--site", site, "--count", "1"]);
    let mut child = shown.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with("the trace begins; Ctrl-C ends it"), "{first}");
    ann.publish_acknowledged("words/a", json!({}), json!(["x"]), Value::Null).await.unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(rest.len(), 5, "{rest:?}");
    assert!(rest[0].contains(" #1 publish words/a from anonymous-"), "{rest:?}");
    assert!(rest[2].contains("publish of judging.words: broadcast in "), "{rest:?}");
    assert!(rest[4].ends_with("accepted, queued to 0"), "{rest:?}");
}

/// The lines of a publication whose handler has no hooks: message, route, deliver, accept.
const STEPS: u64 = 4;

/// Opens a trace whose lines are not read.
async fn unread(socket: &Path, topic: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let body = json!({ "topic": topic, "payload": true }).to_string();
    let length = body.len();
    // HTTP/1.0 has no chunks, whose sizes would stand between and within the lines.
    let request =
        format!("POST /v1/trace HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.readable().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_loses_lines_and_slows_no_client() {
    let (_site, server) = served();
    let socket = server.control_socket();
    let mut lines = tokio::io::BufReader::new(unread(&socket, "judging/log/0009").await).lines();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    // More lines than the socket and the queue hold.
    for _ in 0..1_500 {
        let text = json!(["z".repeat(500)]);
        let sent = ann.publish_acknowledged("judging/log/0009", json!({}), text, Value::Null);
        within("the answer to a publication", sent).await.unwrap();
    }
    while !lines.next_line().await.unwrap().expect("the head of the answer").is_empty() {}
    // The next line that has a place tells how many are missing: none is lost unseen.
    let (mut read, mut dropped) = (0, 0);
    within("a line with a count of a thousand dropped lines", async {
        while dropped < 1_000 {
            let line = lines.next_line().await.unwrap().expect("the trace goes on");
            let step: Value = serde_json::from_str(&line).unwrap();
            if step["step"] == "begin" {
                continue;
            }
            dropped = step["dropped"].as_u64().unwrap();
            if step["step"] == "message" {
                let before = (step["message"].as_u64().unwrap() - 1) * STEPS;
                assert_eq!(read + dropped, before, "{step}");
            }
            read += 1;
            ann.publish_acknowledged("judging/log/0009", json!({}), json!([]), Value::Null)
                .await
                .unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_bounded_and_refused_by_reason() {
    let (_site, server) = served();
    let socket = server.control_socket();
    for (body, code) in [("{}", 400), (r#"{"topic":""}"#, 400), (r#"{"topics":"a"}"#, 400)] {
        let (found, problem) = ask(&socket, "POST", "/v1/trace", body).await;
        assert_eq!(found, code, "{body}: {problem}");
    }
    let (code, _) = ask(&socket, "GET", "/v1/trace", "").await;
    assert_eq!(code, 405);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(unread(&socket, "a").await);
    }
    let (code, problem) = ask(&socket, "POST", "/v1/trace", r#"{"topic":"a"}"#).await;
    assert_eq!((code, &problem["error"]), (429, &json!("jackfield.error.too_many_requests")));
    // The place of one that has left is free again.
    drop(open.pop());
    server.logged(r#"action="trace" topic="a" with="payload" result="ended""#);
    let _again = unread(&socket, "a").await;
}
