//! Errors of the dealer, and the bounds of pending calls.

use jackfield_wamp::message::RunModeError;

use crate::publication::DeliveryError;
use crate::quota::{Quota, QuotaError};
use crate::registrations::ChooseError;

/// Most pending calls of one session.
pub(super) const MAX_CALLS: usize = 1_000;

/// Most pending calls of a realm: 50 MiB of the longest ids.
pub(super) const MAX_CALLS_OF_ALL: usize = 100_000;

/// Longest call id, chosen by a caller of version 1 and kept until the answer.
pub(super) const MAX_CALL_ID_BYTES: usize = 255;

/// Most pending calls to one callee. When it leaves, all its callers are answered under one lock.
pub(super) const MAX_CALLS_PER_CALLEE: usize = 10_000;

/// Returns the quota of pending calls of a realm.
pub(super) const fn open_calls(client_percent: u32) -> Quota {
    let what = "pending calls of the realm";
    Quota { what, setting: None, total: MAX_CALLS_OF_ALL, client_percent }
}

/// Returns the quota of pending calls of one callee.
pub(super) const fn callee_calls(client_percent: u32) -> Quota {
    let what = "pending calls of the callee";
    Quota { what, setting: None, total: MAX_CALLS_PER_CALLEE, client_percent }
}

/// The session has no such registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has no such registration")]
pub struct UnregisterError;

/// A call cannot be routed to a callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No callee has registered the procedure.
    #[error("no callee has registered the procedure")]
    NoSuchProcedure,
    /// Each callee handles as many calls as it registered for; the number of one of them.
    #[error(
        "each callee of the procedure handles its maximum of calls (`concurrency: {0}` of REGISTER)"
    )]
    Concurrency(u32),
    /// The callee takes no arguments in parts.
    #[error(
        "the callee announces no `progressive_call_invocations` or no `call_canceling`: send the arguments at once"
    )]
    NoParts,
    /// The callee does not unpack payloads.
    #[error(
        "the callee announces no `payload_passthru_mode`: send the arguments without `ppt_scheme`"
    )]
    NoPassthru,
    /// The mode of the call cannot be followed.
    #[error(transparent)]
    RunMode(#[from] RunModeError),
    /// The caller has a pending call with the same id.
    #[error("another call with this request id is pending")]
    Repeated,
    /// The call cannot be delivered to the callee.
    #[error(transparent)]
    Undeliverable(#[from] DeliveryError),
    /// The call's id is longer than 255 bytes.
    #[error("the call id is too long (maximum {MAX_CALL_ID_BYTES} bytes)")]
    LongId,
    /// The caller has the maximum number of pending calls.
    #[error("maximum pending calls of the session reached ({MAX_CALLS})")]
    TooMany,
    /// The limit of pending calls is reached: of the realm, of the caller's client, or of the
    /// callee.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl From<ChooseError> for CallError {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::NoSuchProcedure => Self::NoSuchProcedure,
            ChooseError::Busy(limit) => Self::Concurrency(limit),
        }
    }
}
