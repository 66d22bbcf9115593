//! Workloads, one file each. Each opens its connections, starts the measured period, waits for its
//! end and makes a report.
//!
//! A new workload is a variant of [`crate::plan::Work`], a file here, and a subcommand. Shared by
//! several workloads: `requests` with its `outstanding` requests, and `pace`.

pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod fan_out;
pub(crate) mod outstanding;
pub(crate) mod pace;
pub(crate) mod publish;
pub(crate) mod requests;
pub(crate) mod subscribe;

use crate::coordinator::Coordinator;
use crate::error::BenchError;
use crate::plan::Work;
use crate::report::BenchReport;

/// Runs the plan's workload.
pub(crate) async fn run(coordinator: &mut Coordinator<'_>) -> Result<BenchReport, BenchError> {
    match coordinator.shared().plan.work.clone() {
        Work::Connect { connections, bare } => connect::run(coordinator, connections, bare).await,
        Work::Publish { publishers, topics } => publish::run(coordinator, publishers, topics).await,
        Work::Call { callers, procedure, callee } => {
            call::run(coordinator, callers, procedure, callee).await
        }
        Work::Subscribe { connections, topics } => {
            subscribe::run(coordinator, connections, topics).await
        }
        Work::FanOut { topics, subscribers, publishers, subscriptions_per_connection } => {
            let workload =
                fan_out::Workload { topics, subscribers, publishers, subscriptions_per_connection };
            fan_out::run(coordinator, workload).await
        }
    }
}

/// Returns a text to publish, which compresses about as events in JSON do; its timestamp is written over the beginning.
pub(crate) fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "order", "customer", "price", "status", "shipped", "updated", "email", "user", "message",
        "from", "total", "count", "name", "item", "true", "null",
    ];
    let mut random = fastrand::Rng::with_seed(length as u64);
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        text.push_str(random.choice(WORDS).unwrap_or_default());
        text.push_str(": ");
        if random.bool() {
            text.push_str(&random.u32(..100_000).to_string());
            text.push_str(", ");
        }
    }
    text.truncate(length);
    text.into_bytes()
}
