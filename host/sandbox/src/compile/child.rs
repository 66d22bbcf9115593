//! Server's side of one compiler process: spawns it, writes the component, reads the reply, and
//! kills it on timeout or when the future is dropped.
//!
//! The process is std's; its pipes are tokio's.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::CompileCommand;
use super::error::CompileError;
use super::worker::CompileReply;

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

/// Compiles into `folder`. Returns the hash of the engine.
///
/// # Errors
/// When no process can be started or listened to. The inner error is what came of compiling.
pub(super) async fn run(
    command: &CompileCommand,
    folder: &Path,
    file: &str,
    bytes: &[u8],
) -> io::Result<Result<u64, CompileError>> {
    let mut process = start(command, folder, file, bytes.len())?;
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
    match tokio::time::timeout(command.limits.time, talk).await {
        Err(_elapsed) => Ok(Err(CompileError::Time)),
        Ok(talked) => {
            let (said, complained) = talked?;
            Ok(outcome(process.wait().await?, &said, &complained))
        }
    }
}

fn start(command: &CompileCommand, folder: &Path, file: &str, bytes: usize) -> io::Result<Process> {
    let spawn = |program: &Path| {
        Command::new(program)
            .arg(&command.subcommand)
            .arg("--folder")
            .arg(folder)
            .args(["--bytes", &bytes.to_string()])
            .args(["--memory", &command.limits.memory.to_string()])
            .args(["--cpu", &command.limits.cpu.as_secs().max(1).to_string()])
            // Shown in process lists.
            .arg("--")
            .arg(file)
            // The environment may hold secrets, and the compiler needs nothing of it.
            .env_clear()
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
fn outcome(status: ExitStatus, said: &str, complained: &str) -> Result<u64, CompileError> {
    if let Ok(answer) = serde_json::from_str::<CompileReply>(said) {
        return answer.failure.map_or(Ok(answer.engine), Err);
    }
    if OUT_OF_MEMORY.iter().any(|sign| complained.contains(sign)) {
        return Err(CompileError::Memory);
    }
    let signal = status.signal();
    if signal == Some(Signal::XCPU.as_raw()) {
        return Err(CompileError::Cpu);
    }
    if signal.is_some_and(|signal| !FAULTS.iter().any(|fault| fault.as_raw() == signal)) {
        return Err(CompileError::Killed);
    }
    let last = complained.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let last: String = last.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect();
    Err(CompileError::Crashed(format!("{status}: {last}")))
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
        let check =
            |status: i32, said: &str, complained: &str, expected: Result<u64, CompileError>| {
                assert_eq!(outcome(ExitStatus::from_raw(status), said, complained), expected);
            };
        check(0, r#"{"engine":7,"failure":null}"#, "", Ok(7));
        let invalid = r#"{"engine":0,"failure":{"invalid":"no"}}"#;
        check(0, invalid, "", Err(CompileError::Invalid("no".to_owned())));
        check(6, "", "memory allocation of 5368709120 bytes failed\n", Err(CompileError::Memory));
        check(24, "", "", Err(CompileError::Cpu));
        for from_outside in [1, 2, 9, 15] {
            check(from_outside, "", "", Err(CompileError::Killed));
        }
        let overflow = "\nthread 'main' has overflowed its \x1b[31mstack\n";
        let text = "signal: 6 (SIGABRT): thread 'main' has overflowed its [31mstack".to_owned();
        check(6, "", overflow, Err(CompileError::Crashed(text)));
        check(0, "", "", Err(CompileError::Crashed("exit status: 0: ".to_owned())));
    }
}
