//! Deferred results of calls: a handler has promised a result, and a later hook gives it.
//!
//! Each has a task, which alone answers the caller: with the result, after a CANCEL, or when the
//! time is over. A session that ends takes its calls with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_broker::{PendingFlushes, Session};
use jackfield_sandbox::Later;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::{Call, CallId};
use jackfield_wamp::protocol::{ErrorTo, Reply};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::call::Timeout;
use super::{Dispatch, Refusal, effects, reply};

/// The waiting calls of a realm's sessions.
#[derive(Default)]
pub(super) struct DeferredCalls {
    /// A std mutex: a leaf, held for one operation.
    by_session: Mutex<HashMap<SessionId, HashMap<CallId, oneshot::Sender<()>>>>,
}

/// A call that waits for its result.
pub(super) struct Deferral {
    later: Later,
    caller: Arc<Session>,
    call: CallId,
    due: Instant,
    /// The error at that time.
    overdue: Refusal,
    /// A message cancels the call; without one, the session has ended.
    stop: oneshot::Receiver<()>,
}

/// The maximum number of a session's calls that wait for later results.
const MAX_DEFERRED_CALLS: usize = 100;

impl DeferredCalls {
    /// Returns whether the call waits.
    pub(super) fn contain(&self, caller: SessionId, call: &CallId) -> bool {
        self.lock().get(&caller).is_some_and(|calls| calls.contains_key(call))
    }

    /// Cancels a call. Returns whether it waited.
    pub(super) fn cancel(&self, caller: SessionId, call: &CallId) -> bool {
        self.remove(caller, call).is_some_and(|stop| stop.send(()).is_ok())
    }

    /// Ends the calls of a session, without answers.
    pub(super) fn leave(&self, caller: SessionId) {
        self.lock().remove(&caller);
    }

    /// Adds a call; none if the session has too many.
    fn add(&self, caller: SessionId, call: &CallId) -> Option<oneshot::Receiver<()>> {
        let mut by_session = self.lock();
        let calls = by_session.entry(caller).or_default();
        if calls.len() >= MAX_DEFERRED_CALLS {
            return None;
        }
        let (stop, stopped) = oneshot::channel();
        calls.insert(call.clone(), stop);
        Some(stopped)
    }

    fn remove(&self, caller: SessionId, call: &CallId) -> Option<oneshot::Sender<()>> {
        let mut by_session = self.lock();
        let calls = by_session.get_mut(&caller)?;
        let stop = calls.remove(call);
        if calls.is_empty() {
            by_session.remove(&caller);
        }
        stop
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, HashMap<CallId, oneshot::Sender<()>>>> {
        // A panic under the lock cannot leave the map inconsistent.
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatch {
    /// Lets a call wait for its result. Sessions that end meanwhile are not in the table any more:
    /// the caller's own task handles the call before it ends the session.
    pub(super) fn defer(
        &self,
        from: &Arc<Session>,
        call: &Call,
        later: Later,
        timeout: Option<Timeout>,
    ) -> Result<(), Refusal> {
        let stop = self.outgoing.deferred.add(from.id, &call.request);
        let stop = stop.ok_or_else(|| Refusal::too_many_deferred(MAX_DEFERRED_CALLS))?;
        let limit = Instant::now() + later.timeout;
        let overdue = || Refusal::overdue(later.timeout);
        let (due, overdue) = match timeout {
            Some(timeout) if timeout.due() < limit => (timeout.due(), timeout.refusal()),
            _ => (limit, overdue()),
        };
        let (caller, call) = (Arc::clone(from), call.request.clone());
        let deferral = Deferral { later, caller, call, due, overdue, stop };
        self.outgoing.begin_wait(Box::new(deferral));
        Ok(())
    }

    /// Waits for the result of a deferred call, and answers it.
    pub(super) async fn run_deferral(&self, deferral: Deferral) {
        let Deferral { mut later, caller, call, due, overdue, stop } = deferral;
        let answer = tokio::select! {
            biased;
            stopped = stop => match stopped {
                Ok(()) => Err(Refusal::canceled()),
                Err(_left) => return,
            },
            answer = later.answer() => {
                answer.map_err(Refusal::from).and_then(|it| effects::payload(&it))
            }
            () = sleep_until(due) => Err(overdue),
        };
        // Before the answer, after which the client may use the id again.
        drop(self.outgoing.deferred.remove(caller.id, &call));
        drop(later);
        let mut batch = PendingFlushes::default();
        match &answer {
            Ok(payload) => {
                let result = Reply::Result { call: &call, progress: false, payload };
                reply(&caller, &result, &mut batch);
            }
            Err(refusal) => {
                reply(&caller, &refusal.reply(ErrorTo::Call { call: &call }), &mut batch);
            }
        }
        batch.flush();
    }
}
