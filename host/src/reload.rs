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
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Notify};
use tracing::{debug, error, info, warn};

use crate::config::Config;
use crate::generation::{Generation, Generations, Problem, Workshop, prepare};
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
    /// The number of the generation that is served.
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
    /// Reads the site for the first time and begins to watch it.
    ///
    /// # Errors
    /// Every problem of the site, each complete with its place: there is no earlier generation
    /// that could serve instead.
    pub async fn start(
        site: Site,
        config: Config,
        sandbox: Sandbox,
        audience: Arc<dyn Audience>,
    ) -> Result<Self, Vec<String>> {
        let began = Instant::now();
        let watch = Arc::new(Mutex::new(Watch::new(site.clone(), config.watch)));
        let snapshot = read(&site, &watch).await.map_err(|error| vec![error])?;
        let workshop = Workshop { sandbox, plugins: config.plugins, audience };
        let generation =
            prepare(&snapshot, None, &workshop).await.map_err(|problems| texts(&problems))?;
        report(&generation, began);
        Ok(Self {
            site,
            workshop,
            state: ArcSwap::from_pointee(ReloadState::serving(&generation)),
            generations: Arc::new(Generations::new(generation)),
            watch,
            forced: Notify::new(),
        })
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

    /// Reloads with every change, and when the process receives SIGHUP, for ever. `committed` is called after each new generation has
    /// begun to serve, with the one before and the new one; the next reload waits for it.
    pub async fn run<F, Fut>(&self, committed: F)
    where
        F: Fn(Arc<Generation>, Arc<Generation>) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut tried = Some(self.generations.current().hash());
        let mut hangup = signal(SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP forces no reload, it cannot be received"))
            .ok();
        loop {
            let cause = tokio::select! {
                () = self.forced.notified() => Cause::Forced,
                () = received(&mut hangup) => Cause::Forced,
                () = self.settled() => Cause::Change,
            };
            if let Some((old, new)) = self.reload(cause, &mut tried).await {
                committed(old, new).await;
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
            Ok(next) => {
                report(&next, began);
                let next = Arc::new(next);
                let old = self.generations.commit(Arc::clone(&next));
                self.state.store(Arc::new(ReloadState::serving(&next)));
                Some((old, next))
            }
            Err(problems) => {
                self.failed(texts(&problems));
                None
            }
        }
    }

    fn failed(&self, problems: Vec<String>) {
        let before = self.state();
        for problem in &problems {
            error!("{problem}");
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

/// Waits for the signal; for ever if it cannot be received.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        // The stream of a signal ends only with the runtime.
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn report(generation: &Generation, began: Instant) {
    for warning in generation.warnings() {
        warn!("{warning}");
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
mod tests {
    use std::fs;
    use std::path::Path;

    use jackfield_sandbox::{Realm, SandboxSettings};
    use tokio::sync::mpsc;

    use super::*;

    struct Nobody;

    impl Audience for Nobody {
        fn subscribers(&self, _: Realm, _: &str) -> Vec<u64> {
            Vec::new()
        }

        fn count(&self, _: Realm, _: &str) -> u32 {
            0
        }
    }

    /// A reloader whose task runs, and the numbers of the generations it commits.
    struct Bench {
        reloader: Arc<Reloader>,
        commits: mpsc::UnboundedReceiver<(u64, u64)>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Bench {
        async fn start(directory: &Path) -> Self {
            let sandbox = Sandbox::new(SandboxSettings::default()).unwrap();
            let mut config = Config::default();
            config.watch.settle = std::time::Duration::from_millis(5);
            let site = Site::new(directory);
            let reloader = Reloader::start(site, config, sandbox, Arc::new(Nobody)).await.unwrap();
            let reloader = Arc::new(reloader);
            let (sender, commits) = mpsc::unbounded_channel();
            let running = Arc::clone(&reloader);
            let task = tokio::spawn(async move {
                running
                    .run(move |old, new| {
                        sender.send((old.number(), new.number())).unwrap();
                        std::future::ready(())
                    })
                    .await;
            });
            Self { reloader, commits, task }
        }

        /// Waits until the problems are such; hangs if they never are.
        async fn until(&self, expect: impl Fn(&[String]) -> bool) {
            while !expect(&self.reloader.state().problems) {
                tokio::task::yield_now().await;
            }
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    /// A site without routes needs no plugins: imported files alone make it differ.
    fn change(directory: &Path, text: &str) {
        fs::write(directory.join("imported.yml"), text).unwrap();
    }

    #[tokio::test]
    async fn every_change_makes_a_generation() {
        let site = tempfile::tempdir().unwrap();
        let mut bench = Bench::start(site.path()).await;
        change(site.path(), "1");
        assert_eq!(bench.commits.recv().await, Some((1, 2)));
        change(site.path(), "2");
        assert_eq!(bench.commits.recv().await, Some((2, 3)));
        assert_eq!(bench.reloader.state().generation, 3);
        assert_eq!(bench.reloader.generations().current().number(), 3);
    }

    #[tokio::test]
    async fn a_reload_can_be_forced() {
        let site = tempfile::tempdir().unwrap();
        let mut bench = Bench::start(site.path()).await;
        bench.reloader.trigger();
        assert_eq!(bench.commits.recv().await, Some((1, 2)));
    }

    #[tokio::test]
    async fn invariant_8_a_mistake_leaves_the_running_generation_and_is_shown() {
        let site = tempfile::tempdir().unwrap();
        let mut bench = Bench::start(site.path()).await;
        let before = bench.reloader.generations().current();

        let routing = site.path().join("websocket_routing.yml");
        fs::write(&routing, "a:\n    chanel: x\n").unwrap();
        bench.until(|problems| problems.iter().any(|it| it.contains("routing.yml:2:5: "))).await;
        fs::write(site.path().join("x.wasm"), "garbage").unwrap();
        bench.until(|problems| problems.iter().any(|it| it.contains("x.wasm: error: "))).await;
        assert!(bench.reloader.state().failed_since.is_some());
        assert!(Arc::ptr_eq(&before, &bench.reloader.generations().current()));

        fs::remove_file(&routing).unwrap();
        fs::remove_file(site.path().join("x.wasm")).unwrap();
        bench.until(<[String]>::is_empty).await;
        assert_eq!(bench.reloader.state().failed_since, None);
        assert!(Arc::ptr_eq(&before, &bench.reloader.generations().current()));

        change(site.path(), "1");
        assert_eq!(bench.commits.recv().await, Some((1, 2)), "nothing was committed meanwhile");
    }

    #[tokio::test]
    async fn a_site_that_vanishes_is_missed_and_found_again() {
        let root = tempfile::tempdir().unwrap();
        let site = root.path().join("site");
        fs::create_dir(&site).unwrap();
        change(&site, "1");
        let mut bench = Bench::start(&site).await;
        fs::remove_dir_all(&site).unwrap();
        bench.until(|problems| problems.iter().any(|it| it.contains("read the site"))).await;
        fs::create_dir(&site).unwrap();
        change(&site, "2");
        while bench.reloader.generations().current().number() == 1
            || !bench.reloader.state().problems.is_empty()
        {
            bench.commits.recv().await.unwrap();
        }
        change(&site, "3");
        bench.commits.recv().await.unwrap();
    }
}
