//! Outcome of a hook that has ended well: its answer, its effects, and its place before the hooks
//! that follow.

use std::any::Any;

use crate::effect::Effect;
use crate::instance::Instance;
use crate::spin_mutex::SpinMutexGuard;
use crate::store::passage::Passed;

/// Result of a hook: its answer and its effects.
#[derive(Debug)]
pub struct HookOutcome<'a, T> {
    /// The hook's return value.
    pub answer: T,
    /// In the order of the hook's calls.
    pub effects: Vec<Effect>,
    /// Held while answer and effects are performed.
    pub passage: Passage<'a>,
}

/// Held while the effects of a hook are performed, so that those of no later hook of the lane
/// overtake. Drop it before waiting for a call of the same lane.
#[derive(Default)]
#[must_use = "later hooks of the lane overtake once it is dropped"]
pub struct Passage<'a> {
    /// The lane itself: no later hook begins.
    pub(crate) lane: Option<LaneGuard<'a>>,
    /// The place at the output gate: no later hook passes.
    pub(crate) passed: Option<Passed>,
    /// The place of a hook that has run in another process.
    _elsewhere: Option<Box<dyn Any + Send>>,
}

impl Passage<'_> {
    /// Returns whether later hooks wait until it is dropped.
    pub fn is_awaited(&self) -> bool {
        self.lane.is_some() || self.passed.is_some()
    }

    /// The passage of a hook that has run in another process. It ends when the guard is dropped.
    pub fn elsewhere(guard: impl Send + 'static) -> Self {
        Self { _elsewhere: Some(Box::new(guard)), ..Self::default() }
    }
}

/// Exclusive access to the instance of a lane.
pub(crate) type LaneGuard<'a> = SpinMutexGuard<'a, Option<Box<Instance>>>;

impl std::fmt::Debug for Passage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").finish_non_exhaustive()
    }
}
