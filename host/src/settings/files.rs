//! Files of the settings: whether they have changed, and the change is complete.
//!
//! They are polled, as the files of users and keys are: they may be anywhere, and volumes of Kubernetes
//! replace whole folders behind a link. A change is complete when two looks in a row find the same. A
//! file that never rests is tried nevertheless after some time, and reported.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jackfield_config::Config;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::file_stamp::FileStamp;

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The time after which files that keep changing are tried.
const MAX_UNREST: Duration = Duration::from_secs(10);

pub(super) struct SettingsFiles {
    files: Vec<WatchedFile>,
    looks: Interval,
    /// When the files were found to be changed first, since they were read.
    changed_since: Option<Instant>,
}

/// A file, and its versions.
#[derive(Clone, Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    /// The version that was read.
    tried: Option<FileStamp>,
    /// The version at the last look.
    seen: Option<FileStamp>,
}

impl WatchedFile {
    /// Returns whether the file has changed since the look at it. It blocks.
    pub(super) fn has_changed(&self) -> bool {
        FileStamp::of(&self.path) != self.tried
    }
}

impl SettingsFiles {
    pub(super) fn new(files: Vec<WatchedFile>) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files, looks, changed_since: None }
    }

    /// Replaces the list of files. Those that are watched already keep their versions.
    pub(super) fn follow(&mut self, files: Vec<WatchedFile>) {
        let before = std::mem::take(&mut self.files);
        self.files = files
            .into_iter()
            .map(|file| before.iter().find(|it| it.path == file.path).cloned().unwrap_or(file))
            .collect();
    }

    /// Adds files that are not watched yet.
    pub(super) fn add(&mut self, files: Vec<WatchedFile>) {
        for file in files {
            if self.files.iter().all(|it| it.path != file.path) {
                self.files.push(file);
            }
        }
    }

    /// Records that the files are read now.
    pub(super) fn tried(&mut self) {
        self.changed_since = None;
        for file in &mut self.files {
            file.tried = file.seen;
        }
    }

    /// Waits until a change is complete. Cancel-safe: it may be dropped and called again.
    pub(super) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            let paths: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
            let looking = tokio::task::spawn_blocking(move || {
                paths.iter().map(|path| FileStamp::of(path)).collect::<Vec<_>>()
            });
            let Ok(stamps) = looking.await else { continue };
            if self.look(stamps, Instant::now()) {
                return;
            }
        }
    }

    /// Returns whether a change is complete.
    fn look(&mut self, stamps: Vec<Option<FileStamp>>, now: Instant) -> bool {
        let (mut is_changed, mut rests) = (false, true);
        for (file, stamp) in self.files.iter_mut().zip(stamps) {
            rests &= file.seen == stamp;
            file.seen = stamp;
            is_changed |= file.tried != stamp;
        }
        if !is_changed {
            self.changed_since = None;
            return false;
        }
        let since = *self.changed_since.get_or_insert(now);
        rests || now.saturating_duration_since(since) >= MAX_UNREST
    }
}

impl WatchedFile {
    /// A file that is about to be read. It blocks.
    pub(super) fn now(path: PathBuf) -> Self {
        let stamp = FileStamp::of(&path);
        Self { path, tried: stamp, seen: stamp }
    }

    /// The files with secrets of the settings. It blocks.
    pub(crate) fn of_secrets(config: &Config) -> Vec<Self> {
        config.secret_files().into_iter().map(Self::now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is looked at every half second; each look finds the content that it has then.
    fn looks(contents: &[&str]) -> Vec<usize> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jackfield.yml");
        std::fs::write(&path, "").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _within = runtime.enter();
        let mut files = SettingsFiles::new(vec![WatchedFile::now(path.clone())]);
        let (start, mut read) = (Instant::now(), Vec::new());
        for (at, content) in (0..).zip(contents) {
            if *content == "-" {
                std::fs::remove_file(&path).unwrap();
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(content) {
                std::fs::write(&path, content).unwrap();
            }
            if files.look(vec![FileStamp::of(&path)], start + LOOK * at) {
                read.push(usize::try_from(at).unwrap());
                files.tried();
            }
        }
        read
    }

    #[test]
    fn a_change_is_complete_when_it_rests() {
        assert_eq!(looks(&["", "", ""]), [0; 0]);
        assert_eq!(looks(&["a", "a", "a", "a"]), [1]);
        assert_eq!(looks(&["a", "ab", "abc", "abc", "abc", "d", "d"]), [3, 6]);
        assert_eq!(looks(&["-", "b", "b", "-"]), [2]);
    }

    #[test]
    fn a_file_that_never_rests_is_read_now_and_then() {
        let contents: Vec<String> = (1..60).map(|length| "x".repeat(length)).collect();
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        assert_eq!(looks(&contents), [20, 41]);
    }
}
