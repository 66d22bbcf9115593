//! Report of a shadow: counts of compared calls, their costs, and an example of each kind of
//! difference. Bounded; the texts of examples are escaped by the sandbox.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jackfield_sandbox::{CallCost, CallOutcome, CallRecord, Differences, HookAnswer, Replayed};
use jackfield_text::Untrusted;

/// The counts of a shadow since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShadowReport {
    /// Calls that were run again.
    pub(crate) compared: u64,
    /// Those with another outcome.
    pub(crate) differing: u64,
    /// Those in which the shadow alone failed.
    pub(crate) faults: u64,
    /// Those that asked the host for something that the version in service had not asked for.
    pub(crate) unanswered: u64,
    pub(crate) left_out: LeftOut,
    /// The cost of these calls in the version in service.
    pub(crate) serving: Costs,
    /// Their cost in the shadow.
    pub(crate) shadow: Costs,
    /// By kind.
    pub(crate) differences: BTreeMap<String, KindOfDifference>,
    /// Differences of kinds that are not listed any more.
    pub(crate) unlisted: u64,
    /// The number of times that its instances were started: their memory began empty.
    pub(crate) starts: u64,
    /// The reason why its instances cannot be started.
    pub(crate) error: Option<String>,
}

/// Calls that were not run again, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LeftOut {
    /// Its queue was full.
    pub(crate) queue: u64,
    /// The host's answers were too large to be kept.
    pub(crate) size: u64,
    /// The store had changed too much meanwhile.
    pub(crate) store: u64,
    /// The shadow's circuit breaker was open: it had failed too often.
    pub(crate) breaker: u64,
    /// Its instances could not be started.
    pub(crate) start: u64,
    /// It had not made the request or the call that the answer belongs to.
    pub(crate) answer: u64,
}

/// The costs of a number of calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Costs {
    calls: u32,
    total: Duration,
    pub(crate) max: Duration,
    /// The largest memory of an instance, in bytes.
    pub(crate) memory: usize,
}

/// A kind of difference.
#[derive(Clone, Debug)]
pub(crate) struct KindOfDifference {
    /// The calls that have it.
    pub(crate) calls: u64,
    /// The first of them.
    pub(crate) example: Example,
}

/// A call with a difference.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) at: SystemTime,
    pub(crate) topic: String,
    /// A diff with all differences of the call.
    pub(crate) diff: String,
}

/// The maximum number of kinds that are listed.
const MAX_KINDS: usize = 32;
/// The maximum size of an example's diff, in bytes.
const MAX_DIFF_BYTES: usize = 4 * 1024;
/// The maximum size of a topic, in bytes.
const MAX_TOPIC_BYTES: usize = 256;

impl LeftOut {
    /// Their number.
    pub(crate) const fn sum(self) -> u64 {
        let Self { queue, size, store, breaker, start, answer } = self;
        queue + size + store + breaker + start + answer
    }
}

impl Costs {
    fn add(&mut self, cost: &CallCost) {
        self.calls = self.calls.saturating_add(1);
        self.total = self.total.saturating_add(cost.took());
        self.max = self.max.max(cost.took());
        self.memory = self.memory.max(cost.memory);
    }

    /// The mean time of a call.
    pub(crate) fn mean(&self) -> Duration {
        self.total.checked_div(self.calls).unwrap_or_default()
    }
}

impl ShadowReport {
    /// Adds a call that was run again.
    pub(super) fn add(&mut self, record: &CallRecord, replayed: &Replayed) {
        let (old, new) = (&record.outcome, &replayed.outcome);
        if is_on_hold(new) && !is_on_hold(old) {
            self.left_out.breaker += 1;
            return;
        }
        self.compared += 1;
        self.serving.add(&record.cost);
        self.shadow.add(&replayed.cost);
        self.unanswered += u64::from(!replayed.unrecorded.is_empty());
        let has_failed = |outcome: &CallOutcome| matches!(outcome.answer, HookAnswer::Fault(_));
        self.faults += u64::from(has_failed(new) && !has_failed(old));
        let differences = Differences::between(old, new);
        if differences.is_empty() {
            return;
        }
        self.differing += 1;
        let mut kinds: Vec<String> =
            differences.iter().map(|it| kind(record, new, &it.place)).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            if let Some(known) = self.differences.get_mut(&kind) {
                known.calls += 1;
            } else if self.differences.len() < MAX_KINDS {
                let example = example(record, replayed, &differences);
                self.differences.insert(kind, KindOfDifference { calls: 1, example });
            } else {
                self.unlisted += 1;
            }
        }
    }
}

/// Whether the circuit breaker has refused the call.
fn is_on_hold(outcome: &CallOutcome) -> bool {
    matches!(&outcome.answer, HookAnswer::Fault(fault) if fault.fault == "on_hold")
}

/// The kind of a difference: hook and handler, and which part of the outcome differs.
fn kind(record: &CallRecord, new: &CallOutcome, place: &str) -> String {
    let (hook, handler) = (record.input.hook, Untrusted::new(&record.input.handler));
    let part = match place.split(' ').next().unwrap_or_default() {
        "answer" => {
            let (new, old) = (label(new), label(&record.outcome));
            if new == old {
                format!("answer {new} with other content")
            } else {
                format!("answer {new} instead of {old}")
            }
        }
        "effect" => "effects".to_owned(),
        _ => "store".to_owned(),
    };
    format!("{hook} of {handler}: {part}")
}

/// A short name of an answer.
fn label(outcome: &CallOutcome) -> String {
    match &outcome.answer {
        HookAnswer::Done => "done",
        HookAnswer::Allow => "allow",
        HookAnswer::Deny(_) => "deny",
        HookAnswer::Broadcast => "broadcast",
        HookAnswer::Deliver(_) => "deliver",
        HookAnswer::Drop => "drop",
        HookAnswer::Reject(_) => "reject",
        HookAnswer::Result(_) => "result",
        HookAnswer::Error(_) => "error",
        HookAnswer::Later => "later",
        HookAnswer::Fault(fault) => return format!("fault {}", fault.fault),
    }
    .to_owned()
}

fn example(record: &CallRecord, replayed: &Replayed, differences: &Differences) -> Example {
    let mut diff = Untrusted::new(differences).at_most(MAX_DIFF_BYTES).with_lines().to_string();
    for unrecorded in replayed.unrecorded.iter().take(3) {
        // Writing to a string cannot fail.
        let _infallible = writeln!(diff, "(not asked by the version in service: {unrecorded})");
    }
    let topic = Untrusted::new(&record.input.topic).at_most(MAX_TOPIC_BYTES).to_string();
    Example { at: record.began, topic, diff }
}
