//! One line of a recording.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jackfield_sandbox::{CallCost, CallInput, CallOutcome, CallRecord, HostAnswers, PluginVersion};
use serde::{Deserialize, Serialize};

use super::redact::Redaction;
use super::{FORMAT, MAX_LINE_BYTES};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    /// The first line.
    Header(Header),
    /// A version of a plugin, before its first call.
    Version(VersionLine),
    /// A call.
    Call(Box<CallLine>),
    /// The last line.
    End(End),
}

/// The first line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The version of the server.
    pub(crate) server: String,
    /// The topic whose calls are recorded; all without.
    pub(crate) topic: Option<String>,
    /// The plugin whose calls are recorded; all without.
    pub(crate) plugin: Option<String>,
    pub(crate) redacted: Redaction,
}

/// The part of the first line that every format has.
#[derive(Deserialize)]
pub(crate) struct Start {
    pub(crate) line: String,
    pub(crate) format: u64,
}

/// A version of a plugin.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VersionLine {
    /// The number by which calls refer to it.
    pub(crate) number: usize,
    #[serde(flatten)]
    pub(crate) version: PluginVersion,
}

/// A call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallLine {
    /// Its number in the recording, from 1.
    pub(crate) call: u64,
    /// The number of its version.
    pub(crate) version: usize,
    /// When it began, in nanoseconds since 1970.
    pub(crate) at_ns: u64,
    /// The calls that were dropped until now, because they were not taken in time.
    pub(crate) dropped: u64,
    /// Whether all of the host's answers are here.
    pub(crate) is_whole: bool,
    pub(crate) input: CallInput,
    pub(crate) answers: HostAnswers,
    pub(crate) outcome: CallOutcome,
    pub(crate) cost: CallCost,
}

/// The last line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// Why the recording ended.
    pub(crate) reason: String,
    pub(crate) calls: u64,
    pub(crate) dropped: u64,
}

impl Line {
    /// The line with its line end.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // Types of ours, whose keys are texts, cannot fail to be written.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl CallLine {
    /// The record that the line has.
    pub(crate) fn record(self, version: &Arc<PluginVersion>) -> CallRecord {
        let Self { at_ns, is_whole, input, answers, outcome, cost, .. } = self;
        let began = UNIX_EPOCH + Duration::from_nanos(at_ns);
        let version = Arc::clone(version);
        CallRecord { version, began, input, answers, outcome, cost, is_whole }
    }
}

/// Writes the lines of a recording.
pub(crate) struct Encoder {
    redaction: Redaction,
    /// The versions that have their line; few, as each is one start of a plugin.
    versions: Vec<Arc<PluginVersion>>,
    calls: u64,
}

impl Encoder {
    pub(crate) fn new(redaction: Redaction) -> Self {
        Self { redaction, versions: Vec::new(), calls: 0 }
    }

    pub(crate) fn header(&self, topic: Option<String>, plugin: Option<String>) -> Vec<u8> {
        let server = env!("CARGO_PKG_VERSION").to_owned();
        Line::Header(Header { format: FORMAT, server, topic, plugin, redacted: self.redaction })
            .bytes()
    }

    /// The lines of a call; none if they are larger than a reader takes.
    pub(crate) fn call(&mut self, record: &CallRecord, dropped: u64) -> Option<Vec<u8>> {
        let known = self.versions.iter().position(|it| Arc::ptr_eq(it, &record.version));
        let number = known.unwrap_or(self.versions.len());
        let mut bytes = Vec::new();
        if known.is_none() {
            let version = PluginVersion::clone(&record.version);
            bytes = Line::Version(VersionLine { number, version }).bytes();
        }
        let elapsed = record.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let redaction = self.redaction;
        let line = CallLine {
            call: self.calls + 1,
            version: number,
            at_ns: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
            dropped,
            is_whole: record.is_whole,
            input: redaction.input(record.input.clone()),
            answers: redaction.answers(record.answers.clone()),
            outcome: redaction.outcome(record.outcome.clone()),
            cost: record.cost,
        };
        let call = Line::Call(Box::new(line)).bytes();
        if bytes.len().max(call.len()) > MAX_LINE_BYTES {
            return None;
        }
        // Of lines that are not written, nothing is remembered: later calls need them.
        if known.is_none() {
            self.versions.push(Arc::clone(&record.version));
        }
        self.calls += 1;
        bytes.extend(call);
        Some(bytes)
    }

    pub(crate) fn end(&self, reason: &str, dropped: u64) -> Vec<u8> {
        Line::End(End { reason: reason.to_owned(), calls: self.calls, dropped }).bytes()
    }
}

#[cfg(test)]
mod tests {
    use jackfield_sandbox::{Hook, HookAnswer};

    use super::*;

    fn record(version: &Arc<PluginVersion>, bytes: usize) -> CallRecord {
        let input = CallInput {
            hook: Hook::Publish,
            realm: String::new(),
            handler: String::new(),
            route: String::new(),
            topic: "t".to_owned(),
            attributes: Vec::new(),
            session: None,
            subscribers: 0,
            depth: 0,
            args: format!("[\"{}\"]", "x".repeat(bytes)),
            kwargs: "{}".to_owned(),
            answer: None,
        };
        let outcome =
            CallOutcome { answer: HookAnswer::Done, effects: Vec::new(), writes: Vec::new() };
        CallRecord {
            version: Arc::clone(version),
            began: UNIX_EPOCH,
            input,
            answers: HostAnswers::default(),
            outcome,
            cost: CallCost::default(),
            is_whole: true,
        }
    }

    #[test]
    fn a_call_that_is_too_large_takes_no_version_with_it() {
        let (plugin, digest, version) = ("p".to_owned(), "00".to_owned(), "1".to_owned());
        let version =
            Arc::new(PluginVersion { plugin, digest, version, lanes: 1, routes: Vec::new() });
        let mut encoder = Encoder::new(Redaction::default());
        assert!(encoder.call(&record(&version, MAX_LINE_BYTES), 0).is_none());
        let lines = String::from_utf8(encoder.call(&record(&version, 1), 1).unwrap()).unwrap();
        assert!(lines.starts_with("{\"line\":\"version\",\"number\":0,"), "{lines}");
        assert!(lines.contains("{\"line\":\"call\",\"call\":1,\"version\":0,"), "{lines}");
        let next = String::from_utf8(encoder.call(&record(&version, 1), 1).unwrap()).unwrap();
        assert!(next.starts_with("{\"line\":\"call\",\"call\":2,"), "{next}");
    }
}
