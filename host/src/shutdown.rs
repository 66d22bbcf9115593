//! The request to end, as every task sees it: connections, HTTP and the listener wait for it.
//!
//! `server` makes it when [`crate::signals`] or a failed start asks for the end.

use jackfield_broker::CloseReason;
use jackfield_wamp::error_uri;
use tokio::sync::watch;

/// Whether the server is to end.
pub(crate) struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks every task to end.
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether the server is to end.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the server is to end.
    pub(crate) async fn requested(&self) {
        // The sender is `self`, so it cannot be gone.
        let _requested = self.0.subscribe().wait_for(|&requested| requested).await.is_ok();
    }
}

/// The reason that sessions end with.
pub(crate) fn close_reason() -> CloseReason {
    CloseReason {
        reason: error_uri::CLOSE_SYSTEM_SHUTDOWN.to_owned(),
        message: "the server is shutting down".to_owned(),
    }
}
