//! Closed output: the moment at which the reader of a command's output ends. A command that prints lines
//! as they come would otherwise notice it at its next line only, which can be hours later.

use std::future::pending;
use std::{io, slice, thread};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// Waits until the reader of stdout has closed its end of the pipe. Files are never closed.
///
/// A thread waits, which ends with the process: stdout is shared with other processes, so it is not
/// made non-blocking for the runtime.
pub(super) async fn output_closed() {
    let (closed, is_closed) = oneshot::channel();
    let watching = thread::Builder::new().name("output".to_owned()).spawn(move || {
        if wait() {
            // The command may have ended.
            let _unneeded = closed.send(());
        }
    });
    if watching.is_err() || is_closed.await.is_err() {
        pending::<()>().await;
    }
}

/// Waits for the end of the reader. Returns whether it has ended.
fn wait() -> bool {
    let stdout = io::stdout();
    // Errors and hang-ups are always reported.
    let mut watched = PollFd::new(&stdout, PollFlags::empty());
    loop {
        match poll(slice::from_mut(&mut watched), None) {
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
