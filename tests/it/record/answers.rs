//! Answers to requests and calls of plugins in recordings: they are recorded, redacted and replayed
//! like the input of any other hook, and a replayed version sends nothing.

use super::*;
use crate::outgoing::backend::Backend;
use jackfield_tests::client::v2::Options;

/// Users need a role, as the plugin does for its calls.
const ROUTES: &str = "out:\n    channel: 'out/{name}'\n    handler: { callback: 'outgoing' }\n    \
                      allow: { subscribe: [member, anonymous], publish: [member, anonymous], \
                      call: [member, anonymous, plugin] }\n";
const USERS: &str =
    "users:\n    ann: { id: 7, password: hash, roles: [member], claims: { pet: s3cret-claim } }\n";
const TICKETS: &str = "auth:\n  tickets: { secret: kernel-secret }\n  users: { file: users.yml }\n";
/// The texts of the guest that tell its versions apart.
const VERSION: &str = "@@VERSION-000001";
const AGENT: &str = "@@AGENT---000001";

/// The plugin `outgoing`, which may send requests to the backend and call its own procedures.
fn serving(backend: &Backend, more: &str) -> Fixture {
    let (site, folder) = (Site::open(), tempfile::tempdir().unwrap());
    site.write("users.yml", USERS);
    site.bundle("out", ROUTES, &[build::guest("outgoing")]);
    let (http, users) = (backend.allowed(""), site.file("users.yml"));
    let more = more.replace("users.yml", users.to_str().unwrap());
    let grants = format!("{http}, calls: {{ allow: ['out/*'] }}");
    let plugins = format!("plugins: {{ named: {{ outgoing: {{ {grants} }} }} }}\n{more}");
    Fixture::configured(site, folder, &plugins)
}

async fn order(client: &mut Client, order: Value) {
    client.publish_acknowledged("out/a", json!({}), json!([order]), Value::Null).await.unwrap();
}

/// Seven calls of hooks: a request, a call of the plugin itself, and a call whose result comes later,
/// each with its answer.
async fn use_it(client: &mut Client, backend: &Backend) {
    client.subscribe("out/a", json!({})).await;
    let url = backend.url("/v1/rates?key=s3cret-path");
    let headers = json!({ "authorization": "s3cret-header" });
    let body = json!({ "word": "s3cret-request" });
    order(client, json!({ "url": url, "headers": headers, "body": body, "tag": "s3cret-tag" }))
        .await;
    let arrived = backend.request().await;
    assert!(arrived.text.contains("s3cret-header"), "{}", arrived.text);
    let text = "s3cret-response";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", text.len());
    arrived.write(&format!("{head}set-cookie: s3cret-cookie\r\n\r\n{text}")).await;
    assert_eq!(client.event().await.args[0][1], "answer");
    let args = json!([{ "do": "echo", "word": "s3cret-argument" }]);
    order(client, json!({ "procedure": "out/a", "args": args, "tag": 2 })).await;
    assert_eq!(client.event().await.args[0][1], "answer");
    client.send(&json!([48, 900, {}, "out/a", [{ "url": backend.url("/later") }]]));
    backend.request().await.answer("s3cret-result").await;
    assert_eq!(client.message().await, json!([50, 900, {}, [[200, "s3cret-result"]]]));
}

/// The numbers of compared calls, of those that are the same, and of those that were left out.
fn counts(report: &Value) -> [u64; 3] {
    ["compared", "same", "left_out_count"].map(|name| report[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_the_answers_to_requests_and_calls() {
    let backend = Backend::start().await;
    let fixture = serving(&backend, "");
    let mut ann = fixture.join().await;
    // A request before the recording, which is answered within it.
    order(&mut ann, json!({ "url": backend.url("/early"), "tag": 0 })).await;
    let early = backend.request().await;
    let recorder = fixture.record(&[
        "--plugin",
        "outgoing",
        "--count",
        "8",
        "--with-payload",
        "--with-headers",
    ]);
    use_it(&mut ann, &backend).await;
    early.answer("late").await;
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = fs::read_to_string(fixture.file("calls.ndjson")).unwrap();
    for part in ["s3cret-header", "s3cret-cookie", "s3cret-response", "s3cret-path"] {
        assert!(text.contains(part), "--with-payload and --with-headers keep {part}: {text}");
    }

    // The same code: all but the answer to the early request.
    let same = fs::read(build::guest("outgoing")).unwrap();
    let report = fixture.replay(&same, &["--json"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(counts(&report.json()), [7, 7, 1], "{report:?}");
    let left_out = &report.json()["left_out"][0];
    assert_eq!(left_out["reason"], "unrequested");
    assert_eq!(left_out["calls"][0]["hook"], "response", "{left_out}");

    // Another version publishes itself with each answer that it reports.
    let other = patched("outgoing", VERSION, "@@VERSION-000002");
    let report = fixture.replay(&other, &["--json"]);
    assert_eq!(report.code, Some(1), "{report:?}");
    assert_eq!(counts(&report.json()), [7, 5, 1], "{report:?}");
    let hooks = |report: &Value| -> Vec<Value> {
        let calls = report["calls"].as_array().unwrap();
        calls.iter().map(|call| call["hook"].clone()).collect()
    };
    assert_eq!(hooks(&report.json()), ["response", "result"]);
    let new = &report.json()["calls"][0]["differences"][0]["new"];
    assert!(new.as_str().unwrap().contains("@@VERSION-000002"), "{new}");
    assert!(new.as_str().unwrap().contains("s3cret-response"), "the recorded answer: {new}");

    // A version with other requests gets no answers to them.
    let other = patched("outgoing", AGENT, "@@AGENT---000002");
    let report = fixture.replay(&other, &["--json"]);
    assert_eq!(report.code, Some(1), "{report:?}");
    assert_eq!(counts(&report.json()), [5, 3, 3], "{report:?}");
    assert_eq!(hooks(&report.json()), ["publish", "call"]);
    assert_eq!(report.json()["left_out"][0]["count"], 3);
    let text = fixture.replay(&other, &[]).out;
    let why = "left out, answers to requests or calls that a version does not make, or that were \
               made before the recording: 3";
    assert!(text.contains(why), "{text}");
    assert!(backend.is_idle(), "a replay sends nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_no_secret_unless_asked() {
    let backend = Backend::start().await;
    let fixture = serving(&backend, TICKETS);
    let config = fixture.write("jackfield.yml", &fixture.settings);
    let site = fixture.site.path().to_str().unwrap();
    let config = config.to_str().unwrap();
    let ticket = run(command(&["ticket", site, "--config", config, "--user", "ann"]));
    assert_eq!(ticket.code, Some(0), "{ticket:?}");
    let ticket = ticket.out.trim();
    let mut options = Options::new(Codec::Json);
    let escaped = ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    options.handshake.path = format!("/?ticket={escaped}");
    let joined = Client::connect_with(fixture.server.addr, Codec::Json, "realm1", options).await;
    let mut ann = joined.unwrap();
    let recorder = fixture.record(&["--plugin", "outgoing", "--count", "7"]);
    use_it(&mut ann, &backend).await;
    assert_eq!(recorder.end().code, Some(0));
    let path = fixture.file("calls.ndjson");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let hooks = ["publish", "response", "result", "call"];
    assert!(hooks.iter().all(|it| text.contains(&format!("\"hook\":\"{it}\""))), "{text}");
    assert!(text.contains("\"ann\""), "the session is the user's: {text}");
    // Of each kind: claim, payload, request (path, header, body), answer (header, body), context.
    for secret in ["s3cret", "kernel-secret", ticket, &escaped] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(text)
    };
    assert!(!text.contains(&base64("s3cret")), "{text}");

    // Claims and headers are asked for one by one.
    fs::remove_file(&path).unwrap();
    let recorder = fixture.record(&["--plugin", "outgoing", "--count", "1", "--with-claims"]);
    order(&mut ann, json!({ "url": backend.url("/s3cret"), "body": "s3cret" })).await;
    assert_eq!(recorder.end().code, Some(0));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("s3cret").count(), text.matches("s3cret-claim").count(), "{text}");
    assert!(text.contains("s3cret-claim"), "{text}");
}
