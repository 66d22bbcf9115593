//! The caller of a request, and the audit line of a change.

use std::fmt;

use tracing::info;

use crate::log::AUDIT;
use crate::user_name::user_name;

/// The peer of a control connection, as the operating system names it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    uid: u32,
    /// Of the process that connected.
    pid: Option<i32>,
}

impl Caller {
    pub(super) const fn new(uid: u32, pid: Option<i32>) -> Self {
        Self { uid, pid }
    }

    pub(super) const fn uid(&self) -> u32 {
        self.uid
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
    }
}

/// Writes the line of a change that has ended: who, what, and the result.
pub(super) fn record(caller: &Caller, action: &'static str, result: &str, generation: u64) {
    info!(
        target: AUDIT,
        action,
        result,
        generation,
        uid = caller.uid,
        pid = caller.pid,
        user = user_name(caller.uid),
        "control"
    );
}
