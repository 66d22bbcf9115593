//! Instances that have grown: they are replaced between two calls, where the plugin or its policy
//! allows it, and no call is lost.

use std::sync::Arc;

use jackfield_sandbox::{PluginPolicy, PublishVerdict, Sandbox, SandboxSettings};

use crate::log::Lines;
use crate::stage::{delivered, hostile, load, policy, publish, route, sandbox};

/// Room for some ten events of the guests, each of which takes 256 KiB.
fn small() -> PluginPolicy {
    let mut policy = policy();
    policy.limits.memory = 4 << 20;
    policy
}

/// The numbers of a delivered event.
fn numbers(args: &str) -> Vec<u32> {
    let inside = args.trim_matches(['[', ']', '"']);
    inside.split(',').map(|number| number.trim().parse().unwrap()).collect()
}

#[tokio::test]
async fn recycles_a_stateless_plugin_without_losing_a_call() {
    let (log, _guard) = Lines::collect();
    let plugin = load(&sandbox(), "growing", small()).await;
    assert!(plugin.manifest().is_stateless);
    assert_eq!(plugin.manifest().schema, 3);
    let lanes = plugin.start(1, &[route("growing")]).await.unwrap();
    let mut fresh = 0;
    for call in 1..=60 {
        let counts = numbers(&delivered(lanes.of("t/1"), "growing").await);
        assert_eq!(counts[0], call, "the store has counted every call");
        fresh += u64::from(counts[1] == 1);
    }
    // The first instance was not recycled.
    assert_eq!(plugin.recycled(), fresh - 1);
    assert!(plugin.recycled() >= 3, "{} of 60 calls", plugin.recycled());
    let log = log.take();
    let told = log.iter().filter(|line| line.contains("recycled an instance that used"));
    assert_eq!(told.count() as u64, plugin.recycled(), "{log:?}");
    let last = format!("of 4 MiB (plugins.*.memory); {} since", plugin.recycled());
    assert!(log.iter().any(|line| line.contains(&last)), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_lane_meet_the_fresh_instance() {
    let plugin = load(&sandbox(), "growing", small()).await;
    let lanes = Arc::new(plugin.start(1, &[route("growing")]).await.unwrap());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move {
                let mut counts = Vec::new();
                for _ in 0..25 {
                    counts.push(numbers(&delivered(lanes.of("t/1"), "growing").await)[0]);
                }
                counts
            })
        })
        .collect();
    let mut counts = Vec::new();
    for client in clients {
        counts.extend(client.await.unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<_>>());
    assert!(plugin.recycled() >= 10, "{} of 200 calls", plugin.recycled());
}

#[tokio::test]
async fn recycles_a_plugin_with_state_if_its_policy_says_so() {
    let policy = PluginPolicy { recycle: true, ..small() };
    let plugin = load(&sandbox(), "hostile", policy).await;
    assert!(!plugin.manifest().is_stateless);
    let lanes = plugin.start(1, &[route("grow")]).await.unwrap();
    for _ in 0..60 {
        publish(lanes.of("t/1"), "grow", "{}").await.unwrap();
    }
    assert!(plugin.recycled() >= 3, "{} of 60 calls", plugin.recycled());
}

#[tokio::test]
async fn keeps_the_memory_of_other_plugins_until_their_limit() {
    let lanes = hostile(&sandbox(), small(), &["grow"]).await;
    let mut calls = 0;
    let fault = loop {
        match publish(lanes.of("t/1"), "grow", "{}").await {
            Ok(_) => calls += 1,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind.label(), "memory", "after {calls} calls");
}

/// All instances together have no room for another one, so that the grown one goes on.
#[tokio::test]
async fn keeps_the_instance_if_no_fresh_one_can_be_made() {
    let (log, _guard) = Lines::collect();
    let settings = SandboxSettings { instance_memory: Some(4 << 20), ..Default::default() };
    let sandbox = Sandbox::new(settings).unwrap();
    let plugin = load(&sandbox, "growing", small()).await;
    let lanes = plugin.start(1, &[route("growing")]).await.unwrap();
    let mut calls = 0;
    while let Ok(outcome) = publish(lanes.of("t/1"), "growing", "{}").await {
        let PublishVerdict::Deliver(delivery) = outcome.answer else { panic!() };
        calls += 1;
        assert_eq!(numbers(delivery.event.unwrap().args()), [calls, calls]);
    }
    assert_eq!(plugin.recycled(), 0);
    let log = log.take();
    let told = log.iter().filter(|line| line.contains("cannot recycle an instance that uses"));
    assert!((1..8).contains(&told.count()), "{log:?}");
}
