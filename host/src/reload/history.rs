//! Reload history: the last reloads with their cause and result, and the requests that they answer.
//!
//! A request for a reload has a number. A reload that began to read the site after the request
//! answers it; requests that come at the same time are answered by one reload. Written by the reload
//! task alone, read by [`crate::control`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::changes::ReloadChanges;
use crate::generation::Problem;

/// The maximum number of reloads that are remembered.
const MAX_RELOADS: usize = 20;

/// The maximum number of problems that are remembered of a reload.
const MAX_PROBLEMS: usize = 100;

/// The reason for a reload. If several come together, the greatest is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReloadCause {
    /// The start of the server.
    Start,
    /// A change of the site.
    Change,
    /// SIGHUP.
    Signal,
    /// A request over the control socket.
    Control,
    /// A new version that kept failing.
    TakeBack,
}

/// The result of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReloadResult {
    /// A new generation is in service.
    Ok,
    /// The site was equal to the generation in service.
    Unchanged,
    /// A new generation is in service, without plugins that are still being loaded.
    Partial,
    /// The site has problems; the generation before stays in service.
    Failed,
}

/// A reload that has ended.
#[derive(Clone, Debug)]
pub(crate) struct ReloadRecord {
    /// The time of its end.
    pub(crate) at: SystemTime,
    pub(crate) cause: ReloadCause,
    pub(crate) result: ReloadResult,
    /// The generation in service after it.
    pub(crate) generation: u64,
    pub(crate) took: Duration,
    /// The first of its problems.
    pub(crate) problems: Vec<Problem>,
    /// The number of its problems.
    pub(crate) problem_count: usize,
    /// The files of the plugins that are not loaded yet.
    pub(crate) loading: Vec<String>,
    /// The difference to the generation before; none of a reload that failed.
    pub(crate) changes: Option<ReloadChanges>,
    /// The last request that it answers; 0 is none.
    request: u64,
}

/// The number of a request for a reload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReloadTicket(u64);

/// Requests that no reload has answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requested {
    number: u64,
    pub(super) cause: ReloadCause,
}

/// The last reloads, and the open requests.
pub(super) struct History {
    records: watch::Sender<VecDeque<Arc<ReloadRecord>>>,
    /// A std mutex, held for a few assignments.
    requests: Mutex<Requests>,
    /// The number of reloads by the number of their result.
    counts: [AtomicU64; ReloadResult::ALL.len()],
}

#[derive(Default)]
struct Requests {
    /// The number of the last one.
    last: u64,
    /// The cause of those that no reload has taken up yet.
    cause: Option<ReloadCause>,
}

/// The facts of a reload that has ended.
pub(super) struct Outcome<'a> {
    pub(super) cause: ReloadCause,
    pub(super) result: ReloadResult,
    pub(super) generation: u64,
    pub(super) took: Duration,
    pub(super) problems: &'a [Problem],
    pub(super) loading: &'a [String],
    pub(super) requested: Option<Requested>,
    pub(super) changes: Option<ReloadChanges>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            records: watch::Sender::new(VecDeque::new()),
            requests: Mutex::default(),
            counts: Default::default(),
        }
    }

    /// Registers a request.
    pub(super) fn request(&self, cause: ReloadCause) -> ReloadTicket {
        let mut requests = self.requests();
        requests.last += 1;
        requests.cause = requests.cause.max(Some(cause));
        ReloadTicket(requests.last)
    }

    /// The requests so far, for a reload that has not read the site yet.
    pub(super) fn take_up(&self, before: Option<Requested>) -> Option<Requested> {
        let mut requests = self.requests();
        let cause = requests.cause.take().max(before.map(|it| it.cause))?;
        Some(Requested { number: requests.last, cause })
    }

    pub(super) fn add(&self, outcome: Outcome<'_>) {
        let Outcome { cause, result, generation, took, problems, loading, requested, changes } =
            outcome;
        if let Some(count) = self.counts.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let record = Arc::new(ReloadRecord {
            at: SystemTime::now(),
            cause,
            result,
            generation,
            took,
            problems: problems.iter().take(MAX_PROBLEMS).cloned().collect(),
            problem_count: problems.len(),
            loading: loading.to_vec(),
            changes,
            request: requested.map_or(0, |it| it.number),
        });
        self.records.send_modify(|records| {
            records.truncate(MAX_RELOADS - 1);
            records.push_front(record);
        });
    }

    /// The number of reloads with each result.
    pub(super) fn counts(&self) -> impl Iterator<Item = (ReloadResult, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        ReloadResult::ALL.into_iter().zip(counts)
    }

    /// The last reloads, the newest first.
    pub(super) fn records(&self) -> Vec<Arc<ReloadRecord>> {
        self.records.borrow().iter().map(Arc::clone).collect()
    }

    /// The last reloads, now and after each further one.
    pub(super) fn subscribe(&self) -> watch::Receiver<VecDeque<Arc<ReloadRecord>>> {
        self.records.subscribe()
    }

    /// Waits for the reload that answers the request. None if the history no longer has it.
    pub(super) async fn answer(&self, ticket: ReloadTicket) -> Option<Arc<ReloadRecord>> {
        let answers = |record: &&Arc<ReloadRecord>| record.request >= ticket.0;
        let mut records = self.records.subscribe();
        let is_there = |all: &VecDeque<Arc<ReloadRecord>>| all.iter().any(|it| answers(&it));
        // The sender is `self`, so it cannot be gone.
        let found = records.wait_for(is_there).await.ok()?;
        found.iter().rev().find(answers).map(Arc::clone)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Each change is a few assignments that cannot fail.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReloadCause {
    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::Signal => "signal",
            Self::Control => "control",
            Self::TakeBack => "take_back",
        }
    }
}

impl ReloadResult {
    /// All results, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Ok, Self::Unchanged, Self::Partial, Self::Failed];

    /// A short name.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(history: &History, requested: Option<Requested>, generation: u64) {
        history.add(Outcome {
            cause: requested.map_or(ReloadCause::Change, |it| it.cause),
            result: ReloadResult::Ok,
            generation,
            took: Duration::ZERO,
            problems: &[],
            loading: &[],
            requested,
            changes: None,
        });
    }

    #[tokio::test]
    async fn one_reload_answers_all_earlier_requests_and_no_later_one() {
        let history = History::new();
        let [first, second] =
            [ReloadCause::Control, ReloadCause::Signal].map(|cause| history.request(cause));
        let taken_up = history.take_up(None);
        assert_eq!(taken_up.map(|it| it.cause), Some(ReloadCause::Control));
        let late = history.request(ReloadCause::Signal);
        end(&history, None, 2);
        end(&history, taken_up, 3);
        for ticket in [first, second] {
            assert_eq!(history.answer(ticket).await.unwrap().generation, 3);
        }
        let pending = tokio::time::timeout(Duration::from_millis(1), history.answer(late)).await;
        assert!(pending.is_err());
        end(&history, history.take_up(None), 4);
        assert_eq!(history.answer(late).await.unwrap().generation, 4);
        assert!(history.take_up(None).is_none());
    }

    #[test]
    fn remembers_a_bounded_number_of_reloads() {
        let history = History::new();
        (0..100).for_each(|generation| end(&history, None, generation));
        let records = history.records();
        assert_eq!(records.len(), MAX_RELOADS);
        assert_eq!(records[0].generation, 99);
    }
}
