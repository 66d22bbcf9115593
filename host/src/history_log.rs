//! Durable histories: the file in the data folder, and the thread that writes to it.
//!
//! A publication to a topic with a durable history takes three steps (`dispatch/durable.rs`): its place in
//! the history is found, the event is committed here, and only then it is delivered. The events of one
//! topic do so one after another (a *turn*); the thread commits those of several topics at once. An event
//! that was committed and is not delivered after all, because its session has ended or a receiver cannot get
//! it, is taken back. So a client never sees an event that a restart does not know.
//!
//! The memory is the original: [`follow()`] removes from the file the events that the memory has no longer.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use std::time::{Duration, Instant};

use jackfield_config::DurableMode;
use jackfield_store::{EngineError, HISTORY_FILE, HistoryChange, LoggedExtent};
use tokio::sync::{Mutex, MutexGuard, Notify, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::data_folder::for_disk;
use crate::log::DIAGNOSIS;
use crate::log::backoff::Backoff;

mod boot;
mod follow;
mod saved;
mod writer;

pub(crate) use follow::follow;
pub(crate) use saved::{append, rewind};

use writer::Writer;

/// The folder of the file in the data folder.
pub(crate) const PART: &str = "history";

/// The time for an order to be obeyed. Then the disk is taken to hang. A publication waits as long for its
/// turn before.
const MAX_SAVE_TIME: Duration = Duration::from_secs(10);

/// The number of turns: topics of one number wait for each other.
const TURNS: u64 = 256;

/// The bytes of new events after which the file is compared with the memory: a part of what both may have.
const COMPARED_BYTES: usize = 4 << 20;

/// The file of durable histories, and its thread.
pub(crate) struct HistoryLog {
    orders: Sender<Order>,
    state: Arc<LogState>,
    /// Held while an event is saved and delivered. Nothing else is awaited meanwhile but the thread.
    turns: Vec<Mutex<()>>,
    hasher: RandomState,
    /// Bytes of events since the last comparison with the memory.
    new_bytes: AtomicUsize,
    compare: Notify,
}

/// The state of the file, as publications and operators see it.
#[derive(Default)]
pub(crate) struct LogState {
    /// Whether the last commit has failed.
    is_failing: AtomicBool,
    /// Whether the failure is in the log.
    is_reported: AtomicBool,
    /// Whether the thread does not answer.
    is_hung: AtomicBool,
    /// Whether the disk has failed to sync. The operating system reports that once, so only a restart
    /// ends it.
    is_in_doubt: AtomicBool,
    /// Whether a sync in the background has failed.
    is_unsynced: AtomicBool,
    /// The folder, for people.
    folder: PathBuf,
    /// The reason of the last failure.
    reason: BlockingMutex<String>,
    failures: Backoff<()>,
    syncs: Backoff<()>,
}

/// An order for the thread.
enum Order {
    /// An event that a publication waits for.
    Append(HistoryChange, oneshot::Sender<Result<(), SaveError>>),
    /// An event is taken back. It is tried until it succeeds.
    Rewind(HistoryChange),
    /// Changes of the comparison, which makes them again if they fail.
    Change(Vec<HistoryChange>, oneshot::Sender<()>),
    /// The topics in the file.
    Extents(oneshot::Sender<Vec<LoggedExtent>>),
    /// All is saved and synced, and the thread ends.
    Close(oneshot::Sender<()>),
}

/// The event is not saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaveError {
    /// The file cannot be written, or the disk does not answer.
    #[error("the history of the topic cannot be saved; try again later")]
    Failed,
    /// The publication did not get its turn.
    #[error("too many publications to the topic wait to be saved; try again later")]
    Busy,
}

/// An event that is committed. It is taken back unless it is delivered.
pub(crate) struct Appended<'l> {
    log: &'l HistoryLog,
    rewind: Option<HistoryChange>,
}

/// The reason why durable histories cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenLogError {
    /// The folder cannot be made or removed.
    #[error(
        "failed to use the folder {}: {source}\n  = help: the server's user needs a folder that it can \
         write to (mode 0700)",
        .path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("failed to {0}")]
    File(#[from] EngineError),
    /// The thread cannot be started.
    #[error(
        "failed to start the thread of histories: {0}\n  = help: raise the limit of threads of the \
         server's user"
    )]
    Thread(io::Error),
}

impl HistoryLog {
    /// Opens the file in this folder, if there is one, and starts the thread. It blocks. Returns the
    /// histories by realm as well.
    ///
    /// # Errors
    /// [`OpenLogError`]: the file cannot be used.
    pub(crate) fn open(
        folder: &Path,
        mode: DurableMode,
    ) -> Result<(Self, saved::Histories), OpenLogError> {
        let (orders, received) = mpsc::channel();
        let state = Arc::new(LogState { folder: folder.to_owned(), ..LogState::default() });
        let mut writer = Writer::new(folder.to_owned(), mode, Arc::clone(&state));
        let is_there = folder.join(HISTORY_FILE).try_exists();
        let failed = |source| OpenLogError::Folder { path: folder.to_owned(), source };
        let histories = if is_there.map_err(failed)? {
            saved::decode(writer.open()?)
        } else {
            saved::Histories::default()
        };
        let thread = std::thread::Builder::new().name("jackfield-history".into());
        thread.spawn(move || writer.run(&received)).map_err(OpenLogError::Thread)?;
        let log = Self {
            orders,
            state,
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            new_bytes: AtomicUsize::new(0),
            compare: Notify::new(),
        };
        Ok((log, histories))
    }

    /// Removes the file of a server that was no node of a cluster, as a route that loses `durable` would: its
    /// epochs would have a hole. Other files of the folder stay. It blocks.
    ///
    /// # Errors
    /// [`OpenLogError::Folder`]
    pub(crate) fn remove(folder: PathBuf) -> Result<(), OpenLogError> {
        // The log last: the file without it may be an earlier state. SQLite removes a log without a file.
        for end in ["", "-wal", "-shm", ".seal"] {
            match std::fs::remove_file(folder.join(format!("{HISTORY_FILE}{end}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenLogError::Folder { path: folder, source: error });
                }
                Ok(()) | Err(_) => {}
            }
        }
        // It may have other files.
        let _kept = std::fs::remove_dir(folder);
        Ok(())
    }

    /// Waits for the turn of a topic.
    ///
    /// # Errors
    /// [`SaveError`]: earlier events wait for the disk for too long.
    pub(crate) async fn turn(
        &self,
        realm: &str,
        topic: &str,
    ) -> Result<MutexGuard<'_, ()>, SaveError> {
        self.state.admit()?;
        let number = self.hasher.hash_one((realm, topic)) % TURNS;
        let number = usize::try_from(number).unwrap_or_default();
        // There are so many.
        let turn = self.turns.get(number).ok_or(SaveError::Failed)?;
        if let Ok(turn) = turn.try_lock() {
            return Ok(turn);
        }
        timeout(MAX_SAVE_TIME, turn.lock()).await.map_err(|_elapsed| SaveError::Busy)
    }

    /// Commits an event. `rewind` takes it back if it is not delivered.
    ///
    /// # Errors
    /// [`SaveError`]: the event is not in the file, or will not be.
    pub(crate) async fn append(
        &self,
        event: HistoryChange,
        rewind: HistoryChange,
    ) -> Result<Appended<'_>, SaveError> {
        self.state.admit()?;
        if let HistoryChange::Append { event, .. } = &event {
            self.note_bytes(event.len());
        }
        // Before the order is sent: the future may be dropped while it waits.
        let mut appended = Appended { log: self, rewind: Some(rewind) };
        let (answer, committed) = oneshot::channel();
        if self.orders.send(Order::Append(event, answer)).is_err() {
            return Err(self.has_ended());
        }
        // From the order: a busy topic is no disk that hangs.
        match timeout(MAX_SAVE_TIME, committed).await {
            Ok(Ok(Ok(()))) => Ok(appended),
            Ok(Ok(Err(error))) => {
                if !self.state.is_in_doubt.load(Ordering::Relaxed) {
                    // The commit is undone.
                    appended.rewind = None;
                }
                Err(error)
            }
            Ok(Err(_ended)) => Err(self.has_ended()),
            Err(_elapsed) => {
                self.state.hangs();
                Err(SaveError::Failed)
            }
        }
    }

    /// Compares the file with the memory soon: a reload may have ended histories.
    pub(crate) fn compare_soon(&self) {
        self.compare.notify_one();
    }

    /// Returns whether events cannot be saved now.
    pub(crate) fn is_failing(&self) -> bool {
        self.state.is_failing.load(Ordering::Relaxed) || self.state.admit().is_err()
    }

    /// Returns the reason why events cannot be saved now, or why histories begin anew at the next start.
    pub(crate) fn failure(&self) -> Option<String> {
        self.state.failure()
    }

    /// Saves and syncs all, after the last publication, and ends the thread.
    pub(crate) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.orders.send(Order::Close(answer)).is_ok() {
            // If the disk hangs, the next start cannot trust the file, and renews the epochs.
            let _late = for_disk(&self.state.folder, closed).await;
        }
    }

    fn note_bytes(&self, bytes: usize) {
        if self.new_bytes.fetch_add(bytes, Ordering::Relaxed) >= COMPARED_BYTES {
            self.new_bytes.store(0, Ordering::Relaxed);
            self.compare.notify_one();
        }
    }

    fn has_ended(&self) -> SaveError {
        self.state.failed("its thread has ended");
        SaveError::Failed
    }
}

impl Appended<'_> {
    /// Keeps the event in the file: it is delivered.
    pub(crate) fn keep(mut self) {
        self.rewind = None;
    }
}

impl Drop for Appended<'_> {
    fn drop(&mut self) {
        if let Some(rewind) = self.rewind.take() {
            // Without the thread, nothing is saved any more.
            let _ended = self.log.orders.send(Order::Rewind(rewind));
        }
    }
}

impl LogState {
    fn is_doubted(&self) -> bool {
        self.is_in_doubt.load(Ordering::Relaxed)
    }

    fn admit(&self) -> Result<(), SaveError> {
        let is_out =
            self.is_hung.load(Ordering::Relaxed) || self.is_in_doubt.load(Ordering::Relaxed);
        if is_out { Err(SaveError::Failed) } else { Ok(()) }
    }

    fn hangs(&self) {
        if !self.is_hung.swap(true, Ordering::Relaxed) {
            self.failed(&format!("the disk has not answered for {MAX_SAVE_TIME:?}"));
        }
    }

    fn failed(&self, reason: &str) {
        self.is_failing.store(true, Ordering::Relaxed);
        self.set_reason(reason);
        if let Some(times) = self.failures.happened((), Instant::now()) {
            self.is_reported.store(true, Ordering::Relaxed);
            // Of no session: its publication was the first one that had to wait.
            error!(
                name: "history.save_failed",
                parent: None,
                times,
                folder = %self.folder.display(),
                "cannot save durable histories: {reason}; publications to their topics are refused \
                 until it is possible"
            );
        }
    }

    /// Notes that the second thread cannot sync. Publications go on: they do not wait for it.
    fn sync_failed(&self, reason: &str) {
        self.set_reason(reason);
        self.is_unsynced.store(true, Ordering::Relaxed);
        if let Some(times) = self.syncs.happened((), Instant::now()) {
            warn!(
                name: "history.sync_failed",
                target: DIAGNOSIS,
                times,
                folder = %self.folder.display(),
                "the disk may have lost events of durable histories: {reason}; they begin anew at the next \
                 start\n  = help: see to the disk, then restart the server"
            );
        }
    }

    fn in_doubt(&self, reason: &str) {
        self.set_reason(reason);
        if !self.is_in_doubt.swap(true, Ordering::Relaxed) {
            error!(
                name: "history.in_doubt",
                target: DIAGNOSIS,
                folder = %self.folder.display(),
                "durable histories cannot be relied on any more: {reason}; publications to their topics \
                 are refused until the server is restarted, and then histories begin anew\n  = help: see to \
                 the disk, then restart the server"
            );
        }
    }

    fn set_reason(&self, reason: &str) {
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failure(&self) -> Option<String> {
        let has_failed = self.is_failing.load(Ordering::Relaxed)
            || self.is_unsynced.load(Ordering::Relaxed)
            || self.admit().is_err();
        let reason = || self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        has_failed.then(reason)
    }

    /// Notes that the thread goes on. A publication that waits no longer makes a change after it has noted
    /// the opposite, so that this is the last word.
    fn answers(&self) {
        self.is_hung.store(false, Ordering::Relaxed);
    }

    fn committed(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
        if self.is_reported.swap(false, Ordering::Relaxed) {
            info!(name: "history.saved_again", "durable histories can be saved again");
        }
    }
}
