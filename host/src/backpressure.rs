//! Push-back on those who send faster than others read.
//!
//! A publisher is read no further while a subscriber's outbox is crowded, for a bounded time: the
//! flooder is slowed down, and the subscriber is not thrown out. A subscriber whose transport takes
//! nothing at all is not waited for: it delays each publisher once, until it reads again. Called by
//! the connection of a publisher or callee, and by the API.

use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::Session;
use tokio::time::{Instant, sleep};

/// A transport that takes nothing for so long is not waited for.
const STALL: Duration = Duration::from_millis(100);

/// Waits until the outboxes of these sessions have room again, `limit` at most.
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
        sleep(STALL.min(left)).await;
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
