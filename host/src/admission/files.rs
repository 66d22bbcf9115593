//! Reloading of users and keys whose files have changed, while the server runs.
//!
//! The files are polled: they are few, they may be anywhere, and volumes of secrets replace whole
//! folders behind a link, which no watcher reports reliably. An error changes nothing and is logged
//! once. Warnings about the location of users are logged once at the start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_auth::{Auth, AuthSettings, FileOf};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::file_stamp::FileStamp;
use crate::log;

/// The polling interval.
const LOOK: Duration = Duration::from_secs(1);

/// The files, and the state of each when it was loaded last.
#[derive(Clone, Debug)]
pub(crate) struct Files(Vec<File>);

#[derive(Clone, Debug)]
struct File {
    of: FileOf,
    path: PathBuf,
    /// The version that was loaded, or failed to load.
    tried: Option<FileStamp>,
    /// The version at the last poll. A writer has finished only if the version is the same twice.
    seen: Option<FileStamp>,
}

impl Files {
    /// Records the files as they are now; called before they are read for the first time.
    pub(crate) fn new(settings: &AuthSettings) -> Self {
        let file = |(of, path): (FileOf, &Path)| {
            let stamp = FileStamp::of(path);
            File { of, path: path.to_owned(), tried: stamp, seen: stamp }
        };
        Self(settings.files().into_iter().map(file).collect())
    }

    /// Logs warnings, and loads changed files again, as long as it is polled.
    /// Calls `changed` after each.
    pub(super) async fn follow(self, auth: &Auth, changed: &impl Fn()) {
        log_warnings(auth);
        tokio::join!(probe(auth), self.take_in(auth, changed));
    }

    async fn take_in(mut self, auth: &Auth, changed: &impl Fn()) {
        if self.0.is_empty() {
            return;
        }
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for file in &mut self.0 {
                file.look(auth, changed).await;
            }
        }
    }
}

impl File {
    async fn look(&mut self, auth: &Auth, changed: &impl Fn()) {
        let path = self.path.clone();
        let stamp = elsewhere(move || FileStamp::of(&path)).await.flatten();
        if stamp == self.tried || stamp != self.seen {
            self.seen = stamp;
            return;
        }
        self.tried = stamp;
        let path = self.path.clone();
        let Some(text) = elsewhere(move || jackfield_auth::read(&path)).await else { return };
        let (file, what) = (self.path.display(), self.what());
        let taken = text.and_then(|text| Ok(auth.replace(self.of, &file.to_string(), &text)?));
        match taken {
            Ok(count) => {
                changed();
                info!(name: "auth.files_reloaded", %file, count, "the {what} have changed");
                if self.of == FileOf::Users {
                    log_warnings(auth);
                }
            }
            Err(error) => {
                warn!(name: "auth.files_refused", "the {what} stay as they were: {error}");
            }
        }
    }

    const fn what(&self) -> &'static str {
        match self.of {
            FileOf::Users => "users",
            FileOf::Keys => "keys",
            FileOf::Principals => "principals",
        }
    }
}

fn log_warnings(auth: &Auth) {
    for warning in auth.warnings() {
        warn!(name: "auth.files_warning", target: log::DIAGNOSIS, "{warning}");
    }
}

/// Tries to look up a user, so that the operator learns at the start that a database is
/// unavailable.
async fn probe(auth: &Auth) {
    if let Err(error) = auth.probe().await {
        warn!(name: "users.never_available", "{error}; tickets of users are refused until the source answers");
    }
}

/// Runs work that may block on a blocking thread. `None` if the server is about to end.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
