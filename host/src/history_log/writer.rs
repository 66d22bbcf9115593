//! The thread that owns the file of durable histories. It commits all that waits at once.
//!
//! In the mode `synced`, publications wait for an fsync as well; otherwise a second thread syncs the file
//! once a second.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use jackfield_config::DurableMode;
use jackfield_store::{EngineError, HistoryChange, HistoryFile, HistorySyncer, LoggedTopic};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::boot::Boot;
use super::{LogState, OpenLogError, Order, SaveError};
use crate::ids;
use crate::log::DIAGNOSIS;

/// The mode of the folder: the user alone.
const FOLDER_MODE: u32 = 0o700;
/// Time between syncs of commits that no publication waits for.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Syncs the file for the publications that wait.
    sync: SyncFile,
    /// Events that are to be taken back, and could not be. No event is saved before: it would have the
    /// same place. So there is at most one for each turn.
    owed: Vec<HistoryChange>,
}

type SyncFile = Box<dyn FnMut(&mut HistoryFile) -> Result<(), EngineError> + Send>;

/// Changes in their order, and their origin.
type Changes = (Vec<HistoryChange>, Origin);

/// The part that waits for changes.
enum Origin {
    Publication(oneshot::Sender<Result<(), SaveError>>),
    Comparison(oneshot::Sender<()>),
    /// An event that is taken back.
    Rewind,
}

/// Orders that are obeyed at once.
#[derive(Default)]
struct Group {
    changes: Vec<Changes>,
    closing: Option<oneshot::Sender<()>>,
}

impl Writer {
    pub(super) fn new(folder: PathBuf, mode: DurableMode, state: Arc<LogState>) -> Self {
        let sync = Box::new(HistoryFile::sync);
        Self {
            folder,
            mode,
            state,
            file: None,
            sync_due: None,
            syncer: None,
            sync,
            owed: Vec::new(),
        }
    }

    /// Opens the file, and returns the histories in it.
    pub(super) fn open(&mut self) -> Result<Vec<LoggedTopic>, OpenLogError> {
        let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.folder);
        made.map_err(|source| OpenLogError::Folder { path: self.folder.clone(), source })?;
        let boot = Boot::find();
        let is_synced = self.mode == DurableMode::Synced;
        let random = || ids::publication().get();
        let (mut file, topics, is_renewed) =
            HistoryFile::open(&self.folder, boot.machine(), is_synced, random)?;
        let (topics_count, folder) = (topics.len(), self.folder.display());
        if is_renewed && !topics.is_empty() {
            warn!(
                name: "history.renewed",
                topics = topics_count,
                %folder,
                "events of durable histories may be missing, so that their clients are told that they may \
                 have missed some: since the last run, the machine or its disk has failed, or the file was \
                 changed, lost or restored from a copy"
            );
        }
        if !file.has_witness() {
            warn!(
                name: "history.no_witness",
                target: DIAGNOSIS,
                %folder,
                "durable histories begin anew after a kill of this server: none of RUNTIME_DIRECTORY, \
                 XDG_RUNTIME_DIR and /dev/shm is a folder in memory (tmpfs) that the server's user can \
                 write to\n  = help: mount one that stays when the server is restarted"
            );
        }
        if !is_synced {
            self.syncer = start_syncer(file.syncer()?, &self.state);
        }
        self.file = Some(file);
        info!(name: "history.opened", topics = topics_count, %folder, "durable histories are open");
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
            if self.sync_due.is_some_and(|due| due <= Instant::now()) {
                // With orders that never end, there is no timeout.
                self.sync_in_background();
            }
            if let Some(closed) = group.closing {
                self.close();
                // The server may not wait any more.
                let _late = closed.send(());
                return;
            }
        }
        self.close();
    }

    fn take(&mut self, order: Order, group: &mut Group) {
        match order {
            Order::Append(change, answer) => {
                group.changes.push((vec![change], Origin::Publication(answer)));
            }
            Order::Rewind(change) => group.changes.push((vec![change], Origin::Rewind)),
            Order::Change(changes, answer) => {
                group.changes.push((changes, Origin::Comparison(answer)));
            }
            Order::Extents(answer) => {
                self.check_place();
                let extents = self.file.as_ref().map(HistoryFile::extents);
                let extents = extents.transpose().inspect_err(|error| {
                    self.state.failed(&error.to_string());
                });
                // Its task has ended with the server.
                let _ended = answer.send(extents.ok().flatten().unwrap_or_default());
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
        // Before later events, which have the place of these.
        let owed = std::mem::take(&mut self.owed);
        let owed = owed.into_iter().map(|change| (vec![change], Origin::Rewind));
        let group: Vec<_> = owed.chain(group).collect();
        let state = Arc::clone(&self.state);
        let is_refused = |origin: &Origin| state.is_doubted() && origin.is_publication();
        let taken = group.iter().filter(|(_, origin)| !is_refused(origin));
        let whole = self.commit(taken.flat_map(|(changes, _)| changes));
        for (changes, origin) in group {
            let is_behind_owed = whole.is_err() && !self.owed.is_empty();
            // After a failed sync, another one succeeds and proves nothing.
            let result = if is_refused(&origin) || (is_behind_owed && origin.is_publication()) {
                Err(SaveError::Failed)
            } else if whole.is_err() {
                self.commit(&changes)
            } else {
                Ok(())
            };
            self.state.answers();
            match origin {
                Origin::Publication(answer) => {
                    if result.is_ok() {
                        self.state.committed();
                    }
                    // Its session may have ended: the event is taken back then.
                    let _ended = answer.send(result);
                }
                Origin::Comparison(answer) => {
                    // Its task has ended with the server.
                    let _ended = answer.send(());
                }
                Origin::Rewind if result.is_err() => self.owed.extend(changes),
                Origin::Rewind => {}
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
            return Err(SaveError::Failed);
        }
        let Some(file) = &mut self.file else { return Err(SaveError::Failed) };
        if let Err(error) = file.commit(changes) {
            self.state.failed(&error.to_string());
            return Err(SaveError::Failed);
        }
        match self.mode {
            DurableMode::Synced => {
                if let Err(error) = (self.sync)(file) {
                    self.state.in_doubt(&error.to_string());
                    if let Err(error) = file.distrust() {
                        self.state.failed(&error.to_string());
                    }
                    return Err(SaveError::Failed);
                }
            }
            DurableMode::Written => {
                self.sync_due.get_or_insert_with(|| Instant::now() + SYNC_INTERVAL);
            }
        }
        Ok(())
    }

    /// Refuses publications if the file is not in its folder any more: a restart would not find them.
    fn check_place(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.state.is_doubted() || file.is_in_place() {
            return;
        }
        self.state.in_doubt("the file or its log was removed or replaced while it was open");
        // It writes to a file that may be gone.
        let _failed = file.distrust();
    }

    fn sync_in_background(&mut self) {
        self.sync_due = None;
        self.check_place();
        if self.state.is_unsynced.load(Ordering::Relaxed)
            && let Some(file) = &mut self.file
        {
            // The file may be written again. The witness is gone in any case.
            let _failed = file.distrust();
        }
        if let Some(syncer) = &self.syncer {
            // If it is busy still, a later sync has these commits as well.
            if syncer.try_send(()).is_err() {
                self.sync_due = Some(Instant::now() + SYNC_INTERVAL);
            }
        }
    }

    /// Notes in the file that all is there, if that is known.
    fn close(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        let is_owed = !owed.is_empty() && self.commit(&owed).is_err();
        let Some(mut file) = self.file.take() else { return };
        if is_owed {
            // An event that was refused stays in the file. The disk has a reason, which is in the log.
            let _failed = file.distrust();
            return;
        }
        let LogState { is_in_doubt, is_unsynced, .. } = &*self.state;
        if is_in_doubt.load(Ordering::Relaxed) || is_unsynced.load(Ordering::Relaxed) {
            // The failure is in the log.
            let _failed = file.distrust();
            return;
        }
        if let Err(error) = file.close() {
            let folder = self.folder.display();
            error!(name: "history.not_closed", %folder, "durable histories are not closed in order, and may begin anew at the next start: {error}");
        }
    }
}

impl Origin {
    const fn is_publication(&self) -> bool {
        matches!(self, Self::Publication(_))
    }
}

/// Starts the thread that syncs. Without it, nothing is synced before the end.
fn start_syncer(mut sync: HistorySyncer, state: &Arc<LogState>) -> Option<SyncSender<()>> {
    let (requests, received) = sync_channel::<()>(1);
    let noted = Arc::clone(state);
    let work = move || {
        for () in received {
            if let Err(error) = sync() {
                noted.sync_failed(&error.to_string());
            }
        }
    };
    let thread = std::thread::Builder::new().name("jackfield-history-sync".into());
    let started = thread.spawn(work).inspect_err(|error| {
        state.sync_failed(&format!("the thread that syncs cannot be started: {error}"));
    });
    started.is_ok().then_some(requests)
}

#[cfg(test)]
mod tests {
    use std::io;

    use jackfield_store::TopicKey;
    use tempfile::TempDir;

    use super::*;

    fn key() -> TopicKey {
        TopicKey { realm: "r".to_owned(), topic: "t".to_owned(), epoch: 1 }
    }

    fn append(offset: u64, retained: Option<Vec<u8>>) -> HistoryChange {
        HistoryChange::Append {
            key: key(),
            is_new: offset == 1,
            first: 1,
            offset,
            at_ms: 0,
            event: Vec::new(),
            retained,
        }
    }

    fn save(writer: &mut Writer, offset: u64) -> Result<(), SaveError> {
        save_change(writer, append(offset, None))
    }

    fn save_change(writer: &mut Writer, change: HistoryChange) -> Result<(), SaveError> {
        let (answer, mut answered) = oneshot::channel();
        writer.obey(vec![(vec![change], Origin::Publication(answer))]);
        answered.try_recv().unwrap()
    }

    /// The operating system reports the failure once: the second sync succeeds, and proves nothing.
    #[test]
    fn nothing_is_acknowledged_after_a_failed_sync() {
        let folder = TempDir::new().unwrap();
        let state = Arc::<LogState>::default();
        let path = folder.path().to_owned();
        let mut writer = Writer::new(path, DurableMode::Synced, Arc::clone(&state));
        assert_eq!(save(&mut writer, 1), Ok(()));
        let mut has_failed = false;
        writer.sync = Box::new(move |file| {
            if std::mem::replace(&mut has_failed, true) {
                return file.sync();
            }
            Err(EngineError::Sync(io::ErrorKind::Other.into()))
        });
        assert_eq!(save(&mut writer, 2), Err(SaveError::Failed));
        assert_eq!(save(&mut writer, 3), Err(SaveError::Failed));
        assert!(state.admit().is_err());
        writer.close();
        drop(writer);
        let mut writer = Writer::new(folder.path().to_owned(), DurableMode::Synced, state);
        let topics = writer.open().unwrap();
        assert_ne!(topics[0].key.epoch, 1, "the disk may lack an event that clients have seen");
    }

    /// A sync in the background has failed, of events that were acknowledged.
    #[test]
    fn histories_begin_anew_after_a_failed_sync_in_the_background() {
        for is_closed in [true, false] {
            let folder = TempDir::new().unwrap();
            let open =
                || Writer::new(folder.path().to_owned(), DurableMode::Written, Arc::default());
            let mut writer = open();
            assert_eq!(save(&mut writer, 1), Ok(()));
            drop(writer);
            let mut writer = open();
            assert_eq!(writer.open().unwrap()[0].key.epoch, 1, "a kill");
            assert_eq!(save(&mut writer, 2), Ok(()));
            let file = writer.file.as_mut().unwrap();
            let mut sync = file.syncer().unwrap();
            let revoking = Arc::clone(&writer.state);
            writer.syncer = start_syncer(
                Box::new(move || {
                    sync().unwrap();
                    Err(EngineError::Sync(io::ErrorKind::Other.into()))
                }),
                &revoking,
            );
            writer.sync_in_background();
            // The thread of the syncer ends with its requests.
            writer.syncer = None;
            while !writer.state.is_unsynced.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            assert!(writer.state.failure().is_some());
            // Publications go on, and prove nothing.
            assert_eq!(save(&mut writer, 3), Ok(()));
            if is_closed {
                writer.close();
            } else {
                writer.sync_in_background();
            }
            drop(writer);
            let topics = open().open().unwrap();
            assert_ne!(topics[0].key.epoch, 1, "{is_closed}");
        }
    }

    #[test]
    fn refuses_publications_when_the_file_is_gone() {
        for mode in [DurableMode::Written, DurableMode::Synced] {
            let folder = TempDir::new().unwrap();
            let state = Arc::<LogState>::default();
            let mut writer = Writer::new(folder.path().to_owned(), mode, Arc::clone(&state));
            assert_eq!(save(&mut writer, 1), Ok(()));
            writer.check_place();
            assert_eq!(save(&mut writer, 2), Ok(()));
            std::fs::remove_file(folder.path().join("history.sqlite3-wal")).unwrap();
            let (answer, _extents) = oneshot::channel();
            writer.take(Order::Extents(answer), &mut Group::default());
            assert_eq!(save(&mut writer, 3), Err(SaveError::Failed));
            assert!(state.admit().is_err());
            writer.close();
            drop(writer);
            let mut writer = Writer::new(folder.path().to_owned(), mode, Arc::default());
            assert_ne!(writer.open().unwrap().first().map(|it| it.key.epoch), Some(1));
        }
    }

    /// The next event has the place of the one that is to be taken back, and must not keep its retained
    /// event.
    #[test]
    fn an_event_is_taken_back_as_soon_as_the_disk_allows_it() {
        let parent = TempDir::new().unwrap();
        let (folder, away) = (parent.path().join("history"), parent.path().join("away"));
        let mut writer = Writer::new(folder.clone(), DurableMode::Written, Arc::default());
        assert_eq!(save(&mut writer, 1), Ok(()));
        assert_eq!(save_change(&mut writer, append(2, Some(vec![2]))), Ok(()));
        // The file is gone for a while.
        writer.file = None;
        std::fs::rename(&folder, &away).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
        let rewind = HistoryChange::Rewind { key: key(), offset: 2, retained: Some(None) };
        writer.obey(vec![(vec![rewind], Origin::Rewind)]);
        assert_eq!(save(&mut writer, 2), Err(SaveError::Failed));
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&away, &folder).unwrap();
        assert_eq!(save(&mut writer, 2), Ok(()));
        writer.close();
        let topics = writer.open().unwrap();
        assert_eq!((topics[0].top, topics[0].events.len()), (2, 2));
        assert_eq!(topics[0].retained, None);
    }
}
