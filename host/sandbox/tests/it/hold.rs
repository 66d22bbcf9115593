//! A handler that keeps failing is not called for a while; the others of its plugin are.

use std::time::Instant;

use jackfield_sandbox::FaultKind;

use crate::stage::{delivered, hostile, kind, policy, publish, sandbox};

#[tokio::test]
async fn repeated_faults_put_a_handler_on_hold() {
    let lanes = hostile(&sandbox(), policy(), &["echo", "trap"]).await;
    let lane = lanes.of("t/1");
    for _ in 0..5 {
        assert_eq!(kind(publish(lane, "trap", "{}").await).label(), "trap");
    }
    let began = Instant::now();
    let FaultKind::OnHold { until } = kind(publish(lane, "trap", "{}").await) else {
        panic!("the handler is called again")
    };
    assert!(until > began);
    // A refusal is not a fault: the instance stays, and so does everything else.
    assert!(delivered(lane, "echo").await.contains("calls 1,"));
    assert_eq!(kind(publish(lane, "trap", "{}").await), FaultKind::OnHold { until });
    assert!(delivered(lane, "echo").await.contains("calls 2,"));
    // After the pause the handler is called again, and its next fault means a longer one.
    tokio::time::sleep_until(until.into()).await;
    assert_eq!(kind(publish(lane, "trap", "{}").await).label(), "trap");
    let FaultKind::OnHold { until: again } = kind(publish(lane, "trap", "{}").await) else {
        panic!("the handler is called again")
    };
    assert!(again - until > until - began);
}

#[tokio::test]
async fn calls_that_wait_while_a_handler_fails_are_refused_when_it_is_on_hold() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let lanes = lanes.clone();
            tokio::spawn(async move { kind(publish(lanes.of("t/1"), "trap", "{}").await).label() })
        })
        .collect();
    let mut labels = Vec::new();
    for call in calls {
        labels.push(call.await.unwrap());
    }
    assert_eq!(labels.iter().filter(|l| **l == "trap").count(), 5, "{labels:?}");
    assert_eq!(labels.iter().filter(|l| **l == "on_hold").count(), 15, "{labels:?}");
}
