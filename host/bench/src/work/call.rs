//! Workload `call`: calls one procedure and waits for results. [`super::requests`] sends and
//! counts.

use super::requests::{self, Labels, RequestWriter};
use super::text;
use crate::coordinator::Coordinator;
use crate::error::BenchError;
use crate::protocol::{ClientProtocol, RequestError};
use crate::report::BenchReport;
use crate::timestamp::Timestamp;

const LABELS: Labels = Labels {
    senders: "callers",
    unit: "calls",
    requested: ("calls", "calls"),
    lost: "not answered",
    rate: "calls_per_second",
    cpu: ("server_cpu_us_per_call", "server CPU a call"),
    latency: "call to result",
};

pub(crate) async fn run(
    coordinator: &mut Coordinator<'_>,
    callers: usize,
    procedure: &str,
) -> Result<BenchReport, BenchError> {
    let payload = coordinator.shared().plan.payload;
    let request_writer = |_| Call { text: text(payload), procedure: procedure.to_owned() };
    requests::run(coordinator, callers, request_writer, LABELS).await
}

/// Calls of one caller. All arguments differ, so that no result can come from a cache.
struct Call {
    text: Vec<u8>,
    procedure: String,
}

impl RequestWriter for Call {
    fn write(
        &mut self,
        protocol: &mut ClientProtocol,
        out: &mut Vec<u8>,
        request: u64,
        timestamp: Timestamp,
    ) {
        timestamp.write(&mut self.text);
        protocol.call(out, request, &self.procedure, &self.text);
    }

    fn refused(&self, refusal: RequestError) -> BenchError {
        BenchError::Procedure { procedure: self.procedure.clone(), message: refusal.text }
    }
}
