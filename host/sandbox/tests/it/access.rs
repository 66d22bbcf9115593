//! Hooks that decide about access.

use std::time::Duration;

use jackfield_sandbox::{
    AccessAction, AccessAttempt, AccessDecision, AccessOptions, AccessPermission, AccessPolicy,
    Fault, FaultKind, Hook, HookRequest, Keep, KeepFor, Lanes,
};

use crate::stage::{load, policy, request, sandbox};

const HANDLER: &str = "guarding.rules";

async fn started() -> Lanes {
    let plugin = load(&sandbox(), "guarding", policy()).await;
    let handler = plugin.manifest().handler(HANDLER).unwrap();
    assert!(handler.hooks.iter().eq([Hook::Authorize]));
    assert!(plugin.manifest().access_handlers().any(|it| it.name == HANDLER));
    plugin.start(1, &[crate::stage::route(HANDLER)]).await.unwrap()
}

async fn authorize(lanes: &Lanes, topic: &str) -> Result<AccessDecision, Fault> {
    let roles = ["member".to_owned()];
    let request = HookRequest { topic, attributes: &[], ..request(HANDLER, &roles) };
    let options = AccessOptions { retain: true, shared: true, ..AccessOptions::default() };
    let (action, policy) = (AccessAction::Register, AccessPolicy::Wildcard);
    lanes.of(topic).authorize(&request, AccessAttempt { action, policy, options }).await
}

#[tokio::test]
async fn an_authorizer_sees_the_attempt_and_decides() {
    let lanes = started().await;
    let decision = authorize(&lanes, "a.x").await.unwrap();
    let refusal = decision.answer.unwrap_err();
    assert_eq!(refusal.uri, "wamp.error.not_authorized");
    assert_eq!(
        refusal.message,
        "1 version-00000001 Register Wildcard a.x of ann in realm5 as member by ticket with \
         [retain shared]"
    );
    assert_eq!(decision.keep, None);
    let disclosed = authorize(&lanes, "a.disclosed").await.unwrap();
    assert_eq!(disclosed.answer, Ok(AccessPermission { disclose: true }));
    let kept = authorize(&lanes, "a.ours").await.unwrap().keep;
    let hour = Duration::from_secs(3_600);
    assert_eq!(kept, Some(Keep { time: hour, audience: KeepFor::Principal }));
}

#[tokio::test]
async fn a_fault_of_an_authorizer_is_one_of_its_call() {
    let lanes = started().await;
    let deadline = policy().limits.deadline;
    let kinds = [("a.effect", FaultKind::Effects(0)), ("a.hang", FaultKind::Deadline(deadline))];
    for (topic, expected) in kinds {
        let fault = authorize(&lanes, topic).await.unwrap_err();
        assert_eq!(fault.kind, expected, "{fault}");
        // A fresh instance, whose store has the calls so far that have not failed.
        assert!(authorize(&lanes, "a.x").await.unwrap().answer.is_err());
    }
    let fault = authorize(&lanes, "a.trap").await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Trap(_)) && fault.stderr.is_some(), "{fault:?}");
    let fault = authorize(&lanes, "a.invalid").await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::BadAnswer(_)), "{fault:?}");
}
