//! Requests of HTTP that `on_subscribe` waits for, and the hooks that may not wait.

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use serde_json::{Value, json};

use super::backend::{Arrived, Backend};

/// A site whose plugin asks a server about each subscription to `fetch/{name}`.
fn site(url: &str) -> Site {
    let site = Site::open();
    let handler = format!("{{ callback: 'fetching', args: {{ url: '{url}' }} }}");
    let routes = format!("fetch:\n    channel: 'fetch/{{name}}'\n    handler: {handler}\n");
    site.bundle("fetch", &routes, &[build::guest("fetching")]);
    site
}

/// Settings of the plugin, which may wait for answers of this server.
fn settings(allowed: &str, http: &str, plugin: &str) -> String {
    let http = format!("http: {{ allow: ['{allowed}'], blocking: true{http} }}");
    format!("plugins: {{ named: {{ fetching: {{ {http}{plugin} }} }} }}\n")
}

/// A server with the plugin and its backend.
async fn serve(http: &str, plugin: &str) -> (Backend, Server, Site) {
    let backend = Backend::start().await;
    let (site, url) = (site(&backend.url("")), backend.url(""));
    let server = Server::configured(site.path(), &settings(&url, http, plugin));
    (backend, server, site)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Subscribes, while the backend does this with its request. Returns the URI and the message of the
/// refusal.
async fn subscribe<T>(
    client: &mut Client,
    backend: &Backend,
    answer: impl AsyncFnOnce(Arrived) -> T,
) -> (Result<(), (String, String)>, T) {
    let answered = async { answer(backend.request().await).await };
    let (subscribed, answered) = tokio::join!(client.try_subscribe("fetch/a", json!({})), answered);
    let subscribed = subscribed.map(drop).map_err(|error| (error.uri, error.args[0].to_string()));
    (subscribed, answered)
}

/// Publishes, and returns the URI and the message of the refusal.
async fn publish(client: &mut Client, text: &str) -> Result<(), (String, String)> {
    let published =
        client.publish_acknowledged("fetch/a", json!({}), json!([text]), Value::Null).await;
    published.map(drop).map_err(|error| (error.uri, error.args[0].to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_decides_about_a_subscription() {
    let (backend, server, _site) = serve("", ", deadline: 10s").await;
    let mut client = join(&server).await;
    let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nno m";
    let (refused, ()) = subscribe(&mut client, &backend, async |arrived: Arrived| {
        assert!(arrived.text.starts_with("GET /a HTTP/1.1\r\n"), "{}", arrived.text);
        arrived.write(denied).await;
    })
    .await;
    let expected = ("wamp.error.not_authorized".to_owned(), "\"403: no m\"".to_owned());
    assert_eq!(refused, Err(expected));
    let (subscribed, ()) = subscribe(&mut client, &backend, async |arrived: Arrived| {
        arrived.answer("fine").await;
    })
    .await;
    assert_eq!(subscribed, Ok(()));
    publish(&mut join(&server).await, "hello").await.unwrap();
    assert_eq!(client.event().await.args, json!(["hello"]));
    // A server that is not there, and an answer that is too large.
    let (broken, ()) = subscribe(&mut join(&server).await, &backend, async |arrived: Arrived| {
        arrived.write("220 mail.example ESMTP\r\n").await;
    })
    .await;
    let (uri, message) = broken.unwrap_err();
    assert!(uri == "acme.error.backend" && message.contains("not HTTP"), "{uri} {message}");
}

/// Nothing of the past is sent to a session whose rights end while the handler is asked about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_retained_event_is_not_sent_after_the_rights_have_ended() {
    let (backend, server, site) = serve("", ", deadline: 20s").await;
    let mut publisher = join(&server).await;
    let retain = json!({ "retain": true });
    let retained = publisher.publish_acknowledged("fetch/a", retain, json!(["secret"]), json!({}));
    retained.await.unwrap();
    let wish = json!({ "get_retained": true });
    let mut reader = join(&server).await;
    let answered = async { backend.request().await.answer("").await };
    let (subscribed, ()) = tokio::join!(reader.try_subscribe("fetch/a", wish.clone()), answered);
    subscribed.unwrap();
    assert_eq!(reader.event().await.args, json!(["secret"]));

    let mut client = join(&server).await;
    let reloaded = async {
        let arrived = backend.request().await;
        let file = "fetch/websocket_routing.yml";
        let routes = std::fs::read_to_string(site.path().join(file)).unwrap();
        site.write(file, format!("{routes}    allow: {{ subscribe: [admin] }}\n"));
        server.logged("generation ready generation=2");
        arrived.answer("").await;
    };
    let (_subscribed, ()) = tokio::join!(client.try_subscribe("fetch/a", wish), reloaded);
    client.expect_no_event().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hooks_may_not_wait() {
    let (backend, server, _site) = serve("", "").await;
    let (uri, message) = publish(&mut join(&server).await, "wait").await.unwrap_err();
    assert_eq!(uri, "acme.error.backend");
    let text = "denied: only `on_subscribe` may wait for an answer; send the request as an effect";
    assert!(message.contains(text), "{message}");
    server.logged("a request is not sent: denied: only `on_subscribe` may wait for an answer");
    assert!(backend.is_idle(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_the_grant_is_refused_with_the_line_to_add() {
    let site = site("http://127.0.0.1:9");
    let check = |config: &str| {
        site.write("jackfield.yml", config);
        let path = site.path().to_str().unwrap();
        let output = crate::control::run(crate::control::command(&["check", path]));
        (output.code, format!("{}{}", output.out, output.err))
    };
    let (code, report) =
        check("plugins: { named: { fetching: { http: { allow: ['http://127.0.0.1:9'] } } } }\n");
    let import = "imports `jackfield:plugin/fetch@0.2.0`, which is not granted";
    let line = "grant `fetch` to the plugin (`plugins: { named: { \"fetching\": { http: { blocking: \
                true } } } }` in the settings)";
    assert!(code == Some(1) && report.contains(import) && report.contains(line), "{report}");
    // The list of servers is still needed.
    let (code, report) = check("plugins: { named: { fetching: { http: { blocking: true } } } }\n");
    assert!(code == Some(1) && report.contains("allow: [\"https://HOST\"]"), "{report}");
    let (code, report) = check(&settings("http://127.0.0.1:9", "", ""));
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_the_deadline_and_no_other_topic() {
    let (backend, server, _site) = serve("", ", deadline: 1s").await;
    let (mut client, mut other) = (join(&server).await, join(&server).await);
    let (timed_out, ()) = subscribe(&mut client, &backend, async |hung: Arrived| {
        other.subscribe("open/b", json!({})).await;
        let mut publisher = join(&server).await;
        let open = publisher.publish_acknowledged("open/b", json!({}), json!([1]), Value::Null);
        open.await.unwrap();
        assert_eq!(other.event().await.args, json!([1]));
        hung.ended().await;
    })
    .await;
    // The plugin has time for its own verdict: no fault.
    let (uri, message) = timed_out.unwrap_err();
    assert!(uri == "acme.error.backend" && message.contains("in time"), "{uri} {message}");
    let (subscribed, ()) = subscribe(&mut client, &backend, async |arrived: Arrived| {
        arrived.answer("").await;
    })
    .await;
    assert_eq!(subscribed, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_allowed() {
    let backend = Backend::start().await;
    let url = format!("http://localhost:{}", backend.addr.port());
    let site = site(&url);
    let server = Server::configured(site.path(), &settings(&url, "", ", deadline: 10s"));
    let mut client = join(&server).await;
    let refused = client.try_subscribe("fetch/a", json!({})).await.unwrap_err();
    assert!(refused.args[0].to_string().contains("`http.private: true`"), "{refused:?}");
    assert!(backend.is_idle(), "nothing was sent");
    drop(server);
    let private = settings(&url, ", private: true", ", deadline: 10s");
    let server = Server::configured(site.path(), &private);
    let (subscribed, ()) =
        subscribe(&mut join(&server).await, &backend, async |arrived: Arrived| {
            arrived.answer("").await;
        })
        .await;
    assert_eq!(subscribed, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_count_with_the_others() {
    let (backend, server, _site) = serve(", in_flight: 1", ", deadline: 10s").await;
    let mut client = join(&server).await;
    publish(&mut client, "effect").await.unwrap();
    let effect = backend.request().await;
    let busy = client.try_subscribe("fetch/a", json!({})).await.unwrap_err();
    assert!(busy.args[0].to_string().contains("too many requests"), "{busy:?}");
    effect.answer("").await;
    loop {
        let status = crate::control::status(&server).await;
        let plugins = status["plugins"].as_array().unwrap();
        let plugin = plugins.iter().find(|plugin| plugin["name"] == "fetching").unwrap();
        if plugin["outgoing"]["http"]["in_flight"] == 0 {
            assert_eq!(plugin["outgoing"]["http"]["refused"], 1);
            break;
        }
        tokio::task::yield_now().await;
    }
    let (subscribed, ()) = subscribe(&mut client, &backend, async |arrived: Arrived| {
        arrived.answer("").await;
    })
    .await;
    assert_eq!(subscribed, Ok(()));
}
