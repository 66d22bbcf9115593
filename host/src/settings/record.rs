//! Record of one reading of the settings, for operators.

use std::time::{Duration, Instant, SystemTime};

use jackfield_config::RestartNeeded;

use crate::reload::ReloadCause;

/// Requests that no reading has answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requested {
    pub(super) number: u64,
    pub(super) cause: ReloadCause,
}

/// The result of reading the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingsResult {
    /// Settings have changed.
    Applied,
    /// No setting has changed, except those that need a restart.
    Unchanged,
    /// The settings have problems; the running ones stay.
    Refused,
}

/// A reading of the settings that has ended.
#[derive(Clone, Debug)]
pub(crate) struct SettingsRecord {
    /// The time of its end.
    pub(crate) at: SystemTime,
    pub(crate) cause: ReloadCause,
    pub(crate) result: SettingsResult,
    pub(crate) took: Duration,
    /// The names of the settings that have changed.
    pub(crate) changed: Vec<String>,
    /// The settings that have changed and need a restart.
    pub(crate) restart: Vec<RestartNeeded>,
    /// The first of its problems.
    pub(crate) problems: Vec<String>,
    /// The number of its problems.
    pub(crate) problem_count: usize,
    /// The last request that it answers; 0 is none.
    pub(super) request: u64,
}

impl SettingsRecord {
    /// A reading that ends now, without a difference.
    pub(super) fn new(began: Instant, requested: Option<Requested>) -> Self {
        Self {
            at: SystemTime::now(),
            cause: requested.map_or(ReloadCause::Change, |it| it.cause),
            result: SettingsResult::Unchanged,
            took: began.elapsed(),
            changed: Vec::new(),
            restart: Vec::new(),
            problems: Vec::new(),
            problem_count: 0,
            request: requested.map_or(0, |it| it.number),
        }
    }
}

impl SettingsResult {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}
