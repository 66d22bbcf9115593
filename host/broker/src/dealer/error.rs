//! What the dealer refuses, and the bounds of calls that wait for an answer.

use crate::publication::DeliveryError;

/// How many calls of one session may wait for an answer: callees need not be quick.
pub(super) const MAX_CALLS: usize = 1_000;

/// Calls of all sessions of a realm that may wait for an answer of a client: 50 MiB of longest ids.
pub(super) const MAX_CALLS_OF_ALL: usize = 100_000;

/// A caller of version 1 chooses its calls' ids, and they are kept until they are answered.
pub(super) const MAX_CALL_ID_BYTES: usize = 255;

/// Calls that one callee may have to answer. When it leaves, the callers are told under one lock.
pub(super) const MAX_CALLS_PER_CALLEE: usize = 10_000;

/// A session has no such registration to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has no such registration")]
pub struct UnregisterError;

/// A call that reaches no callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No callee has registered the procedure.
    #[error("no callee has registered the procedure")]
    NoSuchProcedure,
    /// The caller has given the call the id of one that it waits for.
    #[error("another call of the same request id waits for its answer")]
    Repeated,
    /// The callee cannot be given the call.
    #[error(transparent)]
    Undeliverable(#[from] DeliveryError),
    /// The call's id is too long to be kept.
    #[error("a call id has at most {MAX_CALL_ID_BYTES} bytes")]
    LongId,
    /// The caller waits for as many calls as one may.
    #[error("maximum open calls of the session reached ({MAX_CALLS})")]
    TooMany,
    /// All sessions together wait for as many calls as may.
    #[error("maximum open calls of the realm reached ({MAX_CALLS_OF_ALL})")]
    TooManyOfAll,
    /// The callee has as many calls to answer as one may.
    #[error("maximum open calls of the callee reached ({MAX_CALLS_PER_CALLEE})")]
    CalleeBusy,
}
