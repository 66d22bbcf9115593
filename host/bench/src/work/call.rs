//! Calls one procedure, and waits for its results: what a call costs. How it is asked and counted is
//! in [`super::requests`].

use super::requests::{self, FrameWriter, Words};
use super::text;
use crate::coordinator::Lead;
use crate::failure::Failure;
use crate::protocol::{Refusal, Talk};
use crate::report::Report;
use crate::timestamp::Stamp;

const WORDS: Words = Words {
    who: "callers",
    what: "calls",
    asked: ("calls", "calls"),
    lost: "not answered",
    rate: "calls_per_second",
    cpu: ("server_cpu_us_per_call", "server CPU a call"),
    latency: "call to result",
};

pub(crate) async fn run(
    lead: &mut Lead<'_>,
    callers: usize,
    procedure: &str,
) -> Result<Report, Failure> {
    let payload = lead.shared().plan.payload;
    let pen = |_| Call { text: text(payload), procedure: procedure.to_owned() };
    requests::run(lead, callers, pen, WORDS).await
}

/// Calls of one caller. No two have the same argument, so that nobody can answer from memory.
struct Call {
    text: Vec<u8>,
    procedure: String,
}

impl FrameWriter for Call {
    fn write(&mut self, talk: &mut Talk, out: &mut Vec<u8>, request: u64, stamp: Stamp) {
        stamp.write(&mut self.text);
        talk.call(out, request, &self.procedure, &self.text);
    }

    fn refused(&self, refusal: Refusal) -> Failure {
        Failure::Procedure { procedure: self.procedure.clone(), said: refusal.words }
    }
}
