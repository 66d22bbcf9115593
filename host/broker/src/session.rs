//! A session in the broker: its identity, outbox and [`Transport`]; and the set of sessions to be
//! flushed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::event::Publisher;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::Hello;

use crate::client_key::ClientKey;
use crate::close_reason::CloseReason;
use crate::identity::Identity;
use crate::node::Relay;
use crate::outbox::{Outbox, PushOutcome};
use crate::tally::{PublicationCounts, Tally};
use crate::wake::Wake;

/// Transport of a session, implemented by the host. Called without a lock held; must not block.
pub trait Transport: Send + Sync {
    /// Writes the outbox's frames as far as possible now; the rest is written when the transport is
    /// writable.
    fn flush(&self);

    /// Wakes the connection's task after the outbox was closed. The task sends the farewell and
    /// ends.
    fn interrupt(&self);

    /// Closes the outboxes with the most bytes, because all together exceed their limit.
    fn relieve(&self) {}

    /// Returns the facts of the connection, for operators.
    fn connection(&self) -> ConnectionInfo {
        ConnectionInfo::default()
    }
}

/// Facts of a session's connection, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address, as admission knows it.
    pub address: Option<IpAddr>,
    /// The begin of the session.
    pub since: Option<SystemTime>,
    /// Messages received so far.
    pub messages: u64,
    /// Bytes received so far, all frames included.
    pub bytes: u64,
}

/// Features announced by a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of the specification")]
pub struct Features {
    /// Whether it understands UNSUBSCRIBED without a request; wampy, for one, fails on it.
    pub subscription_revocation: bool,
    /// Whether it understands UNREGISTERED without a request, as a callee.
    pub registration_revocation: bool,
    /// Whether it understands INTERRUPT, as a callee.
    pub call_canceling: bool,
    /// Whether it keeps the timeouts of calls, as a callee.
    pub call_timeout: bool,
    /// Whether it takes arguments in several INVOCATIONs, as a callee.
    pub progressive_call_invocations: bool,
    /// Whether it unpacks the payloads of calls, as a callee.
    pub unpacks_calls: bool,
    /// Whether it unpacks the payloads of results, as a caller.
    pub unpacks_results: bool,
    /// Whether its `wamp.error.unavailable` asks for another callee, as a callee.
    pub call_reroute: bool,
    /// Whether it takes the trust levels of publications, as a subscriber.
    pub publication_trustlevels: bool,
    /// Whether it takes the trust levels of calls, as a callee.
    pub call_trustlevels: bool,
}

impl Features {
    /// Reads the features announced in HELLO.
    pub fn announced(hello: &Hello) -> Self {
        Self {
            subscription_revocation: hello.announces("subscriber", "subscription_revocation"),
            registration_revocation: hello.announces("callee", "registration_revocation"),
            call_canceling: hello.announces("callee", "call_canceling"),
            call_timeout: hello.announces("callee", "call_timeout"),
            progressive_call_invocations: hello.announces("callee", "progressive_call_invocations"),
            unpacks_calls: hello.announces("callee", "payload_passthru_mode"),
            unpacks_results: hello.announces("caller", "payload_passthru_mode"),
            call_reroute: hello.announces("callee", "call_reroute"),
            publication_trustlevels: hello.announces("subscriber", "publication_trustlevels"),
            call_trustlevels: hello.announces("callee", "call_trustlevels"),
        }
    }
}

/// A session: identity, dialect, features and outbox.
pub struct Session {
    /// The session's id, unique in the process.
    pub id: SessionId,
    /// The identity. In a box, so that a delivery touches fewer lines of the cache.
    pub identity: Box<Identity>,
    /// The client that the session belongs to.
    pub client: ClientKey,
    /// The protocol version and codec.
    pub dialect: Dialect,
    /// Features announced by its client.
    pub features: Features,
    /// Whether its client takes compressed events.
    takes_compressed: bool,
    /// The node or the caller of another node that the session stands for.
    relay: Option<Relay>,
    outbox: Arc<Outbox>,
    transport: Arc<dyn Transport>,
}

impl Session {
    /// Creates a session that is not yet in a realm. The outbox is older than the session, as a
    /// session of WAMP v2 begins with HELLO.
    pub fn new(
        id: SessionId,
        identity: Identity,
        dialect: Dialect,
        features: Features,
        outbox: Arc<Outbox>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let client = ClientKey::of(&identity);
        Self {
            id,
            identity: Box::new(identity),
            client,
            dialect,
            features,
            takes_compressed: false,
            relay: None,
            outbox,
            transport,
        }
    }

    /// Makes events for the session compressed, if its client takes that.
    #[must_use]
    pub const fn taking_compressed(mut self, takes_compressed: bool) -> Self {
        self.takes_compressed = takes_compressed;
        self
    }

    /// Returns whether the client takes compressed events.
    pub(crate) const fn takes_compressed(&self) -> bool {
        self.takes_compressed
    }

    /// Makes the session stand for a node, or for a caller of another one.
    #[must_use]
    pub fn standing_for(mut self, relay: Relay) -> Self {
        self.relay = Some(relay);
        self
    }

    /// Returns whether its calls may go to a callee: those of another node go to clients of this one.
    pub(crate) const fn reaches(&self, callee: &Self) -> bool {
        !matches!((self.relay, callee.relay), (Some(Relay::Caller(_)), Some(Relay::Callees(_))))
    }

    /// Returns what the session stands for; `None` of a client.
    pub const fn relay(&self) -> Option<Relay> {
        self.relay
    }

    /// Returns the outbox of the session's connection.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Returns the facts of the session's connection.
    pub fn connection(&self) -> ConnectionInfo {
        self.transport.connection()
    }

    /// Returns the session as a publisher that is disclosed to receivers.
    pub fn publisher(&self) -> Publisher<'_> {
        let authrole = Some(self.identity.authrole());
        Publisher { session: self.id, authid: Some(&self.identity.authid), authrole }
    }

    /// Queues another session's message to this session alone, to be flushed with the batch.
    pub(crate) fn forward(self: &Arc<Self>, frame: Bytes, batch: &mut PendingFlushes) {
        batch.note(self, self.outbox.forward(frame));
    }

    /// Queues a reply to the session's own request, to be flushed with the batch.
    pub fn reply(self: &Arc<Self>, frame: Bytes, batch: &mut PendingFlushes) {
        batch.note(self, self.outbox.reply(frame));
    }

    /// Returns whether the session is closing, or has been closed.
    pub fn is_closing(&self) -> bool {
        self.outbox.closing().is_some()
    }

    /// Closes the session; the first reason wins. Returns whether this call was the first.
    pub fn close(&self, closing: CloseReason) -> bool {
        let is_first = self.outbox.close(closing);
        if is_first {
            self.transport.interrupt();
        }
        is_first
    }

    /// Writes waiting frames until the transport blocks.
    pub fn flush(&self) {
        self.transport.flush();
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("authid", &self.identity.authid)
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

/// Batched flushes: the sessions whose outboxes have frames that are not flushed yet.
///
/// A publisher collects them while it handles one read, and flushes once at the end: ten events for
/// one subscriber are one write. The holder must flush before it waits for anything, because other
/// publishers rely on the pending flush.
#[derive(Debug, Default)]
pub struct PendingFlushes {
    flush: Vec<Arc<Session>>,
    interrupt: Vec<Arc<Session>>,
    /// Receivers whose outboxes are crowded.
    crowded: Vec<Arc<Session>>,
    /// A receiver seen while all outboxes together exceeded their limit.
    overload: Option<Arc<Session>>,
    /// Subscribers and matching steps visited since the last flush.
    work: usize,
    /// Pattern matching steps of publications beyond their allowance.
    matching: usize,
    tally: Tally,
    /// The task that sends to other nodes, if events wait for them.
    wake: Option<Wake>,
}

/// Subscribers and matching steps until a task yields.
const MAX_UNSHARED_WORK: usize = 32_768;

/// Events for each receiver until a task yields.
const MIN_EVENTS_OF_A_WRITE: usize = 16;

/// Most fast publications until a slow session counts as fast again.
const MAX_SLOW_MATCHINGS: usize = 64;

impl PendingFlushes {
    /// Returns whether the task has to flush, and to yield its thread. The work since the last flush is
    /// the subscribers visited, whether they received the event or not, and pattern matching steps;
    /// [`MAX_UNSHARED_WORK`] takes about a millisecond.
    ///
    /// The time of the writes grows with the receivers in any case: a write takes as long as a few dozen
    /// visits. While the receivers have fewer events than [`MIN_EVENTS_OF_A_WRITE`] each, the writes
    /// would take longer than the work, so they wait for more. The thread is occupied for up to twice the
    /// time of the writes.
    pub fn is_due(&self) -> bool {
        let for_writes = MIN_EVENTS_OF_A_WRITE.saturating_mul(self.flush.len());
        self.work >= MAX_UNSHARED_WORK.max(for_writes)
    }

    /// Returns whether publications have taken more than `allowance` pattern matching steps on
    /// average. Called once before each publication, so that a publication without patterns does
    /// not hide others.
    pub fn is_matching_slow(&mut self, allowance: usize) -> bool {
        self.matching = self.matching.saturating_sub(allowance).min(allowance * MAX_SLOW_MATCHINGS);
        self.matching > 0
    }

    /// Counts a publication with so many receivers. It is added to `counts` at the flush.
    pub fn count(&mut self, counts: &Arc<PublicationCounts>, deliveries: usize) {
        self.tally.add(counts, deliveries);
    }

    /// Adds the pattern matching steps of a publication.
    pub(crate) fn add_matching(&mut self, steps: usize) {
        self.matching = self.matching.saturating_add(steps);
        self.add_work(steps);
    }

    /// Adds to the work since the last flush.
    pub(crate) fn add_work(&mut self, steps: usize) {
        self.work = self.work.saturating_add(steps);
    }

    /// Notes that events for other nodes wait.
    pub(crate) fn wake_at_flush(&mut self, wake: &Wake) {
        self.wake.get_or_insert_with(|| wake.clone());
    }

    /// Records the result of a push. Returns whether the frame was accepted.
    pub(crate) fn note(&mut self, session: &Arc<Session>, pushed: PushOutcome) -> bool {
        match pushed {
            PushOutcome::Flush => {
                self.flush.push(Arc::clone(session));
                true
            }
            PushOutcome::Queued => {
                self.look_for_overload(session);
                true
            }
            PushOutcome::Crowded => {
                self.crowded.push(Arc::clone(session));
                self.look_for_overload(session);
                true
            }
            PushOutcome::Overflow => {
                self.interrupt.push(Arc::clone(session));
                false
            }
            PushOutcome::Dropped | PushOutcome::Closed => false,
        }
    }

    fn look_for_overload(&mut self, session: &Arc<Session>) {
        if session.outbox.is_total_exceeded() {
            self.overload = Some(Arc::clone(session));
        }
    }

    /// Returns whether no flush is pending.
    pub fn is_empty(&self) -> bool {
        self.flush.is_empty() && self.interrupt.is_empty() && self.wake.is_none()
    }

    /// Returns whether the publisher should slow down.
    pub fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// Returns the receivers whose outboxes became crowded since the last call.
    pub fn take_crowded(&mut self) -> Vec<Arc<Session>> {
        std::mem::take(&mut self.crowded)
    }

    /// Flushes all sessions. Call it without a lock held.
    pub fn flush(&mut self) {
        self.work = 0;
        self.tally.flush();
        for session in self.flush.drain(..) {
            session.flush();
        }
        for session in self.interrupt.drain(..) {
            session.transport.interrupt();
        }
        if let Some(session) = self.overload.take() {
            session.transport.relieve();
        }
        if let Some(wake) = self.wake.take() {
            wake.wake();
        }
    }
}

impl Drop for PendingFlushes {
    /// Also flushes on early returns.
    fn drop(&mut self) {
        self.flush();
    }
}
