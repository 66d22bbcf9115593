//! `jackfield dev`: each good version serves, a failed build changes nothing, faults have their line,
//! and a stop leaves no process behind.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use jackfield_tests::client::PATIENCE;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;

use super::{built, edit, in_environment, jackfield};

const TOPIC: &str = "acme/live/kitchen";

fn develop(site: &Path) -> Server {
    let mut command = in_environment(built::jackfield(), site);
    command.env("RUST_LOG", "info");
    Server::develop(command, site)
}

/// Waits until one more generation is served; returns the log since `after`.
#[track_caller]
fn next_generation(server: &Server, number: u64) {
    server.until_health("generation", number);
}

/// Publishes a text, and returns what the subscriber receives.
async fn shouted(bob: &mut Client, ann: &mut Client, text: &str) -> serde_json::Value {
    bob.publish(TOPIC, json!({}), json!([text]), json!({}));
    ann.event().await.args
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_each_good_version_and_keeps_it_when_a_build_fails() {
    let root = tempfile::tempdir().unwrap();
    let (site, common) = (root.path().join("site"), root.path().join("common"));
    fs::create_dir(&site).unwrap();
    assert_eq!(jackfield(&site, &["new", "acme-live"]).code, Some(0));
    let bundle = site.join("acme-live");
    let source = bundle.join("src/lib.rs");
    // A crate that bundles share.
    fs::create_dir_all(common.join("src")).unwrap();
    let manifest = "[package]\nname = \"common\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::write(common.join("Cargo.toml"), manifest).unwrap();
    let function = "pub fn change(text: &str) -> String { text.to_uppercase() }\n";
    fs::write(common.join("src/lib.rs"), function).unwrap();
    edit(&bundle.join("Cargo.toml"), "serde =", "common = { path = \"../../common\" }\nserde =");
    edit(&source, "text.to_uppercase()", "common::change(&text)");

    let mut server = develop(&site);
    server.listens();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut bob = Client::connect(server.addr, Codec::Json, "realm1").await;
    ann.subscribe(TOPIC, json!({})).await;
    assert_eq!(shouted(&mut bob, &mut ann, "Hello").await, json!(["HELLO"]));
    let lock = fs::read_to_string(bundle.join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"common\""), "the build has written the lock file");

    // A dependency outside of the site.
    edit(&common.join("src/lib.rs"), "to_uppercase", "to_lowercase");
    next_generation(&server, 2);
    assert_eq!(shouted(&mut bob, &mut ann, "Hello").await, json!(["hello"]));

    // The compiler's error is shown as it is, and the version before serves on.
    edit(&source, "common::change(&text)", "common::change(&txt)");
    let log = server.logged("not built: the build failed");
    assert!(log.contains("error[E0425]: cannot find value `txt`"), "{log}");
    assert!(log.contains("--> src/lib.rs:9:"), "{log}");
    assert_eq!(shouted(&mut bob, &mut ann, "Hello").await, json!(["hello"]));

    // Log lines of the plugin, and a panic with its line.
    let panics = "{ jackfield_plugin::log::info!(\"text {text}\"); assert!(text != \"bad\", \"no {text}\"); text }";
    edit(&source, "common::change(&txt)", panics);
    next_generation(&server, 3);
    assert_eq!(shouted(&mut bob, &mut ann, "good").await, json!(["good"]));
    server.logged("text good");
    let refused = bob.publish_acknowledged(TOPIC, json!({}), json!(["bad"]), json!({})).await;
    assert_eq!(refused.unwrap_err().uri, "jackfield.error.handler_failed");
    let log = server.logged("panicked at ");
    assert!(log.contains("panicked at src/lib.rs:9:"), "{log}");
    assert!(log.contains("no bad"), "{log}");

    // Outputs, temporary files and a source that is written as it was build nothing. The last
    // change is noticed after them.
    let builds = server.log().matches(" building ").count();
    assert_eq!(builds, 4, "{}", server.log());
    for output in ["target/x.rs", "node_modules/x.js", ".venv/x.py", "src/.lib.rs.swp", "src/4913"]
    {
        let path = bundle.join(output);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if output.starts_with("target") {
            fs::write(bundle.join("target/CACHEDIR.TAG"), "").unwrap();
        }
        fs::write(path, "x").unwrap();
    }
    fs::write(&source, fs::read(&source).unwrap()).unwrap();
    edit(&source, "text }", "text + \"!\" }");
    next_generation(&server, 4);
    assert_eq!(shouted(&mut bob, &mut ann, "good").await, json!(["good!"]));
    assert_eq!(server.log().matches(" building ").count(), builds + 1, "{}", server.log());

    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

/// A bundle without dependencies, whose build writes its process id to a file and goes on until it
/// is killed.
fn endless_bundle(bundle: &Path, pid_file: &Path) {
    let write = |name: &str, text: &str| fs::write(bundle.join(name), text).unwrap();
    fs::create_dir_all(bundle.join("src")).unwrap();
    let package = "[package]\nname = \"acme-endless\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    write("Cargo.toml", &format!("{package}[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n"));
    write("src/lib.rs", "");
    write("websocket_routing.yml", "");
    let script = format!(
        "fn main() {{ let mut child = std::process::Command::new(\"sleep\").arg(\"600\").spawn().unwrap();\n\
         let file = {pid_file:?};\n\
         std::fs::write(format!(\"{{file}}.tmp\"), child.id().to_string()).unwrap();\n\
         std::fs::rename(format!(\"{{file}}.tmp\"), file).unwrap();\n\
         child.wait().unwrap(); }}\n",
        pid_file = pid_file.to_str().unwrap()
    );
    write("build.rs", &script);
}

#[track_caller]
fn wait_for(event: &str, mut happened: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "{event} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Whether a process exists and has not ended.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_signal_ends_the_build_with_all_its_processes() {
    let root = tempfile::tempdir().unwrap();
    for (number, command) in ["build", "dev"].into_iter().enumerate() {
        for signal in ["TERM", "INT"] {
            let bundle = root.path().join(format!("bundle-{number}-{signal}"));
            let pid_file = root.path().join(format!("pid-{number}-{signal}"));
            endless_bundle(&bundle, &pid_file);
            let mut jackfield = in_environment(built::jackfield(), &bundle);
            jackfield.arg(command).arg(&bundle).env("CARGO_TARGET_DIR", bundle.join("target"));
            jackfield.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut process = jackfield.spawn().unwrap();
            wait_for("the build", || pid_file.exists());
            let pid = fs::read_to_string(&pid_file).unwrap();
            assert!(runs(&pid));
            let status = std::process::Command::new("kill")
                .args([format!("-{signal}"), process.id().to_string()])
                .status();
            assert!(status.unwrap().success());
            wait_for("the end of the command", || process.try_wait().unwrap().is_some());
            wait_for("the end of the build", || !runs(&pid));
            assert!(!bundle.join("acme-endless.wasm").exists());
        }
    }
}

#[test]
fn builds_again_when_a_missing_tool_was_installed() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(jackfield(root.path(), &["new", "acme-live"]).code, Some(0));
    let bundle = root.path().join("acme-live");
    let tools = root.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let mut command = in_environment(built::jackfield(), &bundle);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    let path =
        path.map_or_else(|| std::env::var("PATH").unwrap(), |it| it.to_str().unwrap().to_owned());
    command.env("RUST_LOG", "info").env("PATH", &tools);
    let mut server = Server::develop(command, &bundle);
    server.logged("not built: cargo is not found");
    server.logged("waiting for a change");
    // No file of the site changes.
    let script = format!("#!/bin/sh\nPATH='{path}'\nexport PATH\nexec cargo \"$@\"\n");
    fs::write(tools.join(".cargo"), script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tools.join(".cargo"), mode).unwrap();
    fs::rename(tools.join(".cargo"), tools.join("cargo")).unwrap();
    server.listens();
    assert_eq!(server.log().matches("cargo is not found").count(), 1, "it is logged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_site_that_can_be_served() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(jackfield(root.path(), &["new", "acme-live"]).code, Some(0));
    let bundle = root.path().join("acme-live");
    edit(&bundle.join("src/lib.rs"), "export!(plugin);", "exprt!(plugin);");
    // The folder of a bundle is a site of its own.
    let mut server = develop(&bundle);
    let log = server.logged("waiting for a change");
    assert!(log.contains("cannot find macro `exprt`"), "{log}");
    assert!(log.contains("no plugin provides the handler `acme.live`"), "{log}");
    edit(&bundle.join("src/lib.rs"), "exprt!(plugin);", "export!(plugin);");
    server.listens();
    let mut ann = Client::connect(server.addr, Codec::Json, "realm1").await;
    ann.subscribe(TOPIC, json!({})).await;
    server.signal("INT");
    assert_eq!(server.exit_code(), Some(0));
}
