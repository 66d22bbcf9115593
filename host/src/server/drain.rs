//! Drain: the orderly end of a server. No new connections, a close for the open ones, and a grace
//! period for their queued frames.
//!
//! Clients of both versions see the transport end, without GOODBYE and without a WebSocket close:
//! only after that, every client library in use reconnects by itself.

use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use crate::realms::Realms;
use crate::shutdown::{self, Shutdown};

/// Asks every connection to end, and waits for at most `grace`. `accepting` returns the connections
/// after it has noticed the shutdown.
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
