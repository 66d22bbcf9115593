//! `jackfield bench call`: counts, and errors of procedures that do not answer.

use std::process::Command;

use serde_json::Value;

use super::{DIALECTS, above_zero, bench, count, each_dialect_of, measured};
use jackfield_tests::build;
use jackfield_tests::server::{NO_RATES, Server};
use jackfield_tests::site::Site;

const ROUTES: &str = "sample: { channel: 'sample/{method}', handler: { callback: 'methods' } }\n";

fn serve() -> (Site, Server) {
    let site = Site::new();
    site.bundle("methods", ROUTES, &[build::guest("methods")]);
    let server = Server::start(site.path());
    (site, server)
}

#[test]
fn calls_in_every_dialect() {
    let (_site, server) = serve();
    let options = ["--procedure", "sample/echo", "--callers", "2", "--window", "3"];
    each_dialect_of(&server, "call", &options, |json| {
        assert_eq!(json["procedure"], "sample/echo");
        assert_eq!((count(json, "callers"), count(json, "connections")), (2, 2), "{json}");
        assert_eq!((count(json, "payload_bytes"), count(json, "window")), (128, 3), "{json}");
        assert!(above_zero(json, "calls") && above_zero(json, "calls_per_second"), "{json}");
        assert!(json["server_cpu_us_per_call"].is_number(), "{json}");
        assert_eq!(json["notes"].to_string().find("not everything"), None, "{json}");
    });
}

#[test]
fn calls_at_a_fixed_rate() {
    let (_site, server) = serve();
    let options = ["--procedure", "sample/echo", "--callers", "2", "--rate", "200"];
    each_dialect_of(&server, "call", &options, |json| {
        // Everything due within the second was called, independent of its duration.
        assert!((199..=201).contains(&count(json, "calls")), "{json}");
        assert!(above_zero(json, "generator_lag_us_p99"), "{json}");
    });
}

#[test]
fn counts_calls_that_reached_the_handler() {
    let (_site, server) = serve();
    let url = format!("ws://{}/", server.addr);
    let mut counted = 0;
    for dialect in DIALECTS {
        let options = ["--procedure", "sample/count", "--warm-up", "0", "--seconds", "0.2"];
        let (code, out, err) = bench("call", &url, &[dialect, &options].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""), "{dialect:?}");
        let json = serde_json::from_str(&out).unwrap();
        assert_eq!(count(&json, "lost"), 0, "{json}");
        // The handler also counts this call.
        counted += count(&json, "calls") + 1;
        let mut call = Command::new(build::jackfield());
        let output = call.args(["call", "--url", &url, "sample/count"]).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["args"], serde_json::json!([counted]), "{dialect:?} {json}");
    }
}

/// The calls of one client reach another one.
#[test]
fn calls_a_procedure_of_its_own() {
    let site = Site::new();
    let config = format!(
        "rules: [{{ uri: 'bench.echo', allow: {{ call: everyone, register: everyone }} }}]\n\
         limits: {{ {NO_RATES} }}\n"
    );
    let server = Server::configured(site.path(), &config);
    let url = format!("ws://{}/", server.addr);
    let options = ["--procedure", "bench.echo", "--callee", "--callers", "2", "--window", "3"];
    for dialect in DIALECTS.iter().filter(|dialect| dialect[1] == "wamp2") {
        let json = measured("call", &url, &[dialect, &options[..]].concat());
        assert_eq!((count(&json, "callers"), count(&json, "connections")), (2, 3), "{json}");
        assert!(above_zero(&json, "calls"), "{json}");
    }
    for (procedure, said) in [
        // No rule allows it.
        ("bench.other", "jackfield.error.no_route"),
        ("bench..echo", "wamp.error.invalid_uri"),
    ] {
        let (code, out, err) = bench("call", &url, &["--procedure", procedure, "--callee"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        for part in ["refused to register", &format!("`{procedure}`"), said, "--callee"] {
            assert!(err.contains(part), "{part} is not in {err}");
        }
    }
}

#[test]
fn reports_a_procedure_that_fails_with_help() {
    let (_site, server) = serve();
    let url = format!("ws://{}/", server.addr);
    for dialect in DIALECTS {
        for (procedure, said) in [
            ("nowhere", "wamp.error.no_such_procedure"),
            ("sample/unknown", "There is no procedure sample/unknown."),
            ("sample/refuse", "acme.error.busy: Not now."),
        ] {
            let options = ["--procedure", procedure, "--seconds", "3600"];
            let (code, out, err) = bench("call", &url, &[dialect, &options].concat());
            assert_eq!((code, out.as_str()), (Some(1), ""), "{procedure} {dialect:?}: {err}");
            for part in [&format!("`{procedure}`"), said, "--procedure", "docs/bench.md"] {
                assert!(err.contains(part), "{procedure} {dialect:?}: {part} is not in {err}");
            }
        }
    }
}

#[test]
fn rejects_options_that_call_nothing() {
    for (options, said) in [
        (&[][..], "--procedure"),
        (&["--procedure", "p", "--protocol", "nats"], "--protocol nats has no procedures"),
        (&["--procedure", "p", "--protocol", "raw"], "--protocol raw has no procedures"),
        (&["--procedure", "p", "--topic", "t"], "--topic"),
        (&["--procedure", "p", "--callee", "--protocol", "wamp1"], "--callee applies to wamp2"),
        (&["--procedure", "p", "--callee", "--callers", "0"], "--callers"),
    ] {
        let (code, out, err) = bench("call", "ws://127.0.0.1:1/", options);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{options:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(said), "{options:?}: {err}");
    }
}

/// `docs/bench.md` calls a room of the stock plugin `chat`.
#[test]
fn the_procedure_of_the_page_answers() {
    let site = Site::new();
    let routes = std::fs::read_to_string(build::root().join("plugins/chat/websocket_routing.yml"));
    site.bundle("chat", &routes.unwrap(), &[build::plugin("chat")]);
    let server = Server::start(site.path());
    let page = std::fs::read_to_string(build::root().join("docs/bench.md")).unwrap();
    let (_, shown) = page.split_once("$ jackfield bench call ").unwrap();
    let (_, procedure) = shown.lines().next().unwrap().split_once("--procedure ").unwrap();
    let procedure = procedure.split(' ').next().unwrap();
    for dialect in DIALECTS {
        let options = [dialect, &["--procedure", procedure]].concat();
        measured("call", &format!("ws://{}/", server.addr), &options);
    }
}
