//! Quality bars, measured: `make bars`. Prints figures without a verdict, because times on a busy
//! machine are no test. The bars themselves are in `docs/performance.md`. `bars FILE` also writes
//! the medians to FILE as JSON, for the tables of that page.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on stops, and prints its figures"
)]

use std::time::{Duration, Instant};

use jackfield_tests::build;
use jackfield_tests::client::PATIENCE;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;
use serde_json::json;

const ROUTES: &str = "\
bars.versioned:
    channel: 'v/{name}'
    handler: { callback: 'versioned' }
";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let measured = runtime.block_on(async {
        json!({
            "round_trip_ms": round_trip().await,
            "reload_ms": reload().await,
            "start_ms": start(),
            "idle_connection_bytes": idle().await,
        })
    });
    if let Some(file) = std::env::args().nth(1) {
        std::fs::write(file, format!("{measured:#}\n")).expect("the file can be written");
    }
}

/// Measures from publish to event through a handler in Rust, with a thousand idle subscribers.
async fn round_trip() -> f64 {
    let (_site, server) = serve();
    let mut crowd = Vec::new();
    for number in 0..1_000 {
        let mut client = join(&server).await;
        client.subscribe(&format!("open/{number}"), json!({})).await;
        crowd.push(client);
    }
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("v/a", json!({})).await;
    let mut times = Vec::new();
    for _ in 0..3_000 {
        let began = Instant::now();
        publisher.publish("v/a", json!({}), json!(["x"]), json!({}));
        subscriber.event().await;
        times.push(began.elapsed());
    }
    show("publish to event through a handler, 1 000 subscribers idle", &mut times[1_000..])
}

/// Measures from the closing of a changed component's file to the first answer of the new version.
async fn reload() -> f64 {
    let (site, server) = serve();
    let (mut publisher, mut subscriber) = (join(&server).await, join(&server).await);
    subscriber.subscribe("v/a", json!({})).await;
    let old = std::fs::read(build::guest("versioned")).unwrap();
    let at = old.windows(10).position(|bytes| bytes == b"@@VERSION-").expect("a version");
    let mut times = Vec::new();
    for version in 2..12 {
        let text = format!("@@VERSION-{version:06}");
        let mut new = old.clone();
        new[at..at + text.len()].copy_from_slice(text.as_bytes());
        site.write("v/versioned.wasm", new);
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{}", server.log());
            publisher.publish("v/a", json!({}), json!([]), json!({}));
            if subscriber.event().await.args == json!([text]) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(began.elapsed());
    }
    show(&format!("a changed plugin of {} KB serves", old.len() / 1_000), &mut times)
}

/// Measures from the start of the process with the stock plugins to the first connection.
fn start() -> f64 {
    let site = Site::new();
    for plugin in ["broadcast", "chat", "secured", "sync"] {
        let routes = build::root().join(format!("plugins/{plugin}/websocket_routing.yml"));
        let routes = std::fs::read_to_string(routes).unwrap();
        site.bundle(plugin, &routes, &[build::plugin(plugin)]);
    }
    let cache = tempfile::tempdir().unwrap();
    let config = format!("plugins: {{ cache: {} }}\n", cache.path().display());
    let mut times = Vec::new();
    for _ in 0..6 {
        let began = Instant::now();
        drop(Server::configured(site.path(), &config));
        times.push(began.elapsed());
    }
    println!("start with the stock plugins, nothing compiled yet: {:?}", times[0]);
    show("start with the stock plugins, from the cache", &mut times[1..])
}

/// Measures the memory of an idle connection with one subscription, in bytes.
async fn idle() -> u64 {
    let (_site, server) = serve();
    let mut crowd = vec![join(&server).await];
    let before = server.memory();
    for number in 0..4_000 {
        let mut client = join(&server).await;
        client.subscribe(&format!("open/{number}"), json!({})).await;
        crowd.push(client);
    }
    let each = (server.memory() - before) / 4_000;
    println!("an idle connection with a subscription: {each} bytes");
    each
}

fn serve() -> (Site, Server) {
    let site = Site::open();
    site.write("v/versioned.wasm", std::fs::read(build::guest("versioned")).unwrap());
    site.write("v/websocket_routing.yml", ROUTES);
    let limits = format!("limits: {{ {NO_RATES} }}\n");
    let server = Server::configured(site.path(), &limits);
    (site, server)
}

async fn join(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

/// Prints the figures. Returns the median in milliseconds.
fn show(what: &str, times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: median {:?}, p99 {:?}", at(50), at(99));
    at(50).as_secs_f64() * 1e3
}
