//! Waits for messages of other nodes.

use std::time::Duration;

use jackfield_broker::peers::Barrier;
use tokio::time::{sleep, timeout};

use super::{ACKNOWLEDGE_TIMEOUT, ClusterNode};

/// The time between two looks of one of many that wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

impl ClusterNode {
    /// Waits until the other nodes have applied an offer, for a bounded time. Later offers do not wait for
    /// those that have not.
    pub(crate) async fn applied(&self, barrier: Barrier) {
        if !self.reached(&barrier).await {
            self.notice(self.cluster.write(|peers| peers.expire_offer(&barrier)));
        }
    }

    /// Waits until the other nodes have acknowledged all of a barrier, for a bounded time. Returns whether
    /// they have.
    async fn reached(&self, barrier: &Barrier) -> bool {
        let all = self.until(|| self.cluster.is_acknowledged(barrier));
        timeout(ACKNOWLEDGE_TIMEOUT, all).await.is_ok()
    }

    /// Waits until a message of another node has made something true.
    pub(crate) async fn until(&self, is_true: impl Fn() -> bool) {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if is_true() {
                return;
            }
            progress.await;
        }
    }

    /// As [`until`](Self::until), for many that wait at the same time: each of them looks now and then, not after
    /// every message.
    pub(crate) async fn until_about(&self, is_true: impl Fn() -> bool) {
        while !is_true() {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the other nodes know of a subscription, for a bounded time.
    pub(crate) async fn acknowledged(&self, barrier: Barrier) {
        if !self.reached(&barrier).await {
            self.notice(self.cluster.expire(&barrier));
        }
    }

    /// Waits while a node joins, for a bounded time: until then, its events may be missing here.
    pub(crate) async fn joined(&self) {
        let is_joining = || self.cluster.read(|peers| peers.is_joining(self.now()));
        if is_joining() {
            let _in_time = timeout(ACKNOWLEDGE_TIMEOUT, self.until(|| !is_joining())).await;
        }
    }

    /// Notes that a message has come: acknowledgements may be in it, and answers wait.
    pub(crate) fn advanced(&self) {
        self.progress.notify_waiters();
        self.queued.notify_one();
    }

    /// Waits until messages for peers may wait.
    pub(crate) async fn queued(&self) {
        self.queued.notified().await;
    }

    /// Waits for the next message.
    pub(crate) async fn progress(&self) {
        self.progress.notified().await;
    }
}
