//! A stand-in for the broker, and a shorthand for calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jackfield_sandbox::{
    Audience, CallAnswer, CallResult, Caller, Fault, FaultKind, HookOutcome, HookRequest, Lane,
    Lanes, Passage, Plugin, PluginPolicy, PublishVerdict, RealmId, RouteConfig, Sandbox,
    SandboxError, SandboxSettings,
};

use crate::guests::guest;

/// All sessions of the realm 5 are subscribed to every topic.
struct Crowd;

impl Audience for Crowd {
    fn realm_name(&self, realm: RealmId) -> String {
        format!("realm{}", realm.0)
    }

    fn subscribers(&self, realm: RealmId, topic: &str) -> Vec<u64> {
        assert_eq!(realm, RealmId(5));
        vec![11, 12, topic.len() as u64]
    }

    fn count(&self, realm: RealmId, _topic: &str) -> u32 {
        assert_eq!(realm, RealmId(5));
        3
    }
}

pub(crate) fn audience() -> Arc<dyn Audience> {
    Arc::new(Crowd)
}

/// A sandbox of its own, with a store of its own, that shares a compile cache with all others.
pub(crate) fn sandbox() -> Sandbox {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| tempfile::tempdir().unwrap());
    Sandbox::new(SandboxSettings { cache: Some(cache.path().to_owned()), ..Default::default() })
        .unwrap()
}

/// The policy of most tests: a deadline that a loaded machine keeps, and that is soon over.
pub(crate) fn policy() -> PluginPolicy {
    let mut policy = PluginPolicy::default();
    policy.limits.deadline = Duration::from_millis(300);
    policy
}

pub(crate) async fn load(sandbox: &Sandbox, name: &str, policy: PluginPolicy) -> Plugin {
    sandbox.load(&format!("{name}.wasm"), &guest(name), policy, audience()).await.unwrap()
}

/// The guest `hostile`, each of `handlers` with one route, in one lane.
pub(crate) async fn hostile(sandbox: &Sandbox, policy: PluginPolicy, handlers: &[&str]) -> Lanes {
    let routes: Vec<_> = handlers.iter().map(|handler| route(handler)).collect();
    load(sandbox, "hostile", policy).await.start(1, &routes).await.unwrap()
}

pub(crate) fn route(handler: &str) -> RouteConfig {
    RouteConfig {
        handler: handler.to_owned(),
        name: handler.to_owned(),
        channel: "t/{x}".to_owned(),
        args: "{\"a\":1}".to_owned(),
    }
}

pub(crate) fn request<'a>(handler: &'a str, roles: &'a [String]) -> HookRequest<'a> {
    HookRequest {
        realm: RealmId(5),
        handler,
        route: handler,
        topic: "t/1",
        attributes: &[("x", "1"), ("y", "")],
        session: Some(Caller {
            id: 42,
            authid: "ann",
            authrole: "member",
            roles,
            authmethod: "ticket",
            claims: "{}",
            client: 1,
            anonymous_from: None,
        }),
        login: None,
        subscribers: 9,
        depth: 0,
    }
}

/// The outcome of a hook whose effects are performed: the next one may begin.
pub(crate) fn passed<T>(outcome: Result<HookOutcome<'_, T>, Fault>) -> HookOutcome<'static, T> {
    let HookOutcome { answer, effects, .. } = outcome.unwrap();
    HookOutcome { answer, effects, passage: Passage::default() }
}

/// Publishes `["hello"]` with these kwargs.
pub(crate) async fn publish<'a>(
    lane: &'a Lane,
    handler: &str,
    kwargs: &str,
) -> Result<HookOutcome<'a, PublishVerdict>, Fault> {
    lane.on_publish(&request(handler, &[]), "[\"hello\"]", kwargs).await
}

/// What the handler delivers, as text.
pub(crate) async fn delivered(lane: &Lane, handler: &str) -> String {
    match publish(lane, handler, "{}").await.unwrap().answer {
        PublishVerdict::Deliver(delivery) => delivery.event.unwrap().args().to_owned(),
        other => panic!("{handler} answered {other:?}"),
    }
}

pub(crate) fn kind<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> FaultKind {
    outcome.unwrap_err().kind
}

pub(crate) fn text<T: std::fmt::Debug>(outcome: Result<T, SandboxError>) -> String {
    outcome.unwrap_err().to_string()
}

/// The result of a call that is not deferred.
pub(crate) fn now(answer: CallAnswer) -> CallResult {
    match answer {
        CallAnswer::Now(result) => result,
        CallAnswer::Later(later) => panic!("{later:?}"),
    }
}
