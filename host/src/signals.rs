//! Signals of the operator and of the supervisor: the request to end, and the one to reload.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// Signals whose default is to end the process, and that ask for nothing here: log rotators and
/// supervisors send `USR1` and `USR2` to whatever they look after, timers are inherited, and writing
/// over a limit of file size is an error of that write.
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
    /// Receives SIGHUP. One that came before anything waits for it is kept.
    pub(crate) hangup: tokio::signal::unix::Signal,
    pub(crate) stop: Stop,
}

/// Whether SIGTERM or SIGINT has come.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Signals {
    /// Receives signals from now on, within a runtime. Those that mean nothing are ignored. A second
    /// SIGTERM or SIGINT ends the process at once.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub(crate) fn receive() -> io::Result<Self> {
        for meaningless in MEANINGLESS {
            // Once it has been listened to, a signal's default does not come back.
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
            // By the convention of shells, as if the signal had ended the process.
            std::process::exit(128 + signal.as_raw());
        });
        Ok(Self { hangup, stop: Stop(stop) })
    }
}

impl Stop {
    /// Waits until the process is to end.
    pub(crate) async fn requested(&self) {
        // The task that sends ends with the process.
        let _requested = self.0.clone().wait_for(|&requested| requested).await.is_ok();
    }

    /// The result of the future. None if the process is to end before; the future is dropped then.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.requested() => None,
            done = future => Some(done),
        }
    }
}
