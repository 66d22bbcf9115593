//! The one task that replaces generations: a settled change, a snapshot, a generation prepared
//! aside, one pointer swapped.
//!
//! If anything is wrong, the running generation stays, and the problems are kept for whoever asks
//! and written to the log in full. Nothing else commits generations, so reloads never overlap.
//! Started by `server`; `dispatch` reads the generations.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jackfield_config::Config;
use jackfield_sandbox::{Audience, Compiling, Sandbox};
use jackfield_text::Untrusted;
use tokio::sync::{Mutex, Notify};
use tracing::{debug, error, info, warn};

use crate::generation::{
    BuildContext, CurrentGeneration, Generation, Loads, Problem, build, routes_alone,
};
use crate::log;
use crate::site::{ContentHash, Site, SiteError, Snapshot};
use crate::watch::Watch;

/// How often a site is read anew because directories came or went since they were watched. What
/// happens after that is noticed by those that are watched, and makes the next reload.
const ROUNDS: usize = 4;

/// How long a reload waits for plugins to be loaded before it serves what does not need them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the generation that is served up to date with the site.
pub struct Reloader {
    site: Site,
    workshop: Arc<BuildContext>,
    generations: Arc<CurrentGeneration>,
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

/// A snapshot that is on its way into service.
struct Preparation {
    snapshot: Snapshot,
    began: Instant,
    /// When what is loaded by then is served without the rest; none once it is, until more has been
    /// loaded.
    partial_at: Option<Instant>,
}

/// Problems of the routing files of a first generation.
struct BrokenRoutes {
    problems: Vec<Problem>,
    /// The time at which they are returned, although plugins are still being loaded.
    told_at: Instant,
}

/// The result of reading the site again.
enum Look {
    /// It has to be prepared.
    Changed(Snapshot),
    /// It is as it was when it was looked at before.
    AsBefore,
    /// It is again what is served.
    Served(Snapshot),
    /// It cannot be read, which has been told.
    Unreadable,
}

impl Reloader {
    /// A reloader of a site that nothing has been read of yet.
    pub fn new(site: Site, config: Config, sandbox: Sandbox, audience: Arc<dyn Audience>) -> Self {
        let generations = Arc::new(CurrentGeneration::default());
        Self {
            watch: Arc::new(Mutex::new(Watch::new(site.clone(), config.watch))),
            site,
            workshop: Arc::new(BuildContext { sandbox, plugins: config.plugins, audience }),
            state: ArcSwap::from_pointee(ReloadState::serving(&generations.current())),
            generations,
            forced: Notify::new(),
        }
    }

    /// What is served, now and after each reload.
    pub fn generations(&self) -> Arc<CurrentGeneration> {
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

    /// The components that are being compiled, the longest first.
    pub fn compiling(&self) -> Vec<Compiling> {
        self.workshop.sandbox.compiling()
    }

    /// Begins to watch the site, and serves its first generation, which has all plugins. What
    /// changes meanwhile counts: the plugins that are no part of the site any more are not waited
    /// for.
    ///
    /// # Errors
    /// Every problem of the site, each complete with its place: there is no earlier generation
    /// that could serve instead. Problems of the routing files are returned without the plugins'
    /// when plugins take longer than [`PATIENCE`] to load.
    pub async fn start(&self) -> Result<(), Vec<String>> {
        let began = Instant::now();
        let mut loads = Loads::new(Arc::clone(&self.workshop));
        let read = async || read(&self.site, &self.watch).await.map_err(|error| vec![error]);
        let mut snapshot = read().await?;
        loads.follow(&snapshot, None);
        let mut broken_routes = BrokenRoutes::of(&snapshot);
        while loads.is_loading() {
            tokio::select! {
                () = loads.next() => {}
                () = self.settled() => {
                    snapshot = read().await?;
                    loads.follow(&snapshot, None);
                    broken_routes = BrokenRoutes::of(&snapshot);
                }
                () = at(broken_routes.as_ref().map(|it| it.told_at)) => break,
            }
        }
        if loads.is_loading()
            && let Some(broken) = broken_routes
        {
            return Err(texts(&broken.problems));
        }
        let generation = build(&snapshot, None, &loads).await;
        self.commit(generation.map_err(|problems| texts(&problems))?, began);
        Ok(())
    }

    /// Reloads with every change, and when it is triggered, for ever. `committed` is called after
    /// each new generation has begun to serve, with the one before and the new one.
    ///
    /// Loading plugins takes long; it is waited for here, and a change ends the wait. Reading the
    /// routes and configuring plugins is short, and not interrupted.
    pub async fn run<F>(&self, committed: F)
    where
        F: Fn(Arc<Generation>, Arc<Generation>),
    {
        let mut loads = Loads::new(Arc::clone(&self.workshop));
        let mut tried = Some(self.generations.current().hash());
        let mut under_way: Option<Preparation> = None;
        // Whether a reload is to take place although nothing has changed. One that a change
        // overtakes is still to take place.
        let mut forced = false;
        loop {
            let partial_at = under_way.as_ref().and_then(|it| it.partial_at);
            let mut is_changed = false;
            tokio::select! {
                () = self.forced.notified() => (is_changed, forced) = (true, true),
                () = self.settled() => is_changed = true,
                () = loads.next() => {}
                () = at(partial_at) => {}
            }
            if is_changed {
                if forced {
                    loads.forget_failures();
                }
                match self.look(forced, &mut tried).await {
                    Look::Changed(snapshot) => {
                        let partial_at = partial_at.or_else(|| Some(Instant::now() + PATIENCE));
                        loads.follow(&snapshot, Some(&self.generations.current()));
                        under_way =
                            Some(Preparation { snapshot, began: Instant::now(), partial_at });
                    }
                    Look::AsBefore => {}
                    Look::Served(snapshot) => {
                        loads.follow(&snapshot, Some(&self.generations.current()));
                        under_way = None;
                    }
                    Look::Unreadable => under_way = None,
                }
            }
            let Some(preparation) = &mut under_way else { continue };
            let is_whole = !loads.is_loading();
            if !is_whole && preparation.partial_at.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            if !is_whole && preparation.partial_at.is_none() {
                // One more has been loaded; others may follow at once.
                preparation.partial_at = Some(Instant::now() + PATIENCE);
                continue;
            }
            preparation.partial_at = None;
            if let Some((old, new)) = self.reload(preparation, &loads).await {
                committed(old, new);
            }
            if is_whole {
                (under_way, forced) = (None, false);
            }
        }
    }

    async fn settled(&self) {
        self.watch.lock().await.settled().await;
    }

    /// Reads the site. `tried` is the snapshot that was prepared last, or is being prepared,
    /// whether or not that goes well: it would go the same way again.
    async fn look(&self, forced: bool, tried: &mut Option<ContentHash>) -> Look {
        let snapshot = match read(&self.site, &self.watch).await {
            Ok(snapshot) => snapshot,
            Err(problem) => {
                *tried = None;
                self.failed(vec![problem]);
                // Nobody tells when what cannot be read now can be read again: its directories may
                // have gone, and the watches with them.
                self.watch.lock().await.look_again();
                return Look::Unreadable;
            }
        };
        let hash = snapshot.hash();
        let before = tried.replace(hash);
        if forced {
            return Look::Changed(snapshot);
        }
        if before == Some(hash) {
            debug!(%hash, "nothing that is served has changed");
            return Look::AsBefore;
        }
        let current = self.generations.current();
        if current.serves(hash) {
            self.recovered(&current);
            return Look::Served(snapshot);
        }
        Look::Changed(snapshot)
    }

    /// One reload, with what is loaded by now; the old and the new generation, if there is a new
    /// one.
    async fn reload(
        &self,
        preparation: &Preparation,
        loads: &Loads,
    ) -> Option<(Arc<Generation>, Arc<Generation>)> {
        let current = self.generations.current();
        match build(&preparation.snapshot, Some(&current), loads).await {
            // Nothing but what is still being loaded has changed.
            Ok(next) if !next.loading().is_empty() && next.is_same(&current) => None,
            Ok(next) => Some(self.commit(next, preparation.began)),
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

impl BrokenRoutes {
    fn of(snapshot: &Snapshot) -> Option<Self> {
        let problems = routes_alone(snapshot).err()?;
        Some(Self { problems, told_at: Instant::now() + PATIENCE })
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

/// Waits until then; for ever if there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn report(generation: &Generation, began: Instant) {
    if !generation.loading().is_empty() {
        let loading = Untrusted::new(generation.loading().join(", "));
        info!(
            generation = generation.number(),
            routes = generation.routes().routes().len(),
            "a change is served without the plugins that are still being compiled: {loading}"
        );
        return;
    }
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
