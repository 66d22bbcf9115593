//! The end of the process, in order: no new connections, a farewell to those that are open, and
//! what is queued gets its time to leave.
//!
//! Clients of both versions see the transport end, without GOODBYE and without a WebSocket close:
//! that is the one ending after which every client library in use reconnects by itself.

use std::time::Duration;

use jackfield_broker::Closing;
use jackfield_wamp::error_uri;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::app::App;

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

/// Waits until the operator or the supervisor wants the process to end. From now on, signals that
/// mean nothing are ignored.
///
/// # Errors
/// When the signals cannot be listened to.
pub(crate) fn requested() -> std::io::Result<impl Future<Output = ()>> {
    for meaningless in MEANINGLESS {
        // Once it has been listened to, a signal's default does not come back.
        drop(signal(SignalKind::from_raw(meaningless.as_raw()))?);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        info!("{name}: shutting down");
    })
}

/// Tells every connection to end, and waits for that, `grace` at most.
pub(crate) async fn drain(app: &App, mut connections: JoinSet<()>, grace: Duration) {
    app.stop();
    let ended = timeout(grace, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        warn!(open = connections.len(), "connections were still open after the grace period");
        connections.abort_all();
    }
    info!("stopped");
}

/// Why sessions end then.
pub(crate) fn closing() -> Closing {
    Closing {
        reason: error_uri::CLOSE_SYSTEM_SHUTDOWN.to_owned(),
        message: "the server is shutting down".to_owned(),
    }
}
