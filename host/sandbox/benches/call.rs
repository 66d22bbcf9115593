//! Benchmarks of small hooks in Rust, called through their lanes, and of the start of an instance.
//! `make micro`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use jackfield_sandbox::{
    Audience, Caller, HookRequest, Plugin, PluginPolicy, RealmId, RouteConfig, Sandbox,
    SandboxSettings,
};
use tokio::runtime::Runtime;

#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "the tests' own, and they use more of it"
)]
#[path = "../tests/it/guests.rs"]
mod guests;

/// The hooks of this plugin ask for no subscribers.
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

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let runtime = Runtime::new().unwrap();
    let plugin = runtime.block_on(load("versioned"));
    on_publish(&mut criterion, &runtime, &plugin);
    reads(&mut criterion, &runtime);
    start(&mut criterion, &runtime, &plugin);
    criterion.final_summary();
}

/// The hook `versioned`, which adds a text to the event's arguments.
fn on_publish(criterion: &mut Criterion, runtime: &Runtime, plugin: &Plugin) {
    let mut group = criterion.benchmark_group("on_publish");
    let lanes = runtime.block_on(plugin.start(1, &[route("versioned")])).unwrap();
    let roles = ["member".to_owned()];
    let request = request("versioned", &roles);
    for size in [128, 4096] {
        let args = format!("[\"{}\"]", "x".repeat(size));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            // In one task, as a connection calls: entering the runtime is not what is measured.
            bencher.iter_custom(|calls| {
                runtime.block_on(async {
                    let began = Instant::now();
                    for _ in 0..calls {
                        let lane = lanes.of(request.topic);
                        black_box(lane.on_publish(&request, &args, "{}").await.unwrap());
                    }
                    began.elapsed()
                })
            });
        });
    }
}

/// A hook that reads nothing of the event, and one that reads its arguments.
fn reads(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("hook");
    let plugin = runtime.block_on(load("methods"));
    let roles = ["member".to_owned()];
    let args = format!("[\"{}\"]", "x".repeat(128));
    for handler in ["blind", "reader"] {
        let lanes = runtime.block_on(plugin.start(1, &[route(handler)])).unwrap();
        let request = request(handler, &roles);
        group.bench_function(handler, |bencher| {
            bencher.iter_custom(|calls| {
                runtime.block_on(async {
                    let began = Instant::now();
                    for _ in 0..calls {
                        let lane = lanes.of(request.topic);
                        black_box(lane.on_publish(&request, &args, "{}").await.unwrap());
                    }
                    began.elapsed()
                })
            });
        });
    }
}

/// A plugin's instance, configured for one route: what a reload pays for each lane, and what a
/// handler that has failed pays.
fn start(criterion: &mut Criterion, runtime: &Runtime, plugin: &Plugin) {
    criterion.bench_function("start an instance", |bencher| {
        bencher.iter(|| runtime.block_on(plugin.start(1, &[route("versioned")])).unwrap());
    });
}

async fn load(name: &str) -> Plugin {
    let sandbox = Sandbox::new(SandboxSettings::default()).unwrap();
    let (bytes, policy) = (guests::guest(name), PluginPolicy::default());
    sandbox.load(&format!("{name}.wasm"), &bytes, policy, Arc::new(Nobody)).await.unwrap()
}

fn route(handler: &str) -> RouteConfig {
    RouteConfig {
        handler: handler.to_owned(),
        name: "acme.chat".to_owned(),
        channel: "acme/chat/{room}".to_owned(),
        args: "null".to_owned(),
    }
}

fn request<'a>(handler: &'a str, roles: &'a [String]) -> HookRequest<'a> {
    HookRequest {
        realm: RealmId(1),
        handler,
        route: "acme.chat",
        topic: "acme/chat/lobby",
        attributes: &[("room", "lobby")],
        session: Some(Caller {
            client: 1,
            anonymous_from: None,
            id: 1,
            authid: "ann",
            authrole: "member",
            roles,
            authmethod: "ticket",
            claims: "{\"id\":7}",
        }),
        subscribers: 10,
    }
}
