//! The durable store with an engine in memory: group commit, the order of the gate, failures.

mod failures;
mod steps;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield_store::{Backup, Changes, EngineError, Saved, Syncer, Value};
use tokio::task::JoinHandle;

use super::journal::Journal;
use super::passage::{Gate, PassageOrder, Passed};
use super::*;
use crate::fault::FaultKind;

/// What has been committed, and one line for each commit.
#[derive(Default)]
struct File {
    entries: BTreeMap<(String, String), Value>,
    commits: Vec<String>,
    syncs: usize,
    /// Whether syncs fail, and renewals.
    is_broken: bool,
    renewals: usize,
}

impl File {
    fn answer(&self) -> Result<(), EngineError> {
        if self.is_broken { Err(EngineError::Sqlite("disk I/O error".into())) } else { Ok(()) }
    }
}

/// An engine whose commits and probes wait for a permit: true succeeds, false fails. Without
/// permits, all succeed.
struct FakeEngine {
    file: Arc<Mutex<File>>,
    permits: Option<mpsc::Receiver<bool>>,
}

impl FakeEngine {
    fn permit(&self) -> Result<(), EngineError> {
        match self.permits.as_ref().map(mpsc::Receiver::recv) {
            None | Some(Ok(true)) => Ok(()),
            Some(_) => Err(EngineError::Full("no space left".into())),
        }
    }
}

impl Engine for FakeEngine {
    fn read(&mut self, plugin: &str) -> Result<Saved, EngineError> {
        let file = self.file.lock().unwrap();
        let mine = file.entries.iter().filter(|((of, _), _)| of == plugin);
        let entries = mine.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        Ok(Saved { schema: None, entries })
    }

    fn plugins(&mut self) -> Result<Vec<String>, EngineError> {
        let mut names: Vec<_> =
            self.file.lock().unwrap().entries.keys().map(|it| it.0.clone()).collect();
        names.dedup();
        Ok(names)
    }

    fn commit(&mut self, changes: &[&Changes]) -> Result<(), EngineError> {
        self.permit()?;
        let mut file = self.file.lock().unwrap();
        let mut line = Vec::new();
        for changes in changes {
            for (key, value) in &changes.entries {
                let at = (changes.plugin.to_string(), key.to_string());
                let text = value.as_ref().map(|it| String::from_utf8_lossy(&it.bytes));
                line.push(format!("{key}={}", text.as_deref().unwrap_or("gone")));
                match value {
                    Some(value) => drop(file.entries.insert(at, value.clone())),
                    None => drop(file.entries.remove(&at)),
                }
            }
        }
        line.sort();
        file.commits.push(line.join(" "));
        Ok(())
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.permit()
    }

    fn renew(&mut self) -> Result<(), EngineError> {
        let mut file = self.file.lock().unwrap();
        file.renewals += 1;
        file.answer()
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        let mut file = self.file.lock().unwrap();
        file.syncs += 1;
        file.answer()
    }

    fn syncer(&mut self) -> Result<Syncer, EngineError> {
        Ok(Box::new(|| Ok(())))
    }

    fn begin_backup(&mut self) -> Result<Backup, EngineError> {
        let file = Arc::clone(&self.file);
        let text = move || file.lock().unwrap().commits.join("\n");
        Ok(Box::new(move |target| {
            std::fs::write(target, text()).map(|()| 0).map_err(EngineError::Sync)
        }))
    }

    fn end_backup(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// One plugin's store, and its lane.
struct World {
    space: SharedSpace,
    file: Arc<Mutex<File>>,
    order: PassageOrder,
    permits: mpsc::Sender<bool>,
}

impl World {
    async fn new(mode: StateMode) -> Self {
        let (permits, received) = mpsc::channel();
        Self::with(Arc::default(), mode, Some(received), permits).await
    }

    async fn free(file: &Arc<Mutex<File>>) -> Self {
        Self::with(Arc::clone(file), StateMode::Written, None, mpsc::channel().0).await
    }

    async fn with(
        file: Arc<Mutex<File>>,
        mode: StateMode,
        received: Option<mpsc::Receiver<bool>>,
        permits: mpsc::Sender<bool>,
    ) -> Self {
        Self::within(file, mode, received, permits, MAX_SAVE_TIME).await
    }

    async fn within(
        file: Arc<Mutex<File>>,
        mode: StateMode,
        received: Option<mpsc::Receiver<bool>>,
        permits: mpsc::Sender<bool>,
        save_time: Duration,
    ) -> Self {
        let engine = FakeEngine { file: Arc::clone(&file), permits: received };
        let mut spaces =
            Spaces::saved_by(Box::new(engine), Box::new(move |_| mode), Arc::default()).unwrap();
        spaces.saving.as_mut().unwrap().save_time = save_time;
        let space = spaces.of("acme", 100_000).await.unwrap();
        Self { space, file, order: PassageOrder::default(), permits }
    }

    fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.space), 1)
    }

    /// Ends the hook of a journal, as a lane does.
    fn end(&self, journal: &mut Journal) -> Option<Gate> {
        let receipt = journal.commit().unwrap();
        Gate::behind(&self.order, &self.space, journal.incarnation(), receipt).unwrap()
    }

    /// Ends a hook, whose session waits in a task of its own.
    fn hook(&self, run: impl FnOnce(&mut Journal)) -> JoinHandle<Result<Passed, FaultKind>> {
        let mut journal = self.journal();
        run(&mut journal);
        let receipt = journal.commit().unwrap();
        let gate = Gate::behind(&self.order, &self.space, journal.incarnation(), receipt);
        let gate = match gate {
            Ok(gate) => gate.expect("the hook has to wait"),
            // On a busy machine, the write can fail before the hook is at the gate.
            Err(kind) => return tokio::spawn(async move { Err(kind) }),
        };
        tokio::spawn(gate.pass())
    }

    fn commits(&self) -> Vec<String> {
        self.file.lock().unwrap().commits.clone()
    }
}

fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut Journal) {
    move |journal| journal.set(key, value.into(), None).unwrap()
}

/// Lets other tasks run until nothing changes by itself.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn commits_all_that_waits_at_once() {
    let w = World::new(StateMode::Written).await;
    let first = w.hook(set("a", "1"));
    // The writer has taken the first alone, and waits for its permit.
    while w.space.durable.as_ref().unwrap().ready() > 0 {
        tokio::task::yield_now().await;
    }
    let others = [w.hook(set("b", "1")), w.hook(set("b", "2")), w.hook(set("c", "1"))];
    settle().await;
    assert!(!first.is_finished() && others.iter().all(|it| !it.is_finished()));
    w.permits.send(true).unwrap();
    drop(first.await.unwrap().unwrap());
    settle().await;
    assert!(others.iter().all(|it| !it.is_finished()), "they pass with their own commit");
    w.permits.send(true).unwrap();
    for other in others {
        drop(other.await.unwrap().unwrap());
    }
    assert_eq!(w.commits(), ["a=1", "b=2 c=1"]);
}

#[tokio::test]
async fn a_hook_that_reads_what_is_not_saved_waits_for_it() {
    let w = World::new(StateMode::Written).await;
    let writer = w.hook(set("a", "1"));
    let reader = w.hook(|journal| assert_eq!(journal.get("a"), Some(b"1".to_vec())));
    settle().await;
    assert!(!reader.is_finished());
    w.permits.send(true).unwrap();
    drop(writer.await.unwrap().unwrap());
    drop(reader.await.unwrap().unwrap());
    let mut journal = w.journal();
    assert_eq!(journal.get("a"), Some(b"1".to_vec()));
    assert!(w.end(&mut journal).is_none(), "all is saved, and nobody is before it");
}

#[tokio::test]
async fn hooks_pass_in_the_order_of_the_lane() {
    let w = World::new(StateMode::Written).await;
    assert!(w.end(&mut w.journal()).is_none(), "a hook without the store never waits by itself");
    let first = w.hook(set("a", "1"));
    let untouched = w.hook(|_| ());
    let last = w.hook(set("a", "2"));
    w.permits.send(true).unwrap();
    w.permits.send(true).unwrap();
    // Both commits may be over, but the effects of the first are not performed yet.
    let passage = first.await.unwrap().unwrap();
    while w.commits().len() < 2 && w.space.durable.as_ref().unwrap().ready() > 0 {
        tokio::task::yield_now().await;
    }
    settle().await;
    assert!(!untouched.is_finished() && !last.is_finished());
    drop(passage);
    let passage = untouched.await.unwrap().unwrap();
    settle().await;
    assert!(!last.is_finished());
    drop(passage);
    drop(last.await.unwrap().unwrap());
}

/// The session of the first hook ends before its commit; the second hook has not used the store,
/// but the memory of its instance.
#[tokio::test]
async fn a_hook_behind_one_that_was_given_up_waits_for_its_commit() {
    let w = World::new(StateMode::Written).await;
    let (first, second) = (w.hook(set("a", "1")), w.hook(|_| ()));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    settle().await;
    assert!(!second.is_finished());
    w.permits.send(false).unwrap();
    assert!(matches!(second.await.unwrap(), Err(FaultKind::StoreFailed(_))));
}

#[tokio::test]
async fn saves_nothing_of_a_hook_that_runs() {
    let w = World::new(StateMode::Written).await;
    let (mut one, mut two) = (w.journal(), w.journal());
    one.set("a", "1".into(), None).unwrap();
    let first = w.end(&mut one).unwrap();
    two.set("b", "1".into(), None).unwrap();
    two.set("a", "2".into(), None).unwrap();
    w.permits.send(true).unwrap();
    drop(first.pass().await.unwrap());
    assert_eq!(w.commits(), ["a=1"]);
    drop(two);
    let third = w.hook(set("c", "1"));
    w.permits.send(true).unwrap();
    drop(third.await.unwrap().unwrap());
    assert_eq!(w.commits(), ["a=1", "a=1 b=gone c=1"]);
}

/// With several lanes a hook sees writes of others that run: they are saved before it passes.
#[tokio::test]
async fn saves_what_a_hook_has_seen_of_others() {
    let w = World::new(StateMode::Written).await;
    let mut running = w.journal();
    running.set("a", "1".into(), None).unwrap();
    let reader = w.hook(|journal| assert!(journal.get("a").is_some()));
    w.permits.send(true).unwrap();
    drop(reader.await.unwrap().unwrap());
    assert_eq!(w.commits(), ["a=1"]);
}

#[tokio::test]
async fn a_failed_commit_undoes_and_refuses_all_that_saw_it() {
    let w = World::new(StateMode::Written).await;
    let kept = w.hook(set("a", "kept"));
    w.permits.send(true).unwrap();
    drop(kept.await.unwrap().unwrap());

    let mut running = w.journal();
    running.set("r", "1".into(), None).unwrap();
    running.roll_back();
    let lost = w.hook(set("a", "lost"));
    assert_eq!(running.get("a"), Some(b"lost".to_vec()));
    let untouched = w.hook(|_| ());
    w.permits.send(false).unwrap();
    let failed = |result: Result<Passed, FaultKind>| match result {
        Err(FaultKind::StoreFailed(text)) => assert_eq!(text, "the disk is full: no space left"),
        other => panic!("{other:?}"),
    };
    failed(lost.await.unwrap());
    failed(untouched.await.unwrap());
    let durable = w.space.durable.as_ref().unwrap();
    assert_eq!(durable.hold().as_deref(), Some("the disk is full: no space left"));
    assert!(durable.admit().is_err());
    assert!(!running.is_current() && running.commit().is_err(), "it saw what is undone");
    assert!(w.journal().commit().is_ok());

    // The first trial fails, the second succeeds.
    w.permits.send(false).unwrap();
    w.permits.send(true).unwrap();
    while durable.hold().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut journal = w.journal();
    assert_eq!(journal.get("a"), Some(b"kept".to_vec()));
    assert!(w.end(&mut journal).is_none());
    let again = w.hook(set("a", "again"));
    w.permits.send(true).unwrap();
    drop(again.await.unwrap().unwrap());
    assert_eq!(w.commits(), ["a=kept", "a=again"]);
}

#[tokio::test]
async fn syncs_before_hooks_of_synced_plugins_pass() {
    let w = World::new(StateMode::Synced).await;
    let first = w.hook(set("a", "1"));
    w.permits.send(true).unwrap();
    drop(first.await.unwrap().unwrap());
    assert_eq!(w.file.lock().unwrap().syncs, 1);
}

#[tokio::test]
async fn a_store_in_memory_never_waits() {
    let w = World::new(StateMode::Memory).await;
    assert!(w.space.durable.is_none());
    let mut journal = w.journal();
    journal.set("a", "1".into(), None).unwrap();
    assert!(journal.commit().unwrap().is_none());
    assert_eq!(w.journal().get("a"), Some(b"1".to_vec()));
}

#[tokio::test]
async fn entries_expire_by_the_clock_of_the_machine() {
    let file = Arc::default();
    let w = World::free(&file).await;
    let hour = Duration::from_hours(1);
    drop(w.hook(|it| it.set("a", "1".into(), Some(hour)).unwrap()).await.unwrap().unwrap());
    drop(w.hook(|it| it.set("b", "1".into(), None).unwrap()).await.unwrap().unwrap());
    let at = |key: &str| ("acme".to_owned(), key.to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let expires = file.lock().unwrap().entries[&at("a")].expires.unwrap();
    assert!((now..=now + 3_600_001).contains(&expires), "{expires} at {now}");
    assert_eq!(file.lock().unwrap().entries[&at("b")].expires, None);

    assert!(World::free(&file).await.journal().get("a").is_some());
    file.lock().unwrap().entries.get_mut(&at("a")).unwrap().expires = Some(now - 1);
    let later = World::free(&file).await;
    assert_eq!(later.journal().get("a"), None);
    drop(later.hook(|it| assert!(it.get("b").is_some())).await.unwrap().unwrap());
    assert!(!file.lock().unwrap().entries.contains_key(&at("a")), "the file is rid of it");
}

#[tokio::test]
async fn counts_what_was_saved_towards_the_quota() {
    let file = Arc::default();
    let w = World::free(&file).await;
    w.space.lock().set_quota(1_000);
    let large = vec![b'x'; 700];
    drop(w.hook(|it| it.set("a", large.clone(), None).unwrap()).await.unwrap().unwrap());
    let again = World::free(&file).await;
    again.space.lock().set_quota(1_000);
    assert!(again.journal().set("b", large, None).is_err());
}
