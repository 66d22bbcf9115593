//! Workload `publish`: publishes with acknowledgement to topics without subscribers, for the cost
//! of a publication alone. [`super::requests`] sends and counts.

use std::sync::Arc;

use super::requests::{self, Labels, RequestWriter};
use super::text;
use crate::coordinator::Coordinator;
use crate::error::BenchError;
use crate::protocol::{ClientProtocol, RequestError};
use crate::report::BenchReport;
use crate::session;
use crate::timestamp::Timestamp;
use crate::workers::RunContext;

const LABELS: Labels = Labels {
    senders: "publishers",
    unit: "publishes",
    requested: ("publishes", "publications"),
    lost: "not acknowledged",
    rate: "publishes_per_second",
    cpu: ("server_cpu_us_per_publish", "server CPU a publish"),
    latency: "publish to acknowledgement",
};

pub(crate) async fn run(
    coordinator: &mut Coordinator<'_>,
    publishers: usize,
    topics: usize,
) -> Result<BenchReport, BenchError> {
    let shared = Arc::clone(coordinator.shared());
    let request_writer = |number| Publication::new(&shared, number, publishers, topics);
    requests::run(coordinator, publishers, request_writer, LABELS).await
}

/// Publications of one publisher, to its topics in turn.
struct Publication {
    text: Vec<u8>,
    names: Vec<String>,
    turn: usize,
}

impl Publication {
    fn new(shared: &RunContext, number: usize, publishers: usize, topics: usize) -> Self {
        // With fewer topics than publishers, some share a topic.
        let topics = (number % topics..topics).step_by(publishers);
        let names = topics.map(|topic| shared.topic(topic)).collect();
        Self { text: text(shared.plan.payload), names, turn: 0 }
    }

    /// Returns the topic of a request.
    fn topic(&self, request: Option<u64>) -> Option<String> {
        let turn = usize::try_from(request.unwrap_or(1)).ok()?.checked_sub(1)?;
        self.names.get(turn % self.names.len().max(1)).cloned()
    }
}

impl RequestWriter for Publication {
    fn write(
        &mut self,
        protocol: &mut ClientProtocol,
        out: &mut Vec<u8>,
        request: u64,
        timestamp: Timestamp,
    ) {
        let Some(name) = self.names.get(self.turn % self.names.len().max(1)) else { return };
        self.turn += 1;
        timestamp.write(&mut self.text);
        protocol.publish(out, request, name, &self.text, true);
    }

    fn refused(&self, refusal: RequestError) -> BenchError {
        session::refused("publish to", refusal, |request| self.topic(request))
    }
}
