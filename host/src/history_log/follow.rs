//! The comparison of the file with the memory, which is the original: events beyond the rule of their
//! route, their age or `history.memory` are removed from the file, too.

use std::sync::Arc;
use std::time::Duration;

use jackfield_store::HistoryChange;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{HistoryLog, Order};
use crate::realms::Realms;
use crate::wall_clock;

/// The time between two comparisons, if few events are published.
const INTERVAL: Duration = Duration::from_mins(1);

/// Compares again and again, forever.
pub(crate) async fn follow(log: Arc<HistoryLog>, realms: Arc<Realms>) {
    loop {
        // Either is a reason.
        let _elapsed = timeout(INTERVAL, log.compare.notified()).await;
        compare(&log, &realms).await;
    }
}

async fn compare(log: &HistoryLog, realms: &Realms) {
    let (answer, keys) = oneshot::channel();
    if log.orders.send(Order::Keys(answer)).is_err() {
        return;
    }
    let Ok(keys) = keys.await else { return };
    let now = wall_clock::since_epoch();
    let mut changes = Vec::new();
    for key in keys {
        let dispatch = realms.get(&key.realm);
        let kept = dispatch.and_then(|it| it.realm().durable_history(&key.topic, now));
        changes.push(match kept.filter(|kept| kept.epoch == key.epoch) {
            Some(kept) => {
                HistoryChange::Trim { key, first: kept.first, keeps_retained: kept.has_retained }
            }
            None => HistoryChange::Forget { key },
        });
    }
    if !changes.is_empty() {
        log.change(changes);
    }
}
