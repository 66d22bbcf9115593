//! All connections together: what their outboxes hold, what has arrived of messages that are not
//! complete, the end of those that hold the most when it is too much, and what waits for handlers.
//!
//! The bounds of one connection say nothing of ten thousand. Called by [`WebSocketTransport`], with no lock held.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jackfield_broker::{ClientKey, CloseReason, Total};
use jackfield_config::Limits;

use super::WebSocketTransport;
use super::backlog::Backlog;

/// Relieving goes on until an eighth of the limit is free, so that it is done seldom.
const FREED_SHARE: usize = 8;

/// All connections.
pub(crate) struct ConnectionTotals {
    /// What waits in outboxes whose sockets take no more.
    pub(crate) outboxes: Arc<Total>,
    /// What has arrived of messages that are not complete.
    pub(crate) arriving: Arc<Total>,
    /// Messages that wait for handlers.
    pub(crate) backlog: Arc<Backlog>,
    /// Held for one change or to copy the list, and no other lock is taken under it.
    wires: Mutex<HashMap<u64, Weak<WebSocketTransport>>>,
    next: AtomicU64,
    /// Whether a thread is relieving already.
    relieving: AtomicBool,
}

impl ConnectionTotals {
    /// No connections, with the limits of what they may hold together.
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            outboxes: Arc::new(Total::new(limits.outbox_total_bytes)),
            arriving: Arc::new(Total::new(limits.incomplete_bytes)),
            backlog: Backlog::new(limits.waiting_bytes, limits.client_percent),
            wires: Mutex::default(),
            next: AtomicU64::new(0),
            relieving: AtomicBool::new(false),
        })
    }

    /// A number for a connection that is about to be added.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add(&self, number: u64, wire: Weak<WebSocketTransport>) {
        self.lock().insert(number, wire);
    }

    pub(super) fn remove(&self, number: u64) {
        self.lock().remove(&number);
        self.backlog.forget(number);
    }

    /// Waits until a client without a connection of this kind may have more wait for handlers.
    pub(crate) async fn room(&self, client: ClientKey) {
        let waiting = RoomWait { totals: self, number: self.number() };
        let number = waiting.number;
        poll_fn(|context| self.backlog.poll_room(number, Some(client), context)).await;
    }

    /// Ends the connections that hold the most, until the rest is within the limits.
    pub(super) fn relieve(&self) {
        if self.relieving.swap(true, Ordering::Acquire) {
            return;
        }
        if self.outboxes.is_exceeded() {
            let limit = self.outboxes.limit();
            let message = format!(
                "more than {limit} bytes were waiting for all clients together \
                 (limits.outbox.total), and most of them for this one"
            );
            self.end_fullest(
                &self.outboxes,
                |wire| wire.outbox().held_bytes(),
                &CloseReason { reason: CloseReason::SLOW_SUBSCRIBER.to_owned(), message },
            );
        }
        if self.arriving.is_exceeded() {
            let limit = self.arriving.limit();
            let message = format!(
                "more than {limit} bytes had arrived of messages that were not complete \
                 (limits.incomplete), and most of them from this client"
            );
            self.end_fullest(
                &self.arriving,
                WebSocketTransport::arriving_bytes,
                &CloseReason { reason: INCOMPLETE.to_owned(), message },
            );
        }
        self.relieving.store(false, Ordering::Release);
    }

    fn end_fullest(
        &self,
        total: &Total,
        held: impl Fn(&WebSocketTransport) -> usize,
        closing: &CloseReason,
    ) {
        // The references are given back without the lock: the last one removes its wire.
        let wires: Vec<Arc<WebSocketTransport>> =
            self.lock().values().filter_map(Weak::upgrade).collect();
        let mut by_size: Vec<(usize, &Arc<WebSocketTransport>)> =
            wires.iter().map(|wire| (held(wire), wire)).filter(|(size, _)| *size > 0).collect();
        by_size.sort_unstable_by_key(|(size, _)| std::cmp::Reverse(*size));
        let mut excess = total.bytes().saturating_sub(total.limit() - total.limit() / FREED_SHARE);
        for (size, wire) in by_size {
            if excess == 0 {
                return;
            }
            wire.evict(closing.clone());
            excess = excess.saturating_sub(size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<WebSocketTransport>>> {
        // Each change is one statement.
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets that a client waits for room.
struct RoomWait<'a> {
    totals: &'a ConnectionTotals,
    number: u64,
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        self.totals.backlog.forget(self.number);
    }
}

/// The closing reason of a connection whose message did not become complete while too much of
/// others' was waiting as well.
const INCOMPLETE: &str = "jackfield.close.incomplete_message";
