//! Soak test: `make soak`. Runs the real server for minutes under all kinds of use and samples its
//! memory every second: clients of all protocols join and leave, readers do not read, a handler
//! panics, plugins and routes are replaced, and load clients check that nothing is lost.
//!
//! `soak MINUTES FILE` writes its samples to FILE as JSON. It fails if memory keeps growing, if an
//! event is lost, or if the log has unexpected warnings. The clients are in `clients`, the leak
//! detection is in `trend`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a soak that cannot go on stops, and prints what it saw"
)]

mod clients;
mod trend;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use clients::{Done, World};
use jackfield_tests::build;
use jackfield_tests::client::counting::{Peer, Workload, run_client};
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;
use trend::Trend;

/// Number of load clients and their topics; half of the topics have a hook.
const COUNTING: usize = 24;
const TOPICS: [&str; 4] = ["v/0", "open/0", "v/1", "open/1"];
/// The pause between two events of each load client.
const PACE: Duration = Duration::from_millis(40);
const COMING_AND_GOING: usize = 4;
const SLOW: usize = 3;

/// An error that occurs once often occurs a thousand times.
const MAX_SHOWN: usize = 20;

/// Returns a configuration in which slow readers are noticed soon, and new versions are always
/// compiled.
fn configuration(cache: &std::path::Path) -> String {
    format!(
        "limits: {{ outbox: {{ bytes: 256 KiB }}, {NO_RATES} }}\nplugins: {{ cache: {} }}\n",
        cache.display()
    )
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let minutes = arguments.next().map_or(Ok(10.0), |text| text.parse::<f64>());
    let (Ok(minutes), Some(file)) = (minutes, arguments.next()) else {
        println!("soak MINUTES FILE");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (report, complaints) = runtime.block_on(soak(Duration::from_secs_f64(minutes * 60.0)));
    std::fs::write(&file, format!("{report:#}\n")).expect("the file can be written");
    for complaint in complaints.iter().take(MAX_SHOWN) {
        println!("failed: {complaint}");
    }
    if complaints.len() > MAX_SHOWN {
        println!("failed: and {} more, see {file}", complaints.len() - MAX_SHOWN);
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the test. Returns the report and its errors.
async fn soak(length: Duration) -> (Value, Vec<String>) {
    let site = Arc::new(soaked_site());
    let cache = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::configured(site.path(), &configuration(cache.path())));
    let (stop, stopping) = watch::channel(false);
    let done = Arc::new(Done::default());
    let world = World { server: Arc::clone(&server), done: Arc::clone(&done), stopping };
    let workload = Workload::new(COUNTING, TOPICS.map(str::to_owned).to_vec(), Some(PACE));
    let mut crowd = JoinSet::new();
    for me in 0..COUNTING {
        // Two topics of each protocol and codec would not meet otherwise.
        let peer = Peer::connect(server.addr, me / TOPICS.len()).await;
        crowd.spawn(run_client(peer, me, Arc::clone(&workload), world.stopping.clone(), drop));
    }
    for me in 0..COMING_AND_GOING {
        crowd.spawn(clients::come_and_go(world.clone(), me));
    }
    for me in 0..SLOW {
        crowd.spawn(clients::read_nothing(world.clone(), me));
    }
    crowd.spawn(clients::provoke(world.clone()));
    crowd.spawn(clients::replace(world.clone(), Arc::clone(&site)));
    crowd.spawn(clients::publish_much(world));

    let mut complaints = Vec::new();
    let samples = watch_memory(&server, length, &mut crowd, &mut complaints).await;
    stop.send(true).unwrap();
    while let Some(ended) = crowd.join_next().await {
        complaints.extend(ended.err().map(|error| format!("a client failed: {error}")));
    }
    complaints.extend(unprovoked(&server.log()));
    let trend = Trend::of(&samples);
    if let Some(trend) = trend.filter(|trend| trend.is_a_leak()) {
        let grown = trend.growth() / 1024.0;
        complaints.push(format!("memory grew by {grown:.0} KiB after the first third"));
    }
    let counted: u64 = workload.published().sum();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let report = json!({
        "seconds": samples.len(),
        "rss_anon_bytes": samples,
        "trend": trend.map(|trend| json!({"from_bytes": trend.from.round(), "to_bytes": trend.to.round()})),
        "publications": counted + count(&done.publications),
        "counted_deliveries": counted * (COUNTING / TOPICS.len()) as u64,
        "visits": count(&done.visits),
        "cut_off": count(&done.cut_off),
        "handler_faults": count(&done.faults),
        "reloads": count(&done.reloads),
        "refused_reloads": count(&done.refused_reloads),
        "complaints": complaints,
    });
    complaints.extend(end(server));
    (report, complaints)
}

/// Returns a site with a topic without hooks, a plugin that is replaced, one that keeps state, and
/// one that panics.
fn soaked_site() -> Site {
    let site = Site::open();
    site.bundle("v", clients::ROUTING[0], &[build::guest("versioned")]);
    let chat = build::root().join("plugins/chat/websocket_routing.yml");
    site.bundle("chat", &std::fs::read_to_string(chat).unwrap(), &[build::plugin("chat")]);
    let hostile = "soak.trap: { channel: 'h/trap', handler: { callback: 'trap' } }\n";
    site.bundle("hostile", hostile, &[build::guest("hostile")]);
    site
}

/// Samples the server's memory each second, until the time is over or a client has failed.
async fn watch_memory(
    server: &Server,
    length: Duration,
    crowd: &mut JoinSet<()>,
    complaints: &mut Vec<String>,
) -> Vec<u64> {
    let mut samples = Vec::new();
    let until = Instant::now() + length;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    while Instant::now() < until {
        tokio::select! {
            _ = seconds.tick() => {
                samples.push(anonymous_memory(server.pid()));
                if samples.len() % 30 == 1 {
                    let mib = *samples.last().unwrap() as f64 / 1024.0 / 1024.0;
                    println!("{:4} s: {mib:.1} MiB", samples.len() - 1);
                }
            }
            Some(early) = crowd.join_next() => {
                let why = early.err().map_or("it ended early".to_owned(), |error| error.to_string());
                complaints.push(format!("a client failed: {why}"));
                break;
            }
        }
    }
    samples
}

/// Returns the anonymous memory in bytes: heap, stacks and compiled code.
fn anonymous_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Returns warnings and errors of the log that the test did not provoke.
fn unprovoked(log: &str) -> Vec<String> {
    let trouble = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    let trouble = trouble.filter(|line| !clients::is_provoked(line));
    trouble.map(|line| format!("the log says: {line}")).collect()
}

/// Ends the server as an operator does.
fn end(server: Arc<Server>) -> Option<String> {
    let mut server = Arc::into_inner(server).expect("the crowd is gone");
    server.signal("TERM");
    let code = server.exit_code();
    (code != Some(0)).then(|| format!("the server ended with {code:?}"))
}
