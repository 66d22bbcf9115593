//! The operator's steps, and a disk that hangs.

use super::super::entry::{StoreEntry, StoreFault, StoreImported, StoreRange};
use super::super::plugin_store::PluginStore;
use super::*;

fn store(space: &SharedSpace) -> PluginStore {
    PluginStore::new(Arc::clone(space), 1)
}

fn entry(key: &str, value: &[u8]) -> StoreEntry {
    StoreEntry { key: key.into(), value: value.into(), ttl: None }
}

fn keys(entries: &[StoreEntry]) -> String {
    entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>().join(" ")
}

async fn all(store: &PluginStore) -> String {
    let range = StoreRange { prefix: "", after: None, limit: 100 };
    keys(&store.list(range).await.unwrap().entries)
}

#[tokio::test]
async fn an_import_is_all_or_nothing() {
    for mode in [StateMode::Memory, StateMode::Written] {
        let (file, quota) = (Arc::default(), 1_000);
        let w = World::with(Arc::clone(&file), mode, None, mpsc::channel().0).await;
        w.space.lock().set_quota(quota);
        let store = store(&w.space);
        store.set(entry("a", b"1")).await.unwrap();
        store.set(entry("b", b"1")).await.unwrap();
        let large = vec![0; 400];
        let refused = store.import(vec![entry("c", &large), entry("d", &large)], false).await;
        let needed = 2 * (1 + 1 + 128) + 2 * (1 + 400 + 128);
        assert_eq!(refused, Err(StoreFault::Full { needed, quota }), "{mode:?}");
        assert_eq!(all(&store).await, "a b");
        // What it replaces makes room.
        let replaced = store.import(vec![entry("b", &large), entry("c", b"1")], true).await;
        assert_eq!(replaced, Ok(StoreImported { written: 2, removed: 1 }));
        let merged = store.import(vec![entry("b", b"2")], false).await;
        assert_eq!(merged, Ok(StoreImported { written: 1, removed: 0 }));
        assert_eq!(all(&store).await, "b c");
        assert_eq!(&*store.get("b").await.unwrap().unwrap().value, b"2");
        assert_eq!(store.delete("b").await, Ok(true));
        assert_eq!(store.delete("b").await, Ok(false));
        let long = "k".repeat(2_000);
        assert_eq!(store.set(entry(&long, b"")).await, Err(StoreFault::Key(2_000)));
        let is_saved = mode == StateMode::Written;
        assert_eq!(w.commits().len(), if is_saved { 5 } else { 0 });
    }
}

#[tokio::test]
async fn lists_a_range_with_what_is_left_of_each() {
    let w = World::free(&Arc::default()).await;
    let store = store(&w.space);
    let ttl = Some(Duration::from_hours(1));
    store.set(StoreEntry { ttl, ..entry("a/2", b"12") }).await.unwrap();
    for key in ["a", "a/1", "a/3", "b"] {
        store.set(entry(key, b"")).await.unwrap();
    }
    let list = async |after, limit| {
        let page = store.list(StoreRange { prefix: "a/", after, limit }).await.unwrap();
        assert_eq!((page.count, page.used), (5, 5 * 128 + 13));
        (keys(&page.entries), page.has_more)
    };
    assert_eq!(list(None, 2).await, ("a/1 a/2".into(), true));
    assert_eq!(list(Some("a/2"), 2).await, ("a/3".into(), false));
    assert_eq!(list(Some("0"), 3).await, ("a/1 a/2 a/3".into(), false));
    assert_eq!(list(Some("z"), 3).await, (String::new(), false));
    let found = store.get("a/2").await.unwrap().unwrap();
    assert!(found.ttl.is_some_and(|left| left <= Duration::from_hours(1)), "{found:?}");
}

#[tokio::test]
async fn a_step_waits_for_its_commit_and_fails_with_it() {
    let w = World::new(StateMode::Written).await;
    let run = |key: &'static str| {
        let store = store(&w.space);
        tokio::spawn(async move { store.set(entry(key, b"1")).await })
    };
    let first = run("a");
    settle().await;
    assert!(!first.is_finished());
    // A step that reads what is not saved waits as well.
    let reader = {
        let store = store(&w.space);
        tokio::spawn(async move { store.get("a").await })
    };
    settle().await;
    assert!(!reader.is_finished());
    w.permits.send(true).unwrap();
    first.await.unwrap().unwrap();
    assert!(reader.await.unwrap().unwrap().is_some());
    let second = run("b");
    w.permits.send(false).unwrap();
    let failed = second.await.unwrap();
    assert_eq!(failed, Err(StoreFault::Failed("the disk is full: no space left".into())));
    let on_hold = store(&w.space).get("a").await;
    assert!(matches!(on_hold, Err(StoreFault::Failed(_))), "{on_hold:?}");
}

#[tokio::test]
async fn a_running_hook_undoes_nothing_of_an_import() {
    let w = World::free(&Arc::default()).await;
    let store = store(&w.space);
    for key in ["changed", "deleted", "counted"] {
        store.set(entry(key, b"1")).await.unwrap();
    }
    let mut hook = w.journal();
    hook.set("changed", "2".into(), None).unwrap();
    assert!(hook.delete("deleted"));
    hook.increment("counted", 1).unwrap();
    hook.set("new", "2".into(), None).unwrap();
    store.import(vec![entry("changed", b"3"), entry("counted", b"3")], true).await.unwrap();
    hook.roll_back();
    assert_eq!(all(&store).await, "changed counted");
    assert_eq!(&*store.get("changed").await.unwrap().unwrap().value, b"3");
    assert_eq!(&*store.get("counted").await.unwrap().unwrap().value, b"3");
}

/// The commit is under way, and the writer does not answer.
#[tokio::test]
async fn a_disk_that_hangs_refuses_what_waits() {
    let (permits, received) = mpsc::channel();
    let time = Duration::from_millis(50);
    let (file, mode) = (Arc::default(), StateMode::Written);
    let w = World::within(file, mode, Some(received), permits, time).await;
    let first = w.hook(set("a", "1"));
    while w.space.durable.as_ref().unwrap().ready() > 0 {
        // Without other tasks: the time of the hooks does not pass.
        std::thread::yield_now();
    }
    let (second, untouched) = (w.hook(set("b", "1")), w.hook(|_| ()));
    for hook in [first, second, untouched] {
        match hook.await.unwrap() {
            Err(FaultKind::StoreFailed(text)) => {
                assert_eq!(text, "the disk has not answered for 50ms");
            }
            other => panic!("{other:?}"),
        }
    }
    let durable = w.space.durable.as_ref().unwrap();
    assert!(durable.hold().is_some() && durable.admit().is_err());
    // It goes on: the commit that was under way succeeds, and so does the trial.
    w.permits.send(true).unwrap();
    w.permits.send(true).unwrap();
    while durable.hold().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(w.commits(), ["a=1"]);
    let mut journal = w.journal();
    assert_eq!(journal.get("a"), Some(b"1".to_vec()), "refused, and saved later");
    assert_eq!(journal.get("b"), None);
}

#[tokio::test]
async fn backs_up_what_is_committed() {
    let engine = FakeEngine { file: Arc::default(), permits: None };
    let spaces =
        Spaces::saved_by(Box::new(engine), Box::new(|_| StateMode::Written), Arc::default())
            .unwrap();
    let store = store(&spaces.of("acme", 1_000).await.unwrap());
    store.set(entry("a", b"1")).await.unwrap();
    let target = std::env::temp_dir().join(format!("jackfield-backup-{}", std::process::id()));
    let backup = |spaces| plugin_stores::PluginStores::new(spaces, |_| 0);
    let spaces = Arc::new(spaces);
    let stores = backup(Arc::clone(&spaces));
    stores.back_up(target.clone()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "a=1");
    std::fs::remove_file(&target).unwrap();
    let error = stores.back_up("/missing/folder".into()).await.unwrap_err();
    assert!(error.starts_with("write to the disk: "), "{error}");
    let error = backup(Arc::default()).back_up(target).await.unwrap_err();
    assert!(error.contains("in memory"), "{error}");
}
