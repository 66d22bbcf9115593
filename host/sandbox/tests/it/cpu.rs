//! Slow calls take turns.

use std::time::Duration;

use jackfield_sandbox::Lanes;

use crate::stage::{delivered, hostile, kind, load, policy, publish, request, route, sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_a_slow_call_that_gets_no_turn() {
    let sandbox = sandbox();
    let mut patient = policy();
    patient.limits.deadline = Duration::from_secs(8);
    // Two plugins, as what they share is the machine.
    let first = hostile(&sandbox, patient.clone(), &["spin", "echo"]).await;
    let second = load(&sandbox, "hostile", patient).await;
    let second = second.start(1, &[route("spin"), route("echo")]).await.unwrap();
    let spin = async |lanes: Lanes| kind(publish(lanes.of("t/1"), "spin", "{}").await).label();
    let spins = [first, second.clone()].map(|lanes| tokio::spawn(spin(lanes)));
    let mut labels = Vec::new();
    for spin in spins {
        labels.push(spin.await.unwrap());
    }
    labels.sort_unstable();
    assert_eq!(labels, ["busy", "deadline"]);
    // A refusal for want of time opens no circuit.
    for _ in 0..6 {
        assert!(delivered(second.of("t/1"), "echo").await.contains("calls"));
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_calls_that_wait_too_long_for_their_lane() {
    let sandbox = sandbox();
    let mut patient = policy();
    patient.limits.deadline = Duration::from_secs(2);
    let spinning = hostile(&sandbox, patient, &["spin", "echo"]).await;
    let spins = (0..6).map(|_| {
        let lanes = spinning.clone();
        tokio::spawn(async move { kind(publish(lanes.of("t/1"), "spin", "{}").await).label() })
    });
    let spins: Vec<_> = spins.collect();
    let lanes = spinning.clone();
    let left = tokio::spawn(async move {
        // Behind the others.
        tokio::time::sleep(Duration::from_millis(100)).await;
        lanes.of("t/1").on_unsubscribe(&request("echo", &[])).await.map(|it| it.effects.len())
    });
    let mut labels = Vec::new();
    for spin in spins {
        labels.push(spin.await.unwrap());
    }
    labels.sort_unstable();
    // Three calls end within six seconds at best; those behind them have waited for more than five.
    let refused = labels.iter().filter(|label| **label == "busy").count();
    assert!(refused >= 3, "{labels:?}");
    assert!(labels.iter().all(|label| ["busy", "deadline"].contains(label)), "{labels:?}");
    // The session has left, so its handler is told however long that takes.
    assert_eq!(left.await.unwrap().unwrap(), 1);
    // A refusal opens no circuit, and leaves the instance to the next call.
    assert!(delivered(spinning.of("t/1"), "echo").await.contains("calls"));
}
