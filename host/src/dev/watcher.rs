//! Watcher of folders: waits until something in them may have changed.
//!
//! It does not say what: the reader of the sources compares their content. It uses the
//! notifications of the operating system, or else a fixed interval.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::bundle::is_build_output;

/// The time without events after which a change is complete.
const QUIET: Duration = Duration::from_millis(100);
/// The maximum number of quiet times to wait for; a folder with constant events is read all the
/// same.
const MAX_QUIET: usize = 20;
/// The interval without notifications.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Watches folders, without those below them.
pub(super) struct Watcher {
    source: Source,
    event: Arc<Notify>,
}

enum Source {
    Notifications { watcher: RecommendedWatcher, watched: BTreeSet<PathBuf> },
    Interval(Duration),
}

impl Watcher {
    /// Creates a watcher of no folders; `interval` replaces notifications.
    pub(super) fn new(interval: Option<Duration>) -> Self {
        let event = Arc::new(Notify::new());
        let source = interval.map_or_else(|| notifications(&event), Source::Interval);
        Self { source, event }
    }

    /// Replaces the watched folders.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) {
        let Source::Notifications { watcher, watched } = &mut self.source else { return };
        for gone in watched.difference(folders) {
            // Fails if the folder is gone, and its watch with it.
            let _unwatched = watcher.unwatch(gone);
        }
        watched.clear();
        for folder in folders {
            // Also those that are watched already: a new folder may have taken the path.
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder.clone());
                }
                Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                    warn!(
                        name: "watch.limit",
                        "file watch limit reached; reading the sources every second; help: raise \
                         fs.inotify.max_user_watches"
                    );
                    self.source = Source::Interval(DEFAULT_INTERVAL);
                    return;
                }
                // It has just been removed, which is a change of its parent.
                Err(error) => debug!(folder = %folder.display(), %error, "cannot watch"),
            }
        }
    }

    /// Waits until something may have changed, and then until it is quiet.
    pub(super) async fn changed(&self) {
        match self.source {
            Source::Interval(every) => sleep(every).await,
            Source::Notifications { .. } => {
                self.event.notified().await;
                for _ in 0..MAX_QUIET {
                    if timeout(QUIET, self.event.notified()).await.is_err() {
                        break;
                    }
                }
            }
        }
    }
}

fn notifications(event: &Arc<Notify>) -> Source {
    let event = Arc::clone(event);
    let receive = move |received: notify::Result<Event>| {
        // After an error, anything may have changed.
        if received.as_ref().map_or(true, is_change) {
            event.notify_one();
        }
    };
    match notify::recommended_watcher(receive) {
        Ok(watcher) => Source::Notifications { watcher, watched: BTreeSet::new() },
        Err(error) => {
            warn!(name: "watch.unavailable", %error, "file notifications unavailable; reading the sources every second");
            Source::Interval(DEFAULT_INTERVAL)
        }
    }
}

/// Returns whether sources may have changed. Reading is no change: the compiler reads them all.
fn is_change(event: &Event) -> bool {
    let is_read = match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    };
    let mut names = event.paths.iter().filter_map(|path| path.file_name());
    event.need_rescan() || (!is_read && !names.all(|name| is_build_output(&name.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_changes_of_sources() {
        let root = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new(None);
        watcher.follow(&BTreeSet::from([root.path().to_owned()]));
        std::fs::write(root.path().join("a.rs"), "").unwrap();
        watcher.changed().await;
        // A later change ends the wait, also after outputs that do not.
        std::fs::write(root.path().join(".a.wasm.tmp"), "").unwrap();
        std::fs::create_dir(root.path().join("src")).unwrap();
        watcher.changed().await;
        watcher.follow(&BTreeSet::from([root.path().join("src")]));
        std::fs::write(root.path().join("src/b.rs"), "").unwrap();
        watcher.changed().await;
    }

    #[test]
    fn reading_and_outputs_are_no_change() {
        let event = |kind, name: &str| Event::new(kind).add_path(PathBuf::from("/a").join(name));
        let write = EventKind::Modify(notify::event::ModifyKind::Any);
        let open = EventKind::Access(AccessKind::Open(AccessMode::Read));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(is_change(&event(write, "lib.rs")) && is_change(&event(closed, "lib.rs")));
        assert!(!is_change(&event(open, "lib.rs")));
        for name in [".lib.rs.swp", "lib.rs~", "node_modules", "__pycache__", "4913"] {
            assert!(!is_change(&event(write, name)), "{name}");
        }
    }
}
