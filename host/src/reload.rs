//! The one task that replaces generations: a settled change, a snapshot, a generation prepared
//! aside, one pointer swapped.
//!
//! If anything is wrong, the running generation stays, and the problems are kept for whoever asks
//! and written to the log in full. Nothing else commits generations, so reloads never overlap.
//! Started by `app`; `dispatch` reads the generations.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use jackfield_sandbox::{Audience, Sandbox};
use tokio::sync::{Mutex, Notify};
use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::generation::{Generation, Generations, Problem, Workshop, prepare};
use crate::log;
use crate::site::{ContentHash, Site, SiteError, Snapshot};
use crate::watch::Watch;

/// How often a site is read anew because directories came or went since they were watched. What
/// happens after that is noticed by those that are watched, and makes the next reload.
const ROUNDS: usize = 4;

/// Keeps the generation that is served up to date with the site.
pub struct Reloader {
    site: Site,
    workshop: Workshop,
    generations: Arc<Generations>,
    state: ArcSwap<ReloadState>,
    /// A tokio mutex: it is held while waiting for changes, by the one task that does so.
    watch: Arc<Mutex<Watch>>,
    forced: Notify,
}

/// What the last reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadState {
    /// The number of the generation that is served; 0 before the first.
    pub generation: u64,
    /// Since when it is served.
    pub since: SystemTime,
    /// Why the site as it is now is not what is served, each complete with its place; empty if it
    /// is.
    pub problems: Vec<String>,
    /// Since when there are problems.
    pub failed_since: Option<SystemTime>,
}

/// Why a reload takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Change,
    Forced,
}

impl Reloader {
    /// A reloader of a site that nothing has been read of yet.
    pub fn new(site: Site, config: Config, sandbox: Sandbox, audience: Arc<dyn Audience>) -> Self {
        let generations = Arc::new(Generations::default());
        Self {
            watch: Arc::new(Mutex::new(Watch::new(site.clone(), config.watch))),
            site,
            workshop: Workshop { sandbox, plugins: config.plugins, audience },
            state: ArcSwap::from_pointee(ReloadState::serving(&generations.current())),
            generations,
            forced: Notify::new(),
        }
    }

    /// Begins to watch the site, and serves its first generation.
    ///
    /// # Errors
    /// Every problem of the site, each complete with its place: there is no earlier generation
    /// that could serve instead.
    pub async fn start(&self) -> Result<(), Vec<String>> {
        let began = Instant::now();
        let snapshot = read(&self.site, &self.watch).await.map_err(|error| vec![error])?;
        let generation = prepare(&snapshot, None, &self.workshop).await;
        self.commit(generation.map_err(|problems| texts(&problems))?, began);
        Ok(())
    }

    /// What is served, now and after each reload.
    pub fn generations(&self) -> Arc<Generations> {
        Arc::clone(&self.generations)
    }

    /// What the last reload came to.
    pub fn state(&self) -> Arc<ReloadState> {
        self.state.load_full()
    }

    /// Makes a reload take place soon, even if nothing has changed.
    pub fn trigger(&self) {
        self.forced.notify_one();
    }

    /// Reloads with every change, and when it is triggered, for ever. `committed` is called after
    /// each new generation has begun to serve, with the one before and the new one.
    pub async fn run<F>(&self, committed: F)
    where
        F: Fn(Arc<Generation>, Arc<Generation>),
    {
        let mut tried = Some(self.generations.current().hash());
        loop {
            let cause = tokio::select! {
                () = self.forced.notified() => Cause::Forced,
                () = self.settled() => Cause::Change,
            };
            if let Some((old, new)) = self.reload(cause, &mut tried).await {
                committed(old, new);
            }
        }
    }

    async fn settled(&self) {
        self.watch.lock().await.settled().await;
    }

    /// One reload; the old and the new generation, if there is a new one. `tried` is the snapshot
    /// that was prepared last, whether or not that went well: it would go the same way again.
    async fn reload(
        &self,
        cause: Cause,
        tried: &mut Option<ContentHash>,
    ) -> Option<(Arc<Generation>, Arc<Generation>)> {
        let began = Instant::now();
        let snapshot = match read(&self.site, &self.watch).await {
            Ok(snapshot) => snapshot,
            Err(problem) => {
                *tried = None;
                self.failed(vec![problem]);
                // Nobody tells when what cannot be read now can be read again: its directories may
                // have gone, and the watches with them.
                self.watch.lock().await.look_again();
                return None;
            }
        };
        let hash = snapshot.hash();
        let current = self.generations.current();
        if cause == Cause::Change {
            if *tried == Some(hash) {
                debug!(%hash, "nothing that is served has changed");
                return None;
            }
            if current.hash() == hash {
                *tried = Some(hash);
                self.recovered(&current);
                return None;
            }
        }
        *tried = Some(hash);
        match prepare(&snapshot, Some(&current), &self.workshop).await {
            Ok(next) => Some(self.commit(next, began)),
            Err(problems) => {
                self.failed(texts(&problems));
                None
            }
        }
    }

    /// Serves the next generation; gives back the one before, and that one.
    fn commit(&self, next: Generation, began: Instant) -> (Arc<Generation>, Arc<Generation>) {
        let next = Arc::new(next);
        let old = self.generations.commit(Arc::clone(&next));
        self.state.store(Arc::new(ReloadState::serving(&next)));
        report(&next, began);
        (old, next)
    }

    fn failed(&self, problems: Vec<String>) {
        let before = self.state();
        if before.problems == problems {
            debug!("the site has the same problems still");
            return;
        }
        for problem in &problems {
            error!(target: log::DIAGNOSIS, "{problem}");
        }
        error!(
            generation = before.generation,
            problems = problems.len(),
            "the reload is refused; the running generation keeps serving"
        );
        self.state.store(Arc::new(ReloadState {
            problems,
            failed_since: before.failed_since.or_else(|| Some(SystemTime::now())),
            ..(*before).clone()
        }));
    }

    /// The site is again what is served: somebody took a mistake back.
    fn recovered(&self, current: &Generation) {
        let before = self.state();
        if before.failed_since.is_some() {
            info!(generation = current.number(), "the site is again what is served");
        }
        let state = ReloadState { problems: Vec::new(), failed_since: None, ..(*before).clone() };
        self.state.store(Arc::new(state));
    }
}

impl ReloadState {
    fn serving(generation: &Generation) -> Self {
        Self {
            generation: generation.number(),
            since: SystemTime::now(),
            problems: Vec::new(),
            failed_since: None,
        }
    }
}

/// Watches what there is, and reads it. In this order: what changes after it has been read is then
/// noticed.
async fn read(site: &Site, watch: &Arc<Mutex<Watch>>) -> Result<Snapshot, String> {
    let (site, watch) = (site.clone(), Arc::clone(watch));
    let reading = tokio::task::spawn_blocking(move || -> Result<Snapshot, SiteError> {
        let mut watch = watch.blocking_lock();
        let mut rounds = ROUNDS;
        loop {
            let directories = site.directories()?;
            watch.follow(&directories);
            let snapshot = site.read()?;
            rounds = rounds.saturating_sub(1);
            if *snapshot.directories() == directories || rounds == 0 {
                return Ok(snapshot);
            }
        }
    });
    match reading.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(format!("failed to read the site: the reading ended early: {error}")),
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn report(generation: &Generation, began: Instant) {
    for warning in generation.warnings() {
        warn!(target: log::DIAGNOSIS, "{warning}");
    }
    for plugin in generation.plugins() {
        let manifest = plugin.manifest();
        debug!(
            file = plugin.file(),
            plugin = manifest.name,
            version = manifest.version,
            lanes = plugin.lanes(),
            "plugin"
        );
    }
    info!(
        generation = generation.number(),
        routes = generation.routes().routes().len(),
        plugins = generation.plugins().len(),
        took_ms = began.elapsed().as_millis(),
        "a generation is ready"
    );
}

#[cfg(test)]
mod tests;
