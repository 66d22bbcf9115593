//! Plugins that fail, each in its way: the call is a fault that says what happened, and the next
//! call meets a fresh instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_sandbox::{Effect, FaultKind, PluginPolicy};

use crate::stage::{delivered, hostile, kind, policy, publish, request, sandbox};

/// What `echo` says in an instance that was configured for two routes and not called before.
const FRESH: &str = "configured 2, calls 1,";

/// Publishes to the handler, which fails with that kind of fault and that text; then to `echo`.
async fn check(handler: &str, kwargs: &str, label: &str, text: &str, backtrace: bool) {
    check_under(policy(), handler, kwargs, label, text, backtrace).await;
}

async fn check_under(
    policy: PluginPolicy,
    handler: &str,
    kwargs: &str,
    label: &str,
    text: &str,
    backtrace: bool,
) {
    let lanes = hostile(&sandbox(), policy, &["echo", handler]).await;
    let lane = lanes.of("t/1");
    delivered(lane, "echo").await;
    let fault = publish(lane, handler, kwargs).await.unwrap_err();
    assert_eq!(fault.kind.label(), label, "{handler} gave {fault}");
    let said = fault.to_string();
    let place = format!("plugin hostile, on-publish of handler {handler} for topic t/1: ");
    assert!(said.starts_with(&place), "{said}");
    assert!(said.contains(text), "{handler} gave {said}");
    assert_eq!(fault.backtrace.is_some(), backtrace, "{handler} gave {:?}", fault.backtrace);
    let after = delivered(lane, "echo").await;
    assert!(after.contains(FRESH), "after {handler}: {after}");
}

#[tokio::test]
async fn a_trap_is_a_fault_with_a_backtrace_and_the_message_of_the_panic() {
    check("trap", "{}", "trap", "this is what I do", true).await;
}

#[tokio::test]
async fn a_backtrace_names_functions() {
    let lanes = hostile(&sandbox(), policy(), &["recurse"]).await;
    let fault = publish(lanes.of("t/1"), "recurse", "{}").await.unwrap_err();
    let backtrace = fault.backtrace.unwrap();
    assert!(
        backtrace.starts_with("guest_hostile::recurse < guest_hostile::recurse"),
        "{backtrace}"
    );
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let fault = publish(lanes.of("t/1"), "trap", "{}").await.unwrap_err();
    let backtrace = fault.backtrace.unwrap();
    assert!(!backtrace.contains('\n') && backtrace.contains("publish"), "{backtrace}");
    for runtime in ["std::", "core::panicking", "rust_begin_unwind"] {
        assert!(!backtrace.contains(runtime), "{backtrace}");
    }
}

#[tokio::test]
async fn a_stack_overflow_is_a_fault() {
    check("recurse", "{}", "trap", "call stack exhausted", true).await;
}

#[tokio::test]
async fn a_busy_loop_is_stopped_at_its_deadline() {
    check("spin", "{}", "deadline", "did not return within 300 ms", true).await;
}

#[tokio::test]
async fn a_plugin_that_sleeps_is_stopped_at_its_deadline() {
    check("sleep", "{}", "deadline", "did not return within 300 ms", false).await;
}

#[tokio::test]
async fn memory_is_limited() {
    let mut policy = policy();
    policy.limits.memory = 8 << 20;
    policy.limits.deadline = Duration::from_secs(10);
    check_under(policy, "allocate", "{}", "memory", "8388608 bytes of memory", true).await;
}

#[tokio::test]
async fn exit_is_a_fault() {
    // WASI 0.2 knows two codes.
    check("exit", "{}", "exit", "called exit with code 1", true).await;
}

#[tokio::test]
async fn output_is_limited() {
    check("shout", "{}", "output", "1048576 bytes of output", false).await;
}

#[tokio::test]
async fn effects_are_limited() {
    check("publish_storm", "{}", "effects", "1000 effects", true).await;
    let mut policy = policy();
    policy.limits.output = 5_000;
    check_under(policy, "publish_storm", "{}", "output", "5000 bytes of output", true).await;
}

#[tokio::test]
async fn answers_that_break_the_contract_are_faults() {
    let args = "gave a bad answer: args is not the text of a JSON array";
    check("nonsense", "not json", "bad_answer", args, false).await;
    check("nonsense", "{}", "bad_answer", args, false).await;
    check("nonsense", "[1", "bad_answer", args, false).await;
    let kwargs = "gave a bad answer: kwargs is not the text of a JSON object";
    check("nonsense", "[1]|[]", "bad_answer", kwargs, false).await;
    check("nonsense_publish", "not json", "bad_answer", args, true).await;
    check("zero", "{}", "bad_answer", "0 is not the id of a session", true).await;
}

#[tokio::test]
async fn a_fault_names_its_hook() {
    let lanes = hostile(&sandbox(), policy(), &["trap"]).await;
    let fault = lanes.of("t/1").on_subscribe(&request("trap", &[])).await.unwrap_err();
    assert!(fault.to_string().contains("on-subscribe of handler trap"), "{fault}");
    assert!(fault.to_string().contains("no subscribers here"), "{fault}");
}

#[tokio::test]
async fn a_handler_or_route_that_does_not_exist_is_a_fault() {
    let lanes = hostile(&sandbox(), policy(), &["echo"]).await;
    let found = publish(lanes.of("t/1"), "no_such", "{}").await;
    assert_eq!(kind(found), FaultKind::UnknownHandler);
    let found = publish(lanes.of("t/1"), "tell", "{}").await;
    assert_eq!(kind(found), FaultKind::UnknownRoute);
}

/// Effects happen only if the hook returns.
#[tokio::test]
async fn a_hook_that_fails_has_no_effects() {
    let lanes = hostile(&sandbox(), policy(), &["effects"]).await;
    let lane = lanes.of("t/1");
    let about = request("effects", &[]);
    let outcome = lane.on_publish(&about, "[\"a\"]", "{}").await.unwrap();
    let names: Vec<_> = outcome
        .effects
        .iter()
        .map(|effect| match effect {
            Effect::Publish { topic, .. } => format!("publish {topic}"),
            Effect::Send { session, topic, .. } => format!("send {session} {topic}"),
            Effect::Unsubscribe { session, topic } => format!("unsubscribe {session} {topic}"),
            Effect::Close { session, reason, message } => {
                format!("close {session} {reason} {message}")
            }
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "publish elsewhere",
        "send 3 t/1",
        "unsubscribe 4 t/1",
        "close 5 com.example.error.enough enough",
    ];
    assert_eq!(names, expected);
    // A fault carries none, and none of the failed call turn up in the next one.
    lane.on_publish(&about, "[\"trap\"]", "{}").await.unwrap_err();
    let outcome = lane.on_publish(&about, "[\"a\"]", "{}").await.unwrap();
    assert_eq!(outcome.effects.len(), 4);
}

/// On a runtime of one thread: nothing else could run if the loop did not yield.
#[tokio::test(flavor = "current_thread")]
async fn a_busy_loop_yields_to_other_work() {
    let sandbox = sandbox();
    let busy = hostile(&sandbox, policy(), &["spin"]).await;
    let other = hostile(&sandbox, policy(), &["echo"]).await;
    let began = Instant::now();
    let call = tokio::spawn(async move { publish(busy.of("t/1"), "spin", "{}").await.map(drop) });
    let mut calls = 0;
    while !call.is_finished() {
        delivered(other.of("t/1"), "echo").await;
        calls += 1;
        tokio::task::yield_now().await;
    }
    let took = began.elapsed();
    assert_eq!(kind(call.await.unwrap()).label(), "deadline");
    assert!(calls >= 5, "only {calls} calls of another plugin while one was busy");
    assert!(took >= Duration::from_millis(300), "stopped after {took:?} already");
}

#[tokio::test(flavor = "current_thread")]
async fn calls_of_a_lane_run_in_their_order() {
    let lanes = Arc::new(hostile(&sandbox(), policy(), &["echo", "spin"]).await);
    let first = tokio::spawn({
        let lanes = Arc::clone(&lanes);
        async move { publish(lanes.of("t/1"), "spin", "{}").await.map(drop) }
    });
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move { delivered(lanes.of("t/1"), "echo").await })
        })
        .collect();
    assert_eq!(kind(first.await.unwrap()).label(), "deadline");
    for (n, call) in (1..).zip(waiting) {
        let text = call.await.unwrap();
        assert!(text.contains(&format!("configured 2, calls {n},")), "call {n} saw {text}");
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_a_usable_lane() {
    for handler in ["spin", "sleep"] {
        let lanes = hostile(&sandbox(), policy(), &["echo", handler]).await;
        let lane = lanes.of("t/1");
        delivered(lane, "echo").await;
        let patience = Duration::from_millis(30);
        tokio::time::timeout(patience, publish(lane, handler, "{}")).await.unwrap_err();
        let after = delivered(lane, "echo").await;
        assert!(after.contains(FRESH), "{after}");
    }
}
