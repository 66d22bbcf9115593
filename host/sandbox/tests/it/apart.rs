//! Versions that do not serve: replays of recorded calls in them, and what they share with the version
//! in service.

use std::sync::Arc;

use jackfield_sandbox::{
    Effect, Grant, HookRequest, Lanes, PluginPolicy, RouteConfig, Sandbox, SandboxSettings,
};

use crate::fetch::Kept;
use crate::guests::guest;
use crate::stage::{audience, hostile, load, policy, publish, request, route, sandbox};

const CALL: &str = r#"[{"procedure":"out/b","args":[],"tag":1}]"#;

fn allowed() -> PluginPolicy {
    let mut policy = PluginPolicy { grant: Grant::ALL, ..policy() };
    policy.outgoing.calls.allow = vec!["out/*".parse().unwrap()];
    policy
}

fn routes() -> [RouteConfig; 1] {
    [route("outgoing")]
}

async fn apart(sandbox: &Sandbox, policy: PluginPolicy) -> Lanes {
    let bytes = guest("outgoing").into();
    let plugin = sandbox.load_apart("new.wasm", bytes, policy, audience()).await.unwrap();
    plugin.start(1, &routes()).await.unwrap()
}

/// Effects of a publication, by a hook that so many calls have led to.
async fn effects(lanes: &Lanes, depth: u8) -> Vec<Effect> {
    let request = HookRequest { depth, ..request("outgoing", &[]) };
    lanes.of("t/1").on_publish(&request, CALL, "{}").await.unwrap().effects
}

fn calls(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Call(_))).count()
}

#[tokio::test]
async fn effects_name_the_plugin_and_take_no_place_of_the_one_in_service() {
    let sandbox = Sandbox::new(SandboxSettings { in_flight: Some(1), ..Default::default() });
    let sandbox = sandbox.unwrap();
    let kept = Arc::new(Kept::default());
    let observation = sandbox.observers().observe(Arc::clone(&kept) as Arc<_>);
    let serving = load(&sandbox, "outgoing", allowed()).await.start(1, &routes()).await.unwrap();
    assert_eq!(calls(&effects(&serving, 0).await), 1);
    let record = kept.take();
    drop(observation);
    assert_eq!(sandbox.in_flight(), (0, 1));

    let shadow = apart(&sandbox, allowed()).await;
    let replayed = shadow.replay(&record, b"").await;
    // With the hook that gets the answer: the plugin has one name.
    assert_eq!(replayed.outcome, record.outcome);
    let waiting = effects(&shadow, 0).await;
    let Some(Effect::Call(call)) = waiting.first() else { panic!("{waiting:?}") };
    assert_eq!(call.reply_to.plugin, "outgoing");
    assert_eq!(sandbox.in_flight(), (0, 1), "its call waits beside");
    assert_eq!(calls(&effects(&serving, 0).await), 1);
}

#[tokio::test]
async fn a_replay_has_the_refusals_of_the_recording() {
    let sandbox = sandbox();
    let kept = Arc::new(Kept::default());
    let _observation = sandbox.observers().observe(Arc::clone(&kept) as Arc<_>);
    // The server does not allow the call, and the replay would.
    let denied = PluginPolicy { grant: Grant::ALL, ..policy() };
    let serving = load(&sandbox, "outgoing", denied).await.start(1, &routes()).await.unwrap();
    assert_eq!(calls(&effects(&serving, 0).await), 0);
    let record = kept.take();
    let replayed = apart(&sandbox, allowed()).await.replay(&record, b"").await;
    assert_eq!(replayed.outcome, record.outcome);

    // Of hooks that too many calls have led to.
    let serving = load(&sandbox, "outgoing", allowed()).await.start(1, &routes()).await.unwrap();
    assert_eq!(calls(&effects(&serving, 7).await), 1);
    assert_eq!(calls(&effects(&serving, 8).await), 0);
    let record = kept.take();
    let replayed = apart(&sandbox, allowed()).await.replay(&record, b"").await;
    assert_eq!(replayed.outcome, record.outcome);

    // Of a full store.
    let mut small = policy();
    small.limits.store = 600;
    let lanes = hostile(&sandbox, small, &["writes", "counts"]).await;
    let text = format!("[\"{}\"]", "x".repeat(400));
    let written = request("writes", &[]);
    lanes.of("t/1").on_publish(&written, &text, "{}").await.unwrap();
    let counts = publish(lanes.of("t/1"), "counts", "{}").await.unwrap().answer;
    assert!(format!("{counts:?}").contains("-1"), "{counts:?}");
    let record = kept.take();
    let replayed = lanes.replay(&record, b"").await;
    assert_eq!(replayed.outcome, record.outcome);
}
