//! Backpressure on publishers that send faster than their subscribers read.
//!
//! The server stops reading from a publisher while the outbox of a subscriber is crowded, for a
//! bounded time. This slows the publisher down instead of disconnecting the subscriber. A stalled
//! subscriber, whose transport accepts no bytes at all, delays each publisher only once, until it
//! reads again. Called by the connection of a publisher or callee, and by the API.

use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::Session;
use tokio::time::{Instant, sleep};

/// A transport that accepts no bytes for this time is stalled.
const STALL_TIMEOUT: Duration = Duration::from_millis(100);

/// Waits until the outboxes of these sessions have room again, for at most `limit`.
pub(crate) async fn wait_for_room(crowded: Vec<Arc<Session>>, limit: Duration) {
    let until = Instant::now() + limit;
    let mut waiting: Vec<(Arc<Session>, u64)> = Vec::with_capacity(crowded.len());
    for session in crowded {
        if waiting.iter().all(|(known, _)| known.id != session.id) {
            let written = session.outbox().pressure().written;
            waiting.push((session, written));
        }
    }
    while !waiting.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sleep(STALL_TIMEOUT.min(left)).await;
        waiting.retain_mut(|(session, before)| {
            let pressure = session.outbox().pressure();
            if pressure.waits && pressure.written == *before {
                session.outbox().give_up(*before);
                return false;
            }
            *before = pressure.written;
            pressure.waits
        });
    }
}
