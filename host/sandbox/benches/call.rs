//! Benchmarks of small hooks in Rust, called through their lanes, and of the start of an instance.
//! `make micro`.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use jackfield_sandbox::{
    Audience, Caller, HookRequest, Plugin, PluginPolicy, RealmId, RouteConfig, Sandbox,
    SandboxSettings, StateMode,
};
use jackfield_store::SqliteEngine;
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
    stores(&mut criterion, &runtime);
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

/// A hook that counts in the store, kept in each way: one call after the other, and 64 sessions at
/// once, per call. And one that leaves a saved store alone.
fn stores(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("store");
    let roles = ["member".to_owned()];
    for (mode, handler) in [
        (StateMode::Memory, "counts"),
        (StateMode::Written, "counts"),
        (StateMode::Synced, "counts"),
        (StateMode::Memory, "refuse"),
        (StateMode::Written, "refuse"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let engine = SqliteEngine::open(folder.path()).unwrap();
        let sandbox = Sandbox::new(SandboxSettings::default()).unwrap();
        let sandbox = sandbox.saved_by(Box::new(engine), move |_| mode).unwrap();
        let plugin = runtime.block_on(load_into(&sandbox, "hostile"));
        let lanes = runtime.block_on(plugin.start(1, &[route(handler)])).unwrap();
        let request = request(handler, &roles);
        let lane = lanes.of(request.topic);
        let name = format!("{handler}, {}", mode.label());
        group.bench_function(BenchmarkId::new(&name, 1), |bencher| {
            bencher.iter_custom(|calls| {
                runtime.block_on(async {
                    let began = Instant::now();
                    for _ in 0..calls {
                        drop(black_box(lane.on_publish(&request, "[]", "{}").await.unwrap()));
                    }
                    began.elapsed()
                })
            });
        });
        group.bench_function(BenchmarkId::new(&name, SESSIONS), |bencher| {
            bencher.iter_custom(|calls| {
                runtime.block_on(async {
                    let began = Instant::now();
                    let sessions = (0..SESSIONS).map(|_| async {
                        for _ in 0..calls.div_ceil(SESSIONS) {
                            drop(black_box(lane.on_publish(&request, "[]", "{}").await.unwrap()));
                        }
                    });
                    join(sessions.map(|session| Box::pin(session) as _).collect()).await;
                    began.elapsed()
                })
            });
        });
    }
}

/// Sessions at once.
const SESSIONS: u64 = 64;

/// Runs all to their ends, in one task.
async fn join(mut all: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    poll_fn(|context| {
        all.retain_mut(|it| it.as_mut().poll(context).is_pending());
        if all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
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
    load_into(&sandbox, name).await
}

async fn load_into(sandbox: &Sandbox, name: &str) -> Plugin {
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
        login: None,
        subscribers: 10,
        depth: 0,
    }
}
