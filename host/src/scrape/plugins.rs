//! Metrics of plugins and handlers.

use jackfield_metrics::{Metric, Page};
use jackfield_sandbox::{CircuitState, CircuitStatus, OutgoingKind};

use super::catalogue;
use crate::generation::{Generation, PluginEntry};
use crate::reload::Reloader;

/// The maximum number of plugins with series.
const MAX_PLUGINS: usize = 200;
/// The maximum number of handlers with series: the times of each hook are 16 of them.
const MAX_HANDLERS: usize = 200;

/// Writes the metrics. Returns the numbers of plugins, handlers and routes without series of their
/// own.
pub(super) fn write(page: &mut Page, reloader: &Reloader) -> [(&'static str, usize); 3] {
    let generations = reloader.generations();
    let generation = generations.current();
    let shown: Vec<&PluginEntry> = generation.plugins().iter().take(MAX_PLUGINS).collect();
    let handlers = write_handlers(page, reloader);
    write_circuits(page, &shown);
    write_each(page, &shown);
    write_outgoing(page, &shown);
    page.begin(&catalogue::STORE_COMMIT);
    let commits = reloader.plugin_metrics().store_commit_times();
    page.durations(&catalogue::STORE_COMMIT, &[], &commits);
    [
        ("plugins", generation.plugins().len().saturating_sub(MAX_PLUGINS)),
        ("handlers", handlers),
        ("routes", routes_left_out(&generation)),
    ]
}

fn routes_left_out(generation: &Generation) -> usize {
    let with_series = generation.counts().own_count();
    generation.routes().routes().len().saturating_sub(with_series)
}

/// Writes times and faults. Returns the number of handlers that are left out.
fn write_handlers(page: &mut Page, reloader: &Reloader) -> usize {
    let all = reloader.plugin_metrics().handlers();
    let shown = || all.iter().take(MAX_HANDLERS);
    page.begin(&catalogue::HOOK);
    for handler in shown() {
        for (hook, times) in &handler.hooks {
            let labels = [&*handler.plugin, &*handler.handler, hook.name()];
            page.durations(&catalogue::HOOK, &labels, times);
        }
    }
    page.begin(&catalogue::FAULTS);
    for handler in shown() {
        for (kind, count) in &handler.faults {
            let labels = [&*handler.plugin, &*handler.handler, *kind];
            page.sample(&catalogue::FAULTS, &labels, count);
        }
    }
    all.len().saturating_sub(MAX_HANDLERS)
}

fn write_circuits(page: &mut Page, plugins: &[&PluginEntry]) {
    let circuits = plugins.iter().flat_map(|entry| entry.circuits()).take(MAX_HANDLERS);
    let circuits: Vec<CircuitStatus> = circuits.collect();
    page.begin(&catalogue::BREAKER_STATE);
    for circuit in &circuits {
        let state = match circuit.state {
            CircuitState::Closed => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        };
        let labels = [&*circuit.plugin, &*circuit.handler];
        page.sample(&catalogue::BREAKER_STATE, &labels, state);
    }
    page.begin(&catalogue::BREAKER_OPENINGS);
    for circuit in &circuits {
        let labels = [&*circuit.plugin, &*circuit.handler];
        page.sample(&catalogue::BREAKER_OPENINGS, &labels, circuit.opened);
    }
}

/// Writes the numbers of each plugin.
fn write_each(page: &mut Page, plugins: &[&PluginEntry]) {
    let mut write = |metric: &Metric, number: &dyn Fn(&PluginEntry) -> Option<u64>| {
        page.begin(metric);
        for entry in plugins {
            if let Some(number) = number(entry) {
                page.sample(metric, &[&entry.manifest().name], number);
            }
        }
    };
    write(&catalogue::LANES, &|entry| Some(entry.lanes() as u64));
    write(&catalogue::LANE_QUEUE, &|entry| Some(entry.waiting() as u64));
    write(&catalogue::INSTANCE_MEMORY, &|entry| Some(entry.memory_used() as u64));
    write(&catalogue::RECYCLED, &|entry| Some(entry.recycled()));
    // Plugins without a store have a limit of none.
    let has_store = |entry: &PluginEntry| entry.store_limit() > 0;
    write(&catalogue::STORE_BYTES, &|it| has_store(it).then(|| it.store().used() as u64));
    write(&catalogue::STORE_LIMIT, &|it| has_store(it).then(|| it.store_limit() as u64));
    write(&catalogue::STORE_FAILED, &|it| {
        has_store(it).then(|| u64::from(it.store_failure().is_some()))
    });
}

fn write_outgoing(page: &mut Page, plugins: &[&PluginEntry]) {
    let kinds = [
        ("http", OutgoingKind::Http),
        ("call", OutgoingKind::Call),
        ("later", OutgoingKind::Deferred),
    ];
    let counts = || {
        let all = plugins.iter().flat_map(|entry| kinds.map(|(label, kind)| (*entry, label, kind)));
        all.map(|(entry, label, kind)| (&*entry.manifest().name, label, entry.outgoing(kind)))
    };
    page.begin(&catalogue::OUTGOING);
    for (plugin, kind, count) in counts() {
        let outcomes =
            [("accepted", count.accepted), ("refused", count.refused), ("dropped", count.dropped)];
        for (outcome, number) in outcomes {
            page.sample(&catalogue::OUTGOING, &[plugin, kind, outcome], number);
        }
    }
    page.begin(&catalogue::OUTGOING_IN_FLIGHT);
    for (plugin, kind, count) in counts() {
        page.sample(&catalogue::OUTGOING_IN_FLIGHT, &[plugin, kind], count.in_flight);
    }
}
