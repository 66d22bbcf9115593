//! Spans of messages for an OpenTelemetry collector: names, parents, errors, and collectors that fail.

mod collector;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

use collector::{Behaviour, Collector, Span};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A site with a topic of a handler, and one for backends alone.
fn site() -> Site {
    let site = Site::open();
    let routes = "news:\n    channel: 'news/{n}'\n    handler: { callback: 'judging.words' }\n\
                  orders:\n    channel: 'orders'\n    handler: { callback: 'broadcast' }\n    \
                  allow: { publish: [backend] }\n";
    site.bundle("news", routes, &[build::guest("judging")]);
    site
}

fn serve(site: &Site, collector: &Collector, more: &str) -> Server {
    let config = format!(
        "traces: {{ endpoint: '{}', {more} }}\nmetrics: {{ enabled: true }}\n\
         api: {{ tokens: [{{ name: shop, token: {TOKEN} }}] }}\nlimits: {{ {NO_RATES} }}\n",
        collector.url()
    );
    Server::configured(site.path(), &config)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Returns a sample of the metrics.
async fn spans(server: &Server, result: &str) -> u64 {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await;
    let name = format!("jackfield_spans_total{{result=\"{result}\"}}");
    let sample = |line: &str| line.strip_prefix(&name)?.trim().parse().ok();
    page.body.lines().find_map(sample).unwrap_or_else(|| panic!("{name}: {page:?}"))
}

async fn publish_over_http(server: &Server, topic: &str, parent: &str) {
    let mut http = Http::connect(server.addr).await;
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Authorization", authorization.as_str()), ("traceparent", parent)];
    let answer = http
        .post("/api/publish", &headers, &json!({ "topic": topic, "args": ["x"] }).to_string())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_spans_with_their_hooks_within() {
    let (site, mut collector) = (site(), Collector::start(Behaviour::Accept).await);
    let server = serve(&site, &collector, "sample: 1, service: shop, headers: { x-key: s3cret }");
    let mut client = join(&server).await;
    client.subscribe("news/1", json!({})).await;
    client
        .publish_acknowledged("news/1", json!({"exclude_me": false}), json!(["pay"]), Value::Null)
        .await
        .unwrap();
    let refused =
        client.publish_acknowledged("orders", json!({}), json!([]), Value::Null).await.unwrap_err();
    let spans = collector.spans(4).await;
    let subscribed = find(&spans, "subscribe news");
    let published = find(&spans, "publish news");
    for (key, value) in [
        ("messaging.system", "wamp"),
        ("messaging.operation.name", "publish"),
        ("messaging.destination.name", "news/1"),
        ("wamp.realm", "realm1"),
        ("jackfield.route", "news"),
        ("jackfield.handler", "judging.words"),
        ("jackfield.delivered", "1"),
    ] {
        assert_eq!(published.attributes[key], value, "{published:#?}");
    }
    let hook = find(&spans, "on-publish");
    assert_eq!((&hook.trace, &hook.parent), (&published.trace, &published.id));
    assert!(published.began <= hook.began && hook.ended <= published.ended, "{spans:#?}");
    assert_ne!(published.trace, subscribed.trace, "each message is a trace of its own");
    assert_eq!((published.parent.as_str(), published.error.as_str()), ("", ""));
    let failed = find(&spans, "publish orders");
    assert_eq!(failed.attributes["error.type"], refused.uri);
    assert!(failed.error.contains("orders"), "{failed:#?}");
    // The names of the service, and the header of the collector; payloads are in no span.
    let request = collector.first();
    assert!(request.head.contains("x-key: s3cret\r\n"), "{}", request.head);
    assert!(request.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.resource["service.name"], "shop");
    assert_eq!(request.resource["service.version"], "0.1.0");
    assert!(!request.has(b"pay"));
    assert!(!server.log().contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_the_http_api_decides_and_is_the_parent() {
    let (site, mut collector) = (site(), Collector::start(Behaviour::Accept).await);
    // One message in a million is sampled, if no caller decides.
    let server = serve(&site, &collector, "sample: 0.000001");
    publish_over_http(&server, "news/1", &format!("00-{TRACE}-{SPAN}-00")).await;
    publish_over_http(&server, "news/2", "nonsense").await;
    publish_over_http(&server, "news/3", &format!("00-{TRACE}-{SPAN}-01")).await;
    let spans = collector.spans(2).await;
    let published = find(&spans, "publish news");
    assert_eq!((published.trace.as_str(), published.parent.as_str()), (TRACE, SPAN));
    assert_eq!(published.attributes["messaging.destination.name"], "news/3");
    assert_eq!(published.attributes["enduser.id"], "shop");
    assert_eq!(find(&spans, "on-publish").trace, TRACE);
    assert_eq!(spans.len(), 2, "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_sends_the_spans_that_wait() {
    let (site, mut collector) = (site(), Collector::start(Behaviour::Accept).await);
    let mut server = serve(&site, &collector, "sample: 1");
    join(&server)
        .await
        .publish_acknowledged("open/a", json!({}), json!([]), Value::Null)
        .await
        .unwrap();
    server.signal("TERM");
    let spans = collector.spans(1).await;
    assert!(spans.iter().any(|span| span.name.starts_with("publish")), "{spans:#?}");
    assert_eq!(server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_costs_spans_and_no_messages() {
    for behaviour in [Behaviour::Refuse, Behaviour::Hang, Behaviour::Nonsense] {
        let (site, collector) = (site(), Collector::start(behaviour).await);
        let mut server = serve(&site, &collector, "sample: 1");
        let mut client = join(&server).await;
        client.subscribe("open/a", json!({})).await;
        let counted = async {
            loop {
                for number in 0..1_000 {
                    let options = json!({"exclude_me": false});
                    client.publish("open/a", options, json!([number]), Value::Null);
                }
                for number in 0..1_000 {
                    assert_eq!(client.event().await.args, json!([number]));
                }
                assert_eq!(spans(&server, "sent").await, 0);
                // Those that wait for an answer fill the queue.
                let lost = if behaviour == Behaviour::Hang { "dropped" } else { "failed" };
                if spans(&server, lost).await > 0 {
                    return;
                }
            }
        };
        within(format!("the counts of {behaviour:?}"), counted).await;
        if behaviour != Behaviour::Hang {
            server.logged("failed to send");
            assert_eq!(server.log().matches("failed to send").count(), 1, "{}", server.log());
        }
        server.signal("TERM");
        assert_eq!(server.exit_code(), Some(0), "{behaviour:?}");
    }
}
