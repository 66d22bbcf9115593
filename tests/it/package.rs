//! The Debian package: built from the commands of this build, installed into a root of its own, started
//! as its unit says, upgraded while clients connect, and purged. And the container file.

mod parts;

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jackfield_tests::build;
use jackfield_tests::client::{PATIENCE, v1, within};
use jackfield_tests::server::Server;

const CONTAINER: &str = include_str!("../../packaging/Containerfile");

/// Runs a command, and returns its output. It must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}");
    format!("{out}{err}")
}

/// The package, with fast compression.
fn package(out: &Path) -> PathBuf {
    let binaries = build::jackfield().parent().unwrap();
    let script = build::root().join("packaging/debian/build.sh");
    let mut command = Command::new(script);
    command.arg(binaries).arg(out).env("COMPRESSION", "-Zgzip -z1");
    let printed = run(&mut command);
    // Cargo may have written lines of its own.
    let is_package = |line: &&str| Path::new(line).extension() == Some("deb".as_ref());
    PathBuf::from(printed.lines().find(is_package).unwrap_or(&printed))
}

/// A root file system with nothing but the package.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("var/lib/dpkg");
        for name in ["info", "updates", "triggers"] {
            std::fs::create_dir_all(database.join(name)).unwrap();
        }
        for name in ["status", "available"] {
            std::fs::write(database.join(name), "").unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs dpkg in this root. Scripts run outside of it, with DPKG_ROOT; nothing else is installed.
    fn dpkg(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("dpkg");
        let forces = ["script-chrootless", "not-root", "depends", "confold"];
        command.args(forces.map(|force| format!("--force-{force}")));
        command.arg(format!("--root={}", self.0.path().display())).args(arguments);
        run(command.env("LC_ALL", "C"))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The command line of the unit, with the paths of this root.
    fn command_line(&self) -> Vec<String> {
        let unit = self.read("usr/lib/systemd/system/jackfield.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let root = self.0.path().display();
        let word = |word: &str| {
            if word.starts_with('/') { format!("{root}{word}") } else { word.to_owned() }
        };
        line.split(' ').map(word).collect()
    }

    /// Starts the unit's command as systemd does: with a socket, and notifications.
    fn start(&self, socket: &TcpListener, notify: &Path) -> Server {
        let line = self.command_line();
        let mut command = Command::new("sh");
        let script = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;
        command.args(["-c", script, "sh"]).args(&line).env("NOTIFY_SOCKET", notify);
        command.env("XDG_CACHE_HOME", self.path("var/cache"));
        command.env("RUNTIME_DIRECTORY", self.path("run"));
        Server::with_socket(command, socket)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_is_installed_started_upgraded_and_purged() {
    let out = tempfile::tempdir().unwrap();
    let package = package(out.path());
    let package = package.to_str().unwrap();
    assert_eq!(Path::new(package).extension(), Some("deb".as_ref()), "{package}");
    let contents = run(Command::new("dpkg-deb").args(["--contents", package]));
    for line in contents.lines() {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(owner, "root/root", "{line}");
        assert!(&mode[8..9] != "w", "others may write: {line}");
    }

    let root = Root::new();
    root.dpkg(&["--install", package]);
    let version = run(Command::new(root.path("usr/bin/jackfield")).arg("--version"));
    assert_eq!(version, "jackfield 0.1.0\n");
    let enabled = "etc/systemd/system/multi-user.target.wants/jackfield.service";
    let enabled = [enabled, "etc/systemd/system/sockets.target.wants/jackfield.socket"];
    for link in enabled {
        assert!(root.path(link).symlink_metadata().is_ok(), "{link}");
    }
    let secrets = root.path("etc/jackfield/environment").metadata().unwrap();
    assert_eq!(secrets.permissions().mode() & 0o777, 0o600);
    documentation_is_readable(&root);

    std::fs::create_dir_all(root.path("run")).unwrap();
    let notify = root.path("run/notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let ready = || {
        let mut buffer = [0; 512];
        loop {
            let length = manager.recv(&mut buffer).expect("a notification");
            if buffer[..length].starts_with(b"READY=1") {
                return;
            }
        }
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = root.start(&socket, &notify);
    ready();
    let mut before = v1::Client::connect(server.addr).await;
    before.round_trip().await;

    // An upgrade keeps the settings of the operator, and the socket is open all the time.
    let settings = "etc/jackfield/jackfield.yml";
    std::fs::write(root.path(settings), "handshake_timeout: 9s\n").unwrap();
    let old = root.path("usr/bin/jackfield").metadata().unwrap().ino();
    root.dpkg(&["--install", package]);
    assert_ne!(root.path("usr/bin/jackfield").metadata().unwrap().ino(), old);
    assert_eq!(root.read(settings), "handshake_timeout: 9s\n");
    let addr = server.addr;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    let after = tokio::spawn(v1::Client::connect(addr));
    let mut server = root.start(&socket, &notify);
    ready();
    within("the session", after).await.unwrap().round_trip().await;
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));

    root.dpkg(&["--remove", "jackfield"]);
    assert!(!root.path("usr/bin/jackfield").exists());
    assert!(root.path(settings).exists(), "the settings stay until the package is purged");
    for link in enabled {
        assert!(root.path(link).symlink_metadata().is_err(), "{link}");
    }
    std::fs::create_dir_all(root.path("var/lib/private/jackfield")).unwrap();
    let said = root.dpkg(&["--purge", "jackfield"]);
    assert!(said.contains("the data of Jackfield's plugins is kept in "), "{said}");
    assert!(!root.path("etc/jackfield").exists() && !root.path("var/cache/jackfield").exists());
    assert!(root.path("var/lib/private/jackfield").exists());
}

/// Manual pages and completions of shells.
#[track_caller]
fn documentation_is_readable(root: &Root) {
    for page in ["jackfield", "jackfield-serve", "jackfield-doctor", "jackfield-health"] {
        let path = root.path(&format!("usr/share/man/man1/{page}.1.gz"));
        let text = run(Command::new("gzip").arg("-dc").arg(path));
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let completion = root.path("usr/share/bash-completion/completions/jackfield");
    run(Command::new("bash").arg("-n").arg(&completion));
    let line = r#"source "$0"; COMP_WORDS=(jackfield doc); COMP_CWORD=1
        _jackfield jackfield doc jackfield; printf '%s\n' "${COMPREPLY[@]}""#;
    let completed = run(Command::new("bash").args(["-c", line]).arg(&completion));
    assert_eq!(completed, "doctor\n");
    for file in ["zsh/vendor-completions/_jackfield", "fish/vendor_completions.d/jackfield.fish"] {
        assert!(root.read(&format!("usr/share/{file}")).contains("doctor"), "{file}");
    }
    for file in ["copyright", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(!root.read(&format!("usr/share/doc/jackfield/{file}")).is_empty());
    }
    assert_eq!(root.read("usr/share/doc/jackfield/sbom.cdx.json"), parts::list("server"));
}

/// The second one is made seconds later, and the times in it are those of the last commit.
#[test]
fn the_same_commands_make_the_same_package() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] =
        ["first", "second"].map(|name| std::fs::read(package(&folder.path().join(name))).unwrap());
    assert!(first == second, "the packages differ");
}

/// No base image can be had in the tests, so the instructions are checked: a user of its own, a health
/// check by a command that exists, and files that `make package` builds.
#[test]
fn the_container_file_is_safe() {
    let text = CONTAINER.replace("\\\n", " ");
    let instructions: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.trim().split_once(' ').unwrap_or_else(|| panic!("{line:?}")))
        .collect();
    let known = [
        "FROM",
        "COPY",
        "RUN",
        "ENV",
        "VOLUME",
        "EXPOSE",
        "USER",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ];
    assert!(instructions.iter().all(|(name, _)| known.contains(name)), "{instructions:?}");
    let all = |name: &str| -> Vec<&str> {
        instructions.iter().filter(|it| it.0 == name).map(|it| it.1.trim()).collect()
    };
    let stages = all("FROM");
    assert!(stages.len() > 1 && stages.iter().all(|it| it.starts_with("debian:12-slim")));
    let last = instructions.iter().rposition(|it| it.0 == "FROM").unwrap();
    assert!(instructions[last..].iter().all(|it| it.0 != "COPY" || it.1.starts_with("--from=")));
    let user = all("USER");
    let number: u32 = user[0].split(':').next().unwrap().parse().unwrap();
    assert!(user.len() == 1 && number > 1000, "{user:?}");
    assert_eq!(all("STOPSIGNAL"), ["SIGTERM"]);
    let health = all("HEALTHCHECK")[0];
    let (_, command) = health.split_once("CMD ").unwrap();
    let command: Vec<String> = serde_json::from_str(command.trim()).unwrap();
    assert_eq!(command[..2], ["jackfield", "health"]);
    // The arguments of both commands are known.
    for arguments in [command[1..].to_vec(), serde_json::from_str(all("CMD")[0]).unwrap()] {
        let mut known = Command::new(build::jackfield());
        let output = known.args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
    }
    assert_eq!(all("ENTRYPOINT"), [r#"["jackfield"]"#]);
    let makefile = std::fs::read_to_string(build::root().join("Makefile")).unwrap();
    assert!(makefile.contains("packaging/debian/build.sh target/dist target/package"));
    assert!(all("COPY")[0].starts_with("target/package/jackfield_*.deb "));
}
