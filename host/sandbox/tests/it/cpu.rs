//! Slow calls take turns.

use std::time::Duration;

use crate::stage::{delivered, hostile, kind, load, policy, publish, route, sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_a_slow_call_that_gets_no_turn() {
    let sandbox = sandbox();
    let mut patient = policy();
    patient.limits.deadline = Duration::from_secs(20);
    let spinning = hostile(&sandbox, patient.clone(), &["spin"]).await;
    let spin = tokio::spawn(async move { kind(publish(spinning.of("t/1"), "spin", "{}").await) });
    // Another plugin's, as slow as this one's.
    let lanes = load(&sandbox, "hostile", patient).await;
    let lanes = lanes.start(1, &[route("spin"), route("echo")]).await.unwrap();
    let lane = lanes.of("t/1");
    assert_eq!(kind(publish(lane, "spin", "{}").await).label(), "busy");
    assert!(!spin.is_finished(), "the first one did not have a turn to itself");
    // A refusal for want of time opens no circuit.
    for _ in 0..6 {
        assert!(delivered(lane, "echo").await.contains("calls"));
    }
    spin.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_not_count_the_wait_for_a_turn_as_the_calls_own_time() {
    let sandbox = sandbox();
    let spinning = hostile(&sandbox, policy(), &["spin"]).await;
    let spins = (0..4).map(|_| {
        let lanes = spinning.clone();
        tokio::spawn(async move { kind(publish(lanes.of("t/1"), "spin", "{}").await) })
    });
    let spins: Vec<_> = spins.collect();
    for spin in spins {
        // Each of them has its whole deadline, one after another.
        assert_eq!(spin.await.unwrap().label(), "deadline");
    }
}
