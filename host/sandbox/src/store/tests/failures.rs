//! Failures: of one plugin alone, of a sync, and of a hook whose writes another has saved.

use super::super::writer::doubt::Doubt;
use super::*;

#[tokio::test]
async fn one_plugin_fails_alone() {
    let (permits, received) = mpsc::channel();
    let engine = FakeEngine { file: Arc::default(), permits: Some(received) };
    let modes = |_: &str| StateMode::Written;
    let spaces = Spaces::saved_by(Box::new(engine), Box::new(modes), Arc::default()).unwrap();
    let (a, b) = (spaces.of("a", 1_000).await.unwrap(), spaces.of("b", 1_000).await.unwrap());
    let hook = |space: &SharedSpace| {
        let order = PassageOrder::default();
        let mut journal = Journal::new(Arc::clone(space), 1);
        journal.set("x", "1".into(), None).unwrap();
        let receipt = journal.commit().unwrap();
        let gate = Gate::behind(&order, space, journal.incarnation(), receipt);
        let gate = gate.unwrap().unwrap();
        tokio::spawn(async move { gate.pass().await.map(drop) })
    };
    let first = hook(&a);
    while a.durable.as_ref().unwrap().ready() > 0 {
        tokio::task::yield_now().await;
    }
    let (one, two) = (hook(&a), hook(&b));
    // The first commit; then both plugins together, then each alone.
    for permit in [true, false, false, true] {
        permits.send(permit).unwrap();
    }
    first.await.unwrap().unwrap();
    one.await.unwrap().unwrap_err();
    two.await.unwrap().unwrap();
    assert!(a.durable.as_ref().unwrap().hold().is_some());
    assert!(b.durable.as_ref().unwrap().hold().is_none());
}

#[tokio::test]
async fn writes_anew_after_a_failed_sync() {
    let file = Arc::<Mutex<File>>::default();
    let w = World::with(Arc::clone(&file), StateMode::Synced, None, mpsc::channel().0).await;
    file.lock().unwrap().is_broken = true;
    let refused = w.hook(set("a", "1")).await.unwrap();
    assert!(matches!(refused, Err(FaultKind::StoreFailed(_))), "{refused:?}");
    let durable = w.space.durable.as_ref().unwrap();
    assert!(durable.hold().is_some());
    file.lock().unwrap().is_broken = false;
    while durable.hold().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(file.lock().unwrap().renewals, 1);
    drop(w.hook(set("a", "2")).await.unwrap().unwrap());
}

/// The disk works again, but a part of what it was given before may be lost.
#[test]
fn serves_nothing_that_it_could_not_write_anew() {
    let file = Arc::<Mutex<File>>::default();
    let mut engine = FakeEngine { file: Arc::clone(&file), permits: None };
    let mut doubt = Doubt::None;
    doubt.trial(&mut engine, "acme").unwrap();
    assert_eq!(file.lock().unwrap().renewals, 0);
    file.lock().unwrap().is_broken = true;
    for _ in 0..3 {
        doubt.arise();
        let text = doubt.trial(&mut engine, "acme").unwrap_err();
        assert!(text.ends_with("help: check the disk, then restart the server"), "{text}");
        file.lock().unwrap().is_broken = false;
    }
    assert_eq!(file.lock().unwrap().renewals, 1, "a second success would prove nothing");
}

#[tokio::test]
async fn undoes_in_the_file_what_another_hook_has_saved() {
    let w = World::new(StateMode::Written).await;
    let mut failing = w.journal();
    failing.set("a", "1".into(), None).unwrap();
    failing.set("b", "1".into(), None).unwrap();
    let other = w.hook(set("c", "1"));
    w.permits.send(true).unwrap();
    drop(other.await.unwrap().unwrap());
    assert_eq!(w.commits(), ["a=1 b=1 c=1"]);
    w.permits.send(true).unwrap();
    drop(failing);
    while w.commits().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(w.commits()[1], "a=gone b=gone");
}

#[tokio::test]
async fn saves_nothing_of_a_hook_that_fails_alone() {
    let w = World::new(StateMode::Written).await;
    let mut failing = w.journal();
    failing.set("a", "1".into(), None).unwrap();
    failing.roll_back();
    assert_eq!(w.space.durable.as_ref().unwrap().ready(), 0, "it waits for the next commit");
}

/// All that wait for a disk that hangs give up at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hang_puts_the_space_on_hold_once() {
    let (permits, received) = mpsc::channel();
    let (file, time) = (Arc::default(), Duration::from_millis(50));
    let w = World::within(file, StateMode::Written, Some(received), permits, time).await;
    let before = w.space.incarnation();
    // Each in a lane of its own.
    let receipt = |_| {
        let mut journal = w.journal();
        journal.set("a", "1".into(), None).unwrap();
        journal.commit().unwrap().unwrap()
    };
    let receipts: Vec<_> = (0..50).map(receipt).collect();
    let waiting: Vec<_> = receipts.into_iter().map(|it| tokio::spawn(it.saved())).collect();
    for waiting in waiting {
        waiting.await.unwrap().unwrap_err();
    }
    assert_eq!(w.space.incarnation(), before + 1);
}
