//! Process group of a build: one tool at a time, which is ended with all its descendants.

mod lines;

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::error::BuildError;

/// The tools of one build. Clones are the same group.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessGroup(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Running(Pid),
    /// No tool is started any more.
    Stopped,
}

/// Stops a group when it is dropped.
#[derive(Debug)]
pub(super) struct StopOnDrop(ProcessGroup);

impl ProcessGroup {
    /// Runs a tool to its end, and passes each line of its stdout. Its stderr is that of this
    /// process. It blocks.
    ///
    /// # Errors
    /// When it cannot be started, or when the group has been stopped.
    pub(super) fn run(
        &self,
        command: &mut Command,
        line: impl FnMut(&str),
    ) -> io::Result<ExitStatus> {
        self.run_to(command, Stdio::piped(), line)
    }

    /// Runs a tool that writes for the user alone: its stdout is the stderr of this process.
    ///
    /// # Errors
    /// When it is not installed, with this help, or fails.
    pub(super) fn run_tool(
        &self,
        command: &mut Command,
        help: &'static str,
    ) -> Result<(), BuildError> {
        let stdout =
            io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
        let run = self.run_to(command, stdout, |_| ());
        check(command, run, help)
    }

    /// Runs a tool, and returns its stdout.
    ///
    /// # Errors
    /// As [`ProcessGroup::run_tool`].
    pub(super) fn read_tool(
        &self,
        command: &mut Command,
        help: &'static str,
    ) -> Result<String, BuildError> {
        let mut text = String::new();
        let run = self.run(command, |line| text.push_str(line));
        check(command, run, help).map(|()| text)
    }

    fn run_to(
        &self,
        command: &mut Command,
        stdout: Stdio,
        mut line: impl FnMut(&str),
    ) -> io::Result<ExitStatus> {
        let mut child = {
            let mut state = self.lock();
            if matches!(*state, State::Stopped) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // A group of its own: a signal of the terminal ends this process, which ends the group.
            command.process_group(0).stdin(Stdio::null()).stdout(stdout);
            let child = command.spawn()?;
            *state = State::Running(Pid::from_child(&child));
            child
        };
        // Its id stays taken until it is waited for below, so that no other process is hit.
        let pid = Pid::from_child(&child);
        let followed = child.stdout.take().map(|stdout| lines::follow(pid, stdout, &mut line));
        while matches!(
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT),
            Err(Errno::INTR)
        ) {}
        // What it has left behind, such as a server that a tool has started.
        let _gone = kill_process_group(pid, Signal::KILL);
        let mut state = self.lock();
        if matches!(*state, State::Running(_)) {
            *state = State::Idle;
        }
        let status = child.wait()?;
        followed.transpose().map(|_| status)
    }

    /// Ends the running tool with all its descendants, and prevents further ones.
    fn stop(&self) {
        let mut state = self.lock();
        if let State::Running(group) = *state {
            // Fails if all of them have ended.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        *state = State::Stopped;
    }

    /// Returns a guard that stops the group when it is dropped.
    pub(super) fn stop_on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns the end of a tool into an error of the build.
fn check(
    command: &Command,
    run: io::Result<ExitStatus>,
    help: &'static str,
) -> Result<(), BuildError> {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or_default().display();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(BuildError::failed(format!("{program} failed; its errors are above"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BuildError::toolchain(format!("{program} is not found"), help))
        }
        Err(error) => Err(BuildError::io(format_args!("{program} cannot be started"), &error)),
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn passes_lines_and_the_exit_code() {
        let (group, mut lines) = (ProcessGroup::default(), Vec::new());
        let status = group.run(&mut shell("echo a; printf 'b\\377'; exit 3"), |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(
            (status.unwrap().code(), lines),
            (Some(3), vec!["a".into(), "b\u{fffd}".into()])
        );
        assert!(group.run(&mut shell("exit"), |_| ()).unwrap().success(), "it can be used again");
    }

    #[test]
    fn a_tool_ends_without_the_processes_that_it_leaves_behind() {
        let (group, mut lines) = (ProcessGroup::default(), Vec::new());
        // The first child is in the group; the second one has left it, and holds stdout open.
        let script = "sleep 600 & echo $!; setsid sleep 600 & echo $!; printf end";
        let status = group.run(&mut shell(script), |line| lines.push(line.to_owned()));
        assert!(status.unwrap().success());
        assert_eq!(lines.pop().as_deref(), Some("end"));
        let pids: Vec<i32> = lines.iter().map(|it| it.parse().unwrap()).collect();
        let [inside, outside] = pids[..] else { panic!("{pids:?}") };
        until_gone(inside);
        // Ends it, and not before: it may not have left the group yet.
        let _maybe = rustix::process::kill_process(Pid::from_raw(outside).unwrap(), Signal::KILL);
    }

    /// Waits until a process is gone, or a zombie until process 1 collects it.
    fn until_gone(pid: i32) {
        while rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.contains(") Z ") {
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn ends_descendants_and_starts_no_more() {
        let group = ProcessGroup::default();
        let mut guard = Some(group.stop_on_drop());
        let mut pids = Vec::new();
        // The shell waits for a child, which is in its group, and whose id it has printed.
        let status = group.run(&mut shell("sleep 600 & echo $!; wait"), |line| {
            pids.push(line.parse::<i32>().unwrap());
            drop(guard.take());
        });
        assert_eq!(status.unwrap().code(), None, "it was killed");
        until_gone(pids[0]);
        let error = group.run(&mut shell("exit"), |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
