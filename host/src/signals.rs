//! Signals of the operator and of the supervisor: requests to stop and to reload.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

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
        for meaningless in MEANINGLESS {
            // The signal is ignored from now on: dropping the listener does not restore the
            // default.
            drop(signal(SignalKind::from_raw(meaningless.as_raw()))?);
        }
        let hangup = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (requested, stop) = watch::channel(false);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => ("SIGINT", Signal::INT),
                    _ = terminate.recv() => ("SIGTERM", Signal::TERM),
                }
            };
            let (name, _) = next().await;
            info!("{name}: shutting down");
            requested.send_replace(true);
            let (name, signal) = next().await;
            warn!("{name} again: ending at once");
            // The exit code by the convention of shells, as if the signal had ended the process.
            std::process::exit(128 + signal.as_raw());
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
