//! The manifest for Kubernetes: its YAML, and the values that must agree with each other and with the
//! server.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use jackfield_tests::client::http::Http;
use jackfield_tests::packages::ensure;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const MANIFEST: &str = include_str!("../../docs/examples/kubernetes.yaml");

/// The documents of the manifest, as Python's reader of YAML sees them.
fn documents() -> Vec<Value> {
    let run = |script: &str, input: &str| {
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = python.stderr(Stdio::null()).spawn().ok()?;
        process.stdin.take()?.write_all(input.as_bytes()).ok()?;
        let output = process.wait_with_output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    ensure("python3-yaml", || run("import yaml", ""));
    serde_json::from_slice(&run(script, MANIFEST).expect("the manifest is YAML")).unwrap()
}

#[tokio::test]
async fn the_manifest_agrees_with_the_server() {
    let documents = documents();
    let of = |kind: &str, name: &str| {
        let is_it = |it: &&Value| it["kind"] == kind && it["metadata"]["name"] == name;
        documents.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let kinds: Vec<&str> = documents.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let spec = &of("Deployment", "jackfield")["spec"];
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&json!(1), &json!("Recreate")));
    let (pod, labels) = (&spec["template"]["spec"], &spec["template"]["metadata"]["labels"]);
    for selector in [
        &spec["selector"]["matchLabels"],
        &of("PodDisruptionBudget", "jackfield")["spec"]["selector"]["matchLabels"],
        &of("Service", "jackfield")["spec"]["selector"],
    ] {
        assert_eq!(selector, labels);
    }
    let container = &pod["containers"][0];
    for mount in container["volumeMounts"].as_array().unwrap() {
        let volumes = pod["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|it| it["name"] == mount["name"]), "{mount}");
    }

    // The settings, the site and the variables are those of a server.
    let settings = of("ConfigMap", "jackfield-config")["data"]["jackfield.yml"].as_str().unwrap();
    assert!(settings.contains("wait: 10s, spread: 10s, grace: 10s"), "{settings}");
    assert_eq!(pod["terminationGracePeriodSeconds"], 35, "the sum, and two seconds at least");
    let site = Site::open();
    let routes = &of("ConfigMap", "jackfield-site")["data"]["websocket_routing.yml"];
    site.write("acme/websocket_routing.yml", routes.as_str().unwrap());
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data/state");
    let env = container["env"].as_array().unwrap();
    assert!(env.iter().any(|it| it["name"] == "JACKFIELD__DATA"), "{env:?}");
    let server = Server::configured(site.path(), &format!("{settings}\ndata: {}", data.display()));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        let mut http = Http::connect(server.addr).await;
        http.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(http.answer().await.status, 200, "{probe}");
    }
}
