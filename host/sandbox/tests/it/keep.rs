//! The store of plugins: entries survive instances, faults and reloads; writes of failed hooks are
//! undone.

use std::time::Duration;

use jackfield_sandbox::StateMode;
use jackfield_store::{Changes, Engine, SqliteEngine};

use crate::log::Lines;
use crate::stage::{delivered, hostile, kind, load, policy, publish, route, sandbox};

#[tokio::test]
async fn keeps_the_store_across_instances_and_reloads() {
    let sandbox = sandbox();
    let lanes = hostile(&sandbox, policy(), &["read", "writes", "trap"]).await;
    let lane = lanes.of("t/1");
    assert_eq!(delivered(lane, "read").await, "[\"key none, count none\"]");
    publish(lane, "writes", "{}").await.unwrap();
    publish(lane, "writes", "{}").await.unwrap();
    let written = "[\"key [\\\"hello\\\"], count 4\"]";
    assert_eq!(delivered(lane, "read").await, written);
    publish(lane, "trap", "{}").await.unwrap_err();
    assert_eq!(delivered(lane, "read").await, written);
    let again = hostile(&sandbox, policy(), &["read"]).await;
    assert_eq!(delivered(again.of("t/1"), "read").await, written);
    let elsewhere = hostile(&crate::stage::sandbox(), policy(), &["read"]).await;
    assert_eq!(delivered(elsewhere.of("t/1"), "read").await, "[\"key none, count none\"]");
}

#[tokio::test]
async fn undoes_the_writes_of_a_failed_hook() {
    let lanes = hostile(&sandbox(), policy(), &["read", "writes", "writes_then_traps"]).await;
    let lane = lanes.of("t/1");
    assert_eq!(kind(publish(lane, "writes_then_traps", "{}").await).label(), "trap");
    assert_eq!(delivered(lane, "read").await, "[\"key none, count none\"]");
    publish(lane, "writes", "{}").await.unwrap();
    let about = crate::stage::request("writes_then_traps", &[]);
    lane.on_publish(&about, "[\"other\"]", "{}").await.unwrap_err();
    assert_eq!(delivered(lane, "read").await, "[\"key [\\\"hello\\\"], count 2\"]");
}

#[tokio::test]
async fn undoes_the_writes_of_a_dropped_call() {
    let lanes = hostile(&sandbox(), policy(), &["read", "writes_then_spins"]).await;
    let lane = lanes.of("t/1");
    let patience = Duration::from_millis(50);
    tokio::time::timeout(patience, publish(lane, "writes_then_spins", "{}")).await.unwrap_err();
    assert_eq!(delivered(lane, "read").await, "[\"key none, count none\"]");
    assert_eq!(kind(publish(lane, "writes_then_spins", "{}").await).label(), "deadline");
    assert_eq!(delivered(lane, "read").await, "[\"key none, count none\"]");
}

/// Lanes share the store, and see one another's writes at once.
#[tokio::test]
async fn lanes_share_the_store_and_topics_keep_their_lane() {
    let plugin = load(&sandbox(), "hostile", policy()).await;
    let routes = ["echo", "read", "writes"].map(route);
    let lanes = plugin.start(4, &routes).await.unwrap();
    assert_eq!(lanes.count(), 4);
    publish(lanes.of("a"), "writes", "{}").await.unwrap();
    for number in 0..lanes.count() {
        let topic = (0..1_000).map(|it| format!("t/{it}")).find(|it| lanes.number_of(it) == number);
        let lane = lanes.of(&topic.unwrap());
        assert!(delivered(lane, "read").await.contains("count 2"));
    }
    for topic in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert!(std::ptr::eq(lanes.of(topic), lanes.of(topic)));
    }
    let used = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|t| std::ptr::from_ref(lanes.of(t)));
    assert!(used.iter().any(|lane| *lane != used[0]), "all topics take one lane");
}

/// The state of a plugin in a file, over two sandboxes.
#[tokio::test]
async fn keeps_the_store_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let saved = || {
        let engine = SqliteEngine::open(folder.path()).unwrap();
        crate::stage::sandbox().saved_by(Box::new(engine), |_| StateMode::Written).unwrap()
    };
    let first = saved();
    let lanes = hostile(&first, policy(), &["read", "writes", "writes_then_traps"]).await;
    let lane = lanes.of("t/1");
    publish(lane, "writes", "{}").await.unwrap();
    publish(lane, "writes_then_traps", "{}").await.unwrap_err();
    publish(lane, "writes", "{}").await.unwrap();
    let written = "[\"key [\\\"hello\\\"], count 4\"]";
    assert_eq!(delivered(lane, "read").await, written);
    drop((lanes, first));
    // The thread of the first ends by itself, and has the file until then.
    while SqliteEngine::open(folder.path()).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lanes = hostile(&saved(), policy(), &["read"]).await;
    assert_eq!(delivered(lanes.of("t/1"), "read").await, written);
}

#[tokio::test]
async fn warns_of_a_store_with_another_layout() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = SqliteEngine::open(folder.path()).unwrap();
    let changes = Changes { plugin: "hostile".into(), schema: 9, entries: Vec::new() };
    engine.commit(&[&changes]).unwrap();
    let (lines, _guard) = Lines::collect();
    let sandbox = sandbox().saved_by(Box::new(engine), |_| StateMode::Written).unwrap();
    drop(hostile(&sandbox, policy(), &["read"]).await);
    let lines = lines.take();
    let warning = "was last written with layout 9 (`schema`), and this version has 0";
    assert!(lines.iter().any(|line| line.contains(warning)), "{lines:?}");
}
