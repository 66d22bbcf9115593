//! Real server: the `jackfield` command in a process of its own, on a free port.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use serde_json::Value;

use crate::build;
use crate::client::PATIENCE;

/// A server that ends with the test, by its own process id.
pub struct Server {
    pub addr: SocketAddr,
    process: Child,
    /// Until the address has been read from it.
    stdout: Option<ChildStdout>,
    log: Arc<Log>,
    /// The file of its configuration, which it follows.
    config: Option<tempfile::NamedTempFile>,
    /// Below which its data folder is, unless its configuration names one.
    _state: tempfile::TempDir,
}

/// The server's log so far.
struct Log {
    text: Mutex<String>,
    grown: Condvar,
    stderr: OwnedFd,
}

/// Settings without rates, for measurements and for tests that send as fast as they can. They are a part
/// of the map `limits`.
pub const NO_RATES: &str = "connection_rate: { enabled: false }, \
                            address_connection_rate: { enabled: false }, \
                            message_rate: { enabled: false }, byte_rate: { enabled: false }";

impl Server {
    /// Serves a site with the default configuration.
    pub fn start(site: &Path) -> Self {
        Self::configured(site, "")
    }

    /// Serves a site with a configuration.
    pub fn configured(site: &Path, config: &str) -> Self {
        Self::launch(Self::command(), site, config, "127.0.0.1:0".parse().unwrap())
    }

    /// Serves a site on a given address, which clients may know already.
    pub fn on(site: &Path, addr: SocketAddr) -> Self {
        Self::launch(Self::command(), site, "", addr)
    }

    /// Serves a site and the demo page.
    pub fn demo(site: &Path) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        Self::launch_with(Self::command(), site, "", any, &["--demo"])
    }

    /// Serves a site with these options.
    pub fn serving(site: &Path, options: &[&str]) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        Self::launch_with(Self::command(), site, "", any, options)
    }

    /// Serves without a site, for every client. The folder is that of temporary files.
    pub fn open_mode(temporary: &Path, options: &[&str]) -> Self {
        let mut command = Self::command();
        command.env("XDG_CACHE_HOME", build::cache()).env("TMPDIR", temporary);
        command.env("XDG_RUNTIME_DIR", build::runtime()).env_remove("RUNTIME_DIRECTORY");
        command.args(["serve", "--open", "--listen", "127.0.0.1:0"]).args(options);
        let mut server = Self::begun(command, "127.0.0.1:0".parse().unwrap());
        server.listens();
        server
    }

    /// Develops a site by a command that becomes `jackfield dev`: it builds the bundles and serves
    /// them. It does not wait until the site is served.
    pub fn develop(mut command: Command, site: &Path) -> Self {
        command.arg("dev").arg(site).args(["--listen", "127.0.0.1:0"]);
        Self::begun(command, "127.0.0.1:0".parse().unwrap())
    }

    fn command() -> Command {
        let mut command = Command::new(build::jackfield());
        command.env("RUST_LOG", "info,jackfield=debug");
        command
    }

    /// Serves a site on a socket of the test, as a service manager passes it: descriptor 3.
    pub fn inheriting(socket: &TcpListener, site: &Path, config: &str) -> Self {
        let mut command = Command::new("sh");
        let line = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@""#;
        command.args(["-c", line]).arg(build::jackfield());
        command.env("RUST_LOG", "info,jackfield=debug").env("XDG_CACHE_HOME", build::cache());
        let elsewhere = "127.0.0.1:1".parse().unwrap();
        let (command, file) = Self::prepare(command, site, config, elsewhere, &[]);
        let mut server = Self::with_socket(command, socket);
        server.config = Some(file);
        server
    }

    /// Serves by a complete command, whose standard input is a socket of the test.
    pub fn with_socket(mut command: Command, socket: &TcpListener) -> Self {
        let addr = socket.local_addr().unwrap();
        command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
        let mut server = Self::spawned(command, addr);
        server.listens();
        server
    }

    /// Serves a site by a command that becomes the server: `jackfield`, or a command that runs it.
    pub fn launch(command: Command, site: &Path, config: &str, addr: SocketAddr) -> Self {
        Self::launch_with(command, site, config, addr, &[])
    }

    fn launch_with(
        mut command: Command,
        site: &Path,
        config: &str,
        addr: SocketAddr,
        flags: &[&str],
    ) -> Self {
        command.env("XDG_CACHE_HOME", build::cache());
        let (mut server, file) = Self::spawn(command, site, config, addr, flags);
        server.listens();
        server.config = Some(file);
        server
    }

    /// Starts to serve a site on a free port, with nothing compiled, and does not wait until it
    /// listens. `cache` is the folder of compiled components.
    pub fn begin(site: &Path, config: &str, cache: &Path) -> (Self, tempfile::NamedTempFile) {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Self::command();
        command.env("XDG_CACHE_HOME", cache);
        Self::spawn(command, site, config, addr, &[])
    }

    /// Starts the process. The returned file is its configuration, which it reads later.
    fn spawn(
        command: Command,
        site: &Path,
        config: &str,
        addr: SocketAddr,
        flags: &[&str],
    ) -> (Self, tempfile::NamedTempFile) {
        let (command, file) = Self::prepare(command, site, config, addr, flags);
        (Self::begun(command, addr), file)
    }

    /// Adds the arguments of `jackfield serve` to a command.
    fn prepare(
        mut command: Command,
        site: &Path,
        config: &str,
        addr: SocketAddr,
        flags: &[&str],
    ) -> (Command, tempfile::NamedTempFile) {
        command.env("XDG_RUNTIME_DIR", build::runtime()).env_remove("RUNTIME_DIRECTORY");
        command.arg("serve").arg(site).arg("--listen").arg(addr.to_string()).args(flags);
        let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
        if !config.is_empty() {
            std::fs::write(file.path(), config).unwrap();
            command.arg("--config").arg(file.path());
        }
        (command, file)
    }

    /// Starts the process without input, and follows its log.
    fn begun(mut command: Command, addr: SocketAddr) -> Self {
        command.stdin(Stdio::null());
        Self::spawned(command, addr)
    }

    fn spawned(mut command: Command, addr: SocketAddr) -> Self {
        let state = tempfile::tempdir().unwrap();
        command.env("XDG_STATE_HOME", state.path()).env_remove("STATE_DIRECTORY");
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("jackfield runs");
        let stderr = process.stderr.take().expect("stderr is piped").into();
        let log = Arc::new(Log { text: Mutex::default(), grown: Condvar::new(), stderr });
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.follow()
        });
        let stdout = process.stdout.take();
        Self { addr, process, stdout, log, config: None, _state: state }
    }

    /// Keeps the file of [`Self::begin`] for the server, which follows it.
    pub fn keep(&mut self, config: tempfile::NamedTempFile) {
        self.config = Some(config);
    }

    /// Replaces the configuration that the server was started with.
    #[track_caller]
    pub fn reconfigure(&self, config: &str) {
        let file = self.config.as_ref().expect("the server was started with a configuration");
        let next = file.path().with_extension("next");
        std::fs::write(&next, config).unwrap();
        std::fs::rename(next, file.path()).unwrap();
    }

    /// Waits until the server serves.
    #[track_caller]
    pub fn listens(&mut self) {
        let mut line = String::new();
        let stdout = self.stdout.take().expect("it is read once");
        BufReader::new(stdout).read_line(&mut line).expect("stdout is text");
        let address = line
            .trim()
            .strip_prefix("listening on ws://")
            .and_then(|it| it.split('/').next()?.parse().ok());
        let Some(addr) = address else {
            let _ended = self.process.wait();
            panic!("jackfield did not start: {line}{}", self.log.text());
        };
        self.addr = addr;
    }

    /// Returns the process id, for signals and measurements.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the log so far: all that the server has written.
    pub fn log(&self) -> String {
        self.log.complete().clone()
    }

    /// Waits until the log contains the text; returns the log.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        self.logged_after(0, text)
    }

    /// Waits until the log contains the text after its first `after` bytes; returns the log.
    #[track_caller]
    pub fn logged_after(&self, after: usize, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut log = self.log.text();
        // The line with the text has to be complete.
        while !(log[after..].contains(text) && log.ends_with('\n')) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the server never logged {text:?}; it logged:\n{log}");
            log = self.log.grown.wait_timeout(log, left).unwrap().0;
        }
        log[after..].to_owned()
    }

    /// The control socket that the server has opened last.
    #[track_caller]
    pub fn control_socket(&self) -> PathBuf {
        let log = self.logged("the control channel is open");
        let path = log.rsplit_once("the control channel is open socket=").unwrap().1;
        path.lines().next().unwrap().into()
    }

    /// Returns the answer of `/health`.
    pub fn health(&self) -> Value {
        let mut tcp = TcpStream::connect(self.addr).expect("the server listens");
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).expect("/health is answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
        assert!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{head}");
        serde_json::from_str(body).expect("/health is JSON")
    }

    /// Waits until `/health` reports `expected` under `key`. A session is counted a moment after
    /// its client has received WELCOME.
    #[track_caller]
    pub fn until_health(&self, key: &str, expected: impl Into<Value>) {
        let (until, expected) = (Instant::now() + PATIENCE, expected.into());
        loop {
            let health = self.health();
            if health[key] == expected {
                return;
            }
            assert!(Instant::now() < until, "{key} never became {expected}: {health}");
            std::thread::yield_now();
        }
    }

    /// Returns whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().expect("the process can be asked").is_none()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end by itself, and returns its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the server does not end; it logged:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Returns the resident memory of the process in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

#[expect(clippy::print_stderr, reason = "the test's output is where a failure is explained")]
impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the server logged:\n{}---", self.log());
        }
    }
}

impl Log {
    /// Returns the text. Ignores poisoning: a failed test still shows the log.
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the text once it has all that the process has written. On a busy machine, the thread that
    /// follows it may be late.
    fn complete(&self) -> MutexGuard<'_, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            let waiting = rustix::io::ioctl_fionread(&self.stderr).expect("a pipe can be asked");
            if waiting == 0 {
                return text;
            }
            assert!(Instant::now() < until, "the log is never read to its end");
            drop(text);
            std::thread::yield_now();
        }
    }

    /// Follows the log to its end. The lock is held from reading to appending, so that nothing is between
    /// the pipe and the text.
    fn follow(&self) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let mut fds = [PollFd::new(&self.stderr, PollFlags::IN)];
            if rustix::event::poll(&mut fds, None).is_err() {
                continue;
            }
            let mut text = self.text();
            match rustix::io::read(&self.stderr, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            }
            drop(text);
            self.grown.notify_all();
        }
    }
}
