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
