//! Versions of the contract: a plugin that was built for the frozen version 0.1 serves beside those
//! of the newest one, with the same limits and the same rules.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use jackfield_sandbox::{Effect, HookRequest, Lanes, PublishVerdict, Sandbox, SubscribeVerdict};
use sha2::{Digest, Sha256};

use crate::guests::{guest, renamed};
use crate::stage::{
    audience, delivered, kind, load, now, passed, policy, publish, request, route, sandbox, text,
};

/// Plugins in the field were built with this file.
const FROZEN: &str = "628a6a3a69a2f11686c5f31049d23aa94ec9d09d3fe2ca380339e2c5b26958e6";

async fn frozen(sandbox: &Sandbox) -> Lanes {
    let handlers = ["frozen", "frozen.trap", "frozen.spin", "frozen.nonsense"];
    load(sandbox, "frozen", policy()).await.start(1, &handlers.map(route)).await.unwrap()
}

#[test]
fn keeps_the_files_of_version_0_1() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/wit/0.1");
    let names: Vec<_> = folder.read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["plugin.wit"]);
    let digest = Sha256::digest(std::fs::read(folder.join("plugin.wit")).unwrap());
    let digest = digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    assert_eq!(digest, FROZEN, "a version that is released never changes");
}

#[tokio::test]
async fn passes_everything_to_a_plugin_of_version_0_1() {
    let lanes = frozen(&sandbox()).await;
    let lane = lanes.of("t/1");
    let roles = ["member".to_owned(), "op".to_owned()];
    let seen = "frozen frozen t/1 [(\"x\", \"1\"), (\"y\", \"\")] 42 ann member [\"member\", \"op\"] \
                ticket {} 9";
    let whole = request("frozen", &roles);
    let allowed = lane.on_subscribe(&whole).await.unwrap().answer;
    assert_eq!(allowed, SubscribeVerdict::Allow);
    let closed = HookRequest { attributes: &[("x", "closed")], ..whole };
    let denied = lane.on_subscribe(&closed).await.unwrap().answer;
    let SubscribeVerdict::Deny(refusal) = denied else { panic!("{denied:?}") };
    assert_eq!(
        refusal.message,
        seen.replace("(\"x\", \"1\"), (\"y\", \"\")", "(\"x\", \"closed\")")
    );

    let outcome = publish(lane, "frozen", "{\"k\":[1]}").await.unwrap();
    let PublishVerdict::Deliver(delivery) = outcome.answer else { panic!("{:?}", outcome.answer) };
    assert_eq!(delivery.event.unwrap().args(), "[1,3,[\"hello\"],{\"k\":[1]}]");
    let [Effect::Send { session: 42, topic, event }] = &outcome.effects[..] else {
        panic!("{:?}", outcome.effects)
    };
    assert_eq!((topic.as_str(), event.args()), ("t/1", "[\"thanks\"]"));

    let has_begun = AtomicBool::new(false);
    let result = lane.on_call(&whole, "[1, 2]", "{}", &has_begun).await.unwrap().answer;
    let expected = ("[1, 2]".to_owned(), "{\"by\":\"frozen\"}".to_owned());
    assert_eq!(now(result).unwrap().into_parts(), expected);
    let refused = lane.on_call(&whole, "[]", "{}", &has_begun).await.unwrap().answer;
    assert_eq!(now(refused).unwrap_err().message, seen);

    let host = HookRequest { session: None, ..whole };
    let told = |effects: &[Effect]| match effects {
        [Effect::Publish { topic, event, .. }] => format!("{topic} {}", event.args()),
        other => panic!("{other:?}"),
    };
    let left = passed(lane.on_unsubscribe(&host).await);
    assert_eq!(told(&left.effects), "left [\"t/1\"]");
    let ticked = lane.on_timer(&host).await.unwrap();
    let expected = r#"t/1 ["frozen frozen t/1 [(\"x\", \"1\"), (\"y\", \"\")] nobody 9"]"#;
    assert_eq!(told(&ticked.effects), expected);
}

#[tokio::test]
async fn reads_the_manifest_of_version_0_1() {
    let plugin = load(&sandbox(), "frozen", policy()).await;
    assert_eq!(plugin.contract(), "0.1");
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("frozen", "0.1.0"));
    assert_eq!((manifest.is_stateless, manifest.schema), (false, 0));
    let handler = manifest.handler("frozen").unwrap();
    assert_eq!(handler.hooks.iter().count(), 5);
    assert_eq!(handler.timer.unwrap().as_secs(), 60);
    assert_eq!(handler.summary, "speaks version 0.1 of the contract");
    let mut refused = route("frozen");
    refused.args = "\"refuse\"".to_owned();
    let found = text(plugin.start(1, &[refused]).await);
    assert!(found.ends_with("route frozen: no room for t/{x} at \"refuse\""), "{found}");
}

#[tokio::test]
async fn limits_a_plugin_of_version_0_1() {
    let lanes = frozen(&sandbox()).await;
    let lane = lanes.of("t/1");
    for (handler, label) in
        [("frozen.trap", "trap"), ("frozen.spin", "deadline"), ("frozen.nonsense", "bad_answer")]
    {
        let fault = publish(lane, handler, "{}").await;
        assert_eq!(kind(fault).label(), label, "{handler}");
    }
    // What the failed calls have written is undone.
    assert!(delivered(lane, "frozen").await.starts_with("[1,"));
}

#[tokio::test]
async fn serves_both_versions_from_one_sandbox() {
    let sandbox = sandbox();
    let old = frozen(&sandbox).await;
    let new = load(&sandbox, "versioned", policy()).await;
    let new = new.start(1, &[route("versioned")]).await.unwrap();
    for call in 1..=3 {
        let expected = format!("[{call},3,[\"hello\"],{{}}]");
        assert_eq!(delivered(old.of("t/1"), "frozen").await, expected);
        assert_eq!(delivered(new.of("t/1"), "versioned").await, "[\"hello\",\"@@VERSION-000001\"]");
    }
}

/// The components are broken besides, so that compiling them would report another error.
#[tokio::test]
async fn rejects_other_versions_before_it_compiles() {
    let check = async |from: &str, to: &str, parts: &[&str]| {
        let mut bytes = renamed(&guest("hostile"), from, to);
        let code = bytes.len() / 3;
        bytes[code..code + 100].fill(0x55);
        let found = text(sandbox().load("site/later.wasm", &bytes, policy(), audience()).await);
        assert!(found.starts_with("load site/later.wasm: it was built for version "), "{found}");
        for part in parts {
            assert!(found.contains(part), "{found} does not say {part}");
        }
    };
    let loaded = "of the plugin contract, and this server loads 0.1 and 0.2\n  = help: ";
    let update = "help: update the server, or build the plugin with the SDK of 0.2";
    check("@0.2.0", "@0.3.0", &["version 0.3.0", loaded, update]).await;
    check("@0.2.0", "@1.0.0", &["version 1.0.0", loaded, update]).await;
    let build = "help: build the plugin again, with the SDK of version 0.2";
    check("@0.2.0", "@0.0.7", &["version 0.0.7", loaded, build]).await;
}

#[tokio::test]
async fn loads_components_of_compatible_versions() {
    for (name, from, to) in [("frozen", "@0.1.0", "@0.1.9"), ("versioned", "@0.2.0", "@0.2.9")] {
        let later = renamed(&guest(name), from, to);
        let plugin = sandbox().load("later.wasm", &later, policy(), audience()).await.unwrap();
        let lanes = plugin.start(1, &[route(name)]).await.unwrap();
        delivered(lanes.of("t/1"), name).await;
    }
}
