//! Metrics: `GET /metrics` of a server under load, who may read it, and `docs/metrics.md`.

#![allow(clippy::float_cmp, reason = "the counts are whole numbers")]

mod prometheus;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::remote::tls::certificate_for;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const ROUTES: &str = "\
counts: { channel: 'counts/{room}', handler: { callback: 'counts' } }
echo: { channel: 'echo/{room}', handler: { callback: 'echo' } }
refuse: { channel: 'refuse', handler: { callback: 'refuse' } }
trap: { channel: 'trap', handler: { callback: 'trap' } }
";

/// A server whose handlers have a saved store, with clients of every codec.
struct Loaded {
    server: Server,
    clients: Vec<Client>,
    old: v1::Client,
    site: Site,
    _data: tempfile::TempDir,
}

impl Loaded {
    async fn start() -> Self {
        let (site, data) = (Site::open(), tempfile::tempdir().unwrap());
        site.bundle("hostile", ROUTES, &[build::guest("hostile")]);
        let [certificate, key] = certificate_for(data.path(), "server", false, 60).await;
        let config = format!(
            "data: '{}'\nmetrics: {{ enabled: true }}\nkeepalive: {{ interval: 100ms }}\n\
             api: {{ tokens: [{{ name: deploy, token: {TOKEN} }}] }}\n\
             listeners: [{{ socket: '{}', tls: {{ certificate: {certificate}, key: {key} }} }}]\n",
            data.path().join("data").display(),
            data.path().join("tls.sock").display()
        );
        let server = Server::configured(site.path(), &config);
        let mut clients = Vec::new();
        for codec in [Codec::Json, Codec::MsgPack, Codec::Cbor] {
            let mut client = Client::connect(server.addr, codec, "realm1").await;
            client.subscribe("open/a", json!({})).await;
            clients.push(client);
        }
        let mut old = v1::Client::connect(server.addr).await;
        old.subscribe("open/a");
        old.round_trip().await;
        Self { server, clients, old, site, _data: data }
    }

    /// Adds a route.
    fn change_site(&self) {
        let more = "more: { channel: 'more', handler: { callback: 'echo' } }\n";
        self.site.write("hostile/websocket_routing.yml", format!("{ROUTES}{more}"));
    }

    /// One round of requests of every kind.
    async fn work(&mut self) {
        for (number, client) in self.clients.iter_mut().enumerate() {
            let mut publish = async |topic: &str| {
                client.publish_acknowledged(topic, json!({}), json!([number]), Value::Null).await
            };
            publish("open/a").await.unwrap();
            publish("counts/a").await.unwrap();
            publish("nowhere/a").await.unwrap_err();
            publish("refuse").await.unwrap_err();
            publish("trap").await.unwrap_err();
            client.call("counts/a", json!({}), json!([]), Value::Null).await.unwrap();
        }
        self.old.publish("open/a", &json!("old"), &Reach::Plain);
        self.old.round_trip().await;
        let body = json!({ "topic": "open/a", "args": ["api"] }).to_string();
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("Authorization", authorization.as_str())];
        let mut http = Http::connect(self.server.addr).await;
        assert_eq!(http.post("/api/publish", &headers, &body).await.status, 200);
    }
}

async fn get(server: &Server, path: &str, headers: &str) -> Answer {
    let mut http = Http::connect(server.addr).await;
    http.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await;
    http.answer().await
}

/// The samples of a scrape by name and labels, as they are written.
pub(crate) async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let answer = get(server, "/metrics", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    lines.map(sample).collect()
}

#[tokio::test]
async fn counts_what_clients_do() {
    let mut loaded = Loaded::start().await;
    let before = scrape(&loaded.server).await;
    for _ in 0..2 {
        loaded.work().await;
    }
    let after = scrape(&loaded.server).await;
    let grown = |name: &str| after[name] - before.get(name).copied().unwrap_or_default();
    let expect = [
        // Three clients, one of WAMP v1, and the API.
        ("jackfield_publications_total{route=\"test.open\"}", 10.0),
        // Publishers of WAMP v2 do not receive their own events.
        ("jackfield_deliveries_total{route=\"test.open\"}", 2.0 * (3.0 * 3.0 + 4.0 + 4.0)),
        ("jackfield_publications_total{route=\"counts\"}", 6.0),
        ("jackfield_refusals_total{kind=\"publish\",reason=\"no_route\"}", 6.0),
        ("jackfield_refusals_total{kind=\"publish\",reason=\"handler\"}", 6.0),
        ("jackfield_messages_total{direction=\"received\",kind=\"call\",codec=\"cbor\"}", 2.0),
        ("jackfield_messages_total{direction=\"received\",kind=\"publish\",codec=\"v1\"}", 2.0),
        ("jackfield_messages_total{direction=\"sent\",kind=\"event\",codec=\"msgpack\"}", 8.0),
        ("jackfield_http_requests_total{endpoint=\"publish\",code=\"2xx\"}", 2.0),
    ];
    for (name, count) in expect {
        assert_eq!(grown(name), count, "{name}");
    }
    let hook = "{plugin=\"hostile\",handler=\"counts\",hook=\"on-publish\"}";
    assert_eq!(grown(&format!("jackfield_hook_seconds_count{hook}")), 6.0);
    assert!(grown(&format!("jackfield_hook_seconds_sum{hook}")) > 0.0);
    let trapped = "jackfield_faults_total{plugin=\"hostile\",handler=\"trap\",kind=\"trap\"}";
    assert!(grown(trapped) >= 1.0, "{after:?}");
    for name in [
        "jackfield_store_commit_seconds_count",
        "jackfield_publish_seconds_count",
        "jackfield_bytes_total{direction=\"sent\",codec=\"json\"}",
        "jackfield_bytes_total{direction=\"received\",codec=\"v1\"}",
        "jackfield_store_bytes{plugin=\"hostile\"}",
    ] {
        assert!(grown(name) > 0.0, "{name}");
    }
    assert_eq!(after["jackfield_sessions{realm=\"realm1\",protocol=\"wamp.2.cbor\"}"], 1.0);
    assert_eq!(after["jackfield_subscriptions{realm=\"realm1\"}"], 4.0);
    assert_eq!(after["jackfield_topics{realm=\"realm1\"}"], 1.0);
    assert_eq!(after["jackfield_outbox_bytes_count"], 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_ended_connections_and_replaced_routes_stay() {
    let mut loaded = Loaded::start().await;
    loaded.work().await;
    let before = scrape(&loaded.server).await;
    // The file has the same routes and one more; the connections end.
    loaded.change_site();
    loaded.server.until_health("generation", 2);
    loaded.clients.clear();
    loaded.server.until_health("sessions", 1);
    let after = scrape(&loaded.server).await;
    for name in [
        "jackfield_publications_total{route=\"counts\"}",
        "jackfield_messages_total{direction=\"sent\",kind=\"event\",codec=\"cbor\"}",
        "jackfield_bytes_total{direction=\"received\",codec=\"json\"}",
        "jackfield_hook_seconds_count{plugin=\"hostile\",handler=\"counts\",hook=\"on-publish\"}",
    ] {
        assert!(before[name] > 0.0 && after[name] >= before[name], "{name}: {after:?}");
    }
    assert_eq!(after["jackfield_publications_total{route=\"more\"}"], 0.0);
    assert_eq!(after["jackfield_closes_total{reason=\"shutdown\"}"], 0.0);
}

#[tokio::test]
async fn a_scrape_of_many_routes_stays_small() {
    let site = Site::open();
    let route = |number| {
        format!("r{number}: {{ channel: 'r{number}/{{x}}', handler: {{ callback: 'echo' }} }}\n")
    };
    let routes = (0..9_900).map(route).collect::<Vec<_>>().concat();
    site.bundle("many", &routes, &[build::guest("hostile")]);
    let server = Server::configured(site.path(), "metrics: { enabled: true }");
    let page = get(&server, "/metrics", "").await.body;
    assert!(page.len() < 256 << 10, "{} bytes", page.len());
    let routes = page.lines().filter(|it| it.starts_with("jackfield_publications_total{"));
    assert_eq!(routes.count(), 502);
    assert!(page.contains("jackfield_series_left_out{of=\"routes\"} 94"), "{page}");
}

#[tokio::test]
async fn metrics_are_off_by_default() {
    let site = Site::open();
    let server = Server::start(site.path());
    assert_eq!(get(&server, "/metrics", "").await.status, 426);
}

#[tokio::test]
async fn without_a_token_only_programs_of_the_machine_read_metrics() {
    let site = Site::open();
    let server = Server::configured(site.path(), "metrics: { enabled: true }");
    assert_eq!(get(&server, "/metrics", "").await.status, 200);
    let proxied = get(&server, "/metrics", "X-Forwarded-For: 192.0.2.7\r\n").await;
    assert_eq!(proxied.status, 403);
    assert!(proxied.body.contains("metrics.token"), "{proxied:?}");
    server.logged("a request for metrics is refused: a proxy has passed it on (x-forwarded-for)");
}

#[tokio::test]
async fn with_a_token_programs_that_have_it_read_metrics() {
    let site = Site::open();
    let config = format!("metrics: {{ enabled: true, token: {TOKEN} }}");
    let server = Server::configured(site.path(), &config);
    let with = async |headers: &str| get(&server, "/metrics", headers).await;
    let refused = with("").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(with("Authorization: Bearer 0123456789abcdef\r\n").await.status, 401);
    let good = format!("Authorization: Bearer {TOKEN}\r\nX-Forwarded-For: 192.0.2.7\r\n");
    assert_eq!(with(&good).await.status, 200);
    assert!(!server.log().contains(TOKEN), "{}", server.log());
}

/// The rows of the table: name, kind, labels, meaning.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>, String)> {
    let page = std::fs::read_to_string(build::root().join("docs/metrics.md")).unwrap();
    let table = page.split("| name | kind | labels | meaning |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("{row}") };
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let name = name.trim_matches('`').to_owned();
        (name, (kind.to_owned(), labels, meaning.to_owned()))
    })
    .collect()
}

#[tokio::test]
async fn the_page_documents_every_metric() {
    let mut loaded = Loaded::start().await;
    loaded.work().await;
    let page = get(&loaded.server, "/metrics", "").await.body;
    let mut found: BTreeMap<String, (String, BTreeSet<String>, String)> = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, meaning) = help.split_once(' ').unwrap();
            let new = (String::new(), BTreeSet::new(), meaning.to_owned());
            assert!(found.insert(name.to_owned(), new).is_none(), "{name} is there twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            found.get_mut(name).unwrap().0 = kind.to_owned();
        } else {
            let (name, labels) = line.split_once(['{', ' ']).unwrap();
            let base =
                ["_bucket", "_sum", "_count"].into_iter().find_map(|it| name.strip_suffix(it));
            let base = base.filter(|base| found.contains_key(*base)).unwrap_or(name);
            let labels = labels.rsplit_once('}').map_or("", |(labels, _)| labels);
            let names = labels.split("\",").filter_map(|it| it.split_once('=')).map(|it| it.0);
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            let metric = found.get_mut(base).unwrap_or_else(|| panic!("no HELP before {line}"));
            metric.1.extend(names);
        }
    }
    assert_eq!(found, documented());
}

#[tokio::test]
async fn the_admin_listener_serves_metrics_to_its_tokens() {
    let site = Site::open();
    let tokens = format!("[{{ name: prometheus, token: {TOKEN}, read_only: true }}]");
    let config = format!("admin: {{ listen: '127.0.0.1:0', tokens: {tokens} }}");
    let server = Server::configured(site.path(), &config);
    let log = server.logged("the admin listener is open");
    let address = log.rsplit_once("the admin listener is open address=").unwrap().1;
    let address: std::net::SocketAddr = address.split_whitespace().next().unwrap().parse().unwrap();
    let get = async |headers: &str| {
        let mut http = Http::connect(address).await;
        http.send(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n")).await;
        http.answer().await
    };
    assert_eq!(get("").await.status, 401);
    let page = get(&format!("Authorization: Bearer {TOKEN}\r\n")).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("\njackfield_generation 1\n"), "{page:?}");
}
