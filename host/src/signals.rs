//! Signals of the operator and of the supervisor: requests to stop and to reload.
//!
//! [`Signals`] are those of a server, which takes its time to stop. [`Stop::of_command`] is for other
//! commands, which may wait in a blocked write when a signal arrives.

use std::io::{self, Write as _};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::log;

/// Ignored signals whose default would end the process. Log rotators and supervisors send `USR1`
/// and `USR2` to all their processes, timers are inherited, and a write beyond the limit of file
/// size fails by itself.
const MEANINGLESS: [Signal; 8] = [
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::XFSZ,
];

/// The time for a command to end after a signal. One that needs longer waits for an output that
/// accepts no data.
const MAX_COMMAND_END: Duration = Duration::from_secs(3);
/// The time to write [`UNFINISHED`].
const MAX_TELL: Duration = Duration::from_secs(1);
/// The message of a command that is ended in the middle.
const UNFINISHED: &str =
    "error: interrupted while an output accepts no data; the output is not complete";

/// The signals of the operator or the supervisor.
pub(crate) struct Signals {
    /// SIGHUP. One that arrives before a task waits for it is kept.
    pub(crate) hangup: tokio::signal::unix::Signal,
    pub(crate) stop: Stop,
}

/// Whether SIGTERM or SIGINT has arrived.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Signals {
    /// Receives signals from now on; requires a runtime. Signals without a meaning are ignored. A
    /// second SIGTERM or SIGINT ends the process at once.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(crate) fn receive() -> io::Result<Self> {
        ignore_meaningless()?;
        let hangup = signal(SignalKind::hangup())?;
        let mut stops = StopSignals::receive()?;
        let (requested, stop) = watch::channel(false);
        tokio::spawn(async move {
            let (name, _) = stops.next().await;
            info!(name: "server.stopping", "{name}: shutting down");
            requested.send_replace(true);
            let (name, signal) = stops.next().await;
            warn!(name: "server.killed", "{name} again: ending at once");
            log::flush();
            end_by(signal)
        });
        Ok(Self { hangup, stop: Stop(stop) })
    }

    /// Receives the same signals in a second place.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, stop: self.stop.clone() })
    }
}

impl Stop {
    /// Receives SIGINT and SIGTERM for a command, from now on. A thread of its own receives them, as
    /// the command itself may wait in a blocked write. A second signal ends the process at once, and
    /// so does [`MAX_COMMAND_END`] after the first one.
    ///
    /// SIGHUP is left as it was inherited: it ends a command whose terminal is closed, unless `nohup`
    /// has started the command.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(crate) fn of_command() -> io::Result<Self> {
        let (requested, stop) = watch::channel(false);
        let (started, is_started) = sync_channel(1);
        let work = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            runtime.block_on(async {
                let stops = ignore_meaningless().and_then(|()| StopSignals::receive());
                let mut stops = match stops {
                    Ok(stops) => stops,
                    Err(error) => return drop(started.send(Err(error))),
                };
                // The receiver waits for it.
                drop(started.send(Ok(())));
                let (_, first) = stops.next().await;
                requested.send_replace(true);
                match timeout(MAX_COMMAND_END, stops.next()).await {
                    Ok((_, second)) => end_by(second),
                    Err(_elapsed) => {
                        // Stderr may be blocked as well, and its lock held.
                        let tell = || writeln!(io::stderr(), "{UNFINISHED}");
                        let _untold = timeout(MAX_TELL, tokio::task::spawn_blocking(tell)).await;
                        end_by(first)
                    }
                }
            });
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(work)?;
        is_started.recv().map_err(io::Error::other)??;
        Ok(Self(stop))
    }

    /// A signal that does not come.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        let (sender, stop) = watch::channel(false);
        // The sender has to exist as long as a task waits.
        std::mem::forget(sender);
        Self(stop)
    }

    /// Waits until the process has to stop.
    pub(crate) async fn requested(&self) {
        // The sending task ends with the process.
        let _requested = self.0.clone().wait_for(|&requested| requested).await.is_ok();
    }

    /// Returns the result of the future. `None` if the process has to stop before; the future is
    /// dropped then.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.requested() => None,
            done = future => Some(done),
        }
    }
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn receive() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one, with its name.
    async fn next(&mut self) -> (&'static str, Signal) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", Signal::INT),
            _ = self.terminate.recv() => ("SIGTERM", Signal::TERM),
        }
    }
}

fn ignore_meaningless() -> io::Result<()> {
    for meaningless in MEANINGLESS {
        // The signal is ignored from now on: dropping the listener does not restore the default.
        drop(signal(SignalKind::from_raw(meaningless.as_raw()))?);
    }
    Ok(())
}

/// Ends the process, with the exit code by the convention of shells, as if the signal had ended it.
fn end_by(signal: Signal) -> ! {
    std::process::exit(128 + signal.as_raw())
}
