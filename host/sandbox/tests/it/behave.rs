//! A plugin that behaves: what goes in arrives, and what comes out is handed on.

use std::sync::atomic::{AtomicBool, Ordering};

use jackfield_sandbox::{Effect, HookRequest, PublishVerdict, SubscribeVerdict};

use crate::stage::{delivered, hostile, now, passed, policy, publish, request, sandbox};

#[tokio::test]
async fn passes_the_request_to_a_hook_and_returns_its_answer() {
    let lanes = hostile(&sandbox(), policy(), &["echo"]).await;
    let lane = lanes.of("t/1");
    let roles = ["member".to_owned(), "op".to_owned()];
    let outcome = passed(lane.on_subscribe(&request("echo", &roles)).await);
    let SubscribeVerdict::Deny(refusal) = outcome.answer else { panic!("{outcome:?}") };
    assert_eq!(refusal.uri, "com.example.error.denied");
    assert_eq!(
        refusal.message,
        "echo echo t/1 [(\"x\", \"1\"), (\"y\", \"\")] 42 ann member [\"member\", \"op\"] ticket {} 9"
    );

    let outcome = publish(lane, "echo", "{\"k\":[1]}").await.unwrap();
    let PublishVerdict::Deliver(delivery) = outcome.answer else { panic!("{:?}", outcome.answer) };
    let text = "[\"configured 1, calls 1, subscribers [11, 12, 3] of 3\"]";
    assert_eq!(delivery.event.unwrap().args(), text);
    assert_eq!((delivery.exclude, delivery.eligible), (vec![1], Some(vec![2, 3])));
    let [Effect::Publish { topic, event, exclude, eligible }] = &outcome.effects[..] else {
        panic!("{:?}", outcome.effects)
    };
    assert_eq!(
        (topic.as_str(), event.args(), event.kwargs()),
        ("t/1", "[\"hello\"]", "{\"k\":[1]}")
    );
    assert_eq!((&exclude[..], eligible.as_deref()), (&[7][..], Some(&[8, 9][..])));
}

#[tokio::test]
async fn keeps_an_instance_between_calls() {
    let lanes = hostile(&sandbox(), policy(), &["echo", "trap"]).await;
    let lane = lanes.of("t/1");
    assert!(delivered(lane, "echo").await.contains("configured 2, calls 1,"));
    assert!(delivered(lane, "echo").await.contains("configured 2, calls 2,"));
}

#[tokio::test]
async fn dispatches_every_hook() {
    let lanes = hostile(&sandbox(), policy(), &["echo", "spin"]).await;
    let lane = lanes.of("t/1");
    let nobody = HookRequest { session: None, ..request("echo", &[]) };
    let topic = |effects: &[Effect]| match effects {
        [Effect::Publish { topic, event, .. }] => format!("{topic} {}", event.args()),
        other => panic!("{other:?}"),
    };
    let left = passed(lane.on_unsubscribe(&nobody).await);
    let text = r#"["echo echo t/1 [(\"x\", \"1\"), (\"y\", \"\")] nobody 9"]"#;
    assert_eq!(topic(&left.effects), format!("left {text}"));
    let ticked = lane.on_timer(&nobody).await.unwrap();
    assert_eq!(topic(&ticked.effects), format!("timer {text}"));
    let has_begun = AtomicBool::new(false);
    let result = lane.on_call(&nobody, "[1, 2]", "{\"a\":{}}", &has_begun).await.unwrap();
    let result = now(result.answer).unwrap();
    assert!(has_begun.load(Ordering::Relaxed));
    assert_eq!(result.into_parts(), ("[1, 2]".to_owned(), "{\"a\":{}}".to_owned()));
    let spin = request("spin", &[]);
    let refused = lane.on_call(&spin, "[]", "{}", &has_begun).await.unwrap().answer;
    assert_eq!(now(refused).unwrap_err().uri, "com.example.error.unwilling");
    let allowed = lane.on_subscribe(&request("spin", &[])).await.unwrap().answer;
    assert_eq!(allowed, SubscribeVerdict::Allow);
}
