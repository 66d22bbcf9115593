//! Shutdown: the request to stop, for all tasks. Connections, HTTP and the listener wait for it.
//!
//! `server` makes it when [`crate::signals`] or a failed start asks for it.

use jackfield_broker::CloseReason;
use jackfield_wamp::error_uri;
use tokio::sync::watch;

/// Whether the server has to stop.
pub(crate) struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks every task to stop.
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether the server has to stop.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server has to stop.
    pub(crate) async fn requested(&self) {
        // The sender is `self`, so it exists.
        let _requested = self.0.subscribe().wait_for(|&requested| requested).await.is_ok();
    }
}

/// Returns the close reason of sessions at a shutdown.
pub(crate) fn close_reason() -> CloseReason {
    CloseReason {
        reason: error_uri::CLOSE_SYSTEM_SHUTDOWN.to_owned(),
        message: "the server is shutting down".to_owned(),
    }
}
