//! A plugin that behaves: what goes in arrives, and what comes out is handed on.

use jackfield_sandbox::{Effect, PublishVerdict, SubscribeVerdict};

use crate::bench::{delivered, hostile, policy, publish, request, sandbox};

#[tokio::test]
async fn a_hook_sees_the_request_and_its_answer_arrives() {
    let lanes = hostile(&sandbox(), policy(), &["echo"]).await;
    let lane = lanes.of("t/1");
    let roles = ["member".to_owned(), "op".to_owned()];
    let outcome = lane.on_subscribe(&request("echo", &roles)).await.unwrap();
    let SubscribeVerdict::Deny(refusal) = outcome.answer else { panic!("{outcome:?}") };
    assert_eq!(refusal.uri, "com.example.error.denied");
    assert_eq!(
        refusal.message,
        "echo r t/1 [(\"x\", \"1\"), (\"y\", \"\")] 42 ann member [\"member\", \"op\"] ticket {} 9"
    );

    let outcome = publish(lane, "echo", "{\"k\":[1]}").await.unwrap();
    let PublishVerdict::Deliver(delivery) = outcome.answer else { panic!("{:?}", outcome.answer) };
    let text = "[\"configured 1, calls 1, subscribers [11, 12, 3] of 3\"]";
    assert_eq!(delivery.event.unwrap().args(), text);
    assert_eq!((delivery.exclude, delivery.eligible), (vec![1], Some(vec![2, 3])));
    let [Effect::Publish { topic, event, exclude, eligible }] = &outcome.effects[..] else {
        panic!("{:?}", outcome.effects)
    };
    assert_eq!((topic.as_str(), event.args(), event.kwargs()), ("t/1", "[\"hello\"]", "{\"k\":[1]}"));
    assert_eq!((&exclude[..], eligible.as_deref()), (&[7][..], Some(&[8, 9][..])));
}

#[tokio::test]
async fn an_instance_lives_from_call_to_call() {
    let lanes = hostile(&sandbox(), policy(), &["echo", "trap"]).await;
    let lane = lanes.of("t/1");
    assert!(delivered(lane, "echo").await.contains("configured 2, calls 1,"));
    assert!(delivered(lane, "echo").await.contains("configured 2, calls 2,"));
}
