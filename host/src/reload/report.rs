//! Log lines of a reload: the new generation, or the problems.

use std::time::Instant;

use jackfield_text::Untrusted;
use tracing::{debug, error, info, warn};

use crate::generation::Generation;
use crate::log;

/// Logs a generation that has been put into service.
pub(super) fn report(generation: &Generation, began: Instant) {
    if !generation.loading().is_empty() {
        let loading = Untrusted::new(generation.loading().join(", "));
        info!(
            name: "reload.partial",
            generation = generation.number(),
            routes = generation.routes().routes().len(),
            "serving the change without plugins that are still being compiled: {loading}"
        );
        return;
    }
    for warning in generation.warnings() {
        warn!(name: "site.warning", target: log::DIAGNOSIS, "{warning}");
    }
    for plugin in generation.plugins() {
        let manifest = plugin.manifest();
        debug!(
            file = plugin.file(),
            plugin = manifest.name,
            version = manifest.version,
            lanes = plugin.lanes(),
            "plugin"
        );
    }
    info!(
        name: "reload.served",
        generation = generation.number(),
        routes = generation.routes().routes().len(),
        plugins = generation.plugins().len(),
        took_ms = began.elapsed().as_millis(),
        "generation ready"
    );
}

/// Logs the problems of a change; the generation stays in service.
pub(super) fn report_problems(problems: &[String], generation: u64) {
    for problem in problems {
        error!(name: "site.problem", target: log::DIAGNOSIS, "{problem}");
    }
    error!(
        name: "reload.failed",
        generation,
        problems = problems.len(),
        "reload failed; the running generation stays in service"
    );
}
