//! The changes of a space on their way to the file.
//!
//! When a hook ends, all that has changed in its space until then is collected under the lock of the
//! space, so the file only ever becomes what the memory was at the end of some hook. Changes that
//! wait are coalesced by key.
//!
//! A space whose changes cannot be saved is put on hold, and read from the file again: hooks that
//! saw what is undone are refused ([`Durable::incarnation`] tells them apart), and so are all
//! further ones until a commit succeeds.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jackfield_store::{Changes, Saved, TakeOver, Value};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::space::Space;
use super::take_over::{TakeOverError, Taken};
use super::{Kept, SharedSpace};
use crate::fault::FaultKind;

/// The time for changes to be saved. Then the disk is taken to hang: a request that waits longer
/// holds memory, and its client has given up.
pub(crate) const MAX_SAVE_TIME: Duration = Duration::from_secs(10);

/// The way of one plugin's changes to the file.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) plugin: Arc<str>,
    /// Whether a commit has to survive a power cut before hooks go on.
    pub(crate) is_synced: bool,
    /// The time for changes to be saved.
    save_time: Duration,
    orders: mpsc::Sender<Order>,
    /// A std mutex, held to collect changes.
    queue: Mutex<Queue>,
    /// Counted up each time the space is read from the file again.
    incarnation: AtomicU64,
    is_on_hold: AtomicBool,
    /// The reason of the hold.
    reason: Mutex<Arc<str>>,
}

/// An order for the writer.
pub(crate) enum Order {
    /// The space has changes, or hooks that wait.
    Save(SharedSpace),
    /// A space is read for the first time.
    Read(SharedSpace, oneshot::Sender<Result<(), String>>),
    /// This node becomes the home of the plugin: its space is what the other copies have.
    TakeOver(SharedSpace, TakeOver, oneshot::Sender<Result<Taken, TakeOverError>>),
    /// This node is not the home of the plugin any more.
    Resign(Arc<str>),
    /// The plugins that have entries in the file.
    Plugins(oneshot::Sender<Result<Vec<String>, String>>),
    /// A backup is written to this new file. The writer is told when it has ended.
    Backup(PathBuf, mpsc::Sender<Order>, oneshot::Sender<Result<u64, String>>),
    BackupEnded,
}

/// Tells whether what a hook saw is saved.
pub(crate) struct Receipt {
    result: oneshot::Receiver<Result<(), Arc<str>>>,
    deadline: tokio::time::Instant,
    space: SharedSpace,
}

#[derive(Debug, Default)]
struct Queue {
    /// The newest value of each changed key.
    ready: HashMap<Arc<str>, Option<Value>>,
    waiting: Vec<oneshot::Sender<Result<(), Arc<str>>>>,
    /// Whether the writer will look here.
    is_ordered: bool,
    /// Whether the writer is committing what it took from here.
    is_under_way: bool,
    /// The number of the layout of the last writer.
    schema: Option<u32>,
}

/// What the writer takes at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) space: SharedSpace,
    pub(crate) changes: Changes,
    waiting: Vec<oneshot::Sender<Result<(), Arc<str>>>>,
}

/// The reason of a hold while the disk hangs.
pub(crate) fn hung(time: Duration) -> String {
    format!("the disk has not answered for {time:?}")
}

impl Receipt {
    /// Waits until what a hook saw is saved.
    ///
    /// # Errors
    /// It is not. If the disk hangs, it may be saved later nevertheless.
    pub(crate) async fn saved(self) -> Result<(), FaultKind> {
        let reason = match timeout_at(self.deadline, self.result).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(_ended)) => "the thread that saves the store has ended".into(),
            Err(_elapsed) => self.space.hang(),
        };
        Err(FaultKind::StoreFailed(reason.to_string()))
    }
}

impl Durable {
    pub(crate) fn new(
        plugin: &str,
        is_synced: bool,
        save_time: Duration,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            is_synced,
            save_time,
            orders,
            queue: Mutex::default(),
            incarnation: AtomicU64::new(0),
            is_on_hold: AtomicBool::new(false),
            reason: Mutex::new("".into()),
        }
    }

    /// The number of the layout of the last writer; none if there was none.
    pub(crate) fn schema(&self) -> Option<u32> {
        self.queue().schema
    }

    /// Instances of an earlier incarnation may know what was undone.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::SeqCst)
    }

    /// Refuses calls while the space is on hold. To be called after the incarnation was read: a
    /// space is on hold before its incarnation changes.
    pub(crate) fn admit(&self) -> Result<(), FaultKind> {
        if self.is_on_hold.load(Ordering::SeqCst) { Err(self.failed()) } else { Ok(()) }
    }

    /// The reason of the hold, if the space is on hold.
    pub(crate) fn hold(&self) -> Option<Arc<str>> {
        let reason = || Arc::clone(&self.reason.lock().unwrap_or_else(PoisonError::into_inner));
        self.is_on_hold.load(Ordering::SeqCst).then(reason)
    }

    pub(crate) fn failed(&self) -> FaultKind {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        FaultKind::StoreFailed(reason.to_string())
    }

    /// Collects all changes of the space, at the end of a hook that used it. The caller holds the
    /// lock of the space, so that changes are collected in their order. No receipt if all is saved.
    ///
    /// # Errors
    /// The space is on hold, or has been read again since the hook began.
    pub(crate) fn settle(
        &self,
        space: &SharedSpace,
        locked: &mut Space,
        incarnation: u64,
        schema: u32,
    ) -> Result<Option<Receipt>, FaultKind> {
        if self.incarnation() != incarnation || self.is_on_hold.load(Ordering::SeqCst) {
            return Err(self.failed());
        }
        let mut queue = self.queue();
        let changes = locked.take_changes();
        if !changes.is_empty() {
            queue.schema = Some(schema);
            let clock = Clock::now();
            let save = |(bytes, at)| Value { bytes, expires: clock.wall(at) };
            queue.ready.extend(changes.into_iter().map(|(key, value)| (key, value.map(save))));
        }
        Ok(self.receipt(space, queue))
    }

    /// A receipt for what earlier hooks have changed; none if all is saved.
    pub(crate) fn pending(&self, space: &SharedSpace) -> Option<Receipt> {
        self.receipt(space, self.queue())
    }

    fn receipt(&self, space: &SharedSpace, mut queue: MutexGuard<'_, Queue>) -> Option<Receipt> {
        if queue.ready.is_empty() && !queue.is_under_way {
            return None;
        }
        let (sender, result) = oneshot::channel();
        queue.waiting.push(sender);
        if !queue.is_ordered {
            queue.is_ordered = self.orders.send(Order::Save(Arc::clone(space))).is_ok();
            if !queue.is_ordered {
                // The writer has ended: no receipt is given.
                queue.waiting.clear();
            }
        }
        let deadline = tokio::time::Instant::now() + self.save_time;
        Some(Receipt { result, deadline, space: Arc::clone(space) })
    }

    /// Takes what waits, for one commit.
    pub(crate) fn take(&self, space: &SharedSpace) -> Batch {
        let mut queue = self.queue();
        queue.is_ordered = false;
        queue.is_under_way = true;
        let (plugin, schema) = (Arc::clone(&self.plugin), queue.schema.unwrap_or_default());
        let entries = std::mem::take(&mut queue.ready).into_iter().collect();
        let waiting = std::mem::take(&mut queue.waiting);
        Batch { space: Arc::clone(space), changes: Changes { plugin, schema, entries }, waiting }
    }

    /// Changes that the writer has not taken.
    #[cfg(test)]
    pub(super) fn ready(&self) -> usize {
        self.queue().ready.len()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// Its changes are saved.
    pub(crate) fn committed(self) {
        if let Some(durable) = &self.space.durable {
            durable.queue().is_under_way = false;
        }
        for waiting in self.waiting {
            // Its hook's session has ended.
            let _ = waiting.send(Ok(()));
        }
    }

    /// Its changes are lost: puts the space on hold, and refuses all hooks that wait.
    pub(crate) fn failed(self, reason: &Arc<str>, saved: Option<Saved>) {
        self.space.hold(reason, saved);
        for waiting in self.waiting {
            let _ = waiting.send(Err(Arc::clone(reason)));
        }
    }
}

impl Kept {
    /// Counts how often the space was read from the file; 0 if it is not saved.
    pub(crate) fn incarnation(&self) -> u64 {
        self.durable.as_ref().map_or(0, Durable::incarnation)
    }

    /// Puts the space on hold, drops what is not saved, and refuses all hooks that wait for it. The
    /// space becomes what was `saved`; without, it keeps its undone state until it can be read.
    pub(crate) fn hold(&self, reason: &Arc<str>, saved: Option<Saved>) {
        self.hold_locked(self.lock(), reason, saved);
    }

    /// As [`Kept::hold`]. Spaces are put on hold and released under their lock only.
    fn hold_locked(
        &self,
        mut space: MutexGuard<'_, Space>,
        reason: &Arc<str>,
        saved: Option<Saved>,
    ) {
        let Some(durable) = &self.durable else { return };
        let mut queue = durable.queue();
        *durable.reason.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(reason);
        durable.is_on_hold.store(true, Ordering::SeqCst);
        durable.incarnation.fetch_add(1, Ordering::SeqCst);
        queue.ready.clear();
        queue.is_under_way = false;
        let waiting = std::mem::take(&mut queue.waiting);
        if let Some(saved) = saved {
            restore(&mut space, saved);
        }
        drop((queue, space));
        for waiting in waiting {
            let _ = waiting.send(Err(Arc::clone(reason)));
        }
    }

    /// Puts the space on hold while the writer hangs. The writer releases it when it goes on.
    fn hang(self: &Arc<Self>) -> Arc<str> {
        let Some(durable) = &self.durable else { return "".into() };
        let reason: Arc<str> = hung(durable.save_time).into();
        let space = self.lock();
        if durable.hold().is_none() {
            self.hold_locked(space, &reason, None);
            tracing::error!(
                name: "store.save_failed",
                target: "jackfield::plugin",
                plugin = &*durable.plugin,
                "cannot save the plugin's store: {reason}; its handlers are on hold until it does, \
                 and requests that waited are refused, though their writes may still be saved"
            );
            // If the writer has ended, nothing is saved any more.
            let _ended = durable.orders.send(Order::Save(Arc::clone(self)));
        }
        reason
    }

    /// Serves what was saved. Instances that were made on hold are dropped as well.
    pub(crate) fn release(&self, saved: Saved) {
        let Some(durable) = &self.durable else { return };
        let mut space = self.lock();
        durable.queue().schema = saved.schema;
        restore(&mut space, saved);
        durable.incarnation.fetch_add(1, Ordering::SeqCst);
        durable.is_on_hold.store(false, Ordering::SeqCst);
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order")
    }
}

fn restore(space: &mut Space, saved: Saved) {
    let clock = Clock::now();
    let entry = |(key, value): (String, Value)| {
        let expires = value.expires.and_then(|at| clock.monotonic(at));
        (key, value.bytes, expires)
    };
    space.restore(saved.entries.into_iter().map(entry), clock.instant);
}

/// One moment on both clocks: spaces count with the monotonic one, files with the machine's.
struct Clock {
    instant: Instant,
    unix_ms: i64,
}

impl Clock {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Self { instant: Instant::now(), unix_ms }
    }

    /// A time in milliseconds since 1970.
    fn wall(&self, at: Option<Instant>) -> Option<i64> {
        let left = at?.saturating_duration_since(self.instant).as_millis();
        Some(self.unix_ms.saturating_add(i64::try_from(left).unwrap_or(i64::MAX)))
    }

    /// The instant of a time of a file; none if it is beyond the range of the clock.
    fn monotonic(&self, unix_ms: i64) -> Option<Instant> {
        let left = u64::try_from(unix_ms.saturating_sub(self.unix_ms)).unwrap_or(0);
        self.instant.checked_add(std::time::Duration::from_millis(left))
    }
}
