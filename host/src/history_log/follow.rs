//! The comparison of the file with the memory, which is the original: events beyond the rule of their
//! route, their age or `history.memory` are removed from the file, too.

use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::LoggedHistory;
use jackfield_store::{HistoryChange, LoggedExtent, TopicKey};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::{HistoryLog, Order};
use crate::wall_clock;

/// The time between two comparisons, if few events are published.
const INTERVAL: Duration = Duration::from_mins(1);

/// The least time between two comparisons.
const PAUSE: Duration = Duration::from_secs(1);

/// The number of topics that are compared at once: publications wait for their changes.
const PIECE: usize = 256;

/// Compares again and again, forever. `kept` returns what the memory has of a topic at a time since the Unix
/// epoch.
pub(crate) async fn follow(
    log: Arc<HistoryLog>,
    kept: impl Fn(&TopicKey, Duration) -> Option<LoggedHistory>,
) {
    loop {
        // Either is a reason.
        let _elapsed = timeout(INTERVAL, log.compare.notified()).await;
        compare(&log, &kept).await;
        sleep(PAUSE).await;
    }
}

async fn compare(log: &HistoryLog, kept: &impl Fn(&TopicKey, Duration) -> Option<LoggedHistory>) {
    let (answer, extents) = oneshot::channel();
    if log.orders.send(Order::Extents(answer)).is_err() {
        return;
    }
    let Ok(extents) = extents.await else { return };
    let now = wall_clock::since_epoch();
    let mut extents = extents.into_iter().peekable();
    while extents.peek().is_some() {
        let piece = extents.by_ref().take(PIECE);
        let changes: Vec<_> = piece
            .filter_map(|extent| {
                let kept = kept(&extent.key, now);
                change(extent, kept)
            })
            .collect();
        if changes.is_empty() {
            yield_now().await;
            continue;
        }
        let (answer, done) = oneshot::channel();
        if log.orders.send(Order::Change(changes, answer)).is_err() || done.await.is_err() {
            return;
        }
    }
}

/// Returns the change that a topic of the file needs.
fn change(extent: LoggedExtent, kept: Option<LoggedHistory>) -> Option<HistoryChange> {
    let LoggedExtent { key, first, has_retained } = extent;
    let Some(kept) = kept.filter(|kept| kept.epoch == key.epoch) else {
        return Some(HistoryChange::Forget { key });
    };
    let is_longer = first.is_some_and(|first| first < kept.first);
    (is_longer || (has_retained && !kept.has_retained)).then_some(HistoryChange::Trim {
        key,
        first: kept.first,
        top: kept.top,
        keeps_retained: kept.has_retained,
    })
}
