//! The presence of the SDK in a real component, and the order of effects that it needs.

use std::pin::pin;
use std::time::Duration;

use jackfield_sandbox::{Caller, Effect, HookRequest, SubscribeVerdict};

use crate::stage::{hostile, load, policy, publish, request, route, sandbox};

/// The members of one topic.
const MEMBERS: u32 = 10_000;
/// Of so many members, one receives the list of all, which costs as much as a hundred joins.
const LISTED: u32 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_of_the_lane_waits_for_the_passage_of_a_subscription() {
    let lanes = hostile(&sandbox(), policy(), &["echo"]).await;
    let lane = lanes.of("t/1");
    let outcome = lane.on_subscribe(&request("echo", &["member".to_owned()])).await.unwrap();
    let mut next = pin!(publish(lane, "echo", "{}"));
    assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err());
    drop(outcome.passage);
    next.await.unwrap();

    let outcome = lane.on_unsubscribe(&request("echo", &[])).await.unwrap();
    let mut next = pin!(publish(lane, "echo", "{}"));
    assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err());
    drop(outcome.passage);
    next.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_members_of_a_topic_are_within_the_limits() {
    let mut patient = policy();
    patient.limits.deadline = Duration::from_secs(5);
    let plugin = load(&sandbox(), "methods", patient).await;
    let lanes = plugin.start(1, &[route("presence")]).await.unwrap();
    let lane = lanes.of("t/1");
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("user-{number:05}")).collect();
    let of = |number: u32, subscribers| {
        let mut request = request("presence", &[]);
        let authid = names[number as usize].as_str();
        let authrole = if (number + 1).is_multiple_of(LISTED) { "member" } else { "quiet" };
        let id = u64::from(number) + 1;
        request.session = Some(Caller { id, authid, authrole, ..caller(&request) });
        HookRequest { subscribers, ..request }
    };
    let mut effects = Vec::new();
    for number in 0..MEMBERS {
        let outcome = lane.on_subscribe(&of(number, number)).await.unwrap();
        assert_eq!(outcome.answer, SubscribeVerdict::Allow);
        effects = outcome.effects;
        let is_listed = (number + 1).is_multiple_of(LISTED);
        assert_eq!(effects.len(), 1 + usize::from(is_listed), "{number}");
    }
    let [Effect::Publish { event: joined, .. }, Effect::Send { event: list, .. }] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(joined.args().contains("\"user\":\"user-09999\""), "{}", joined.args());
    assert!(list.args().contains("\"count\":10000"));
    assert_eq!(list.args().matches("\"info\"").count(), 1_000);
    for number in 0..MEMBERS {
        let outcome = lane.on_unsubscribe(&of(number, MEMBERS - number - 1)).await.unwrap();
        assert_eq!(outcome.effects.len(), 1, "{number}");
    }
}

fn caller<'a>(request: &HookRequest<'a>) -> Caller<'a> {
    request.session.unwrap()
}
