//! Requests for a reading of the settings, and the last results that answer them. As
//! [`crate::reload`] does for the site: one reading answers all requests before it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::{Requested, SettingsRecord};
use crate::reload::ReloadCause;

/// The maximum number of results that are remembered.
const MAX_RESULTS: usize = 20;

/// The last results.
pub(crate) type Results = watch::Receiver<VecDeque<Arc<SettingsRecord>>>;

/// The number of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettingsTicket(u64);

pub(super) struct Requests {
    records: watch::Sender<VecDeque<Arc<SettingsRecord>>>,
    /// A std mutex, held for a few assignments.
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// The number of the last request.
    last: u64,
    /// The cause of those that no reading has taken up yet.
    cause: Option<ReloadCause>,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { records: watch::Sender::new(VecDeque::new()), open: Mutex::default() }
    }

    /// Registers a request.
    pub(super) fn request(&self, cause: ReloadCause) -> SettingsTicket {
        let mut open = self.open();
        open.last += 1;
        open.cause = open.cause.max(Some(cause));
        SettingsTicket(open.last)
    }

    /// The requests so far, for a reading that has not begun yet.
    pub(super) fn take_up(&self, before: Option<Requested>) -> Option<Requested> {
        let mut open = self.open();
        let cause = open.cause.take().max(before.map(|it| it.cause))?;
        Some(Requested { number: open.last, cause })
    }

    pub(super) fn add(&self, record: SettingsRecord) {
        let record = Arc::new(record);
        self.records.send_modify(|records| {
            records.truncate(MAX_RESULTS - 1);
            records.push_front(record);
        });
    }

    /// The last results, the newest first.
    pub(super) fn records(&self) -> Vec<Arc<SettingsRecord>> {
        self.records.borrow().iter().map(Arc::clone).collect()
    }

    pub(super) fn subscribe(&self) -> Results {
        self.records.subscribe()
    }

    /// Waits for the result that answers the request. `None` if it is no longer remembered.
    pub(super) async fn answer(&self, ticket: SettingsTicket) -> Option<Arc<SettingsRecord>> {
        let answers = |record: &&Arc<SettingsRecord>| record.request >= ticket.0;
        let mut records = self.records.subscribe();
        let is_there = |all: &VecDeque<Arc<SettingsRecord>>| all.iter().any(|it| answers(&it));
        // The sender is `self`, so it cannot be gone.
        let found = records.wait_for(is_there).await.ok()?;
        found.iter().rev().find(answers).map(Arc::clone)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Each change is a few assignments that cannot fail.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
