//! Notices that a site has changed, and when the change is complete.
//!
//! The operating system tells where it can; otherwise, or where the operator says so, the site is
//! looked at every so often. Which directories are watched, [`crate::site`] knows; when a change
//! counts as complete, [`settle`] decides. What a change means is `reload`'s business.

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

/// How often a site is looked at where the operating system cannot tell of changes and the
/// operator has not said: often enough to wait for, seldom enough to cost nothing.
const POLL: Duration = Duration::from_secs(2);
/// How soon directories that could not be watched are tried again. They usually have just been
/// removed, in which case the next listing does not have them any more.
const RETRY: Duration = Duration::from_secs(1);

/// Watches one site.
pub struct Watch {
    site: Site,
    source: Source,
    /// How many of the newcomers have been seen to.
    welcomed: u64,
    shared: Arc<Shared>,
}

/// Where the news comes from.
enum Source {
    Told { watcher: RecommendedWatcher, watched: BTreeSet<Watched> },
    Looking { every: Duration, last: Option<ContentHash> },
}

/// Between the watcher's thread and the task that waits.
struct Shared {
    /// A std mutex, not a tokio one: it is held for moments and nothing is awaited meanwhile.
    news: Mutex<News>,
    /// Says that `news` has changed. It holds one permit, and one is enough: who waits looks at
    /// all of it.
    changed: Notify,
}

struct News {
    settle: Settle,
    directories: Directories,
    /// How often a directory has come that may not be watched yet.
    newcomers: u64,
}

impl Watch {
    /// Prepares to watch the site. It takes nothing in before [`Watch::follow`].
    pub fn new(site: Site, settings: config::Watch) -> Self {
        let news = News {
            settle: Settle::new(settings.settle),
            directories: Directories::default(),
            newcomers: 0,
        };
        let shared = Arc::new(Shared { news: Mutex::new(news), changed: Notify::new() });
        let source = match settings.poll {
            Some(every) => Source::Looking { every, last: None },
            None => told(&shared),
        };
        Self { site, source, welcomed: 0, shared }
    }

    /// Whether the site is looked at, instead of being told of.
    pub fn is_polling(&self) -> bool {
        matches!(self.source, Source::Looking { .. })
    }

    /// Watches these directories and files from now on, and no others. It blocks.
    pub fn follow(&mut self, directories: &Directories) {
        self.shared.lock().directories = directories.clone();
        let Source::Told { watcher, watched } = &mut self.source else { return };
        let wanted: BTreeSet<Watched> = directories.watched().collect();
        // First what goes: a renamed directory is one watch with two names to the system, and
        // giving up the old name after adding the new one would end it. So is a file with two names.
        for gone in watched.difference(&wanted) {
            // Fails where it no longer exists, and the watch with it.
            let _ = watcher.unwatch(&gone.path);
        }
        watched.clear();
        for one in wanted {
            // Those that are watched, too: another directory may have taken the place of the one
            // that was watched under this name. For the same one it changes nothing.
            match watcher.watch(&one.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(one);
                }
                Err(error) if is_exhausted(&error) => {
                    warn!(
                        every_ms = POLL.as_millis(),
                        "the operating system allows no more watches, so the site is looked \
                         at instead; raise fs.inotify.max_user_watches and restart, or set \
                         watch.poll"
                    );
                    self.source = Source::Looking { every: POLL, last: None };
                    return;
                }
                Err(error) => {
                    debug!(path = %one.path.display(), %error, "cannot watch it yet");
                    self.shared.lock().settle.changed_after(Instant::now(), RETRY);
                }
            }
        }
    }

    /// Takes it that something changes a little later, although nobody may tell of it.
    pub fn look_again(&self) {
        self.shared.lock().settle.changed_after(Instant::now(), POLL);
    }

    /// Waits until something has changed and the change is complete. It may be dropped and called
    /// again without losing anything.
    pub async fn settled(&mut self) {
        loop {
            let (due, newcomers) = {
                let mut news = self.shared.lock();
                let now = Instant::now();
                if news.settle.take(now) {
                    return;
                }
                (news.settle.due(), news.newcomers)
            };
            if newcomers != self.welcomed {
                self.welcome().await;
                self.welcomed = newcomers;
                continue;
            }
            match &mut self.source {
                Source::Told { .. } => match due {
                    Some(due) => {
                        tokio::select! {
                            () = tokio::time::sleep_until(due.into()) => {}
                            () = self.shared.changed.notified() => {}
                        }
                    }
                    None => self.shared.changed.notified().await,
                },
                Source::Looking { every, last } => {
                    tokio::time::sleep(due.map_or(*every, |due| {
                        due.saturating_duration_since(Instant::now()).min(*every)
                    }))
                    .await;
                    let found = look(self.site.clone()).await;
                    if found != *last {
                        // The first look has nothing to compare with; whatever happened before it
                        // may have been missed.
                        *last = found;
                        self.shared.lock().settle.changed(Instant::now());
                    }
                }
            }
        }
    }
}

impl Watch {
    /// Watches directories that have just come, before the change is complete: a bundle that is
    /// being copied tells of its open files only to who watches its folder.
    async fn welcome(&mut self) {
        let site = self.site.clone();
        let listed = tokio::task::spawn_blocking(move || site.directories().ok()).await;
        let (Ok(Some(directories)), Source::Told { watcher, watched }) = (listed, &mut self.source)
        else {
            return;
        };
        for one in directories.watched() {
            // What cannot be watched now is tried again when the change is complete. Few
            // directories come at once, so this does not hold up the other tasks.
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
    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the operating system tells, on the watcher's thread.
    fn tell(&self, event: notify::Result<Event>) {
        let now = Instant::now();
        let mut news = self.lock();
        match event {
            // Events were lost: anything may have changed.
            Ok(event) if event.need_rescan() => news.settle.changed(now),
            Ok(event) => {
                for path in &event.paths {
                    news.take_in(event.kind, path, now);
                }
            }
            Err(error) => {
                warn!(%error, "the file watcher reports an error; the site is read again");
                news.settle.changed(now);
            }
        }
        drop(news);
        self.changed.notify_one();
    }
}

impl News {
    fn take_in(&mut self, kind: EventKind, path: &Path, now: Instant) {
        if !self.directories.matters(path) {
            return;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_content = is_content(&name) || self.directories.is_named(path);
        match kind {
            // Reading is not changing; and reading is what a reload does.
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
            // A file that is being created by a copy is still empty; a link, or a file that was
            // linked into place, is complete and nobody ever closes it.
            EventKind::Create(CreateKind::File) if is_content && is_empty_file(path) => {
                self.settle.written(path, now);
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                // Under this name nobody writes any more.
                self.settle.closed(path, now);
            }
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
                if kind == EventKind::Create(CreateKind::Folder) {
                    self.newcomers += 1;
                }
                self.settle.changed(now);
            }
        }
    }
}

fn told(shared: &Arc<Shared>) -> Source {
    let told = Arc::clone(shared);
    match notify::recommended_watcher(move |event| told.tell(event)) {
        Ok(watcher) => Source::Told { watcher, watched: BTreeSet::new() },
        Err(error) => {
            warn!(
                %error, every_ms = POLL.as_millis(),
                "file notifications unavailable; polling the site"
            );
            Source::Looking { every: POLL, last: None }
        }
    }
}

fn is_exhausted(error: &notify::Error) -> bool {
    matches!(error.kind, notify::ErrorKind::MaxFilesWatch)
}

fn is_empty_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// A fingerprint, or nothing where the site cannot be read: its coming back is a change, too.
async fn look(site: Site) -> Option<ContentHash> {
    tokio::task::spawn_blocking(move || site.fingerprint().ok()).await.ok().flatten()
}

#[cfg(test)]
mod tests;
