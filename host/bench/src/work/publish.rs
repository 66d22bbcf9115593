//! Publishes to topics without subscribers, and waits for the acknowledgements: what a publication
//! costs by itself. How it is asked and counted is in [`super::requests`].

use std::sync::Arc;

use super::requests::{self, FrameWriter, Words};
use super::text;
use crate::coordinator::Lead;
use crate::failure::Failure;
use crate::protocol::{Refusal, Talk};
use crate::report::Report;
use crate::session;
use crate::timestamp::Stamp;
use crate::workers::Shared;

const WORDS: Words = Words {
    who: "publishers",
    what: "publishes",
    asked: ("publishes", "publications"),
    lost: "not acknowledged",
    rate: "publishes_per_second",
    cpu: ("server_cpu_us_per_publish", "server CPU a publish"),
    latency: "publish to acknowledgement",
};

pub(crate) async fn run(
    lead: &mut Lead<'_>,
    publishers: usize,
    topics: usize,
) -> Result<Report, Failure> {
    let shared = Arc::clone(lead.shared());
    let pen = |number| Publication::new(&shared, number, publishers, topics);
    requests::run(lead, publishers, pen, WORDS).await
}

/// Publications of one publisher: to its topics in turn.
struct Publication {
    text: Vec<u8>,
    names: Vec<String>,
    turn: usize,
}

impl Publication {
    fn new(shared: &Shared, number: usize, publishers: usize, topics: usize) -> Self {
        // With fewer topics than publishers, some share one.
        let topics = (number % topics..topics).step_by(publishers);
        let names = topics.map(|topic| shared.topic(topic)).collect();
        Self { text: text(shared.plan.payload), names, turn: 0 }
    }

    /// The topic of a publication.
    fn topic(&self, request: Option<u64>) -> Option<String> {
        let turn = usize::try_from(request.unwrap_or(1)).ok()?.checked_sub(1)?;
        self.names.get(turn % self.names.len().max(1)).cloned()
    }
}

impl FrameWriter for Publication {
    fn write(&mut self, talk: &mut Talk, out: &mut Vec<u8>, request: u64, stamp: Stamp) {
        let Some(name) = self.names.get(self.turn % self.names.len().max(1)) else { return };
        self.turn += 1;
        stamp.write(&mut self.text);
        talk.publish(out, request, name, &self.text, true);
    }

    fn refused(&self, refusal: Refusal) -> Failure {
        session::refused("publish to", refusal, |request| self.topic(request))
    }
}
