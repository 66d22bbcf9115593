//! File watcher: detects changes of a site, and waits until each change is complete.
//!
//! It uses the notifications of the operating system. If they are unavailable, or if the setting
//! `watch.poll` says so, it polls. [`crate::site`] lists the directories to watch, [`settle`]
//! decides when a change is complete, and `reload` reads the change.

mod settle;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jackfield_config as config;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::{debug, warn};

use crate::site::{ContentHash, Directories, Site, Watched, is_content};

use settle::Settle;

/// The polling interval if file notifications are unavailable and `watch.poll` is not set.
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The time until a directory that could not be watched is tried again. It has usually just been
/// removed, so that the next listing does not contain it.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Watches one site.
pub(crate) struct Watch {
    site: Site,
    source: Source,
    /// The value of [`State::new_directories`] up to which they are watched.
    watched_new_directories: u64,
    shared: Arc<Shared>,
}

/// The source of change events.
enum Source {
    Notifications { watcher: RecommendedWatcher, watched: BTreeSet<Watched> },
    Polling { every: Duration, last: Option<ContentHash> },
}

/// State shared by the thread of the watcher and the waiting task.
struct Shared {
    /// A std mutex: held briefly, and never across an await.
    state: Mutex<State>,
    /// Notified when `state` has changed. One permit is enough, as the task reads the whole state.
    changed: Notify,
}

struct State {
    settle: Settle,
    directories: Directories,
    /// The number of created directories, which may not be watched yet.
    new_directories: u64,
}

impl Watch {
    /// Creates a watcher that watches no directory before [`Watch::follow`].
    pub(crate) fn new(site: Site, settings: config::Watch) -> Self {
        let state = State {
            settle: Settle::new(settings.settle),
            directories: Directories::default(),
            new_directories: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        let source = match settings.poll {
            Some(every) => Source::Polling { every, last: None },
            None => notifications(&shared),
        };
        Self { site, source, watched_new_directories: 0, shared }
    }

    /// Replaces the watched directories and files. It blocks.
    pub(crate) fn follow(&mut self, directories: &Directories) {
        self.shared.lock().directories = directories.clone();
        let Source::Notifications { watcher, watched } = &mut self.source else { return };
        let wanted: BTreeSet<Watched> = directories.watched().collect();
        // Remove old watches before adding new ones: a renamed directory, or a file with two names,
        // is one watch for the system, and removing the old name last would end it.
        for gone in watched.difference(&wanted) {
            // Fails if the path no longer exists; its watch has ended then.
            let _ = watcher.unwatch(&gone.path);
        }
        watched.clear();
        for one in wanted {
            // Includes paths that are watched already: another directory may have replaced the
            // watched one. For the same directory, this has no effect.
            match watcher.watch(&one.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(one);
                }
                Err(error) if is_exhausted(&error) => {
                    warn!(
                        name: "watch.limit",
                        every_ms = DEFAULT_POLL_INTERVAL.as_millis(),
                        "file watch limit reached; polling the site; help: raise \
                         fs.inotify.max_user_watches and restart, or set watch.poll"
                    );
                    self.source = Source::Polling { every: DEFAULT_POLL_INTERVAL, last: None };
                    return;
                }
                Err(error) => {
                    debug!(path = %one.path.display(), %error, "cannot watch the path; retrying");
                    self.shared.lock().settle.changed_after(Instant::now(), RETRY_DELAY);
                }
            }
        }
    }

    /// Schedules a reading after the polling interval, without a change event.
    pub(crate) fn look_again(&self) {
        self.shared.lock().settle.changed_after(Instant::now(), DEFAULT_POLL_INTERVAL);
    }

    /// Waits until a change is complete. Cancel-safe: it may be dropped and called again.
    pub(crate) async fn settled(&mut self) {
        loop {
            let (due, new_directories) = {
                let mut state = self.shared.lock();
                let now = Instant::now();
                if state.settle.take(now) {
                    return;
                }
                (state.settle.due(), state.new_directories)
            };
            if new_directories != self.watched_new_directories {
                self.watch_new_directories().await;
                self.watched_new_directories = new_directories;
                continue;
            }
            match &mut self.source {
                Source::Notifications { .. } => match due {
                    Some(due) => {
                        tokio::select! {
                            () = tokio::time::sleep_until(due.into()) => {}
                            () = self.shared.changed.notified() => {}
                        }
                    }
                    None => self.shared.changed.notified().await,
                },
                Source::Polling { every, last } => {
                    tokio::time::sleep(due.map_or(*every, |due| {
                        due.saturating_duration_since(Instant::now()).min(*every)
                    }))
                    .await;
                    let found = fingerprint(self.site.clone()).await;
                    if found != *last {
                        // Also after the first poll: changes before it may have been missed.
                        *last = found;
                        self.shared.lock().settle.changed(Instant::now());
                    }
                }
            }
        }
    }
}

impl Watch {
    /// Watches new directories before the change is complete: while a bundle is being copied, only
    /// a watch of its own directory reports files that are still open.
    async fn watch_new_directories(&mut self) {
        let site = self.site.clone();
        let listed = tokio::task::spawn_blocking(move || site.directories().ok()).await;
        let (Ok(Some(directories)), Source::Notifications { watcher, watched }) =
            (listed, &mut self.source)
        else {
            return;
        };
        for one in directories.watched() {
            // A path that cannot be watched now is tried again when the change is complete. Few
            // directories appear at once, so this does not block other tasks for long.
            if !watched.contains(&one)
                && watcher.watch(&one.path, RecursiveMode::NonRecursive).is_ok()
            {
                watched.insert(one);
            }
        }
        self.shared.lock().directories = directories;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles an event of the operating system, on the thread of the watcher.
    fn receive(&self, event: notify::Result<Event>) {
        let now = Instant::now();
        let mut state = self.lock();
        match event {
            // Events were lost: anything may have changed.
            Ok(event) if event.need_rescan() => state.settle.changed(now),
            Ok(event) => {
                for path in &event.paths {
                    state.record(event.kind, path, now);
                }
            }
            Err(error) => {
                warn!(name: "watch.error", %error, "file watcher error; reading the site again");
                state.settle.changed(now);
            }
        }
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    fn record(&mut self, kind: EventKind, path: &Path, now: Instant) {
        if !self.directories.matters(path) {
            return;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_content = is_content(&name) || self.directories.is_named(path);
        match kind {
            // Reads are ignored: a reload reads files itself.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                if is_content {
                    self.settle.closed(path, now);
                }
            }
            EventKind::Access(_) => {}
            EventKind::Modify(ModifyKind::Data(_)) => {
                if is_content {
                    self.settle.written(path, now);
                }
            }
            // A copy creates an empty file first. A link, or a file that was linked into place, is
            // complete, and no close event follows.
            EventKind::Create(CreateKind::File) if is_content && is_empty_file(path) => {
                self.settle.written(path, now);
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                // No process writes under this name any more.
                self.settle.closed(path, now);
            }
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
                if kind == EventKind::Create(CreateKind::Folder) {
                    self.new_directories += 1;
                }
                self.settle.changed(now);
            }
        }
    }
}

fn notifications(shared: &Arc<Shared>) -> Source {
    let receiver = Arc::clone(shared);
    match notify::recommended_watcher(move |event| receiver.receive(event)) {
        Ok(watcher) => Source::Notifications { watcher, watched: BTreeSet::new() },
        Err(error) => {
            warn!(
                name: "watch.unavailable",
                %error, every_ms = DEFAULT_POLL_INTERVAL.as_millis(),
                "file notifications unavailable; polling the site"
            );
            Source::Polling { every: DEFAULT_POLL_INTERVAL, last: None }
        }
    }
}

fn is_exhausted(error: &notify::Error) -> bool {
    matches!(error.kind, notify::ErrorKind::MaxFilesWatch)
}

fn is_empty_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// Returns the fingerprint, or `None` if the site cannot be read: a site that becomes readable
/// again has changed, too.
async fn fingerprint(site: Site) -> Option<ContentHash> {
    tokio::task::spawn_blocking(move || site.fingerprint().ok()).await.ok().flatten()
}

#[cfg(test)]
mod tests;
