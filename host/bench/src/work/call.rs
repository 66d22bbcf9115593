//! Workload `call`: calls one procedure and waits for results. [`super::requests`] sends and
//! counts, and [`callee`] answers if the procedure is the generator's own.

use super::requests::{self, Labels, RequestWriter};
use super::text;
use crate::coordinator::Coordinator;
use crate::error::BenchError;
use crate::protocol::{ClientProtocol, RequestError, ServerMessage};
use crate::report::BenchReport;
use crate::session::{self, Role};
use crate::tally::Tally;
use crate::timestamp::Timestamp;
use crate::workers::{RunContext, Worker, WorkerEvent};

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
    procedure: String,
    has_callee: bool,
) -> Result<BenchReport, BenchError> {
    if has_callee {
        let procedure = procedure.clone();
        coordinator
            .workers
            .spawner
            .spawn(move |worker, shared| async move { callee(&worker, &shared, procedure).await });
        coordinator.wait_ready(1, "callees").await?;
    }
    let payload = coordinator.shared().plan.payload;
    let request_writer = |_| Call { text: text(payload), procedure: procedure.clone() };
    requests::run(coordinator, callers, request_writer, LABELS).await
}

/// Registers the procedure, and returns the argument of each call. The results of one read are written
/// together.
async fn callee(worker: &Worker, shared: &RunContext, procedure: String) -> Result<(), BenchError> {
    let mut socket = session::open(worker, shared, Role::Answered).await?;
    session::register(&mut socket, worker, shared, &procedure).await?;
    shared.send_event(WorkerEvent::Ready);
    let mut invocations: Vec<(u64, Vec<u8>)> = Vec::new();
    loop {
        let mut handle = |_: &mut Tally, _, message: ServerMessage<'_>| {
            if let ServerMessage::Invocation { request, text } = message {
                invocations.push((request, text.to_vec()));
            }
            Ok(())
        };
        socket.drive(worker, shared, &mut handle).await?;
        if !invocations.is_empty() {
            socket.send(|protocol, out| {
                for (request, text) in invocations.drain(..) {
                    protocol.result(out, request, &text);
                }
            })?;
        }
    }
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
