//! Settings reload: reads the settings again when their file changes or a reload is requested, and
//! hands valid ones to `server`, which applies them.
//!
//! New settings are parsed, validated and opened beside the running ones. Any problem changes nothing,
//! and is shown until it is solved. [`jackfield_config::Config::follow`] decides which settings change
//! while the server runs; those that need a restart keep their running values, and are named.
//! [`source`] knows where the settings come from, [`files`] notices changes, [`record`] is the result.
//! Read by [`crate::control`] and health checks. See decision 49.

mod files;
mod open_mode;
mod record;
mod requests;
mod source;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use jackfield_config::{Config, Followed, Opened, RestartNeeded, SecretDigests};
use jackfield_text::Untrusted;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::admission::Files;
use crate::log;
use crate::reload::ReloadCause;

use files::SettingsFiles;
pub(crate) use files::WatchedFile;
pub(crate) use open_mode::{OpenMode, parse_realm};
use record::Requested;
pub(crate) use record::{SettingsRecord, SettingsResult};
use requests::Requests;
pub(crate) use requests::SettingsTicket;
pub(crate) use source::SettingsSource;
use source::{OpenedSettings, Reading};

/// The maximum number of problems, and of names of settings, that are remembered of a reload.
const MAX_REMEMBERED: usize = 100;

/// The result of the last reading, and the requests for further ones.
pub(crate) struct SettingsReloader {
    state: ArcSwap<SettingsState>,
    forced: Notify,
    requests: Requests,
}

/// The settings on disk, compared with the running ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsState {
    /// The problems for which the settings on disk are refused; empty if they are accepted.
    pub(crate) problems: Vec<String>,
    /// The time since which they are refused.
    pub(crate) failed_since: Option<SystemTime>,
    /// The settings that have changed and need a restart.
    pub(crate) restart: Vec<RestartNeeded>,
}

/// Follows the settings on disk. Only one task does.
pub(crate) struct SettingsFollower {
    reloader: Arc<SettingsReloader>,
    source: SettingsSource,
    files: SettingsFiles,
    running: Config,
    digests: SecretDigests,
}

/// Where the settings of the start come from, and what they were read from.
pub(crate) struct SettingsOrigin {
    pub(crate) source: SettingsSource,
    pub(crate) watched: Vec<WatchedFile>,
    pub(crate) digests: SecretDigests,
}

impl SettingsOrigin {
    /// Follows the settings, of which `running` are in effect.
    pub(crate) fn follower(
        self,
        reloader: Arc<SettingsReloader>,
        running: Config,
    ) -> SettingsFollower {
        let Self { source, watched, digests } = self;
        let files = SettingsFiles::new(watched);
        SettingsFollower { reloader, source, files, running, digests }
    }
}

/// Valid settings that differ from the running ones.
pub(crate) struct SettingsChange {
    /// The new settings, with the running values of those that need a restart.
    pub(crate) config: Config,
    pub(crate) opened: Opened,
    /// The state of the files of users and keys before they were opened.
    pub(crate) files: Files,
    /// The names of the settings that change.
    pub(crate) changed: Vec<String>,
    restart: Vec<RestartNeeded>,
    digests: SecretDigests,
    began: Instant,
    requested: Option<Requested>,
}

impl SettingsReloader {
    pub(crate) fn new() -> Arc<Self> {
        let (state, forced) = (ArcSwap::default(), Notify::new());
        Arc::new(Self { state, forced, requests: Requests::new() })
    }

    /// Returns the result of the last reading.
    pub(crate) fn state(&self) -> Arc<SettingsState> {
        self.state.load_full()
    }

    /// The last results, the newest first.
    pub(crate) fn history(&self) -> Vec<Arc<SettingsRecord>> {
        self.requests.records()
    }

    /// Changes with each result.
    pub(crate) fn results(&self) -> requests::Results {
        self.requests.subscribe()
    }

    /// Requests that the settings are read again.
    pub(crate) fn trigger(&self, cause: ReloadCause) -> SettingsTicket {
        let ticket = self.requests.request(cause);
        self.forced.notify_one();
        ticket
    }

    /// Waits for the result of a request. `None` if it is no longer remembered.
    pub(crate) async fn answer(&self, ticket: SettingsTicket) -> Option<Arc<SettingsRecord>> {
        self.requests.answer(ticket).await
    }
}

impl SettingsFollower {
    /// The running settings.
    pub(crate) const fn running(&self) -> &Config {
        &self.running
    }

    /// Waits for valid settings that differ from the running ones. [`Self::applied`] is called before
    /// this is called again.
    pub(crate) async fn next(&mut self) -> SettingsChange {
        let mut requested = None;
        loop {
            tokio::select! {
                () = self.reloader.forced.notified() => {
                    requested = self.reloader.requests.take_up(requested);
                }
                () = self.files.changed() => {}
            }
            let began = Instant::now();
            self.files.tried();
            let source = self.source.clone();
            let reading = tokio::task::spawn_blocking(move || source.open());
            let reading = reading.await.unwrap_or_else(|error| Reading {
                result: Err(vec![format!("reading the settings was aborted: {error}")]),
                watched: Vec::new(),
                has_content: false,
            });
            let Reading { result, watched, has_content } = reading;
            match result {
                Ok(opened) => {
                    self.files.follow(watched);
                    if has_content {
                        self.source.accept_content();
                    }
                    if let Some(change) = self.compare(opened, began, requested) {
                        return change;
                    }
                }
                Err(problems) => {
                    self.files.add(watched);
                    self.refused(problems, began, requested);
                }
            }
            requested = None;
        }
    }

    /// Records that a change is in effect.
    pub(crate) fn applied(&mut self, change: AppliedSettings) {
        let AppliedSettings { config, changed, restart, digests, began, requested } = change;
        (self.running, self.digests) = (config, digests);
        let names = changed.join(", ");
        self.reloader.requests.add(SettingsRecord {
            result: SettingsResult::Applied,
            changed: first(changed),
            restart: first(restart.clone()),
            ..SettingsRecord::new(began, requested)
        });
        self.accepted(restart);
        info!(name: "settings.applied", "settings changed: {}", Untrusted::new(names));
    }

    /// Returns the change, if there is one.
    fn compare(
        &mut self,
        opened: OpenedSettings,
        began: Instant,
        requested: Option<Requested>,
    ) -> Option<SettingsChange> {
        let OpenedSettings { config, opened, files, digests } = opened;
        let Followed { config, mut changed, restart } = self.running.follow(config);
        for setting in self.digests.changed(&digests) {
            if !changed.contains(&setting) {
                changed.push(setting);
            }
        }
        if !changed.is_empty() {
            return Some(SettingsChange {
                config,
                opened,
                files,
                changed,
                restart,
                digests,
                began,
                requested,
            });
        }
        let before = self.reloader.state();
        let is_news = before.failed_since.is_some() || before.restart != restart;
        let is_quiet = restart.is_empty() && requested.is_some();
        if requested.is_some() || is_news {
            self.reloader.requests.add(SettingsRecord {
                result: SettingsResult::Unchanged,
                restart: first(restart.clone()),
                ..SettingsRecord::new(began, requested)
            });
        }
        self.accepted(restart);
        if is_quiet {
            info!(name: "settings.unchanged", "the settings have not changed");
        }
        None
    }

    /// Clears the problems, and names the settings that need a restart, each once.
    fn accepted(&self, restart: Vec<RestartNeeded>) {
        let before = self.reloader.state();
        let state = SettingsState { problems: Vec::new(), failed_since: None, restart };
        self.reloader.state.store(Arc::new(state.clone()));
        if before.failed_since.is_some() {
            info!(name: "settings.resolved", "problems of the settings resolved");
        }
        for needed in state.restart.iter().filter(|it| !before.restart.contains(it)) {
            let RestartNeeded { setting, running } = needed;
            let (setting, running) = (Untrusted::new(setting), Untrusted::new(running));
            warn!(
                name: "settings.restart_needed",
                "`{setting}` has changed and takes effect at the next start; until then it is: {running}"
            );
        }
    }

    /// Keeps and logs problems. The running settings stay.
    fn refused(&self, problems: Vec<String>, began: Instant, requested: Option<Requested>) {
        let before = self.reloader.state();
        let are_new = before.problems != problems;
        if !are_new && requested.is_none() {
            return;
        }
        self.reloader.requests.add(SettingsRecord {
            result: SettingsResult::Refused,
            problem_count: problems.len(),
            problems: first(problems.clone()),
            ..SettingsRecord::new(began, requested)
        });
        let state = Arc::new(SettingsState {
            problems,
            failed_since: before.failed_since.or_else(|| Some(SystemTime::now())),
            restart: before.restart.clone(),
        });
        self.reloader.state.store(Arc::clone(&state));
        if are_new {
            for problem in &state.problems {
                error!(name: "settings.problem", target: log::DIAGNOSIS, "{problem}");
            }
            error!(
                name: "settings.refused",
                problems = state.problems.len(),
                "the settings on disk are refused; the running ones stay"
            );
        }
    }
}

/// A change whose parts were taken to be applied.
pub(crate) struct AppliedSettings {
    config: Config,
    changed: Vec<String>,
    restart: Vec<RestartNeeded>,
    digests: SecretDigests,
    began: Instant,
    requested: Option<Requested>,
}

impl SettingsChange {
    /// Returns what is applied, and the rest for [`SettingsFollower::applied`].
    pub(crate) fn take(self) -> (Config, Opened, Files, AppliedSettings) {
        let Self { config, opened, files, changed, restart, digests, began, requested } = self;
        let own = config.clone();
        let applied = AppliedSettings { config: own, changed, restart, digests, began, requested };
        (config, opened, files, applied)
    }

    /// Returns whether a setting changes that is the one, or is below it.
    pub(crate) fn has(&self, setting: &str) -> bool {
        let is_it = |name: &String| {
            name.strip_prefix(setting).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.changed.iter().any(is_it)
    }
}

fn first<T>(mut all: Vec<T>) -> Vec<T> {
    all.truncate(MAX_REMEMBERED);
    all
}
