//! Lines of a tool's stdout, until the tool ends.
//!
//! The end of the process is the end, not that of the pipe: a process that the tool has left behind,
//! such as a compile server, may hold the pipe open for ever.

use std::io::{self, ErrorKind, Read as _};
use std::process::ChildStdout;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// Bytes of one read.
const CHUNK_BYTES: usize = 64 << 10;
/// The maximum of what is read after the end of the process: a pipe holds no more.
const MAX_LAST_BYTES: usize = 1 << 20;
/// The maximum length of a line; of a longer one, the beginning is dropped.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Passes each line of a tool that has its own process group. It blocks.
pub(super) fn follow(
    pid: Pid,
    mut stdout: ChildStdout,
    line: &mut dyn FnMut(&str),
) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    let (mut rest, mut chunk) = (Vec::new(), vec![0; CHUNK_BYTES]);
    let mut has_ended = false;
    while !has_ended {
        let mut watched =
            [PollFd::new(&stdout, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let [_, of_process] = &watched;
        has_ended = !of_process.revents().is_empty();
        if has_ended {
            // Those that it has left behind write no more.
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let mut left = if has_ended { MAX_LAST_BYTES } else { usize::MAX };
        while left > 0 {
            match stdout.read(&mut chunk) {
                Ok(0) => {
                    has_ended = true;
                    break;
                }
                Ok(count) => {
                    left = left.saturating_sub(count);
                    rest.extend(chunk.iter().take(count));
                    pass(&mut rest, line);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    if !rest.is_empty() {
        line(&String::from_utf8_lossy(&rest));
    }
    Ok(())
}

/// Passes the whole lines, and keeps the rest.
fn pass(rest: &mut Vec<u8>, line: &mut dyn FnMut(&str)) {
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
        if rest.len() > MAX_LINE_BYTES {
            rest.clear();
        }
        return;
    };
    let next = rest.split_off(end + 1);
    rest.truncate(end);
    for text in rest.split(|byte| *byte == b'\n') {
        line(&String::from_utf8_lossy(text));
    }
    *rest = next;
}
