//! Memory limits over all connections: the bytes in outboxes, in incomplete messages, and in
//! messages that wait for handlers. If one of the first two totals exceeds its limit, the
//! connections with the most bytes are closed.
//!
//! Limits of a single connection do not bound the memory of ten thousand. Called by
//! [`ClientTransport`], with no lock held.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;

use jackfield_broker::{ClientKey, CloseCause, CloseReason, Total};
use jackfield_config::Limits;
use jackfield_wamp::dialect::Dialect;

use super::ClientTransport;
use super::backlog::{Backlog, Part};
use super::traffic::{self, OutboxSizes, Traffic, TrafficByDialect};
use crate::close_uri::INCOMPLETE;

/// Closing connections continues until one eighth of the limit is free, so that it happens rarely.
const FREED_SHARE: usize = 8;

/// All connections.
pub(crate) struct ConnectionTotals {
    /// Bytes in outboxes of blocked sockets.
    pub(crate) outboxes: Arc<Total>,
    /// Bytes of incomplete messages.
    pub(crate) arriving: Arc<Total>,
    /// Messages that wait for handlers.
    pub(crate) backlog: Arc<Backlog>,
    /// Held for one change or to copy the list; no other lock is taken meanwhile.
    wires: Mutex<Wires>,
    next: AtomicU64,
    /// Whether a thread is already in [`ConnectionTotals::relieve`].
    relieving: AtomicBool,
}

/// The open connections by number, and the traffic of the others.
#[derive(Default)]
struct Wires {
    open: HashMap<u64, Weak<ClientTransport>>,
    /// The traffic of connections that have ended.
    ended: TrafficByDialect,
    /// The traffic that was returned last.
    last: TrafficByDialect,
}

impl ConnectionTotals {
    /// Creates an empty collection, with the limits of the totals.
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

    /// Follows changed limits. What exceeds a lower one is relieved with the next bytes that come.
    pub(crate) fn follow(&self, limits: &Limits) {
        self.outboxes.set_limit(limits.outbox_total_bytes);
        self.arriving.set_limit(limits.incomplete_bytes);
        self.backlog.set_limits(limits.waiting_bytes, limits.client_percent);
    }

    /// Returns a number for a new connection.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn add(&self, number: u64, wire: Weak<ClientTransport>) {
        self.lock().open.insert(number, wire);
    }

    pub(super) fn remove(&self, number: u64, dialect: Dialect, traffic: Traffic) {
        let mut wires = self.lock();
        wires.open.remove(&number);
        traffic::add(&mut wires.ended, dialect, traffic);
        drop(wires);
        self.backlog.forget(number);
    }

    /// Waits until a client of the HTTP API may hold more bytes that wait for handlers.
    pub(crate) async fn room(&self, client: ClientKey) {
        let waiting = RoomWait { totals: self, number: self.number() };
        let number = waiting.number;
        let room = |context: &mut Context<'_>| {
            self.backlog.poll_room(number, Some(client), Part::Rest, context)
        };
        poll_fn(room).await;
    }

    /// Closes the connections that hold the most bytes, until the totals are within the limits.
    pub(super) fn relieve(&self) {
        if self.relieving.swap(true, Ordering::Acquire) {
            return;
        }
        if self.outboxes.is_exceeded() {
            let limit = self.outboxes.limit();
            let message = format!(
                "outboxes of all clients exceeded {limit} bytes (limits.outbox.total), and this \
                 client had among the most queued bytes"
            );
            self.end_fullest(
                &self.outboxes,
                |wire| wire.outbox().held_bytes(),
                &CloseReason {
                    cause: CloseCause::SlowSubscriber,
                    reason: CloseReason::SLOW_SUBSCRIBER.to_owned(),
                    message,
                },
            );
        }
        if self.arriving.is_exceeded() {
            let limit = self.arriving.limit();
            let message = format!(
                "incomplete messages of all clients exceeded {limit} bytes (limits.incomplete), \
                 and this client had sent among the most"
            );
            self.end_fullest(
                &self.arriving,
                ClientTransport::arriving_bytes,
                &CloseReason {
                    cause: CloseCause::IncompleteMessage,
                    reason: INCOMPLETE.to_owned(),
                    message,
                },
            );
        }
        self.relieving.store(false, Ordering::Release);
    }

    fn end_fullest(
        &self,
        total: &Total,
        held: impl Fn(&ClientTransport) -> usize,
        closing: &CloseReason,
    ) {
        // Dropped without the lock: dropping the last reference to a transport removes it from the
        // map.
        let wires: Vec<Arc<ClientTransport>> =
            self.lock().open.values().filter_map(Weak::upgrade).collect();
        let mut by_size: Vec<(usize, &Arc<ClientTransport>)> =
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

    /// Returns the traffic of all connections so far, and the sizes of the open ones' outboxes.
    pub(crate) fn traffic(&self) -> (TrafficByDialect, OutboxSizes) {
        let (mut sums, open) = {
            let wires = self.lock();
            let open = wires.open.values().filter_map(Weak::upgrade);
            (wires.ended, open.collect::<Vec<Arc<ClientTransport>>>())
        };
        let mut sizes = OutboxSizes::default();
        for wire in open {
            let outbox = wire.outbox.traffic();
            sizes.add(outbox.waiting);
            let traffic =
                Traffic::of(outbox, wire.read_bytes(), wire.messages.load(Ordering::Relaxed));
            traffic::add(&mut sums, wire.dialect, traffic);
        }
        let mut wires = self.lock();
        wires.last = traffic::greatest(&wires.last, &sums);
        (wires.last, sizes)
    }

    fn lock(&self) -> MutexGuard<'_, Wires> {
        // Recovers from poisoning: each change is one statement.
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the backlog's queue; dropping it gives it up.
struct RoomWait<'a> {
    totals: &'a ConnectionTotals,
    number: u64,
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        self.totals.backlog.forget(self.number);
    }
}
