//! A session as the broker sees it, and the batch of sessions that wait to be flushed.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::Hello;

use crate::identity::Identity;
use crate::outbox::{CloseReason, Outbox, PushOutcome};

/// The transport that empties an outbox. Called with no lock held; must neither block nor wait.
pub trait Transport: Send + Sync {
    /// Frames wait in the outbox: write what can be written now, and see to the rest.
    fn flush(&self);

    /// The outbox has been closed: let the connection's own task say farewell and end.
    fn interrupt(&self);

    /// All outboxes together hold more than they may: have those that hold the most closed.
    fn relieve(&self) {}
}

/// What a client has announced that it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// It understands UNSUBSCRIBED without a request; wampy, for one, fails on it.
    pub subscription_revocation: bool,
    /// As a callee, it understands UNREGISTERED without a request.
    pub registration_revocation: bool,
    /// As a callee, it understands INTERRUPT.
    pub call_canceling: bool,
}

impl Features {
    /// What a client of WAMP v2 announces.
    pub fn announced(hello: &Hello) -> Self {
        Self {
            subscription_revocation: hello.announces("subscriber", "subscription_revocation"),
            registration_revocation: hello.announces("callee", "registration_revocation"),
            call_canceling: hello.announces("callee", "call_canceling"),
        }
    }
}

/// A session: who it is, what it speaks, and where its frames go.
pub struct Session {
    /// Unique in the process.
    pub id: SessionId,
    /// Who it is.
    pub identity: Identity,
    /// What its connection speaks.
    pub dialect: Dialect,
    /// What its client can do, of what depends on it.
    pub features: Features,
    outbox: Arc<Outbox>,
    link: Arc<dyn Transport>,
}

impl Session {
    /// A session, not yet in a realm, on a connection that may have spoken before: the outbox is
    /// older than the session, as a session of WAMP v2 begins with the client's HELLO.
    pub fn new(
        id: SessionId,
        identity: Identity,
        dialect: Dialect,
        features: Features,
        outbox: Arc<Outbox>,
        link: Arc<dyn Transport>,
    ) -> Self {
        Self { id, identity, dialect, features, outbox, link }
    }

    /// The queue of its connection.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Queues what another session sends to this one alone, and has it flushed with the batch.
    pub(crate) fn forward(self: &Arc<Self>, frame: Bytes, batch: &mut PendingFlushes) {
        batch.note(self, self.outbox.forward(frame));
    }

    /// Queues a reply to the session's own request, and has it flushed with the batch.
    pub fn reply(self: &Arc<Self>, frame: Bytes, batch: &mut PendingFlushes) {
        batch.note(self, self.outbox.reply(frame));
    }

    /// Queues an event, and has it flushed with the batch. Whether it was accepted.
    pub fn deliver(self: &Arc<Self>, frame: Bytes, batch: &mut PendingFlushes) -> bool {
        batch.note(self, self.outbox.push(frame))
    }

    /// Ends the session; the first reason stands.
    pub fn close(&self, closing: CloseReason) {
        if self.outbox.close(closing) {
            self.link.interrupt();
        }
    }

    /// Writes what waits, as far as the transport takes it.
    pub fn flush(&self) {
        self.link.flush();
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

/// The sessions whose outboxes were filled and not yet flushed.
///
/// A publisher collects them while it handles what one read brought, and flushes once at the end:
/// ten events for one subscriber are one write. Whoever holds a batch must not wait for anything
/// before it has flushed it, because others rely on the flush that it has taken on.
#[derive(Debug, Default)]
pub struct PendingFlushes {
    flush: Vec<Arc<Session>>,
    interrupt: Vec<Arc<Session>>,
    /// Receivers whose outboxes are crowded.
    crowded: Vec<Arc<Session>>,
    /// A receiver that was met when all outboxes together held more than they may.
    overload: Option<Arc<Session>>,
    /// Subscribers and steps of matching that were looked at since the last flush.
    work: usize,
    /// Steps that publications took to look for patterns beyond their allowance.
    matching: usize,
}

/// Fast publications after which a session that was slow is fast again, at most.
const MAX_SLOW_MATCHINGS: usize = 64;

impl PendingFlushes {
    /// Counts the subscribers that publications looked at since the last flush, whether they
    /// received the event or not, and the steps of looking for patterns: a measure of how long a
    /// task has kept its thread.
    pub fn work(&self) -> usize {
        self.work
    }

    /// Whether the publications so far have taken more steps to look for patterns than `allowance`
    /// each. Asked once before each publication, so that one to a topic without patterns does not
    /// hide the ones beside it.
    pub fn is_matching_slow(&mut self, allowance: usize) -> bool {
        self.matching = self.matching.saturating_sub(allowance).min(allowance * MAX_SLOW_MATCHINGS);
        self.matching > 0
    }

    /// Counts the steps of a publication that looked for patterns.
    pub(crate) fn add_matching(&mut self, steps: usize) {
        self.matching = self.matching.saturating_add(steps);
        self.add_work(steps);
    }

    /// Adds to [`work`](Self::work).
    pub(crate) fn add_work(&mut self, steps: usize) {
        self.work = self.work.saturating_add(steps);
    }

    /// Takes on what a push asks for. Whether the frame was accepted.
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

    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.flush.is_empty() && self.interrupt.is_empty()
    }

    /// Whether the source of what was queued is to be slowed down.
    pub fn is_crowded(&self) -> bool {
        !self.crowded.is_empty()
    }

    /// The receivers whose outboxes were crowded since this was last asked.
    pub fn take_crowded(&mut self) -> Vec<Arc<Session>> {
        std::mem::take(&mut self.crowded)
    }

    /// Flushes everything that was taken on. Call it without a lock held.
    pub fn flush(&mut self) {
        self.work = 0;
        for session in self.flush.drain(..) {
            session.flush();
        }
        for session in self.interrupt.drain(..) {
            session.link.interrupt();
        }
        if let Some(session) = self.overload.take() {
            session.link.relieve();
        }
    }
}

impl Drop for PendingFlushes {
    /// A batch that is dropped on an early return still owes its flush.
    fn drop(&mut self) {
        self.flush();
    }
}
