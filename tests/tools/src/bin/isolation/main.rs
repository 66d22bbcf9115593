//! Isolation: `make isolation`. Measures the latency of a healthy topic while other plugins of the
//! same server misbehave, as a ratio to its latency alone, round by round in one run.
//!
//! `isolation SECONDS ROUNDS FILE [TEXT]` writes its figures to FILE as JSON. With TEXT, only the
//! troubles with this text in their names are measured. The load generator,
//! `jackfield bench fan-out --rate`, counts latency from the time at which each event was due. The
//! circuit breaker would end each trouble after some faults, so its bounds are out of reach here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on stops, and prints what it saw"
)]

mod trouble;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;
use trouble::Trouble;

/// Events of the healthy topic, a second.
const RATE: &str = "1000";
/// Bundles of a large site.
const BUNDLES: usize = 1_000;
/// Time for a trouble to begin before it is measured.
const LEAD: Duration = Duration::from_millis(500);

/// Calls that fail never open a circuit; each call of `spin` ends at the default deadline.
const CONFIGURATION: &str = "plugins:
    default: { circuit_breaker: { faults: 1000000 } }
    named: { hostile: { memory: 64 MiB, cpu_percent: 100 } }
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse::<u32>().ok());
    let rounds = arguments.next().and_then(|text| text.parse::<u32>().ok());
    let (Some(seconds), Some(rounds), Some(file)) = (seconds, rounds, arguments.next()) else {
        println!("isolation SECONDS ROUNDS FILE [TEXT]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = arguments.next().unwrap_or_default();
    let report = runtime.block_on(async {
        let beside = measure(seconds, rounds, &text).await;
        json!({ "beside": beside, "start": "bundles".contains(&text).then(start) })
    });
    std::fs::write(&file, format!("{report:#}\n")).expect("the file can be written");
    ExitCode::SUCCESS
}

async fn measure(seconds: u32, rounds: u32, text: &str) -> Value {
    let site = site();
    let config = format!("{CONFIGURATION}limits: {{ {NO_RATES} }}\n");
    let server = Server::configured(site.path(), &config);
    let troubles: Vec<_> = Trouble::ALL.iter().filter(|it| it.name.contains(text)).collect();
    let mut all = vec![Vec::new(); troubles.len()];
    println!("{:<28} {:>9} {:>9} {:>9} {:>9}", "µs", "p50", "p99", "p99.9", "ratio");
    for _ in 0..rounds {
        // Each trouble beside a run alone of the same minute: the machine is not the same later.
        for (trouble, results) in troubles.iter().zip(&mut all) {
            let alone = run(&server, &Trouble::NONE, seconds, &site).await;
            let beside = run(&server, trouble, seconds, &site).await;
            let ratio = beside.p99 / alone.p99;
            println!(
                "{:<28} {:>9.0} {:>9.0} {:>9.0} {ratio:>9.2}",
                trouble.name, beside.p50, beside.p99, beside.p999
            );
            results.push((ratio, alone, beside));
        }
    }
    troubles.iter().zip(all).map(|(trouble, results)| summary(trouble, results)).collect()
}

/// Starts with a thousand bundles: without a cache, and with one.
fn start() -> Value {
    let site = Site::of_bundles(BUNDLES);
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().display();
    let totals = "instance_memory: 8 GiB, stores: 64 GiB";
    let config = format!("plugins: {{ cache: {folder}, {totals} }}\ndata: off\n");
    let [cold, warm] = [(); 2].map(|()| {
        let began = Instant::now();
        drop(Server::configured(site.path(), &config));
        began.elapsed().as_secs_f64()
    });
    println!("{BUNDLES} bundles start in {cold:.1} s, and in {warm:.1} s from the cache");
    json!({ "bundles": BUNDLES, "cold_seconds": cold, "warm_seconds": warm })
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

async fn run(server: &Server, trouble: &Trouble, seconds: u32, site: &Site) -> Latency {
    let at_work = trouble.begin(server, site).await;
    tokio::time::sleep(LEAD).await;
    let mut command = Command::new(build::jackfield().with_file_name("jackfield-bench"));
    let url = format!("ws://{}/", server.addr);
    command.args(["fan-out", &url, "--topic", "healthy/", "--subscribers", "1", "--json"]);
    command.args(["--rate", RATE, "--seconds", &seconds.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let output = output.await.unwrap();
    at_work.end().await;
    let failure = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failure}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
    let latency = &report["latency_us"];
    let of = |key: &str| latency[key].as_f64().unwrap_or_else(|| panic!("{key} in {report:#}"));
    Latency { p50: of("p50"), p99: of("p99"), p999: of("p999") }
}

fn summary(trouble: &Trouble, mut results: Vec<(f64, Latency, Latency)>) -> Value {
    results.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let (ratio, alone, beside) = results[results.len() / 2];
    json!({
        "beside": trouble.name,
        "p99_ratio": (ratio * 100.0).round() / 100.0,
        "alone_p99_us": alone.p99.round(),
        "p99_us": beside.p99.round(),
        "rounds": results.len(),
    })
}

fn site() -> Site {
    let site = Site::new();
    let routes = ["spin", "allocate", "trap"].map(|handler| {
        format!(
            "{handler}:
    channel: '{handler}/{{n}}'
    handler: {{ callback: '{handler}' }}
    lanes: 4\n"
        )
    });
    site.bundle("hostile", &routes.concat(), &[build::guest("hostile")]);
    let healthy = "healthy:\n    channel: 'healthy/{n}'\n    handler: { callback: 'broadcast' }\n";
    site.bundle("healthy", healthy, &[build::plugin("broadcast")]);
    site
}
