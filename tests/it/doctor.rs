//! `jackfield doctor` and `jackfield health`: each finding, its help, and the exit codes. `public_url` is
//! about the checks of a URL.

mod exposure;
mod public_url;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::control::{Output, run};
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// An installation with folders of its own.
struct Installation {
    site: Site,
    folder: tempfile::TempDir,
}

impl Installation {
    fn new(config: &str) -> Self {
        let site = Site::open();
        site.write("jackfield.yml", config);
        Self { site, folder: tempfile::tempdir().unwrap() }
    }

    /// An installation whose port is free.
    fn good() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::new(&format!("listen: {free}\n"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the command in a clean environment.
    fn doctor(&self, more: &[&str]) -> Output {
        let command = Command::new(build::jackfield());
        self.doctor_by(command, more)
    }

    fn doctor_by(&self, mut command: Command, more: &[&str]) -> Output {
        command.arg("doctor").arg(self.site.path()).args(more).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("XDG_RUNTIME_DIR", build::runtime());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.env("XDG_STATE_HOME", self.path("state"));
        run(command)
    }

    /// The finding of a check, as the command prints it in JSON.
    #[track_caller]
    fn finding(&self, check: &str, more: &[&str]) -> Value {
        find(&self.doctor(&[&["--json"], more].concat()), check)
    }
}

/// The finding of a check. Every finding that is not good has help, and the exit code says whether there
/// is a problem.
#[track_caller]
fn find(output: &Output, check: &str) -> Value {
    let report = output.json();
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        assert_eq!(finding["level"] == "ok", finding["help"].is_null(), "{finding}");
    }
    let has_problem = findings.iter().any(|it| it["level"] == "problem");
    assert_eq!(output.code, Some(i32::from(has_problem)), "{output:?}");
    assert_eq!(report["ok"], !has_problem);
    let found = findings.iter().find(|it| it["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {report}")).clone()
}

#[track_caller]
fn expect(finding: &Value, level: &str, message: &str, help: &str) {
    assert_eq!(finding["level"], level, "{finding}");
    assert!(finding["message"].as_str().unwrap().contains(message), "{finding}");
    assert!(finding["help"].as_str().unwrap_or_default().contains(help), "{finding}");
}

#[test]
fn an_installation_without_mistakes_has_no_problems() {
    let installation = Installation::good();
    let Output { code, out, err } = installation.doctor(&[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("ok         version      0.1.0\n"), "{out}");
    assert!(out.contains("\nwarning    control      no running server of the site"), "{out}");
    assert!(out.contains("\nok         cache        "), "{out}");
    assert!(out.contains("/cache/jackfield will be made by the server\n"), "{out}");
    assert!(out.contains("\nunchecked  url          "), "{out}");
    for check in ["secrets", "writers", "clients", "admin", "queue"] {
        assert!(out.contains(&format!("\nok         {check:<12} ")), "{check}: {out}");
    }
    assert!(out.contains(" is free\n") && out.ends_with("\n0 problems, 1 warning\n"), "{out}");
    // Nothing was made.
    assert!(!installation.folder.path().join("cache").exists());
    assert!(!installation.folder.path().join("state").exists());
}

#[test]
fn finds_a_cache_that_other_users_could_replace() {
    let installation = Installation::good();
    let open = installation.folder.path().join("open");
    std::fs::create_dir_all(open.join("cache")).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let cache = open.join("cache");
    installation.site.write(
        "jackfield.yml",
        format!("listen: 127.0.0.1:0\nplugins: {{ cache: '{}' }}\n", cache.display()),
    );
    let finding = installation.finding("cache", &[]);
    let message = format!("{}, above it, can be written by others (mode 777)", open.display());
    expect(&finding, "warning", &message, "its parents too");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let finding = installation.finding("cache", &[]);
    expect(&finding, "ok", "no other user can write to it", "");
}

#[test]
fn finds_an_address_of_the_admin_listener_that_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let installation = Installation::good();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tokens = "tokens: [{ name: a, token: { env: NONE } }]";
    let listen = taken.local_addr().unwrap();
    installation.site.write(
        "jackfield.yml",
        format!("listen: {free}\nadmin: {{ listen: '{listen}', {tokens} }}\n"),
    );
    let output = installation.doctor(&["--json"]);
    let report = output.json();
    let mut findings = report["findings"].as_array().unwrap().iter();
    let found = findings.find(|it| it["check"] == "admin" && it["level"] == "problem").unwrap();
    expect(found, "problem", &format!("admin.listen, {listen}, cannot be used"), "ss -ltnp");
}

#[test]
fn examines_the_process_of_a_running_server() {
    let installation = Installation::good();
    let server = Server::start(installation.site.path());
    server.control_socket();
    let finding = installation.finding("control", &[]);
    let expected = format!("a server is serving: pid {}, {}", server.pid(), server.addr);
    expect(&finding, "ok", &expected, "");
    let finding = installation.finding("version", &[]);
    expect(&finding, "ok", "this command and the server are 0.1.0", "");
    let finding = installation.finding("port", &[]);
    expect(&finding, "ok", &format!("the running server listens on {}", server.addr), "");
    // The folders are those of the server's environment.
    let finding = installation.finding("cache", &[]);
    let cache = build::cache().join("jackfield").display().to_string();
    expect(&finding, "ok", &cache, "");
    let finding = installation.finding("data", &[]);
    expect(&finding, "ok", "alone", "");
}

#[test]
fn finds_a_low_limit_of_open_files() {
    let installation = Installation::good();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 300; exec "$0" "$@""#]).arg(build::jackfield());
    let output = installation.doctor_by(command, &["--json"]);
    let finding = find(&output, "files");
    let message =
        "the limit of open files, 300, allows 108 connections, and limits.connections is 10000";
    expect(&finding, "problem", message, "allow 10192 files (LimitNOFILE=");
    let finding = installation.finding("files", &["--set", "limits.connections=50"]);
    expect(&finding, "ok", "connections: 50", "");
}

#[test]
fn finds_a_port_that_cannot_be_used() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let installation = Installation::new(&format!("listen: {addr}\n"));
    // It ends each connection without an answer.
    let ending = std::thread::spawn(move || drop(other.accept()));
    let finding = installation.finding("port", &[]);
    ending.join().unwrap();
    let help = format!("sport = :{}", addr.port());
    expect(&finding, "problem", &format!("another program listens on {addr}"), &help);

    let elsewhere = Site::open();
    let server = Server::start(elsewhere.path());
    let listen = format!("listen={}", server.addr);
    let finding = installation.finding("port", &["--set", &listen]);
    expect(&finding, "problem", "another Jackfield listens", "set `listen`");
    let finding = installation.finding("port", &["--set", "listen=192.0.2.1:80"]);
    expect(&finding, "problem", "this machine has no address 192.0.2.1", "0.0.0.0");
}

#[test]
fn finds_a_site_that_does_not_exist() {
    let nowhere = Path::new("/nowhere/site");
    let mut command = Command::new(build::jackfield());
    command.arg("doctor").arg(nowhere).args(["--json", "--set", "listen=127.0.0.1:0"]);
    command.env("XDG_RUNTIME_DIR", build::runtime());
    let finding = find(&run(command), "site");
    expect(&finding, "problem", "there is no site directory /nowhere/site", "name the DIR");
}

#[test]
fn finds_folders_that_the_server_would_not_use() {
    let installation = Installation::good();
    let mode = |name: &str, mode: u32| {
        std::fs::create_dir_all(installation.path(name)).unwrap();
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(installation.path(name), permissions).unwrap();
    };
    mode("cache/jackfield", 0o777);
    let finding = installation.finding("cache", &[]);
    expect(&finding, "warning", "is open to other users (mode 777)", "`plugins.cache`");
    mode("cache/jackfield", 0o700);
    expect(&installation.finding("cache", &[]), "ok", "alone", "");

    mode("data", 0o750);
    let data = format!("data={}", installation.path("data"));
    let finding = installation.finding("data", &["--set", &data]);
    expect(&finding, "problem", "is open to other users (mode 750)", "mode 0700");
    mode("data", 0o500);
    let finding = installation.finding("data", &["--set", &data]);
    expect(&finding, "problem", "cannot be written by its user (mode 500)", "mode 0700");
    std::fs::write(installation.path("file"), "").unwrap();
    let file = format!("data={}", installation.path("file"));
    let finding = installation.finding("data", &["--set", &file]);
    expect(&finding, "problem", "is not a folder", "set `data`");
    let below = format!("data={}/data", installation.path("file"));
    let finding = installation.finding("data", &["--set", &below]);
    expect(&finding, "problem", "cannot be examined", "set `data`");
    let finding = installation.finding("data", &["--set", "data=off"]);
    expect(&finding, "ok", "nothing is kept", "");
    // No place: neither XDG_STATE_HOME nor HOME.
    let mut command = Command::new("env");
    command.args(["-u", "XDG_STATE_HOME", "-u", "XDG_CACHE_HOME"]).arg(build::jackfield());
    let output = installation.doctor_by(command, &["--json"]);
    expect(&find(&output, "data"), "warning", "end with the server", "set `data`");
    expect(&find(&output, "cache"), "warning", "each start compiles", "set `plugins.cache`");
}

#[test]
fn finds_settings_and_secrets_that_are_wrong() {
    let installation = Installation::good();
    let finding = installation.finding("settings", &["--set", "lisen=x"]);
    expect(&finding, "problem", "1 problem: --set lisen: error: unknown key", "`jackfield check`");
    let secret = "api={tokens: [{name: a, token: {env: JACKFIELD_TEST_NONE}}]}";
    let finding = installation.finding("settings", &["--set", secret]);
    expect(&finding, "warning", "JACKFIELD_TEST_NONE", "with the environment");
    expect(&installation.finding("settings", &[]), "ok", "jackfield.yml; listen: 127.0.0.1:", "");
}

#[test]
fn finds_a_control_socket_that_does_not_answer() {
    let installation = Installation::good();
    let socket = installation.path("none.sock");
    let finding = installation.finding("control", &["--set", &format!("control.socket={socket}")]);
    expect(&finding, "warning", "no server answers on the control socket", "start the server");
}

#[test]
fn wrong_arguments_are_no_findings() {
    let installation = Installation::good();
    for (more, expected) in [
        (&["--url", "ftp://x"][..], "error: --url: write ws://HOST:PORT/"),
        (&["--url", "wss://x", "--ca", "/nowhere"], "error: --ca: cannot read /nowhere"),
    ] {
        let Output { code, err, .. } = installation.doctor(more);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.starts_with(expected), "{err}");
    }
}

#[test]
fn health_reports_the_state_of_the_port() {
    let site = Site::open();
    let mut server = Server::configured(site.path(), "shutdown: { wait: 1h }\n");
    let ask = |more: &[&str]| {
        let mut command = Command::new(build::jackfield());
        command.arg("health").arg(site.path()).args(more);
        run(command)
    };
    let listen = server.addr.to_string();
    let well = ask(&["--listen", &listen]);
    assert_eq!((well.code, &well.json()["status"]), (Some(0), &json!("serving")));
    let by_setting = ask(&["--set", &format!("listen={listen}")]);
    assert_eq!(by_setting.code, Some(0), "{by_setting:?}");
    server.signal("TERM");
    server.logged("waiting 3600s");
    let stopping = ask(&["--listen", &listen]);
    assert_eq!((stopping.code, &stopping.json()["status"]), (Some(1), &json!("stopping")));
    assert!(stopping.err.contains("is not well: status 503"), "{stopping:?}");
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(143));
    let gone = ask(&["--listen", &listen]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
    assert!(gone.err.contains("error: no health from 127.0.0.1:"), "{gone:?}");
    assert!(gone.err.contains("= help: is the server running"), "{gone:?}");
    assert_eq!(ask(&["--set", "lisen=x"]).code, Some(2));
}
