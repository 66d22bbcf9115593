//! The thread that owns the file of durable histories. It commits all that waits at once.
//!
//! In the mode `synced`, publications wait for an fsync as well; otherwise a second thread syncs the file
//! once a second.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use jackfield_config::DurableMode;
use jackfield_store::{HistoryChange, HistoryFile, HistorySyncer, LoggedTopic};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{LogState, OpenLogError, Order, SaveError};
use crate::ids;

/// The mode of the folder: the user alone.
const FOLDER_MODE: u32 = 0o700;
/// Time between syncs of commits that no publication waits for.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// The kernel's name of this boot.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The state of the thread.
pub(super) struct Writer {
    folder: PathBuf,
    mode: DurableMode,
    state: Arc<LogState>,
    /// Made by the first event.
    file: Option<HistoryFile>,
    /// When commits are to be synced in the background.
    sync_due: Option<Instant>,
    syncer: Option<SyncSender<()>>,
}

/// Changes in their order, and the answer for the publication that waits.
type Changes = (Vec<HistoryChange>, Option<oneshot::Sender<Result<(), SaveError>>>);

/// Orders that are obeyed at once.
#[derive(Default)]
struct Group {
    changes: Vec<Changes>,
    closing: Option<oneshot::Sender<()>>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf, mode: DurableMode, state: Arc<LogState>) -> Self {
        Self { folder, mode, state, file: None, sync_due: None, syncer: None }
    }

    /// Opens the file, and returns the histories in it.
    pub(super) fn open(&mut self) -> Result<Vec<LoggedTopic>, OpenLogError> {
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.folder);
        made.map_err(|source| OpenLogError::Folder { path: self.folder.clone(), source })?;
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        let is_synced = self.mode == DurableMode::Synced;
        let random = || ids::publication().get();
        let (mut file, topics, is_renewed) =
            HistoryFile::open(&self.folder, boot.trim(), is_synced, random)?;
        if is_renewed && !topics.is_empty() {
            warn!(
                name: "history.renewed",
                "the machine has ended without a clean stop of the server: the last second of durable \
                 histories may be missing, so that clients are told that they may have missed events"
            );
        }
        if !is_synced {
            self.syncer = start_syncer(file.syncer()?, Arc::clone(&self.state));
        }
        self.file = Some(file);
        let (topics_count, file) = (topics.len(), self.folder.display());
        info!(name: "history.opened", topics = topics_count, %file, "durable histories are open");
        Ok(topics)
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.sync_due {
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut group = Group::default();
            match order {
                Ok(order) => {
                    for order in std::iter::once(order).chain(orders.try_iter()) {
                        self.take(order, &mut group);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync_in_background(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.obey(group.changes);
            if let Some(closed) = group.closing {
                self.close();
                // The server may not wait any more.
                let _late = closed.send(());
                return;
            }
        }
        self.close();
    }

    fn take(&self, order: Order, group: &mut Group) {
        match order {
            Order::Append(change, answer) => group.changes.push((vec![change], Some(answer))),
            Order::Change(changes) => group.changes.push((changes, None)),
            Order::Keys(answer) => {
                let keys = self.file.as_ref().map(HistoryFile::keys);
                let keys = keys.transpose().inspect_err(|error| {
                    self.state.failed(&error.to_string());
                });
                // Its task has ended with the server.
                let _ended = answer.send(keys.ok().flatten().unwrap_or_default());
            }
            Order::Close(answer) => group.closing = Some(answer),
        }
    }

    /// Commits all changes at once, or else each by itself: one may be too large for what is left of the
    /// disk.
    fn obey(&mut self, group: Vec<Changes>) {
        if group.is_empty() {
            return;
        }
        let whole = self.commit(group.iter().flat_map(|(changes, _)| changes));
        for (changes, answer) in group {
            let result = match &whole {
                Err(_) => self.commit(&changes),
                Ok(()) => Ok(()),
            };
            if result.is_ok() && answer.is_some() {
                self.state.committed();
            }
            self.state.answers();
            if let Some(answer) = answer {
                // Its session may have ended: the event is taken back then.
                let _ended = answer.send(result);
            }
        }
    }

    fn commit<'c>(
        &mut self,
        changes: impl IntoIterator<Item = &'c HistoryChange>,
    ) -> Result<(), SaveError> {
        if self.file.is_none()
            && let Err(error) = self.open()
        {
            self.state.failed(&error.to_string());
            return Err(SaveError);
        }
        let Some(file) = &mut self.file else { return Err(SaveError) };
        if let Err(error) = file.commit(changes) {
            self.state.failed(&error.to_string());
            return Err(SaveError);
        }
        match self.mode {
            DurableMode::Synced => {
                if let Err(error) = file.sync() {
                    self.state.in_doubt(&error.to_string());
                    return Err(SaveError);
                }
            }
            DurableMode::Written => {
                self.sync_due.get_or_insert_with(|| Instant::now() + SYNC_INTERVAL);
            }
        }
        Ok(())
    }

    fn sync_in_background(&mut self) {
        self.sync_due = None;
        if let Some(syncer) = &self.syncer {
            // If it is busy still, a later sync has these commits as well.
            if syncer.try_send(()).is_err() {
                self.sync_due = Some(Instant::now() + SYNC_INTERVAL);
            }
        }
    }

    /// Notes in the file that all is there, if that is known.
    fn close(&mut self) {
        let Some(file) = self.file.take() else { return };
        let LogState { is_in_doubt, is_unsynced, .. } = &*self.state;
        if is_in_doubt.load(Ordering::Relaxed) || is_unsynced.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = file.close() {
            error!(name: "history.not_closed", "durable histories are not closed: {error}; after a power cut they begin anew");
        }
    }
}

/// Starts the thread that syncs. Without it, nothing is synced before the end.
fn start_syncer(mut sync: HistorySyncer, state: Arc<LogState>) -> Option<SyncSender<()>> {
    let (requests, received) = sync_channel::<()>(1);
    let work = move || {
        for () in received {
            if let Err(error) = sync() {
                state.sync_failed(&error.to_string());
            }
        }
    };
    let thread = std::thread::Builder::new().name("jackfield-history-sync".into());
    thread.spawn(work).is_ok().then_some(requests)
}
