//! State of the site: the generation in service, and the problems of a change that is not.

use std::time::SystemTime;

use crate::generation::Generation;

/// The result of the last reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReloadState {
    /// The number of the served generation; 0 before the first one.
    pub(crate) generation: u64,
    /// The time since which it is served.
    pub(crate) since: SystemTime,
    /// The problems of the site, each with its file and line, if its current state is not served;
    /// empty otherwise.
    pub(crate) problems: Vec<String>,
    /// The time since which there are problems.
    pub(crate) failed_since: Option<SystemTime>,
}

impl ReloadState {
    /// Of a generation that has just been put into service.
    pub(super) fn serving(generation: &Generation) -> Self {
        Self {
            generation: generation.number(),
            since: SystemTime::now(),
            problems: Vec::new(),
            failed_since: None,
        }
    }
}
