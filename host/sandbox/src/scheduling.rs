//! Priorities of threads whose work must not delay the server's own: slow calls, and the compiler.
//!
//! The operating system gives a thread that computes a slice of some milliseconds, and lets a
//! thread that has become ready wait for its end. It interrupts an idle thread (`SCHED_IDLE`) at
//! once. Such a thread gets next to nothing of a saturated machine. A thread cannot get its priority
//! back without a privilege, so a change needs another thread, or another process.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Niceness of [`Priority::Low`]. On a saturated machine, such a thread gets a tenth of the time of
/// a normal thread.
pub(crate) const LOW_NICENESS: i32 = 10;

/// Priority of a thread. Threads that it starts later have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Runs on a core that no other thread wants.
    Idle,
    /// Gets its share of a saturated machine.
    Low,
}

impl Priority {
    /// Gives it to the current thread.
    ///
    /// # Errors
    /// When the operating system refuses it. The thread keeps its priority.
    pub(crate) fn set(self) -> Result<(), String> {
        match self {
            Self::Idle => {
                let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy)
                    .map_err(|error| error.to_string())
            }
            // On Linux, each thread has a niceness of its own.
            Self::Low => rustix::process::setpriority_process(None, LOW_NICENESS)
                .map_err(|error| error.to_string()),
        }
    }
}
