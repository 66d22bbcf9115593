//! `jackfield build`: the report, the errors, and the component that stays when a build fails.

use std::fs;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Answer, built, edit, in_environment, jackfield, new_bundle, run};

#[test]
fn reports_the_plugin_and_keeps_it_when_a_build_fails() {
    let (_root, bundle) = new_bundle("acme-report");
    let source = bundle.join("src/lib.rs");
    edit(
        &source,
        "event.single()?;",
        "event.single()?;\n            jackfield_plugin::log::info!(\"{text}\");",
    );
    let Answer { code, out, err } = jackfield(&bundle, &["build"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("./acme-report.wasm: ") && out.contains(" KiB, built in "), "{out}");
    assert!(out.contains("\n  plugin   acme-report 0.1.0, contract 0.2\n"), "{out}");
    assert!(out.contains("\n  handler  acme.report: on-publish\n"), "{out}");
    assert!(out.contains("\n  import   jackfield:plugin/log@0.2.0\n"), "{out}");
    assert!(out.ends_with("\n  needs    log\n"), "{out}");

    let Answer { code, out, err } =
        jackfield(bundle.parent().unwrap(), &["build", "acme-report", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out).expect("one JSON object");
    let file = fs::read(bundle.join("acme-report.wasm")).unwrap();
    assert_eq!(report["file"], "acme-report/acme-report.wasm");
    assert_eq!((&report["size_bytes"], &report["changed"]), (&json!(file.len()), &json!(false)));
    assert_eq!((&report["contract"], &report["grant"]), (&json!("0.2"), &json!(["log"])));
    assert_eq!(report["handlers"][0]["hooks"], json!(["on-publish"]));

    // The compiler's error is shown as it is, and the component stays.
    edit(&source, "to_uppercase()", "to_bigger()");
    let Answer { code, out, err } = jackfield(&bundle, &["build"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("error[E0599]: no method named `to_bigger`"), "{err}");
    assert!(err.contains("--> src/lib.rs:"), "{err}");
    assert!(err.ends_with("error: the build failed; the compiler's errors are above\n"), "{err}");
    let Answer { code, out, .. } = jackfield(&bundle, &["build", "--json"]);
    let failure: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((code, &failure["error"]), (Some(1), &json!("build_failed")));
    assert_eq!(fs::read(bundle.join("acme-report.wasm")).unwrap(), file);

    // A component that no server loads is not put into place.
    edit(&source, "to_bigger()", "to_uppercase()");
    edit(&source, "Plugin::new(env!(\"CARGO_PKG_NAME\")", "Plugin::new(\"\"");
    let Answer { code, err, .. } = jackfield(&bundle, &["build"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("the name of the plugin is empty"), "{err}");
    edit(&source, "export!(plugin);", "");
    let Answer { code, err, .. } = jackfield(&bundle, &["build"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("does not export `jackfield:plugin/handler`"), "{err}");
    assert_eq!(fs::read(bundle.join("acme-report.wasm")).unwrap(), file);
}

#[test]
fn names_the_remedy_of_a_missing_tool_or_source() {
    let (root, bundle) = new_bundle("acme-tools");
    let without = |path: &str| {
        let mut command = in_environment(built::jackfield(), &bundle);
        command.arg("build").env("PATH", path);
        run(command)
    };
    let tools = tempfile::tempdir().unwrap();
    let path = tools.path().to_str().unwrap();
    let Answer { code, err, .. } = without(path);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("error: cargo is not found\n  = help: install Rust with rustup"),
        "{err}"
    );

    // A toolchain that knows the target, and does not have it.
    let real = std::process::Command::new("cargo").arg("locate-project").output();
    assert!(real.is_ok(), "cargo is on the PATH");
    let script = "#!/bin/sh\necho /nowhere/lib\n";
    fs::write(tools.path().join("rustc"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tools.path().join("rustc"), executable).unwrap();
    let all = format!("{path}:{}", std::env::var("PATH").unwrap());
    let Answer { code, err, .. } = without(&all);
    assert_eq!(code, Some(1));
    assert!(
        err.contains(
            "has no target wasm32-wasip2\n  = help: run `rustup target add wasm32-wasip2`"
        ),
        "{err}"
    );

    edit(&bundle.join("Cargo.toml"), "crate-type = [\"cdylib\"]", "");
    let Answer { err, .. } = jackfield(&bundle, &["build"]);
    assert!(err.contains("= help: add crate-type = [\"cdylib\"]"), "{err}");
    let Answer { code, err, .. } = jackfield(root.path(), &["build"]);
    assert_eq!(code, Some(1));
    assert!(err.contains(". has no websocket_routing.yml\n  = help: "), "{err}");
}

/// Answers each request with the rate of the guide.
async fn answer_rates(backend: TcpListener) {
    while let Ok((mut stream, _)) = backend.accept().await {
        let mut request = Vec::new();
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "a whole request");
        }
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /eur.json HTTP/1.1\r\n"), "{request}");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n1.25\n";
        stream.write_all(answer).await.unwrap();
    }
}

/// The example of docs/capabilities.md, with a server of the test in the place of its own.
#[tokio::test(flavor = "multi_thread")]
async fn builds_what_is_not_granted_and_serves_it_with_the_grant() {
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = backend.local_addr().unwrap().to_string();
    tokio::spawn(answer_rates(backend));
    let page = include_str!("../../../docs/capabilities.md");
    let (_, example) = page.split_once("## A request, step by step").expect("the example");
    let block = |language: &str| {
        let (_, rest) = example.split_once(&format!("```{language}\n")).expect("a block");
        let (text, _) = rest.split_once("```").expect("the end of a block");
        text.replace("127.0.0.1:9000", &address)
    };
    let (_root, bundle) = new_bundle("acme-rates");
    fs::write(bundle.join("src/lib.rs"), block("rust")).unwrap();

    let Answer { code, out, err } = jackfield(&bundle, &["build"]);
    assert_eq!(code, Some(0), "{err}");
    let needs = out.lines().last().unwrap();
    assert!(needs.starts_with("  needs    topics, ") && needs.ends_with("http"), "{out}");

    // A site is strict: nothing is granted by a build.
    let Answer { code, out, .. } = jackfield(&bundle, &["check", "."]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("http: { allow: ["), "it has the line to add: {out}");

    fs::write(bundle.join("jackfield.yml"), block("yaml")).unwrap();
    let Answer { code, out, .. } = jackfield(&bundle, &["check", "."]);
    assert_eq!(code, Some(0), "{out}");
    let server = Server::start(&bundle);
    let topic = "acme/rates/eur";
    let mut subscriber = Client::connect(server.addr, Codec::Json, "realm1").await;
    subscriber.subscribe(topic, json!({})).await;
    let mut publisher = Client::connect(server.addr, Codec::Json, "realm1").await;
    publisher.publish(topic, json!({}), json!(["now"]), json!({}));
    assert_eq!(subscriber.event().await.args, json!([1.25]));
}
