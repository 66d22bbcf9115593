//! Tests of reloads of real sites without plugins; the tests of `generation` have plugins.

use std::fs;
use std::path::Path;

use jackfield_sandbox::{RealmId, SandboxSettings};
use tokio::sync::mpsc;

use super::*;
use crate::versions::VersionSettings;

struct Nobody;

impl Audience for Nobody {
    fn realm_name(&self, _: RealmId) -> String {
        String::new()
    }

    fn subscribers(&self, _: RealmId, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn count(&self, _: RealmId, _: &str) -> u32 {
        0
    }
}

/// A reloader with its running task, and the numbers of its committed generations.
struct Fixture {
    reloader: Arc<Reloader>,
    commits: mpsc::UnboundedReceiver<(u64, u64)>,
    task: tokio::task::JoinHandle<()>,
}

impl Fixture {
    async fn start(directory: &Path) -> Self {
        let sandbox = Sandbox::new(SandboxSettings::default()).unwrap();
        let mut config = Config::default();
        config.watch.settle = std::time::Duration::from_millis(5);
        let site = Site::new(directory);
        let settings = VersionSettings { keep: 5, take_back: None };
        let versions = Arc::new(Versions::open(directory, None, settings).unwrap());
        let reloader = Reloader::new(
            site,
            config,
            sandbox,
            Arc::new(Nobody),
            versions,
            None,
            crate::generation::DurableHistories::Possible,
        );
        let reloader = Arc::new(reloader);
        reloader.start().await.unwrap();
        let (sender, commits) = mpsc::unbounded_channel();
        let running = Arc::clone(&reloader);
        let task = tokio::spawn(async move {
            let commit = move |old: Arc<Generation>, new: Arc<Generation>| {
                sender.send((old.number(), new.number())).unwrap();
            };
            running.run(commit).await;
        });
        Self { reloader, commits, task }
    }

    /// Waits until the problems meet the condition; hangs if they never do.
    async fn until(&self, expect: impl Fn(&[String]) -> bool) {
        while !expect(&self.reloader.state().problems) {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Changes a site without plugins: an imported file is enough to make it differ.
fn change(directory: &Path, text: &str) {
    fs::write(directory.join("imported.yml"), text).unwrap();
}

#[tokio::test]
async fn every_change_produces_a_generation() {
    let site = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(site.path()).await;
    change(site.path(), "1");
    assert_eq!(fixture.commits.recv().await, Some((1, 2)));
    change(site.path(), "2");
    assert_eq!(fixture.commits.recv().await, Some((2, 3)));
    assert_eq!(fixture.reloader.state().generation, 3);
    assert_eq!(fixture.reloader.generations().current().number(), 3);
}

#[tokio::test]
async fn a_requested_reload_of_an_unchanged_site_keeps_the_generation() {
    let site = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(site.path()).await;
    let since = fixture.reloader.state().since;
    let ticket = fixture.reloader.trigger(ReloadCause::Signal);
    let record = fixture.reloader.answer(ticket).await.unwrap();
    assert_eq!((record.result, record.generation), (ReloadResult::Unchanged, 1));
    assert_eq!((record.cause, fixture.reloader.state().since), (ReloadCause::Signal, since));
    change(site.path(), "1");
    assert_eq!(fixture.commits.recv().await, Some((1, 2)), "nothing was committed meanwhile");
}

#[tokio::test]
async fn invariant_8_an_error_keeps_the_running_generation_and_is_shown() {
    let site = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::start(site.path()).await;
    let before = fixture.reloader.generations().current();

    let routing = site.path().join("websocket_routing.yml");
    fs::write(&routing, "a:\n    chanel: x\n").unwrap();
    fixture.until(|problems| problems.iter().any(|it| it.contains("routing.yml:2:5: "))).await;
    fs::write(site.path().join("x.wasm"), "garbage").unwrap();
    fixture.until(|problems| problems.iter().any(|it| it.contains("x.wasm: error: "))).await;
    assert!(fixture.reloader.state().failed_since.is_some());
    assert!(Arc::ptr_eq(&before, &fixture.reloader.generations().current()));

    fs::remove_file(&routing).unwrap();
    fs::remove_file(site.path().join("x.wasm")).unwrap();
    fixture.until(<[String]>::is_empty).await;
    assert_eq!(fixture.reloader.state().failed_since, None);
    assert!(Arc::ptr_eq(&before, &fixture.reloader.generations().current()));

    change(site.path(), "1");
    assert_eq!(fixture.commits.recv().await, Some((1, 2)), "nothing was committed meanwhile");
}

#[tokio::test]
async fn reports_a_missing_site_and_its_return() {
    let root = tempfile::tempdir().unwrap();
    let site = root.path().join("site");
    fs::create_dir(&site).unwrap();
    change(&site, "1");
    let mut fixture = Fixture::start(&site).await;
    fs::remove_dir_all(&site).unwrap();
    fixture.until(|problems| problems.iter().any(|it| it.contains("read the site"))).await;
    fs::create_dir(&site).unwrap();
    change(&site, "2");
    while fixture.reloader.generations().current().number() == 1
        || !fixture.reloader.state().problems.is_empty()
    {
        fixture.commits.recv().await.unwrap();
    }
    change(&site, "3");
    fixture.commits.recv().await.unwrap();
}
