//! Readiness: `/livez` and `/readyz` say whether clients are served, by a probe that goes the way of a
//! client.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::open_files::limit_open_files;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;
use tokio::net::TcpStream;

/// A probe that is quick enough for tests.
const QUICK: &str = "health: { probe: { interval: 100ms, timeout: 1s } }\n";
/// The connections beyond the limit that get an answer.
const RESERVE: usize = 64;
/// The longest wait for a change.
const PATIENCE: Duration = Duration::from_secs(30);

async fn ask(http: &mut Http, path: &str) -> Answer {
    http.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    http.answer().await
}

async fn get(server: &Server, path: &str) -> Answer {
    ask(&mut Http::connect(server.addr).await, path).await
}

/// Asks on one connection until the answer is of this kind.
async fn until(http: &mut Http, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask(http, "/readyz").await;
        if is_wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a probe has succeeded.
fn has_probed(answer: &Answer) -> bool {
    let probe = &answer.json()["probe"];
    answer.status == 200 && probe["took_ms"].is_number() && probe["failures"] == 0
}

#[tokio::test]
async fn is_ready_when_the_probe_has_gone_the_way_of_a_client() {
    let site = Site::open();
    let server = Server::configured(site.path(), &format!("{QUICK}metrics: {{ enabled: true }}\n"));
    let mut http = Http::connect(server.addr).await;
    let ready = until(&mut http, has_probed).await.json();
    assert_eq!((&ready["ready"], &ready["status"]), (&json!(true), &json!("serving")), "{ready}");
    assert_eq!((&ready["reason"], &ready["probe"]["error"]), (&Value::Null, &Value::Null));
    let live = get(&server, "/livez").await;
    assert_eq!((live.status, live.json()), (200, json!({ "live": true })));
    // Nothing of it is counted.
    assert_eq!(server.health()["sessions"], 0);
    let page = get(&server, "/metrics").await.body;
    for line in [
        "jackfield_ready 1",
        "jackfield_probe_failures 0",
        "jackfield_connections_total{outcome=\"accepted\"} 0",
        "jackfield_closes_total{reason=\"left\"} 0",
        "jackfield_messages_total{direction=\"received\",kind=\"call\",codec=\"json\"} 0",
        "jackfield_bytes_total{direction=\"sent\",codec=\"json\"} 0",
        "jackfield_sessions{realm=\"realm1\",protocol=\"wamp.2.json\"} 0",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("jackfield.probe"), "{page}");
}

#[tokio::test]
async fn access_rules_do_not_stop_the_probe() {
    let site = Site::open();
    let config = format!(
        "{QUICK}access: {{ path: /ws, origins: ['https://shop.example.com'], anonymous: false }}\n\
         auth: {{ jwt: {{ keys: {{ secret: 0123456789abcdef0123456789abcdef }} }} }}\n"
    );
    let server = Server::configured(site.path(), &config);
    until(&mut Http::connect(server.addr).await, has_probed).await;
}

#[tokio::test]
async fn is_not_ready_while_connections_cannot_be_opened() {
    let site = Site::open();
    let server = Server::configured(site.path(), QUICK);
    let mut http = Http::connect(server.addr).await;
    until(&mut http, has_probed).await;
    // Below the descriptors that it has: the probe gets no socket.
    limit_open_files(&server, 3);
    let answer = until(&mut http, |answer| answer.status == 503).await.json();
    assert_eq!((&answer["ready"], &answer["status"]), (&json!(false), &json!("serving")));
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.starts_with("the probe has failed 3 times"), "{answer}");
    assert_eq!(answer["probe"]["step"], "connect", "{answer}");
    assert!(answer["probe"]["error"].is_string(), "{answer}");
    server.logged("times in a row, the server is not ready: connect: ");
    assert_eq!(ask(&mut http, "/health").await.status, 200);
    assert_eq!(ask(&mut http, "/livez").await.status, 200);
    limit_open_files(&server, 1_024);
    until(&mut http, has_probed).await;
    server.logged("the probe succeeds again: the server is ready");
}

/// Without a place of its own, the probe of each 20 ms would be among the connections of most answers.
#[tokio::test]
async fn the_probe_takes_no_place_of_a_client() {
    let site = Site::open();
    let config = "health: { probe: { interval: 20ms, timeout: 1s } }\nlimits: { connections: 1 }\n";
    let server = Server::configured(site.path(), config);
    for _ in 0..200 {
        let status = crate::control::status(&server).await;
        assert_eq!(status["connections"]["open"], 0, "{status}");
    }
    let _client = Client::connect(server.addr, Codec::Json, "realm1").await;
    until(&mut Http::connect(server.addr).await, has_probed).await;
}

#[tokio::test]
async fn silent_connections_do_not_hide_the_health() {
    let site = Site::open();
    let config = format!("{QUICK}limits: {{ connections: 1 }}\nhandshake_timeout: 1m\n");
    let server = Server::configured(site.path(), &config);
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut silent = Vec::new();
    for round in 0..3 {
        for _ in 0..2 * RESERVE {
            silent.push(TcpStream::connect(server.addr).await.unwrap());
        }
        for path in ["/livez", "/readyz", "/health"] {
            assert_eq!(get(&server, path).await.status, 200, "{path} in round {round}");
        }
    }
    client.publish_acknowledged("open/a", json!({}), json!([1]), Value::Null).await.unwrap();
    assert!(has_probed(&get(&server, "/readyz").await));
    server.until_health("sessions", 1);
}

#[tokio::test]
async fn clients_cannot_reach_the_handler_of_the_probe() {
    let site = Site::open();
    let server = Server::configured(site.path(), QUICK);
    let options = Options::new(Codec::Json);
    let refused = Client::connect_with(server.addr, Codec::Json, "jackfield.probe", options).await;
    let refused = format!("{:?}", refused.map(drop).unwrap_err());
    assert!(refused.contains("wamp.error.no_such_realm"), "{refused}");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let call = client.call("jackfield.probe.echo", json!({}), json!([1]), Value::Null).await;
    assert_eq!(call.unwrap_err().uri, "wamp.error.no_such_procedure");
    assert!(!server.log().contains("/jackfield-probe/"), "the log has the secret");
}

#[tokio::test]
async fn a_plugin_that_fails_does_not_take_the_server_out_of_service() {
    let site = Site::open();
    let routes = "spin: { channel: 'spin', handler: { callback: 'spin' } }\n";
    site.bundle("hostile", routes, &[build::guest("hostile")]);
    let config = format!("{QUICK}plugins: {{ default: {{ deadline: 300ms }} }}\n");
    let server = Server::configured(site.path(), &config);
    let mut http = Http::connect(server.addr).await;
    until(&mut http, has_probed).await;
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    for _ in 0..3 {
        client.publish_acknowledged("spin", json!({}), json!([]), Value::Null).await.unwrap_err();
        assert_eq!(ask(&mut http, "/readyz").await.status, 200);
    }
}

#[tokio::test]
async fn without_a_probe_the_phase_alone_counts() {
    let site = Site::open();
    let server = Server::configured(site.path(), "health: { probe: { enabled: false } }");
    let answer = get(&server, "/readyz").await;
    assert_eq!((answer.status, &answer.json()["probe"]), (200, &Value::Null));
}

#[tokio::test]
async fn is_not_ready_while_it_drains() {
    let site = Site::open();
    let server = Server::configured(site.path(), &format!("{QUICK}shutdown: {{ wait: 1m }}\n"));
    let mut http = Http::connect(server.addr).await;
    until(&mut http, has_probed).await;
    server.signal("TERM");
    let answer = until(&mut http, |answer| answer.status == 503).await.json();
    assert_eq!((&answer["status"], &answer["ready"]), (&json!("stopping"), &json!(false)));
    assert_eq!(answer["reason"], "the server is stopping");
    // Clients are still served, and the process lives.
    Client::connect(server.addr, Codec::Json, "realm1").await;
    assert_eq!(get(&server, "/livez").await.status, 200);
}
