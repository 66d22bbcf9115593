//! The writer: one thread that owns the engine, and commits what waits, all of it at once.
//!
//! Commits survive a kill of the process. For a power cut, a second thread syncs the file once a
//! second; plugins whose state is `synced` wait for a sync of their own instead.

mod copies;
pub(crate) mod doubt;
mod pauses;
mod syncer;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use jackfield_metrics::Histogram;
use jackfield_store::{Engine, EngineError, Saved, TakeOver};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::durable::{Batch, MAX_SAVE_TIME, Order, hung};
use super::take_over::{TakeOverError, Taken};
use super::{Kept, SharedSpace};
use doubt::Doubt;
use pauses::Pauses;
use syncer::{SyncRequest, start_syncer};

/// A handle of the thread, which ends after the last one and the last space.
#[derive(Clone)]
pub(crate) struct StoreWriter {
    orders: Sender<Order>,
}

/// Time between syncs of commits that no hook waits for.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

impl StoreWriter {
    /// Starts the thread; `commits` gets the times of its commits.
    pub(crate) fn start(engine: Box<dyn Engine>, commits: Arc<Histogram>) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let work = Work {
            engine,
            commits,
            spaces: HashMap::new(),
            pauses: Pauses::default(),
            sync: Sync::Clean,
            doubt: Doubt::None,
            is_copied: false,
        };
        thread::Builder::new().name("jackfield-store".into()).spawn(move || work.run(&received))?;
        Ok(Self { orders })
    }

    pub(crate) fn orders(&self) -> Sender<Order> {
        self.orders.clone()
    }

    /// Fills a new space from the file.
    pub(crate) async fn read(&self, space: &SharedSpace) -> Result<(), String> {
        let ended = || "the thread that saves the store has ended".to_owned();
        let (answer, read) = oneshot::channel();
        self.orders.send(Order::Read(Arc::clone(space), answer)).map_err(|_| ended())?;
        match timeout(MAX_SAVE_TIME, read).await {
            Ok(read) => read.unwrap_or_else(|_| Err(ended())),
            Err(_elapsed) => Err(hung(MAX_SAVE_TIME)),
        }
    }

    /// The plugins that have entries in the file.
    pub(crate) async fn plugins(&self) -> Result<Vec<String>, String> {
        let ended = || "the thread that saves the store has ended".to_owned();
        let (answer, read) = oneshot::channel();
        self.orders.send(Order::Plugins(answer)).map_err(|_| ended())?;
        match timeout(MAX_SAVE_TIME, read).await {
            Ok(read) => read.unwrap_or_else(|_| Err(ended())),
            Err(_elapsed) => Err(hung(MAX_SAVE_TIME)),
        }
    }

    /// Makes a space what the other copies of its store have, and this node the one that writes it.
    pub(crate) async fn take_over(
        &self,
        space: &SharedSpace,
        from: TakeOver,
    ) -> Result<Taken, TakeOverError> {
        let ended =
            || TakeOverError::Failed("the thread that saves the store has ended".to_owned());
        let (answer, taken) = oneshot::channel();
        let order = Order::TakeOver(Arc::clone(space), from, answer);
        self.orders.send(order).map_err(|_| ended())?;
        taken.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Lets this node write the store of a plugin no more.
    pub(crate) fn resign(&self, plugin: &str) {
        // If the thread has ended, nothing is written in any case.
        let _ended = self.orders.send(Order::Resign(plugin.into()));
    }

    /// Writes a backup to a new file, and returns its size in bytes.
    pub(crate) async fn back_up(&self, file: PathBuf) -> Result<u64, String> {
        let ended = || "the thread that saves the store has ended".to_owned();
        let (answer, written) = oneshot::channel();
        let order = Order::Backup(file, self.orders(), answer);
        self.orders.send(order).map_err(|_| ended())?;
        written.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// The state of the thread.
struct Work {
    engine: Box<dyn Engine>,
    commits: Arc<Histogram>,
    /// Every space, for failures that concern all.
    spaces: HashMap<Arc<str>, Weak<Kept>>,
    pauses: Pauses,
    sync: Sync,
    doubt: Doubt,
    /// Whether a backup is under way.
    is_copied: bool,
}

/// The commits since the last sync.
enum Sync {
    /// There are none.
    Clean,
    /// They are to be synced at this time.
    Due(Instant),
    /// They are being synced; the flag tells whether there are more.
    UnderWay(Receiver<Result<(), EngineError>>, bool),
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut syncer = None;
        loop {
            let order = match self.next_due() {
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => self.obey(order, orders),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.retry();
            self.sync_in_background(&mut syncer);
        }
        // For the power cut after an orderly end.
        if let Err(error) = self.engine.sync() {
            tracing::debug!("the store was not synced at the end: {error}");
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let sync = match self.sync {
            Sync::Clean => None,
            Sync::Due(at) => Some(at),
            Sync::UnderWay(..) => Some(Instant::now() + SYNC_INTERVAL),
        };
        self.pauses.next().into_iter().chain(sync).min()
    }

    /// Obeys the order, and those that have come meanwhile: one commit for all.
    fn obey(&mut self, first: Order, orders: &Receiver<Order>) {
        let (mut spaces, mut backups) = (Vec::new(), Vec::new());
        for order in std::iter::once(first).chain(orders.try_iter()) {
            match order {
                // Its loader may have gone.
                Order::Read(space, answer) => drop(answer.send(self.read(&space))),
                Order::Plugins(answer) => {
                    let names = self.engine.plugins().map_err(|error| error.to_string());
                    drop(answer.send(names));
                }
                Order::TakeOver(space, from, answer) => {
                    drop(answer.send(self.take_over(&space, from)));
                }
                Order::Resign(plugin) => self.engine.resign(&plugin),
                Order::Save(space) => spaces.push(space),
                Order::Backup(file, orders, answer) => backups.push((file, orders, answer)),
                Order::BackupEnded => self.end_backup(),
            }
        }
        // A space is ordered once until its changes are taken. They are taken when no more orders
        // are read: two batches of one space in a group could not fail alone.
        let take = |space: &SharedSpace| space.durable.as_ref().map(|it| it.take(space));
        let batches: Vec<_> = spaces.iter().filter_map(take).collect();
        let batches = self.prepare(batches);
        let changes: Vec<_> = batches.iter().map(|batch| &batch.changes).collect();
        let is_new = changes.iter().any(|changes| !changes.entries.is_empty());
        let plugins: Vec<_> = changes.iter().map(|it| Arc::clone(&it.plugin)).collect();
        let began = Instant::now();
        let committed = if is_new { self.engine.commit(&changes) } else { Ok(()) };
        if is_new && committed.is_ok() {
            self.commits.record(began.elapsed());
        }
        match committed {
            Ok(()) => self.committed(batches, is_new),
            Err(error) if batches.len() == 1 => self.failed(batches, &error),
            // One plugin's changes may be too large for what is left of the disk.
            Err(_) => {
                for batch in batches {
                    match self.engine.commit(&[&batch.changes]) {
                        Ok(()) => self.committed(vec![batch], is_new),
                        Err(error) => self.failed(vec![batch], &error),
                    }
                }
            }
        }
        if is_new {
            self.engine.finish(&plugins);
        }
        for space in &spaces {
            self.adopt(space);
        }
        for (file, orders, answer) in backups {
            self.back_up(file, orders, answer);
        }
    }

    /// Pauses a space that its own hooks have put on hold, as this thread did not answer.
    fn adopt(&mut self, space: &SharedSpace) {
        let is_on_hold = space.durable.as_ref().is_some_and(|it| it.hold().is_some());
        if is_on_hold && !self.pauses.has(space) {
            self.pauses.failed(space, Instant::now());
        }
    }

    /// Begins a backup, which a thread of its own writes.
    fn back_up(
        &mut self,
        file: PathBuf,
        orders: Sender<Order>,
        answer: oneshot::Sender<Result<u64, String>>,
    ) {
        if self.is_copied {
            // Its session may have ended, here and below.
            let _ = answer.send(Err("another backup is under way".to_owned()));
            return;
        }
        if self.doubt != Doubt::None {
            let _ = answer.send(Err(doubt::REASON.to_owned()));
            return;
        }
        self.is_copied = true;
        let backup = match self.engine.begin_backup() {
            Ok(backup) => backup,
            Err(error) => {
                self.end_backup();
                let _ = answer.send(Err(error.to_string()));
                return;
            }
        };
        let write = move || {
            let written = backup(&file).map_err(|error| error.to_string());
            let _ended = orders.send(Order::BackupEnded);
            let _ = answer.send(written);
        };
        // The answer is dropped with the thread that cannot be made.
        if thread::Builder::new().name("jackfield-backup".into()).spawn(write).is_err() {
            self.end_backup();
        }
    }

    fn end_backup(&mut self) {
        self.is_copied = false;
        if let Err(error) = self.engine.end_backup() {
            tracing::error!(name: "store.log_grows", "the log of the store grows until the server is restarted: {error}");
        }
    }

    fn committed(&mut self, batches: Vec<Batch>, is_new: bool) {
        let is_synced = |batch: &Batch| batch.space.durable.as_ref().is_some_and(|it| it.is_synced);
        let (synced, written): (Vec<_>, Vec<_>) = batches.into_iter().partition(is_synced);
        written.into_iter().for_each(Batch::committed);
        if is_new {
            match &mut self.sync {
                Sync::Clean => self.sync = Sync::Due(Instant::now() + SYNC_INTERVAL),
                Sync::UnderWay(_, more) => *more = true,
                Sync::Due(_) => {}
            }
        }
        if synced.is_empty() {
            return;
        }
        match self.engine.sync() {
            Ok(()) => synced.into_iter().for_each(Batch::committed),
            Err(error) => {
                self.failed(synced, &error);
                self.all_failed(&error);
            }
        }
    }

    /// Puts spaces on hold whose changes could not be saved.
    fn failed(&mut self, batches: Vec<Batch>, error: &EngineError) {
        for batch in batches {
            let space = Arc::clone(&batch.space);
            let (reason, saved) = self.hold(&space, error);
            batch.failed(&reason, saved);
        }
    }

    /// Puts all spaces on hold: what the operating system has not brought to the disk may be lost.
    fn all_failed(&mut self, error: &EngineError) {
        self.doubt.arise();
        let is_served =
            |space: &SharedSpace| space.durable.as_ref().is_some_and(|it| it.hold().is_none());
        let spaces = self.spaces.values().filter_map(Weak::upgrade).filter(is_served);
        let spaces: Vec<_> = spaces.collect();
        for space in spaces {
            let (reason, saved) = self.hold(&space, error);
            space.hold(&reason, saved);
        }
    }

    fn hold(&mut self, space: &SharedSpace, error: &EngineError) -> (Arc<str>, Option<Saved>) {
        let Some(durable) = &space.durable else { return ("".into(), None) };
        let reason: Arc<str> = error.to_string().into();
        let saved = self.engine.read(&durable.plugin);
        if error.needs_home() {
            // Its engine has told so. A node that becomes the home takes the hold away.
            return (reason, saved.ok());
        }
        let length = self.pauses.failed(space, Instant::now());
        tracing::error!(
            name: "store.save_failed",
            target: "jackfield::plugin",
            plugin = &*durable.plugin,
            "cannot save the plugin's store: {reason}; its handlers are on hold, and the store is \
             as it was saved last; next try in {} s",
            length.as_secs()
        );
        if let Err(error) = &saved {
            tracing::error!(
                name: "store.read_failed",
                target: "jackfield::plugin",
                plugin = &*durable.plugin,
                "cannot read the plugin's store: {error}"
            );
        }
        (reason, saved.ok())
    }

    /// Releases the spaces on hold whose pause is over, if the file can be read and written again.
    fn retry(&mut self) {
        for space in self.pauses.due(Instant::now()) {
            let Some(durable) = &space.durable else { continue };
            match self.doubt.trial(&mut *self.engine, &durable.plugin) {
                Ok(saved) => {
                    space.release(saved);
                    tracing::info!(
                        name: "store.saved_again",
                        target: "jackfield::plugin",
                        plugin = &*durable.plugin,
                        "the plugin's store can be saved again; its handlers are called"
                    );
                    self.pauses.released(&space, Instant::now());
                }
                Err(reason) => {
                    let length = self.pauses.failed(&space, Instant::now());
                    tracing::warn!(
                        name: "store.save_still_failing",
                        target: "jackfield::plugin",
                        plugin = &*durable.plugin,
                        "next try in {} s, the plugin's store still cannot be saved: {reason}",
                        length.as_secs()
                    );
                }
            }
        }
    }

    fn read(&mut self, space: &SharedSpace) -> Result<(), String> {
        let Some(durable) = &space.durable else { return Ok(()) };
        let saved = self.engine.read(&durable.plugin).map_err(|error| error.to_string())?;
        space.release(saved);
        self.spaces.insert(Arc::clone(&durable.plugin), Arc::downgrade(space));
        if self.doubt != Doubt::None {
            space.hold(&doubt::REASON.into(), None);
            self.pauses.failed(space, Instant::now());
        }
        Ok(())
    }

    fn sync_in_background(&mut self, requests: &mut Option<SyncSender<SyncRequest>>) {
        match &mut self.sync {
            Sync::Clean => {}
            Sync::Due(at) if Instant::now() < *at => {}
            Sync::Due(_) => match self.request_sync(requests) {
                Ok(result) => self.sync = Sync::UnderWay(result, false),
                Err(error) => {
                    self.sync = Sync::Clean;
                    self.all_failed(&error);
                }
            },
            Sync::UnderWay(result, more) => {
                let result = match result.try_recv() {
                    Err(mpsc::TryRecvError::Empty) => return,
                    Err(mpsc::TryRecvError::Disconnected) => {
                        Err(EngineError::Sync(io::ErrorKind::BrokenPipe.into()))
                    }
                    Ok(result) => result,
                };
                self.sync =
                    if *more { Sync::Due(Instant::now() + SYNC_INTERVAL) } else { Sync::Clean };
                if let Err(error) = result {
                    self.all_failed(&error);
                }
            }
        }
    }

    /// Asks the second thread, started at the first request.
    fn request_sync(
        &mut self,
        requests: &mut Option<SyncSender<SyncRequest>>,
    ) -> Result<Receiver<Result<(), EngineError>>, EngineError> {
        let sender = match requests {
            Some(sender) => sender,
            None => {
                requests.insert(start_syncer(self.engine.syncer()?).map_err(EngineError::Sync)?)
            }
        };
        let (request, result) = mpsc::sync_channel(1);
        let ended = |_| EngineError::Sync(io::ErrorKind::BrokenPipe.into());
        sender.send(request).map_err(ended)?;
        Ok(result)
    }
}

impl fmt::Debug for StoreWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreWriter").finish_non_exhaustive()
    }
}
