//! Answers to requests and calls: a shadow sends nothing, and gets those of the version in service.

use super::*;
use crate::outgoing::backend::Backend;

const ROUTES: &str = "out:\n    channel: 'out/{name}'\n    handler: { callback: 'outgoing' }\n";
const OUTGOING_SHADOW: &str = "out/guest_outgoing.shadow.wasm";

/// A server of the plugin `outgoing`, which may send requests to the backend and call itself.
fn serving(backend: &Backend) -> (Fixture, Server) {
    let fixture = Fixture { site: Site::open(), data: tempfile::tempdir().unwrap() };
    fixture.site.bundle("out", ROUTES, &[build::guest("outgoing")]);
    let grants = format!("{}, calls: {{ allow: ['out/*'] }}", backend.allowed(""));
    let server = fixture.start(&format!("plugins: {{ named: {{ outgoing: {{ {grants} }} }} }}\n"));
    (fixture, server)
}

/// Seven calls: a request, a call, and a call whose result comes later, with their answers.
async fn use_answers(client: &mut Client, backend: &Backend) {
    client.subscribe("out/a", json!({})).await;
    for order in [
        json!({ "url": backend.url("/one"), "tag": 1 }),
        json!({ "procedure": "out/a", "args": [{ "do": "echo" }], "tag": 2 }),
    ] {
        let is_request = order["url"].is_string();
        let order = json!([order]);
        client.publish_acknowledged("out/a", json!({}), order, Value::Null).await.unwrap();
        if is_request {
            backend.request().await.answer("fine").await;
        }
        assert_eq!(client.event().await.args[0][1], "answer");
    }
    client.send(&json!([48, 900, {}, "out/a", [{ "url": backend.url("/two") }]]));
    backend.request().await.answer("done").await;
    assert_eq!(client.message().await, json!([50, 900, {}, [[200, "done"]]]));
}

/// The numbers of compared, differing and left out calls.
fn counts(shadow: &Value) -> [u64; 3] {
    let left_out = &shadow["left_out"]["answer"];
    [&shadow["compared"], &shadow["differing"], left_out].map(|count| count.as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn gets_the_answers_of_the_version_in_service() {
    let backend = Backend::start().await;
    let (fixture, server) = serving(&backend);
    fixture.deploy(OUTGOING_SHADOW, relabelled(&build::guest("outgoing"), 1));
    until_running(&server, "outgoing").await;
    let mut client = join(&server).await;
    use_answers(&mut client, &backend).await;
    let shadow = compared(&server, "outgoing", 7).await;
    assert_eq!(counts(&shadow), [7, 0, 0], "{shadow}");
    assert!(backend.is_idle(), "a shadow sends nothing");
    let outgoing = &plugin(&server, "outgoing").await["outgoing"];
    let expected =
        |accepted: u32| json!({ "in_flight": 0, "accepted": accepted, "refused": 0, "dropped": 0 });
    assert_eq!(outgoing["http"], expected(2), "a shadow takes no place");
    assert_eq!((&outgoing["calls"], &outgoing["later"]), (&expected(1), &expected(1)));

    // A version that answers the answers in another way.
    let other = patched("outgoing", "@@VERSION-000001", "@@VERSION-000002");
    fixture.deploy(OUTGOING_SHADOW, other);
    until(&server, "outgoing", |page| page["shadow"]["version"] == "@@VERSION-000002").await;
    use_answers(&mut client, &backend).await;
    let shadow = compared(&server, "outgoing", 7).await;
    assert_eq!(counts(&shadow), [7, 2, 0], "{shadow}");
    let kinds: Vec<_> = shadow["differences"].as_array().unwrap().iter().collect();
    let [response, result] = kinds[..] else { panic!("two kinds: {shadow}") };
    assert_eq!(response["kind"], "on-response of outgoing: effects");
    assert_eq!(result["kind"], "on-result of outgoing: effects");
    let diff = response["example"]["diff"].as_str().unwrap();
    assert!(diff.contains("@@VERSION-000002") && diff.contains("fine"), "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_other_requests_are_left_out_and_counted() {
    let backend = Backend::start().await;
    let (fixture, server) = serving(&backend);
    fixture.deploy(OUTGOING_SHADOW, patched("outgoing", "@@AGENT---000001", "@@AGENT---000002"));
    until_running(&server, "outgoing").await;
    let mut client = join(&server).await;
    use_answers(&mut client, &backend).await;
    let left_out = |page: &Value| page["shadow"]["left_out"]["answer"].as_u64() >= Some(2);
    let shadow = until(&server, "outgoing", left_out).await["shadow"].clone();
    assert_eq!(counts(&shadow), [5, 2, 2], "{shadow}");
    let kinds = shadow["differences"].to_string();
    assert!(kinds.contains("on-publish of outgoing: effects"), "{kinds}");
    assert!(kinds.contains("on-call of outgoing: effects"), "{kinds}");
    assert!(kinds.contains("@@AGENT---000002"), "the request is shown: {kinds}");
    let text = fixture.jackfield(&["shadow", "outgoing"]);
    assert!(text.out.contains("left out: answer 2"), "{text:?}");
    assert!(backend.is_idle(), "a shadow sends nothing");
}
