//! The control socket as a file: its mode, leftovers, two servers of a site, settings, and the
//! messages of the commands when no server answers.

use std::os::unix::fs::{FileTypeExt, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use super::{Output, ask, command, jackfield, run, status};
use crate::compiler_process::poll;
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn is_for_its_user_alone_and_goes_with_the_server() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let socket = server.control_socket();
    let metadata = socket.symlink_metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    let folder = socket.parent().unwrap().symlink_metadata().unwrap();
    assert_eq!(folder.mode() & 0o7777, 0o700);
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert!(!socket.exists());
    assert!(!socket.with_extension("sock.lock").exists());
    let Output { code, err, .. } = jackfield("status", site.path(), &[]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.starts_with("error: no running server of the site "), "{err}");
    let path = socket.display().to_string();
    let mut lines = err.lines().filter(|line| line.contains(&path));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.contains("no such socket") || line.contains("no socket at ")),
        "{err}"
    );
    assert_eq!(lines.next(), None, "one cause is one line: {err}");
    assert!(err.contains("\n  = help: "), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_is_told_and_replaced() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let socket = server.control_socket();
    server.signal("KILL");
    server.exit_code();
    let Output { code, err, .. } = jackfield("reload", site.path(), &[]);
    assert_eq!(code, Some(3), "{err}");
    let reason = format!(
        "\n  {}: connection refused: the server ended without cleaning up\n",
        socket.display()
    );
    assert!(err.contains(&reason), "{err}");
    assert!(!err.contains("no such socket") && !err.contains("no socket at"), "{err}");
    let again = Server::start(site.path());
    assert_eq!(again.control_socket(), socket);
    assert_eq!(status(&again).await["pid"], again.pid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_a_site_takes_over_when_the_first_ends() {
    let site = Site::open();
    let mut first = Server::start(site.path());
    let socket = first.control_socket();
    let second = Server::start(site.path());
    let log = second.log();
    let told = format!("is in use by another server (pid {})", first.pid());
    assert!(log.contains(&told) && log.contains("takes its place"), "{log}");
    assert_eq!(jackfield("status", site.path(), &["--json"]).json()["pid"], first.pid());
    first.signal("TERM");
    assert_eq!(first.exit_code(), Some(0));
    assert_eq!(second.control_socket(), socket);
    assert_eq!(jackfield("status", site.path(), &["--json"]).json()["pid"], second.pid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_removed_comes_back() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let socket = server.control_socket();
    std::fs::remove_file(&socket).unwrap();
    server.logged("the control socket was removed; opening it again");
    poll(|| socket.exists().then_some(()));
    assert_eq!(status(&server).await["pid"], server.pid());
    // A file of another in its place is not removed.
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "another").unwrap();
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "another");
    std::fs::remove_file(&socket).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setting_places_the_socket() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    site.write("jackfield.yml", format!("control: {{ socket: {} }}\n", path.display()));
    let server = Server::start(site.path());
    assert_eq!(server.control_socket(), path);
    // The commands read the same settings.
    assert_eq!(jackfield("status", site.path(), &["--json"]).json()["pid"], server.pid());
    let path = path.to_str().unwrap();
    let output = run(command(&["status", "--socket", path, "--json"]));
    assert_eq!(output.json()["pid"], server.pid(), "{output:?}");
    let output =
        run(command(&["status", "/", "--set", &format!("control.socket={path}"), "--json"]));
    assert_eq!(output.json()["pid"], server.pid(), "{output:?}");

    // A relative path starts at the folder of the file.
    let other = Site::open();
    other.write("jackfield.yml", "control: { socket: ./.control }\n");
    let server = Server::start(other.path());
    assert_eq!(server.control_socket(), other.file("./.control"));
    assert_eq!(jackfield("status", other.path(), &["--json"]).json()["pid"], server.pid());

    let off = Site::open();
    off.write("jackfield.yml", "control: { socket: off }\n");
    let server = Server::start(off.path());
    assert!(!server.log().contains("the control channel is open"));
    let Output { code, err, .. } = jackfield("status", off.path(), &[]);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("the control channel is disabled (control.socket: off)"), "{err}");
}

#[test]
fn a_named_place_that_cannot_be_used_ends_the_start() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "precious").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    std::fs::create_dir(at("shared")).unwrap();
    let everyone = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(at("shared"), everyone).unwrap();
    let long = at(&"x".repeat(120));
    for (path, reason) in [
        (at("file"), "is not a socket; it is left alone"),
        (at("link"), "is not a socket; it is left alone"),
        (at("nowhere/c"), "No such file or directory"),
        (PathBuf::from("/proc/c"), "the control socket cannot be made"),
        (at("shared/c"), "can be written by other users"),
        (long, "no Unix socket can have the path"),
    ] {
        let setting = format!("control.socket={}", path.display());
        let site = site.path().to_str().unwrap();
        let arguments = ["serve", site, "--listen", "127.0.0.1:0", "--set", &setting];
        let mut command = command(&arguments);
        command.env("XDG_CACHE_HOME", build::cache());
        let Output { code, err, .. } = run(command);
        assert_eq!(code, Some(1), "{setting}: {err}");
        assert!(err.contains(reason), "{reason} is not in\n{err}");
        assert!(err.contains("= help: ") || reason == "No such", "{err}");
        let lock = PathBuf::from(format!("{}.lock", path.display()));
        assert!(!lock.exists(), "{} is left", lock.display());
    }
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "precious");
    assert!(at("link").symlink_metadata().unwrap().is_symlink());
}

/// A site is found by its link, while the link leads to another release.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_a_link_keeps_its_socket() {
    let folder = Site::new();
    for release in ["releases/1", "releases/2"] {
        folder.write(&format!("{release}/websocket_routing.yml"), "");
    }
    std::os::unix::fs::symlink("releases/1", folder.file("current")).unwrap();
    let server = Server::start(&folder.file("current"));
    std::os::unix::fs::symlink("releases/2", folder.file("next")).unwrap();
    std::fs::rename(folder.file("next"), folder.file("current")).unwrap();
    let found = jackfield("status", &folder.file("current"), &["--json"]);
    assert_eq!(found.json()["pid"], server.pid(), "{found:?}");
    let mut here = command(&["status", "--json"]);
    // The shell's idea of the folder has the link in it, the system's has not.
    here.current_dir(folder.path()).arg("./current");
    assert_eq!(run(here).json()["pid"], server.pid());
}

/// Root is another user here where the tests run as root; otherwise the socket is closed to its own
/// user.
#[tokio::test(flavor = "multi_thread")]
async fn other_users_are_told_whose_it_is() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let everyone = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everyone()).unwrap();
    let socket = folder.path().join("c");
    let server =
        Server::configured(site.path(), &format!("control: {{ socket: {} }}\n", socket.display()));
    let path = socket.to_str().unwrap();
    let denied = if is_root() {
        let binary = folder.path().join("jackfield");
        std::fs::copy(build::jackfield(), &binary).unwrap();
        std::fs::set_permissions(&binary, everyone()).unwrap();
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        run_in(other, folder.path(), &["status", "--socket", path])
    } else {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o0)).unwrap();
        let denied = run(command(&["status", "--socket", path]));
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
        denied
    };
    let Output { code, err, .. } = denied;
    assert_eq!(code, Some(3), "{err}");
    let uid = socket.metadata().unwrap().uid();
    assert!(err.contains(": permission denied: the server runs as "), "{err}");
    assert!(err.contains(&format!("uid {uid}")), "{err}");
    assert!(err.contains("= help: run the command as the user of the server, or as root"), "{err}");
    if is_root() {
        // The mode is not the only guard.
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s"]);
        let arguments = ["-X", "POST", "--unix-socket", path, "http://x/v1/reload"];
        let refused = run_in(other, folder.path(), &arguments);
        assert_eq!(refused.json()["error"], "wamp.error.not_authorized", "{refused:?}");
        server.logged("a control connection of another user is refused caller=uid 65534");
        assert!(!server.log().contains("jackfield::audit"));
    }
    let (code, _) = ask(&socket, "GET", "/v1/status", "").await;
    assert_eq!(code, 200);
}

fn run_in(mut command: std::process::Command, folder: &std::path::Path, more: &[&str]) -> Output {
    command.args(more).current_dir(folder);
    run(command)
}
