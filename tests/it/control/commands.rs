//! Commands of the control channel: results, exit codes, and servers that do not answer.

use serde_json::{Value, json};

use super::{Output, command, jackfield, status, versioned};
use crate::compiler_process::signal;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn reload_reports_its_result() {
    let site = Site::open();
    // Changes are noticed late, so that the command alone reloads.
    let server = Server::configured(site.path(), "watch: { settle: 1h, poll: 1h }\n");
    let Output { code, out, .. } = jackfield("reload", site.path(), &[]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.starts_with("unchanged: generation "), "{out}");

    versioned(&site, 1);
    let Output { code, out, err } = jackfield("reload", site.path(), &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("reloaded in ") && out.ends_with(" is in service\n"), "{out}");
    let generation = server.health()["generation"].as_u64().unwrap();
    assert!(out.contains(&format!(": generation {generation} is")), "{out}");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe("v/a", json!({})).await;

    site.write("v/websocket_routing.yml", "a: 1\nb: 2\n");
    let Output { code, out, err } = jackfield("reload", site.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    assert!(out.contains("v/websocket_routing.yml:1:4: error: "), "{out}");
    let last = format!("reload failed: 2 problems; generation {generation} stays in service\n");
    assert!(out.ends_with(&last), "{out}");
    let failed = jackfield("reload", site.path(), &["--json"]);
    assert_eq!(failed.code, Some(1));
    let failed = failed.json();
    assert_eq!((&failed["result"], &failed["problem_count"]), (&json!("failed"), &json!(2)));
    let problem = &failed["problems"][1];
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(4)));
    assert!(problem["file"].as_str().unwrap().ends_with("v/websocket_routing.yml"), "{problem}");
    assert!(problem["message"].as_str().unwrap().starts_with("route `b`"), "{problem}");

    let shown = status(&server).await;
    assert_eq!(shown["problem_count"], 2);
    let results: Vec<&Value> =
        shown["reloads"].as_array().unwrap().iter().map(|it| &it["result"]).collect();
    assert_eq!(results, ["failed", "failed", "ok", "unchanged", "ok"]);
    assert_eq!(shown["reloads"][0]["cause"], "control");
    assert_eq!(shown["reloads"][0]["problems"][0]["line"], 1);

    site.remove("v");
    let removed = jackfield("reload", site.path(), &["--json"]).json();
    assert_eq!(removed["result"], "ok");

    std::fs::rename(site.path(), site.path().with_extension("away")).unwrap();
    let unreadable = jackfield("reload", site.path(), &["--json"]);
    std::fs::rename(site.path().with_extension("away"), site.path()).unwrap();
    assert_eq!(unreadable.code, Some(1));
    let text = unreadable.json()["problems"][0]["text"].to_string();
    assert!(text.contains("failed to read the site"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_keeps_its_exit_code_where_nothing_reads_the_output() {
    let site = Site::open();
    let _server = Server::configured(site.path(), "watch: { settle: 1h, poll: 1h }\n");
    site.write("b/websocket_routing.yml", "a: 1\n");
    for option in ["--wait=60s", "--json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(&["reload", site.path().to_str().unwrap(), option]);
        let status = command.stdout(writer).status().expect("the command runs");
        assert_eq!(status.code(), Some(1), "{option}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_where_the_server_does_not_answer() {
    let site = Site::open();
    let server = Server::start(site.path());
    signal("STOP", server.pid());
    let asked = ["status", "reload"].map(|name| {
        let path = site.path().to_owned();
        let wait: &[&str] = if name == "reload" { &["--wait", "1s"] } else { &[] };
        std::thread::spawn(move || jackfield(name, &path, wait))
    });
    let asked = asked.map(|thread| thread.join().unwrap());
    signal("CONT", server.pid());
    for Output { code, err, .. } in asked {
        assert_eq!(code, Some(3), "{err}");
        assert!(err.contains("no answer: none within 1"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_ends_with_the_reader_of_its_output() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let mut command = command(&["trace", "open/quiet", "--site", site.path().to_str().unwrap()]);
    let mut trace = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(trace.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert!(line.contains("the trace begins"), "{line}");
    drop(output);
    // No message comes.
    let ended = tokio::task::spawn_blocking(move || trace.wait().unwrap());
    let status = jackfield_tests::client::within("the end of the command", ended).await.unwrap();
    assert_eq!(status.code(), Some(0));
    server.logged("result=\"ended\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_reason_and_a_missing_site_are_errors() {
    let site = Site::open();
    let server = Server::configured(site.path(), "");
    let wrong = jackfield("ended", site.path(), &["--reason", "bogus"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.err.contains("slow_subscriber"), "{wrong:?}");
    assert_eq!(jackfield("ended", site.path(), &["--reason", "rate"]).code, Some(0));
    let path = "/v1/ended?reason=bogus";
    let (code, refused) = super::ask(&server.control_socket(), "GET", path, "").await;
    assert_eq!(code, 400, "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("`reason` is one of goodbye, "), "{message}");
    let missing = super::run(command(&["health", "/no/such/site"]));
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(
        missing.err.contains("there is no site directory /no/such/site\n  = help: "),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_have_the_roles_that_the_server_applies() {
    let site = Site::open();
    let settings = "allow: { publish: [backend] }\n";
    let server = Server::configured(site.path(), settings);
    let socket = server.control_socket();
    let (code, routes) = super::ask(&socket, "GET", "/v1/routes", "").await;
    assert_eq!(code, 200);
    let (_, matched) = super::ask(&socket, "GET", "/v1/match?topic=open/a", "").await;
    for route in [&routes["routes"][0], &matched["route"]] {
        assert_eq!(route["allow"], json!({ "publish": ["backend"] }), "{route}");
        assert_eq!(route["allow_from"], json!({ "publish": "configuration" }), "{route}");
    }
    let file = site.path().with_extension("settings.yml");
    std::fs::write(&file, settings).unwrap();
    let file = file.to_str().unwrap();
    let [by_match, by_routes] = [&["match", "open/a"][..], &["routes"]].map(|arguments| {
        let site = [site.path().to_str().unwrap()];
        let arguments =
            [&arguments[..1], &site, &arguments[1..], &["--routing-only", "--config", file]];
        super::run(command(&arguments.concat()))
    });
    std::fs::remove_file(file).unwrap();
    assert!(
        by_match.out.contains("  allowed     publish: backend (configuration)\n"),
        "{by_match:?}"
    );
    assert!(by_routes.out.contains("  publish: backend (configuration)  "), "{by_routes:?}");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let refused = client.publish_acknowledged("open/a", json!({}), json!([]), Value::Null).await;
    let refused = format!("{:?}", refused.unwrap_err());
    assert!(
        refused.contains("the configuration (`allow`) does not allow your roles to publish"),
        "{refused}"
    );
}
