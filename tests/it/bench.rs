//! `jackfield bench` against a real server: counts, output, exit codes. No speed is asserted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use jackfield_tests::build;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

mod call;
mod fake_server;
mod tls;

/// The route that `docs/bench.md` tells operators to add.
const ROUTE: &str = "\
bench:
    channel: 'bench.t{n}'
    handler: { callback: 'broadcast' }
    requirements: { n: '\\d+' }
";

const DIALECTS: [&[&str]; 4] = [
    &["--protocol", "wamp2", "--serializer", "json"],
    &["--protocol", "wamp2", "--serializer", "msgpack"],
    &["--protocol", "wamp2", "--serializer", "cbor"],
    &["--protocol", "wamp1"],
];

fn serve(config: &str) -> (Site, Server) {
    let site = Site::new();
    site.bundle("bench", ROUTE, &[build::plugin("broadcast")]);
    // A measurement sends as fast as it can.
    let no_rates = format!("limits: {{ {NO_RATES} }}\n");
    let config = if config.is_empty() { no_rates.as_str() } else { config };
    let server = Server::configured(site.path(), config);
    (site, server)
}

fn command(work: &str, url: &str, options: &[&str]) -> Command {
    let mut command = Command::new(build::jackfield());
    command.args(["bench", work, url, "--json"]).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a workload. Returns exit code, stdout and stderr.
fn bench(work: &str, url: &str, options: &[&str]) -> (Option<i32>, String, String) {
    let output = command(work, url, options).output().expect("jackfield runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Measures for a second, and returns the JSON.
#[track_caller]
fn measured(work: &str, url: &str, options: &[&str]) -> Value {
    measured_for("1", work, url, options)
}

#[track_caller]
fn measured_for(seconds: &str, work: &str, url: &str, options: &[&str]) -> Value {
    let short = ["--seconds", seconds, "--warm-up", "0.1"];
    let (code, out, err) = bench(work, url, &[&short, options].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{work} {options:?}");
    let json: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!(json["command"], work);
    assert_eq!(json["lost"], 0, "{json}");
    json
}

/// Measures in each dialect, with the cost of the server.
fn each_dialect(work: &str, options: &[&str], check: impl Fn(&Value)) {
    let (_site, server) = serve("");
    each_dialect_of(&server, work, options, check);
}

fn each_dialect_of(server: &Server, work: &str, options: &[&str], check: impl Fn(&Value)) {
    let url = format!("ws://{}/", server.addr);
    let pid = server.pid().to_string();
    for dialect in DIALECTS {
        let json = measured(work, &url, &[dialect, &["--pid", &pid], options].concat());
        assert_eq!(json["protocol"], dialect[1], "{json}");
        assert_eq!(json.get("serializer").and_then(Value::as_str), dialect.get(3).copied());
        let latency = json["latency_us"].as_object().expect("latencies");
        let names: Vec<&str> = latency.keys().map(String::as_str).collect();
        assert_eq!(names, ["min", "p50", "p90", "p99", "p999", "max"]);
        assert!(above_zero(&json, "server_rss_bytes"), "{json}");
        check(&json);
    }
}

fn above_zero(json: &Value, name: &str) -> bool {
    json[name].as_f64().unwrap_or_else(|| panic!("{name} is missing in {json}")) > 0.0
}

fn count(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {json}"))
}

#[test]
fn measures_fan_out() {
    let many = ["--topics", "5", "--subscribers", "3", "--subscriptions-per-connection", "2"];
    each_dialect("fan-out", &[&many[..], &["--threads", "2"]].concat(), |json| {
        assert_eq!(count(json, "deliveries"), count(json, "publishes") * 3, "{json}");
        // Three groups of topics with three subscribers each, and a publisher for each topic.
        assert_eq!(count(json, "connections"), 14);
        for name in ["publishes_per_second", "deliveries_per_second", "seconds"] {
            assert!(above_zero(json, name), "{json}");
        }
        for name in ["server_cpu_us_per_delivery", "server_cpu_us_per_publish"] {
            assert!(json[name].is_number(), "{json}");
        }
        assert!(json["generator_bound"].is_boolean());
    });
}

#[test]
fn measures_fan_out_at_a_fixed_rate() {
    let options = ["--rate", "200", "--topics", "4", "--publishers", "2", "--subscribers", "2"];
    each_dialect("fan-out", &options, |json| {
        assert_eq!(count(json, "deliveries"), count(json, "publishes") * 2, "{json}");
        // Everything due within the second was published, independent of its duration.
        assert!((199..=201).contains(&count(json, "publishes")), "{json}");
        assert!(above_zero(json, "generator_lag_us_p99"), "{json}");
    });
}

#[test]
fn measures_connects() {
    each_dialect("connect", &["--connections", "50"], |json| {
        assert_eq!((count(json, "connects"), count(json, "refused")), (50, 0), "{json}");
        assert!(above_zero(json, "connects_per_second"), "{json}");
        assert!(json["server_cpu_us_per_connect"].is_number(), "{json}");
        assert!(json["server_bytes_per_connection"].is_number(), "{json}");
    });
    let (_site, server) = serve("");
    let url = format!("ws://{}", server.addr);
    let options = ["--bare", "--rate", "100", "--connections", "20", "--source", "127.0.0.2"];
    assert_eq!(count(&measured("connect", &url, &options), "connects"), 20);
}

#[test]
fn measures_publishes() {
    each_dialect("publish", &["--publishers", "2", "--topics", "3"], |json| {
        assert!(above_zero(json, "publishes"), "{json}");
        assert!(above_zero(json, "publishes_per_second"), "{json}");
        assert!(json["server_cpu_us_per_publish"].is_number(), "{json}");
        assert!(json.get("deliveries").is_none(), "{json}");
    });
    let (_site, server) = serve("");
    let json = measured("publish", &format!("ws://{}", server.addr), &["--rate", "100"]);
    assert!((99..=101).contains(&count(&json, "publishes")), "{json}");
}

#[test]
fn measures_subscribes() {
    each_dialect("subscribe", &["--connections", "5", "--topics", "2"], |json| {
        for name in ["subscribes_per_second", "unsubscribes_per_second"] {
            assert!(above_zero(json, name), "{json}");
        }
        assert!(json["unsubscribe_latency_us"]["p50"].is_number(), "{json}");
    });
}

#[test]
fn two_runs_on_the_same_topic_count_their_own() {
    let (_site, server) = serve("");
    let url = format!("ws://{}/", server.addr);
    std::thread::scope(|scope| {
        for subscribers in ["2", "3"] {
            let options = ["--rate", "50", "--subscribers", subscribers];
            let url = &url;
            scope.spawn(move || {
                let json = measured("fan-out", url, &options);
                let each: u64 = subscribers.parse().unwrap();
                assert_eq!(count(&json, "deliveries"), count(&json, "publishes") * each, "{json}");
            });
        }
    });
}

#[test]
fn reports_a_rate_that_was_not_reached() {
    let (_site, server) = serve("");
    let url = format!("ws://{}/", server.addr);
    let options = ["--rate", "1e9", "--seconds", "0.5", "--warm-up", "0.1"];
    // The number of measurements depends on the machine.
    let (code, out, err) = bench("publish", &url, &options);
    assert!(
        out.contains("the rate was not kept") || err.contains("give a lower --rate"),
        "{code:?} {out} {err}"
    );
}

#[test]
fn speaks_the_protocols_of_other_servers() {
    // The fake server is a task of this busy process.
    const SECONDS: &str = "3";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for protocol in ["raw", "nats"] {
        let addr = runtime.block_on(fake_server::serve(protocol == "nats"));
        let url = format!("ws://{addr}/");
        let options = ["--protocol", protocol];
        let json = measured_for(
            SECONDS,
            "fan-out",
            &url,
            &[&options[..], &["--subscribers", "3"]].concat(),
        );
        assert_eq!(count(&json, "deliveries"), count(&json, "publishes") * 3, "{json}");
        let json = measured_for(
            SECONDS,
            "connect",
            &url,
            &[&options[..], &["--connections", "9"]].concat(),
        );
        assert_eq!(count(&json, "connects"), 9, "{json}");
    }
    let addr = runtime.block_on(fake_server::serve(true));
    for work in ["publish", "subscribe"] {
        measured_for(SECONDS, work, &format!("ws://{addr}/"), &["--protocol", "nats"]);
    }
}

#[test]
fn reports_a_topic_without_a_route_with_help() {
    let (_site, server) = serve("");
    let url = format!("ws://{}/", server.addr);
    for dialect in DIALECTS {
        for work in ["connect", "publish", "subscribe", "fan-out"] {
            let (code, out, err) = bench(work, &url, &[dialect, &["--topic", "no.t"]].concat());
            assert_eq!((code, out.as_str()), (Some(1), ""), "{work} {dialect:?}: {err}");
            for part in ["`no.t", "no_route", "docs/bench.md", "--topic"] {
                assert!(err.contains(part), "{work} {dialect:?}: {part} is missing in {err}");
            }
        }
    }
    let page = std::fs::read_to_string(build::root().join("docs/bench.md")).unwrap();
    assert!(page.contains(ROUTE), "the page shows the route that is tested here");
}

#[test]
fn reports_errors_that_prevent_measuring() {
    let (_site, server) = serve("");
    let url = format!("ws://{}/", server.addr);
    for (code, work, url, options, said) in [
        (1, "connect", "ws://127.0.0.1:1/", &[][..], "is the server running?"),
        (1, "connect", &url, &["--realm", "none"], "wamp.error.no_such_realm"),
        (1, "fan-out", &url, &["--protocol", "nats"], "no subprotocol was offered"),
        (1, "connect", &url, &["--pid", "4294967295"], "--pid"),
        (2, "fan-out", "http://x/", &[], "ws://127.0.0.1:8080/"),
        (2, "fan-out", &url, &["--payload", "3"], "--payload"),
        (2, "subscribe", &url, &["--rate", "3"], "--rate"),
        (2, "publish", &url, &["--protocol", "raw"], "raw"),
    ] {
        let (ended, out, err) = bench(work, url, options);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{work} {options:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(said), "{work} {options:?}: {err}");
    }
}

#[test]
fn counts_refused_connections() {
    let (_site, server) = serve("limits: { connections: 10 }\n");
    let url = format!("ws://{}/", server.addr);
    let json = measured("connect", &url, &["--connections", "15"]);
    assert_eq!((count(&json, "connects"), count(&json, "refused")), (10, 5), "{json}");
    assert!(json["notes"].to_string().contains("5 connections were refused"), "{json}");
    assert!(json["notes"].to_string().contains("too many connections"), "{json}");
}

#[test]
fn an_interrupt_ends_the_run_with_its_results() {
    let (_site, server) = serve("");
    let options = ["--seconds", "3600", "--warm-up", "0.1", "--progress", "--subscribers", "2"];
    let url = format!("ws://{}/", server.addr);
    let mut process = command("fan-out", &url, &options).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let measuring = |line: &str| line.ends_with(" deliveries a second") && !line.contains(':');
    assert!(lines.any(|line| measuring(&line.unwrap())), "no progress was printed");
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(count(&json, "deliveries"), count(&json, "publishes") * 2, "{json}");
    assert!(json["seconds"].as_f64().unwrap() < 3600.0, "{json}");
    assert!(json["notes"].to_string().contains("ended early"), "{json}");
}

#[test]
fn reports_a_server_that_goes_away() {
    let (_site, server) = serve("");
    let url = format!("ws://{}/", server.addr);
    let options = ["--seconds", "3600", "--warm-up", "0", "--progress", "--subscribers", "2"];
    let mut process = command("fan-out", &url, &options).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with(" deliveries a second")));
    drop(server);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(count(&json, "disconnected") > 0, "{json}");
    assert!(json["notes"].to_string().contains("the server closed a connection"), "{json}");
}

#[test]
fn prints_a_table_and_a_histogram() {
    let (_site, server) = serve("");
    let mut command = Command::new(build::jackfield());
    command.args(["bench", "fan-out", &format!("ws://{}/", server.addr)]);
    let output = command.args(["--seconds", "0.2", "--warm-up", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        ["fan-out of ws://", "deliveries", " a second\n", "publish to delivery:", "p99.9", "█"]
    {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}
