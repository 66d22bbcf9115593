//! Effects with an answer of plugins in JavaScript and Python: requests to a real server, calls of
//! procedures, and results that come later; and the imports of a bundle, which the operator grants.

use serde_json::{Value, json};

use super::{Language, scratch, site};
use crate::outgoing::backend::Backend;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

const TOPIC: &str = "out/a";
/// The imports of the bundle, in both manifests.
const IMPORTS: &str = r#"["topics", "log", "later", "http", "fetch", "calls"]"#;

/// A bundle whose events send requests and make calls.
async fn answers(language: Language) {
    let component = language.build(&build::root().join("tests/it/languages/outgoing"));
    let backend = Backend::start().await;
    let url = backend.url("");
    let routes = format!(
        "out: {{ channel: 'out/{{name}}', handler: {{ callback: 'outgoing' }} }}\n\
         guarded: {{ channel: 'guarded/{{name}}', handler: {{ callback: 'guarded', args: {{ url: '{url}' }} }} }}\n"
    );
    let site = site(&component, &routes);
    let checked =
        crate::control::run(crate::control::command(&["check", site.path().to_str().unwrap()]));
    let report = format!("{}{}", checked.out, checked.err);
    let line = "{ named: { \"outgoing\": { http: { allow: [\"https://HOST\"] } } } }";
    assert!(checked.code == Some(1) && report.contains(line), "{report}");

    let http = backend.allowed("blocking: true");
    let granted = format!("{http}, calls: {{ allow: ['acme.*'] }}");
    let plugins = format!("default: {{ deadline: 30s }}, named: {{ outgoing: {{ {granted} }} }}");
    let config = format!("unrouted: broadcast\nplugins: {{ {plugins} }}\n");
    let server = Server::configured(site.path(), &config);
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe(TOPIC, json!({})).await;
    requests(&server, &mut client, &backend).await;
    calls(&mut client).await;
    later(&mut client, &backend).await;
    waits(&mut client, &backend).await;
}

/// Publishes an order to the plugin, as a client that does not read it.
async fn order(client: &mut Client, order: Value) {
    client.publish_acknowledged(TOPIC, json!({}), json!([order]), Value::Null).await.unwrap();
}

async fn requests(server: &Server, client: &mut Client, backend: &Backend) {
    let (url, context) = (backend.url("/rates?of=eur"), |url: &str| json!({ "ü": url }));
    order(client, json!({ "url": url })).await;
    let arrived = backend.request().await;
    assert!(arrived.text.starts_with("GET /rates?of=eur HTTP/1.1\r\n"), "{}", arrived.text);
    let head = "HTTP/1.1 404 Not Found\r\nx-kind: grün\r\ncontent-length: 3\r\n\r\nnü";
    arrived.write(head).await;
    let answer = json!([context(&url), 404, false, "grün", "nü"]);
    assert_eq!(client.event().await.args, json!([answer]));

    let more = json!({ "url": url, "json": { "a": [1] }, "headers": { "X-A": "b" } });
    order(client, more).await;
    let arrived = backend.request().await;
    for part in
        ["POST /", "x-a: b\r\n", "content-type: application/json\r\n", "\r\n\r\n{\"a\":[1]}"]
    {
        assert!(arrived.text.contains(part), "{part}: {}", arrived.text);
    }
    arrived.answer("").await;
    assert_eq!(client.event().await.args[0][1], 200);

    // Refused at once, and with no answer: the hook logs the error that it does not catch.
    order(client, json!({ "url": "https://evil.example/" })).await;
    let refused = client.event().await.args[0].clone();
    assert_eq!((&refused[0], &refused[1]), (&json!("refused"), &json!("denied")));
    assert!(refused[2].as_str().unwrap().contains("add \"https://evil.example\""), "{refused}");
    order(client, json!({ "url": url, "timeout": 50 })).await;
    let hung = backend.request().await;
    server.logged("wamp.error.runtime_error: the server did not answer in time");
    hung.ended().await;
}

async fn calls(client: &mut Client) {
    client.register("acme.double", json!({})).await.unwrap();
    order(client, json!({ "procedure": "acme.double" })).await;
    let invocation = client.invocation().await;
    assert_eq!(invocation[4], json!(["acme.double"]));
    assert_eq!(invocation[5], json!({ "big": 9_007_199_254_740_993_u64 }));
    client.send(&json!([70, invocation[1], {}, [1, "ü"]]));
    assert_eq!(client.event().await.args, json!([[["acme.double"], [1, "ü"]]]));
    order(client, json!({ "procedure": "acme.none" })).await;
    assert_eq!(client.event().await.args[0][1][0], "wamp.error.no_such_procedure");
    // The time that the plugin gives is shorter than the operator's.
    order(client, json!({ "procedure": "acme.double", "timeout": 20 })).await;
    client.invocation().await;
    assert_eq!(client.event().await.args[0][1][0], "wamp.error.timeout");
}

async fn later(client: &mut Client, backend: &Backend) {
    client.send(&json!([48, 900, {}, TOPIC, [backend.url("/")]]));
    let arrived = backend.request().await;
    client.round_trip().await;
    arrived.answer("{\"sunny\": 9007199254740993}").await;
    let result = json!([50, 900, {}, [{ "sunny": 9_007_199_254_740_993_u64 }]]);
    assert_eq!(client.message().await, result);
    // The reason why there is no answer is the caller's error.
    client.send(&json!([48, 901, {}, TOPIC, [backend.url("/")]]));
    backend.request().await.write("220 mail ESMTP\r\n").await;
    let error = client.message().await;
    assert_eq!((&error[2], &error[4]), (&json!(901), &json!("wamp.error.runtime_error")));
    let now = client.call(TOPIC, json!({}), json!([]), Value::Null).await.unwrap();
    assert_eq!(now.0, json!(["at once"]));
    let denied = json!(["https://evil.example/"]);
    let error = client.call(TOPIC, json!({}), denied, Value::Null).await.unwrap_err();
    assert_eq!(error.uri, "wamp.error.runtime_error", "an error ends the wait: {error:?}");
}

/// `on_subscribe` waits for an answer, and no other hook does.
async fn waits(client: &mut Client, backend: &Backend) {
    let answered = async {
        let arrived = backend.request().await;
        assert!(arrived.text.starts_with("GET /a HTTP/1.1\r\n"), "{}", arrived.text);
        arrived.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    };
    let (refused, ()) = tokio::join!(client.try_subscribe("guarded/a", json!({})), answered);
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.uri.as_str(), &refused.args[0]),
        ("wamp.error.not_authorized", &json!("no"))
    );
    let answered = async { backend.request().await.answer("yes").await };
    let (subscribed, ()) = tokio::join!(client.try_subscribe("guarded/a", json!({})), answered);
    subscribed.unwrap();
    let published = client.publish_acknowledged("guarded/a", json!({}), json!([]), Value::Null);
    let message = published.await.unwrap_err().args[0].to_string();
    assert!(message.contains("only `on_subscribe` may wait"), "{message}");
    assert!(backend.is_idle(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_receives_answers() {
    answers(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_receives_answers() {
    answers(Language::Python).await;
}

/// A hook whose import the bundle does not name is an error of the build, with the line to write.
#[test]
fn refuses_a_hook_without_its_import() {
    let folder = scratch();
    let check = |language: Language, manifest: &str, imports: &str, line: &str| {
        let bundle = folder.path().join(manifest);
        super::copy(&build::root().join("tests/it/languages/outgoing"), &bundle);
        let file = bundle.join(manifest);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(IMPORTS), "{text}");
        std::fs::write(&file, text.replace(IMPORTS, imports)).unwrap();
        let output = language.command(&bundle, &folder.path().join("out.wasm")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(line), "{told}");
    };
    let line = "onResponse is never called: `http` is not among the imports of this plugin; write \
                in package.json: \"jackfield\": { \"imports\": [\"topics\", \"http\"] }";
    check(Language::JavaScript, "package.json", "[\"topics\"]", line);
    let unknown = "jackfield.imports has the unknown interface `htp`\n  = help: expected topics";
    check(Language::JavaScript, "package.json", "[\"htp\"]", unknown);
    let unknown =
        "tool.jackfield.imports has the unknown interface `htp`\n  = help: expected topics";
    check(Language::Python, "pyproject.toml", "[\"htp\"]", unknown);
}
