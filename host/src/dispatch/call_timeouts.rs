//! Timeouts of calls to clients: one task of the realm ends all calls that are due. The dealer has
//! their order.

use std::sync::Arc;
use std::time::Instant;

use jackfield_broker::PendingFlushes;
use tokio::task::yield_now;

use super::Dispatch;
use crate::metrics::{RefusalReason, RequestKind};
use crate::timers::until;

impl Dispatch {
    /// Ends the realm's calls that are due, forever.
    pub(crate) async fn run_call_timeouts(self: Arc<Self>) {
        loop {
            let next = self.dealer.next_due();
            tokio::select! {
                () = until(next) => {}
                () = self.earlier_timeout.notified() => continue,
            }
            let mut batch = PendingFlushes::default();
            for _ in 0..self.dealer.expire(Instant::now(), &mut batch) {
                self.metrics.refused(RequestKind::Call, RefusalReason::Timeout);
            }
            drop(batch);
            yield_now().await;
        }
    }

    /// Wakes the task if a call has to end before all others.
    pub(super) fn note_timeout(&self, is_earliest: bool) {
        if is_earliest {
            self.earlier_timeout.notify_one();
        }
    }
}
