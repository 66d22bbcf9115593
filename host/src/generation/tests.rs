//! Tests of generations from real sites with real components: reuse of plugins, errors, and their
//! messages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use jackfield_config::Plugins;
use jackfield_sandbox::{Audience, RealmId, Sandbox, SandboxSettings};

use crate::site::Site;

use super::*;

struct Nobody;

impl Audience for Nobody {
    fn realm_name(&self, _: RealmId) -> String {
        String::new()
    }

    fn subscribers(&self, _: RealmId, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn count(&self, _: RealmId, _: &str) -> u32 {
        0
    }
}

mod held;

/// A site in a temporary directory, and the context for its generations.
struct Fixture {
    root: tempfile::TempDir,
    context: Arc<BuildContext>,
}

/// Settings of plugins that take effect when this is dropped.
struct Edit<'a> {
    plugins: Plugins,
    context: &'a BuildContext,
}

impl std::ops::Deref for Edit<'_> {
    type Target = Plugins;

    fn deref(&self) -> &Plugins {
        &self.plugins
    }
}

impl std::ops::DerefMut for Edit<'_> {
    fn deref_mut(&mut self) -> &mut Plugins {
        &mut self.plugins
    }
}

impl Drop for Edit<'_> {
    fn drop(&mut self) {
        self.context.plugins.store(Arc::new(self.plugins.clone()));
    }
}

impl Fixture {
    fn new() -> Self {
        let sandbox = Sandbox::new(SandboxSettings::default()).unwrap();
        let audience = Arc::new(Nobody);
        let context = BuildContext {
            sandbox,
            access: arc_swap::ArcSwap::default(),
            plugins: arc_swap::ArcSwap::default(),
            audience,
            highest: None,
            durable: DurableHistories::Possible,
        };
        let context = Arc::new(context);
        Self { root: tempfile::tempdir().unwrap(), context }
    }

    fn plugins(&self) -> Edit<'_> {
        Edit { plugins: Plugins::clone(&self.context.plugins.load()), context: &self.context }
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn prepare(&self, previous: Option<&Generation>) -> Result<Generation, String> {
        let snapshot = Site::new(self.root.path()).read().unwrap();
        let problems = match prepare(&snapshot, previous, &self.context).await {
            Ok(generation) => return Ok(generation),
            Err(problems) => problems,
        };
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Err(texts.join("\n").replace(&format!("{}/", self.root.path().display()), ""))
    }

    /// Checks that preparing fails with these texts, in this order.
    async fn refused(&self, expect: &[&str]) {
        let said = self.prepare(None).await.unwrap_err();
        let mut rest = said.as_str();
        for text in expect {
            let place =
                rest.find(text).unwrap_or_else(|| panic!("no {text:?} in order in:\n{said}"));
            rest = rest.split_at(place + text.len()).1;
        }
        assert_eq!(said.matches(": error: ").count(), expect.len(), "{said}");
    }
}

/// Returns the bytes of a guest of `tests/guests`, which cargo builds once.
fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().nth(3).unwrap().join("guests");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--target", "wasm32-wasip2", "--manifest-path"])
            .arg(root.join("tests/guests/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            // The guests must not be built with the host's flags.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .unwrap();
        assert!(status.success(), "the guests do not build; is wasm32-wasip2 installed?");
        target.join("wasm32-wasip2/release")
    });
    fs::read(directory.join(format!("guest_{name}.wasm"))).unwrap()
}

fn version(number: u32) -> Vec<u8> {
    let mut bytes = guest("versioned");
    let marker = b"@@VERSION-000001";
    let place = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
    let text = format!("@@VERSION-{number:06}");
    bytes[place..place + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn route(name: &str, channel: &str, rest: &str) -> String {
    format!("{name}:\n    channel: '{channel}'\n    handler: versioned\n{rest}")
}

#[tokio::test]
async fn a_topic_finds_its_handler() {
    let fixture = Fixture::new();
    fixture.put("a/websocket_routing.yml", route("acme", "acme/{room}", ""));
    fixture.put("a/p.wasm", version(7));
    let generation = fixture.prepare(None).await.unwrap();
    assert_eq!(generation.number(), 1);
    let routed = generation.find("acme/x").unwrap();
    assert_eq!((routed.route.name.as_str(), routed.handler.name()), ("acme", "versioned"));
    assert_eq!(routed.attributes(), [("room", "x")]);
    assert_eq!(routed.handler.manifest().version, "@@VERSION-000007");
    let plugin = routed.handler.manifest();
    assert_eq!(generation.plugins()[0].manifest().name, plugin.name);
    assert!(generation.plugins()[0].file().ends_with("a/p.wasm"));
    assert!(generation.find("other").is_none());
}

#[tokio::test]
async fn keeps_instances_of_an_unchanged_plugin() {
    let fixture = Fixture::new();
    fixture.put("a/websocket_routing.yml", route("acme", "acme/{room}", ""));
    fixture.put("a/p.wasm", version(1));
    let first = fixture.prepare(None).await.unwrap();
    let same = |a: &Generation, b: &Generation| a.plugins()[0].is_same_instance(&b.plugins()[0]);

    fixture.put("b/notes.yml", "x: 1");
    let second = fixture.prepare(Some(&first)).await.unwrap();
    assert!(same(&first, &second), "nothing of it changed");
    assert_eq!(second.number(), 2);

    fs::rename(fixture.root.path().join("a/p.wasm"), fixture.root.path().join("q.wasm")).unwrap();
    let moved = fixture.prepare(Some(&second)).await.unwrap();
    assert!(same(&second, &moved), "only its file has another name");
    assert!(moved.plugins()[0].file().ends_with("q.wasm"));

    fixture.put(
        "a/websocket_routing.yml",
        route("acme", "acme/{room}", "    allow: { subscribe: [x] }\n"),
    );
    let allowed = fixture.prepare(Some(&moved)).await.unwrap();
    assert!(same(&moved, &allowed), "who may subscribe is not the plugin's business");

    fixture.put("a/websocket_routing.yml", route("acme", "acme/{other}", ""));
    let rerouted = fixture.prepare(Some(&allowed)).await.unwrap();
    assert!(!same(&allowed, &rerouted), "it has to be configured anew");

    fixture.put("q.wasm", version(2));
    let replaced = fixture.prepare(Some(&rerouted)).await.unwrap();
    assert!(!same(&rerouted, &replaced));
    assert_eq!(replaced.plugins()[0].manifest().version, "@@VERSION-000002");
    assert_eq!(rerouted.plugins()[0].manifest().version, "@@VERSION-000001");
}

#[tokio::test]
async fn takes_the_largest_lane_count_of_all_routes() {
    let fixture = Fixture::new();
    let routes = [route("a", "a/{x}", "    lanes: 2\n"), route("b", "b", "    lanes: 3\n")];
    fixture.put("websocket_routing.yml", routes.concat());
    fixture.put("p.wasm", version(1));
    let generation = fixture.prepare(None).await.unwrap();
    assert_eq!(generation.plugins()[0].lanes(), 3);
    let handler = generation.find("a/1").unwrap().handler;
    assert!(std::ptr::eq(handler.lane("a/1"), handler.lane("a/1")));
    let met: std::collections::HashSet<_> =
        (0..100).map(|n| std::ptr::from_ref(handler.lane(&format!("a/{n}")))).collect();
    assert_eq!(met.len(), 3);
}

#[tokio::test]
async fn a_plugin_without_routes_is_not_started() {
    let fixture = Fixture::new();
    fixture.put("p.wasm", version(1));
    let generation = fixture.prepare(None).await.unwrap();
    assert_eq!(generation.plugins()[0].lanes(), 0);
    fixture.put("websocket_routing.yml", route("a", "a", ""));
    let next = fixture.prepare(Some(&generation)).await.unwrap();
    assert_eq!(next.plugins()[0].lanes(), 1);
}

#[tokio::test]
async fn reports_an_unknown_callback_at_its_place() {
    let fixture = Fixture::new();
    fixture.put(
        "websocket_routing.yml",
        "a:\n    channel: a\n    handler: { callback: 'versoined' }\n",
    );
    fixture
        .refused(&["websocket_routing.yml:3:26: error: no plugin provides the handler `versoined`"])
        .await;
    assert!(fixture.prepare(None).await.unwrap_err().contains("the site has no plugins"));
    fixture.put("p.wasm", version(1));
    let said = fixture.prepare(None).await.unwrap_err();
    assert!(said.contains("help: did you mean `versioned` of p.wasm?"), "{said}");
}

#[tokio::test]
async fn reports_all_problems_of_all_files() {
    let fixture = Fixture::new();
    fixture.put("a/websocket_routing.yml", "a:\n    channel: a\n    handler: nobody\n");
    fixture.put("a/garbage.wasm", "garbage");
    fixture.put("b/half.wasm", &version(1)[..10_000]);
    fixture.put("c/p.wasm", version(1));
    fixture.put("d/p.wasm", version(2));
    std::os::unix::fs::symlink("nowhere", fixture.root.path().join("e.wasm")).unwrap();
    fixture
        .refused(&[
            "a/garbage.wasm: error: failed to load a/garbage.wasm: it is not WebAssembly",
            "b/half.wasm: error: failed to load b/half.wasm: it is incomplete",
            "d/p.wasm: error: has the same plugin name `versioned` as c/p.wasm;",
            "e.wasm: error: is a broken symbolic link",
            "a/websocket_routing.yml:1:1: error: 1 route needs handlers that no loaded plugin provides: `nobody`",
        ])
        .await;
}

#[tokio::test]
async fn reports_a_broken_plugin_once_for_all_its_routes() {
    let fixture = Fixture::new();
    fixture.put("websocket_routing.yml", [route("a", "a", ""), route("b", "b", "")].concat());
    fixture.put("p.wasm", version(1));
    let generation = fixture.prepare(None).await.unwrap();
    fixture.put("p.wasm", "garbage");
    let said = fixture.prepare(Some(&generation)).await.unwrap_err();
    assert_eq!(said.matches(": error: ").count(), 1, "{said}");
    assert!(said.starts_with("p.wasm: error: failed to load p.wasm"), "{said}");
}

#[tokio::test]
async fn reports_a_route_that_its_plugin_refuses_at_its_place() {
    let fixture = Fixture::new();
    let text = "a:\n    channel: a\n    handler: { callback: refuse_configure, args: [1] }\n";
    fixture.put("websocket_routing.yml", text);
    fixture.put("p.wasm", guest("hostile"));
    fixture
        .refused(&[
            "websocket_routing.yml:3:50: error: the plugin `hostile` (p.wasm) refuses the route: \
                    the args [1] are not to my liking",
        ])
        .await;
}

#[tokio::test]
async fn reports_errors_of_routing_files_and_plugins_together() {
    let fixture = Fixture::new();
    fixture.put("websocket_routing.yml", "a:\n    chanel: a\n    handler: versioned\n");
    fixture.put("x.wasm", "garbage");
    let said = fixture.prepare(None).await.unwrap_err();
    assert!(said.contains("websocket_routing.yml:2:5: error: "), "{said}");
    assert!(said.contains("x.wasm: error: failed to load x.wasm"), "{said}");
}

#[tokio::test]
async fn warns_of_a_timer_without_a_hook() {
    let fixture = Fixture::new();
    fixture.put("websocket_routing.yml", route("a", "a", "    timer: 5s\n"));
    fixture.put("p.wasm", version(1));
    let generation = fixture.prepare(None).await.unwrap();
    let warning = generation.warnings()[0].to_string();
    assert!(
        warning.contains(":4:12: warning: the handler `versioned` has no timer hook"),
        "{warning}"
    );
}

#[tokio::test]
async fn a_routes_timer_overrides_the_handlers() {
    let fixture = Fixture::new();
    fixture.put("p.wasm", guest("methods"));
    // The handler `clock` requests 100 ms, `unhurried` has no interval, and `mute` has no hook.
    let routes = "\
a: { channel: a, handler: clock }
b: { channel: b, handler: clock, timer: 5s }
c: { channel: c, handler: clock, timer: { from: start } }
d: { channel: d, handler: unhurried, timer: 2m }
e: { channel: e, handler: unhurried }
f: { channel: f, handler: mute }
g: { channel: g, handler: unhurried, timer: { from: start } }
";
    fixture.put("websocket_routing.yml", routes);
    let generation = fixture.prepare(None).await.unwrap();
    let check = |topic, expect: Option<(u64, TimerFrom)>| {
        let found = generation.find(topic).unwrap().handler.timer();
        let expect =
            expect.map(|(millis, from)| BoundTimer { every: Duration::from_millis(millis), from });
        assert_eq!(found, expect, "{topic}");
    };
    check("a", Some((100, TimerFrom::Subscribe)));
    check("b", Some((5_000, TimerFrom::Subscribe)));
    check("c", Some((100, TimerFrom::Start)));
    check("d", Some((120_000, TimerFrom::Subscribe)));
    for without in ["e", "f", "g"] {
        check(without, None);
    }
    assert!(generation.has_timers());
    let [warning] = generation.warnings() else { panic!("{:?}", generation.warnings()) };
    let warning = warning.to_string();
    let expect =
        ":7:45: warning: the timer has no interval, neither here nor in the handler `unhurried`";
    assert!(warning.contains(expect), "{warning}");
}

#[tokio::test]
async fn applies_settings_by_plugin_name() {
    let fixture = Fixture::new();
    fixture.put("p.wasm", guest("hostile"));
    let mut policy = fixture.plugins().default.clone();
    policy.grant.sessions = false;
    fixture.plugins().named.insert("hostile".to_owned(), policy.clone());
    let said = fixture.prepare(None).await.unwrap_err();
    assert!(said.contains("jackfield:plugin/sessions"), "{said}");
    fixture.plugins().default = policy;
    fixture.plugins().named.clear();
    assert!(fixture.prepare(None).await.is_err());
    let everything = jackfield_sandbox::PluginPolicy::default();
    fixture.plugins().named.insert("hostile".to_owned(), everything);
    assert!(fixture.prepare(None).await.is_ok(), "its own grant counts, not the default one");
}

#[tokio::test]
async fn warns_of_settings_for_plugins_that_do_not_exist() {
    let fixture = Fixture::new();
    fixture.put("p.wasm", guest("hostile"));
    for name in ["hostile", "hostil", "acme-chat"] {
        let policy = fixture.plugins().default.clone();
        fixture.plugins().named.insert(name.to_owned(), policy);
    }
    let generation = fixture.prepare(None).await.unwrap();
    let [other, misspelt] = generation.warnings() else { panic!("{:?}", generation.warnings()) };
    let message = |name: &str| {
        format!("no plugin of the site has the name `{name}`, so the settings have no effect")
    };
    assert_eq!(
        misspelt.to_string(),
        format!(
            "plugins.named.hostil: warning: {}\n  = help: did you mean `hostile`?",
            message("hostil")
        )
    );
    let help = "the plugins of the site are `hostile`";
    let expect =
        format!("plugins.named.acme-chat: warning: {}\n  = help: {help}", message("acme-chat"));
    assert_eq!(other.to_string(), expect);
}

#[tokio::test]
async fn checks_routing_files_without_plugins() {
    let fixture = Fixture::new();
    fixture.put("websocket_routing.yml", route("a", "a", ""));
    fixture.put("x.wasm", "garbage");
    let snapshot = Site::new(fixture.root.path()).read().unwrap();
    assert_eq!(routes_alone(&snapshot).unwrap().routes().len(), 1);
}
