//! The end of a server in order: no new connections, a close for those that are open, and a grace
//! period for what is queued for them.
//!
//! Clients of both versions see the transport end, without GOODBYE and without a WebSocket close:
//! after that ending alone, every client library in use reconnects by itself.

use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use crate::realms::Realms;
use crate::shutdown::{self, Shutdown};

/// Tells every connection to end, and waits for that, `grace` at most. `accepting` gives the
/// connections once it has noticed the shutdown.
pub(super) async fn drain(
    shutdown: &Shutdown,
    realms: &Realms,
    accepting: JoinHandle<JoinSet<()>>,
    grace: Duration,
) {
    shutdown.request();
    realms.close_sessions(&shutdown::close_reason());
    let mut connections = accepting.await.unwrap_or_else(|error| {
        warn!("accepting connections ended early: {error}");
        JoinSet::new()
    });
    let ended = timeout(grace, async { while connections.join_next().await.is_some() {} });
    if ended.await.is_err() {
        warn!(open = connections.len(), "connections were still open after the grace period");
        connections.abort_all();
    }
}
