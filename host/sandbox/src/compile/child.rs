//! Server's side of one compiler process: spawns it, writes the component, reads the reply, and
//! kills it on timeout or when the future is dropped.
//!
//! The process is std's; its pipes are tokio's.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tracing::debug;

use super::CompileCommand;
use super::error::CompileError;
use super::worker::{CompileReply, STARVED_EXIT_CODE};

/// Text read from stdout and stderr each.
const MAX_TEXT_BYTES: u64 = 64 << 10;
/// Length of an unexpected error in messages.
const MAX_SHOWN_CHARS: usize = 500;
/// Messages of Rust's standard library before it aborts for lack of memory.
const OUT_OF_MEMORY: [&str; 3] = ["memory allocation of", "Cannot allocate memory", "os error 12"];

/// Signals caused by the process itself. Others come from outside and do not depend on the file.
const FAULTS: [Signal; 8] = [
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::ILL,
    Signal::SEGV,
    Signal::SYS,
    Signal::TRAP,
    Signal::XFSZ,
];

/// A process that is killed on drop.
struct Process(Option<Child>);

/// Result of a compiler process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CompileOutcome {
    /// The hash of the engine.
    Compiled(u64),
    Failed(CompileError),
    /// An idle process got too little CPU time.
    Starved,
}

/// One component, and how it is compiled.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompileJob<'a> {
    /// The file's name for lists of processes.
    pub(super) file: &'a str,
    pub(super) bytes: &'a [u8],
    /// An empty folder for the code.
    pub(super) folder: &'a Path,
    /// When the process is killed.
    pub(super) deadline: Instant,
    /// Whether the process uses only cores that no other one wants.
    pub(super) is_idle: bool,
}

/// Runs one process.
///
/// # Errors
/// When no process can be started or listened to.
pub(super) async fn run(
    command: &CompileCommand,
    job: CompileJob<'_>,
) -> io::Result<CompileOutcome> {
    let CompileJob { bytes, deadline, .. } = job;
    let mut process = start(command, job)?;
    let (stdin, stdout, stderr) = process.pipes()?;
    let talk = async {
        // Its end is what tells the process that its answer is not wanted any more.
        let mut stdin = stdin;
        let send = async {
            match stdin.write_all(bytes).await {
                // It has ended before it had read everything, and says why.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => written,
            }
        };
        let (written, said, complained) = tokio::join!(send, text(stdout), text(stderr));
        written?;
        Ok::<_, io::Error>((said?, complained?))
    };
    match tokio::time::timeout_at(deadline.into(), talk).await {
        Err(_elapsed) => Ok(CompileOutcome::Failed(CompileError::Time)),
        Ok(talked) => {
            let (said, complained) = talked?;
            Ok(outcome(process.wait().await?, &said, &complained))
        }
    }
}

fn start(command: &CompileCommand, job: CompileJob<'_>) -> io::Result<Process> {
    let spawn = |program: &Path| {
        Command::new(program)
            .arg(&command.subcommand)
            .arg("--folder")
            .arg(job.folder)
            .args(["--bytes", &job.bytes.len().to_string()])
            .args(["--memory", &command.limits.memory.to_string()])
            .args(["--cpu", &command.limits.cpu.as_secs().max(1).to_string()])
            .args(job.is_idle.then_some("--idle"))
            // Shown in process lists.
            .arg("--")
            .arg(job.file)
            // The server's environment may hold secrets.
            .env_clear()
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            // What a terminal sends to the server's group, the server passes on by itself.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    let spawned = match (spawn(&command.program), &command.fallback) {
        (Err(error), Some(fallback)) if error.kind() == ErrorKind::NotFound => spawn(fallback),
        (spawned, _) => spawned,
    };
    spawned.map(|child| Process(Some(child))).map_err(|error| {
        let program = command.program.display();
        io::Error::new(error.kind(), format!("{program} cannot be started: {error}"))
    })
}

async fn text(pipe: pipe::Receiver) -> io::Result<String> {
    let mut bytes = Vec::new();
    pipe.take(MAX_TEXT_BYTES).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The result of an ended process.
fn outcome(status: ExitStatus, said: &str, complained: &str) -> CompileOutcome {
    if let Ok(CompileReply { engine, failure, priority_error }) = serde_json::from_str(said) {
        if let Some(error) = priority_error {
            debug!(%error, "a compiler runs with low priority, and does not wait for idle cores");
        }
        return failure.map_or(CompileOutcome::Compiled(engine), CompileOutcome::Failed);
    }
    if status.code() == Some(STARVED_EXIT_CODE) {
        return CompileOutcome::Starved;
    }
    CompileOutcome::Failed(failure(status, complained))
}

/// The error of a process that has ended without a reply.
fn failure(status: ExitStatus, complained: &str) -> CompileError {
    if OUT_OF_MEMORY.iter().any(|sign| complained.contains(sign)) {
        return CompileError::Memory;
    }
    let signal = status.signal();
    if signal == Some(Signal::XCPU.as_raw()) {
        return CompileError::Cpu;
    }
    if signal.is_some_and(|signal| !FAULTS.iter().any(|fault| fault.as_raw() == signal)) {
        return CompileError::Killed;
    }
    let last = complained.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let last: String = last.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect();
    CompileError::Crashed(format!("{status}: {last}"))
}

impl Process {
    fn pipes(&mut self) -> io::Result<(pipe::Sender, pipe::Receiver, pipe::Receiver)> {
        let child = self.0.as_mut().ok_or(ErrorKind::NotFound)?;
        let stdin = OwnedFd::from(child.stdin.take().ok_or(ErrorKind::BrokenPipe)?);
        let stdout = OwnedFd::from(child.stdout.take().ok_or(ErrorKind::BrokenPipe)?);
        let stderr = OwnedFd::from(child.stderr.take().ok_or(ErrorKind::BrokenPipe)?);
        Ok((
            pipe::Sender::from_owned_fd(stdin)?,
            pipe::Receiver::from_owned_fd(stdout)?,
            pipe::Receiver::from_owned_fd(stderr)?,
        ))
    }

    /// Waits for its end; it has closed its pipes.
    async fn wait(mut self) -> io::Result<ExitStatus> {
        let mut child = self.0.take().ok_or(ErrorKind::NotFound)?;
        tokio::task::spawn_blocking(move || child.wait()).await.map_err(io::Error::other)?
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // It may have ended already.
        let _ended = child.kill();
        // Freeing gigabytes takes the operating system a while. Without a thread there is a zombie
        // until the server ends.
        let _reaped = std::thread::Builder::new().spawn(move || child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_cause_of_a_process_exit() {
        let check = |status: i32, said: &str, complained: &str, expected: CompileOutcome| {
            assert_eq!(outcome(ExitStatus::from_raw(status), said, complained), expected);
        };
        let failed = CompileOutcome::Failed;
        let compiled = r#"{"engine":7,"failure":null}"#;
        check(0, compiled, "", CompileOutcome::Compiled(7));
        let low = r#"{"engine":7,"failure":null,"priority_error":"EPERM"}"#;
        check(0, low, "", CompileOutcome::Compiled(7));
        let starved = STARVED_EXIT_CODE << 8;
        check(starved, "", "", CompileOutcome::Starved);
        check(starved, r#"{"engine":7,"fai"#, "", CompileOutcome::Starved);
        // It was ready at the same moment.
        check(starved, compiled, "", CompileOutcome::Compiled(7));
        let invalid = r#"{"engine":0,"failure":{"invalid":"no"}}"#;
        check(0, invalid, "", failed(CompileError::Invalid("no".to_owned())));
        check(
            6,
            "",
            "memory allocation of 5368709120 bytes failed\n",
            failed(CompileError::Memory),
        );
        check(24, "", "", failed(CompileError::Cpu));
        for from_outside in [1, 2, 9, 15] {
            check(from_outside, "", "", failed(CompileError::Killed));
        }
        let overflow = "\nthread 'main' has overflowed its \x1b[31mstack\n";
        let text = "signal: 6 (SIGABRT): thread 'main' has overflowed its [31mstack".to_owned();
        check(6, "", overflow, failed(CompileError::Crashed(text)));
        check(0, "", "", failed(CompileError::Crashed("exit status: 0: ".to_owned())));
    }
}
