//! Prometheus reads the metrics: `promtool` checks the page and the alert rules, and each expression
//! of the dashboard has data in a Prometheus that scrapes a server under load.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Loaded, get};
use jackfield_tests::build;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;

/// The package of Debian with both programs.
const PACKAGE: &str = "prometheus";
const PROMTOOL: &str = "/usr/bin/promtool";
const PROMETHEUS: &str = "/usr/bin/prometheus";

/// The instance of another program, which has only the metrics that every process has.
const OTHER: &str = "other";

/// The longest time until each expression has data.
const PATIENCE: Duration = Duration::from_mins(1);

#[track_caller]
fn promtool(arguments: &[&str], input: &str) {
    installed(PROMTOOL, PACKAGE);
    let mut process = Command::new(PROMTOOL)
        .args(arguments)
        .current_dir(build::root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {stdout}{stderr}");
}

#[test]
fn alert_rules_fire_for_their_reasons() {
    promtool(&["check", "rules", "--lint-fatal", "docs/monitoring/alerts.yml"], "");
    promtool(&["test", "rules", "tests/it/metrics/alerts_test.yml"], "");
}

#[tokio::test]
async fn promtool_accepts_the_page() {
    let mut loaded = Loaded::start().await;
    loaded.work().await;
    let page = get(&loaded.server, "/metrics", "").await.body;
    promtool(&["check", "metrics"], &page);
}

/// A Prometheus that scrapes one server, ended by its process id.
struct Prometheus {
    process: Child,
    addr: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    async fn scraping(server: SocketAddr) -> Self {
        installed(PROMETHEUS, PACKAGE);
        let folder = tempfile::tempdir().unwrap();
        let rules = build::root().join("docs/monitoring/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 250ms, evaluation_interval: 250ms }}\n\
             rule_files: ['{}']\nscrape_configs:\n\
             - {{ job_name: jackfield, static_configs: [{{ targets: ['{server}'] }}] }}\n\
             - {{ job_name: other, static_configs: [{{ targets: ['{server}'], \
             labels: {{ instance: {OTHER} }} }}], metric_relabel_configs: \
             [{{ source_labels: [__name__], regex: process_.*, action: keep }}] }}\n",
            rules.display()
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // Another program may take the port meanwhile; that is rare, and a second attempt works.
        for _ in 0..5 {
            let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut process = launch(&file, folder.path(), addr);
            if is_up(&mut process, addr).await {
                return Self { process, addr, _folder: folder };
            }
        }
        panic!("Prometheus finds no port");
    }

    /// The result of an expression now: its values.
    async fn query(&self, expression: &str) -> Vec<f64> {
        let query =
            expression.bytes().fold(String::new(), |query, byte| format!("{query}%{byte:02X}"));
        let answer = get_from(self.addr, &format!("/api/v1/query?query={query}")).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = answer["data"]["result"].as_array().unwrap();
        let is_other = |it: &&Value| it["metric"]["instance"] == OTHER;
        assert_eq!(result.iter().find(is_other), None, "{expression} has another program");
        let values = result.iter().map(|it| it["value"][1].as_str().unwrap().parse().unwrap());
        values.collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn launch(config: &Path, folder: &Path, addr: SocketAddr) -> Child {
    let mut command = Command::new(PROMETHEUS);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={addr}"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Waits until Prometheus answers; false if it has ended.
async fn is_up(process: &mut Child, addr: SocketAddr) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if tokio::net::TcpStream::connect(addr).await.is_ok() {
            let mut http = Http::connect(addr).await;
            http.send("GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
            if http.answer().await.status == 200 {
                return true;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Prometheus does not become ready");
}

async fn get_from(addr: SocketAddr, path: &str) -> Value {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // HTTP/1.0 has no chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer of Prometheus", stream.read_to_string(&mut answer)).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The expressions of all panels and annotations, with the values that Grafana puts into them.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|it| collect(it, found));
            }
            Value::Array(list) => list.iter().for_each(|it| collect(it, found)),
            _ => {}
        }
    }
    let path: PathBuf = build::root().join("docs/monitoring/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    collect(&dashboard["panels"], &mut found);
    collect(&dashboard["annotations"], &mut found);
    let fill = |it: String| it.replace("$__rate_interval", "10s").replace("$instance", ".*");
    let found: Vec<String> = found.into_iter().map(fill).collect();
    assert!(found.len() > 30 && found.iter().all(|it| !it.contains('$')), "{found:#?}");
    found
}

#[tokio::test]
async fn every_panel_of_the_dashboard_has_data() {
    let mut loaded = Loaded::start().await;
    let prometheus = Prometheus::scraping(loaded.server.addr).await;
    let until = Instant::now() + PATIENCE;
    // A server without a cluster has no samples of most of its metrics.
    let (of_cluster, mut missing): (Vec<_>, Vec<_>) =
        expressions().into_iter().partition(|it| it.contains("jackfield_cluster_"));
    assert!(of_cluster.len() > 5, "{of_cluster:?}");
    for expression in &of_cluster {
        prometheus.query(expression).await;
    }
    // The generation changes once between two scrapes, for the annotation.
    while prometheus.query("jackfield_generation").await.is_empty() {
        assert!(Instant::now() < until, "Prometheus has scraped nothing");
        tokio::task::yield_now().await;
    }
    loaded.change_site();
    while !missing.is_empty() {
        loaded.work().await;
        let mut still = Vec::new();
        for expression in missing {
            let values = prometheus.query(&expression).await;
            if values.is_empty() || values.iter().all(|value| value.is_nan()) {
                still.push(expression);
            }
        }
        missing = still;
        assert!(Instant::now() < until, "no data:\n{}", missing.join("\n"));
    }
    let rules = get_from(prometheus.addr, "/api/v1/rules").await;
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    let ill = rules.iter().find(|rule| rule["health"] == "err");
    assert!(rules.len() > 10 && ill.is_none(), "{ill:?}");
    let other = get_from(prometheus.addr, "/api/v1/query?query=process_open_fds").await;
    assert!(other.to_string().contains(OTHER), "{other}");
}

#[test]
fn every_alert_has_a_paragraph_in_the_runbook() {
    let read = |path: &str| std::fs::read_to_string(build::root().join(path)).unwrap();
    let (rules, page) = (read("docs/monitoring/alerts.yml"), read("docs/operations.md"));
    let names = rules.lines().filter_map(|it| it.trim().strip_prefix("- alert: "));
    let links = rules.lines().filter_map(|it| it.trim().strip_prefix("runbook: "));
    let (names, links): (Vec<&str>, Vec<&str>) = (names.collect(), links.collect());
    let expected = names.iter().map(|it| format!("docs/operations.md#{}", it.to_lowercase()));
    assert_eq!(links, expected.collect::<Vec<_>>());
    let headings = page.lines().filter_map(|it| it.strip_prefix("### Jackfield"));
    let headings: Vec<String> = headings.map(|it| format!("Jackfield{it}")).collect();
    assert_eq!(headings, names);
}
