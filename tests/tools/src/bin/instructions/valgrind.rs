//! Server under callgrind, and the instructions that it has executed since the last query: those of
//! all threads, the runtime and libraries, without the kernel.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jackfield_tests::build;
use jackfield_tests::client::PATIENCE;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// While instructions are counted, no timer may fire, no file change of others may be noticed, and
/// no hook may time out on a busy machine.
const CONFIG: &str = "\
plugins: { compile: { in_process: true }, default: { deadline: 60s } }
keepalive: { interval: 1h, timeout: 1h }
handshake_timeout: 60s
limits: { message_rate: { per_second: 1000000000, burst: 1000000000 } }
watch: { poll: 1h }
";

/// A server whose instructions are counted.
pub(crate) struct Counted {
    pub(crate) server: Server,
    /// Callgrind's counts, and the pipes to it.
    directory: tempfile::TempDir,
    parts: Cell<u32>,
}

impl Counted {
    /// Starts serving, and counts from then on: starting and compiling run much faster uncounted.
    pub(crate) fn start(site: &Site) -> Result<Self, String> {
        let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
        found.map_err(|error| {
            format!("valgrind cannot be run ({error}); install it: apt-get install valgrind")
        })?;
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--instr-atstart=no", "--num-callers=1"])
            .arg(format!("--callgrind-out-file={}", directory.path().join("counts").display()))
            .arg(format!("--log-file={}", directory.path().join("valgrind.log").display()))
            .arg(format!("--vgdb-prefix={}", directory.path().join("vgdb").display()))
            // With one worker, the order of tasks does not depend on timing.
            .env("TOKIO_WORKER_THREADS", "1")
            .env("RUST_LOG", "info")
            .arg(build::jackfield());
        let server = Server::launch(command, site.path(), CONFIG, "127.0.0.1:0".parse().unwrap());
        let counted = Self { server, directory, parts: Cell::new(0) };
        counted.order(&["instrumentation", "on"])?;
        Ok(counted)
    }

    /// Returns the instructions executed since the last call.
    pub(crate) fn count(&self) -> u64 {
        self.order(&["dump"]).unwrap();
        self.parts.set(self.parts.get() + 1);
        let part = self.directory.path().join(format!("counts.{}", self.parts.get()));
        let text = fs::read_to_string(&part).unwrap();
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|it| it.trim().parse().ok()).expect("callgrind writes totals")
    }

    /// Waits until the server is idle: all of its threads sleep. The next message of a client then
    /// finds it in the same state each time, even on a busy machine.
    pub(crate) async fn idle(&self) {
        let until = Instant::now() + PATIENCE;
        let mut asleep = 0;
        // Twice, because the threads are not checked at the same instant.
        while asleep < 2 {
            assert!(Instant::now() < until, "the server is never idle: {}", self.server.log());
            asleep = if self.sleeps() { asleep + 1 } else { 0 };
            if asleep < 2 {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    }

    fn sleeps(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.server.pid())).unwrap();
        tasks.map(|task| task.unwrap().path().join("stat")).all(|stat: PathBuf| {
            // The state follows the name, which is in parentheses and may contain any character. A
            // thread that has ended meanwhile is idle.
            let Ok(text) = fs::read_to_string(stat) else { return true };
            text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    }

    fn order(&self, order: &[&str]) -> Result<(), String> {
        let vgdb = Command::new("vgdb")
            .arg(format!("--vgdb-prefix={}", self.directory.path().join("vgdb").display()))
            .arg(format!("--pid={}", self.server.pid()))
            .args(order)
            .output()
            .map_err(|error| format!("vgdb, which belongs to valgrind, cannot be run: {error}"))?;
        if vgdb.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&vgdb.stderr);
        Err(format!("vgdb {} failed: {said}", order.join(" ")))
    }
}
