//! Report of a replay: differing calls as they come, then a summary; or one JSON object.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use jackfield_sandbox::Hook;
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use crate::count::count;
use crate::recording::replay::{CallName, Cost, Different, LeftOut, ReplayReport};

/// The maximum number of differing calls that are shown.
const MAX_SHOWN: u64 = 100;
/// The maximum size of a topic that is shown, in bytes.
const MAX_TOPIC_BYTES: usize = 200;

/// The printer of a report.
pub(super) struct Printer<'a> {
    out: &'a mut dyn Write,
    is_json: bool,
    shown: u64,
    calls: Vec<Value>,
    /// The first failure to write.
    failed: Option<io::Error>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(is_json: bool, out: &'a mut dyn Write) -> Self {
        Self { out, is_json, shown: 0, calls: Vec::new(), failed: None }
    }

    /// Shows a call with differences.
    pub(super) fn different(&mut self, different: &Different) {
        self.shown += 1;
        if self.shown > MAX_SHOWN || self.failed.is_some() {
            return;
        }
        if self.is_json {
            return self.calls.push(shown(different));
        }
        let Different { call, differences, unrecorded } = different;
        let mut text = format!("{}\n{differences}", described(call));
        for answer in unrecorded {
            text.push_str("  asks for what is not recorded: ");
            text.push_str(answer);
            text.push('\n');
        }
        self.failed = writeln!(self.out, "{text}").err();
    }

    /// Prints a problem that ends the replay, for programs.
    pub(super) fn problem(&mut self, problem: &str) -> io::Result<()> {
        writeln!(self.out, "{}", json!({ "result": "failed", "problem": problem }))
    }

    /// Prints the summary.
    pub(super) fn end(mut self, report: &ReplayReport) -> io::Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.is_json {
            let calls = std::mem::take(&mut self.calls);
            let more = self.shown.saturating_sub(MAX_SHOWN);
            return writeln!(self.out, "{}", object(report, &calls, more));
        }
        let more = self.shown.saturating_sub(MAX_SHOWN);
        if more > 0 {
            writeln!(self.out, "({more} more calls differ)\n")?;
        }
        self.out.write_all(summary(report).as_bytes())
    }
}

/// Why a replay has compared nothing.
pub(super) fn nothing(report: &ReplayReport) -> String {
    let plugin = Untrusted::new(&report.plugin);
    if report.left_out() == 0 {
        return format!(
            "there are no calls of the plugin {plugin}\n  = help: record while there is traffic"
        );
    }
    let mut text = format!("no call of the plugin {plugin} could be compared\n");
    text.push_str(&left_out(report));
    let is_of_another = report.left_out.keys().all(|it| matches!(it, LeftOut::OtherPlugin));
    text.push_str(if is_of_another {
        "  = help: name a component of the recorded plugin, or a recording of this one"
    } else {
        "  = help: record from the start of the plugin, or with --with-payload --with-claims"
    });
    text
}

fn summary(report: &ReplayReport) -> String {
    let mut text = format!(
        "{} of {} compared: {} same, {} different; {} left out\n",
        count(report.compared(), "call"),
        Untrusted::new(&report.plugin),
        report.same,
        report.different,
        report.left_out()
    );
    text.push_str(&left_out(report));
    for (answer, calls) in &report.unrecorded {
        write_to(&mut text, format_args!("  not recorded: {answer} ({calls} calls)\n"));
    }
    if report.more_unrecorded > 0 {
        let more = report.more_unrecorded;
        write_to(&mut text, format_args!("  not recorded: {more} more\n"));
    }
    if report.dropped > 0 {
        write_to(
            &mut text,
            format_args!("  the server dropped {} calls while it recorded\n", report.dropped),
        );
    }
    text.push_str(&redaction(report));
    let ReplayReport { old_cost, new_cost, .. } = report;
    let time = |of: fn(&Cost) -> Duration| {
        format!("{} before, {} now", micros(of(old_cost)), micros(of(new_cost)))
    };
    write_to(&mut text, format_args!("time of a call: {}\n", time(Cost::mean)));
    write_to(&mut text, format_args!("longest call: {}\n", time(|cost| cost.max)));
    let (old, new) = (kib(old_cost.max_memory), kib(new_cost.max_memory));
    write_to(&mut text, format_args!("memory of an instance: {old} before, {new} now\n"));
    text
}

fn left_out(report: &ReplayReport) -> String {
    let mut text = String::new();
    for (reason, calls) in &report.left_out {
        let why = match reason {
            LeftOut::NotReproduced if report.redacted.is_any() => {
                "the recorded version gives another outcome now; possible causes: it needs what is \
                 redacted, state in its memory from before the recording or from calls that were not \
                 recorded, or other limits of the plugin in the settings"
            }
            LeftOut::NotReproduced => {
                "the recorded version gives another outcome now; possible causes: state in its memory \
                 from before the recording or from calls that were not recorded, or other limits of \
                 the plugin in the settings"
            }
            LeftOut::TooLarge => "more answers of the host than a recording keeps",
            LeftOut::Unrequested => {
                "answers to requests or calls that a version does not make, or that were made before \
                 the recording"
            }
            LeftOut::OtherPlugin => "of another plugin",
        };
        write_to(&mut text, format_args!("  left out, {why}: {}\n", calls.count));
        for name in &calls.names {
            write_to(&mut text, format_args!("    {}\n", described(name)));
        }
        let more = calls.count.saturating_sub(calls.names.len() as u64);
        if more > 0 {
            write_to(&mut text, format_args!("    and {more} more\n"));
        }
    }
    text
}

/// The limit of a comparison by shape; empty for a recording that is not redacted.
fn redaction(report: &ReplayReport) -> String {
    let parts = [(report.redacted.payload, "payload"), (report.redacted.claims, "claims")];
    let parts: Vec<&str> =
        parts.into_iter().filter_map(|(is_redacted, part)| is_redacted.then_some(part)).collect();
    if parts.is_empty() {
        return String::new();
    }
    let options: Vec<String> = parts.iter().map(|part| format!("--with-{part}")).collect();
    format!(
        "  redacted: {}. Both versions got `x` and `1` instead: a difference that depends on the texts \
         themselves is not found\n  = help: record with {}\n",
        parts.join(" and "),
        options.join(" ")
    )
}

fn write_to(text: &mut String, part: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written = text.write_fmt(part);
}

fn described(call: &CallName) -> String {
    let topic = Untrusted::new(&call.topic).at_most(MAX_TOPIC_BYTES);
    let session = call.session.map(|id| format!(" by session {id}")).unwrap_or_default();
    format!("call {}: {} of {topic}{session}", call.number, call.hook)
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

/// A call for programs. A topic that is too long is cut, and the rest counted.
fn named(call: &CallName) -> Value {
    let hook = serde_json::to_value::<Hook>(call.hook).unwrap_or_default();
    let topic = call.topic.get(..call.topic.floor_char_boundary(MAX_TOPIC_BYTES));
    let topic = topic.unwrap_or_default();
    let left_out = call.topic.len() - topic.len();
    json!({
        "call": call.number,
        "hook": hook,
        "topic": topic,
        "topic_bytes_left_out": left_out,
        "session": call.session,
    })
}

fn shown(different: &Different) -> Value {
    let differences = different.differences.iter();
    let shown = differences.map(|it| json!({ "place": it.place, "old": it.old, "new": it.new }));
    let mut call = named(&different.call);
    if let Value::Object(members) = &mut call {
        members.insert("differences".to_owned(), shown.collect());
        members.insert("more_differences".to_owned(), json!(different.differences.more()));
        members.insert("unrecorded".to_owned(), json!(different.unrecorded));
    }
    call
}

fn object(report: &ReplayReport, calls: &[Value], more_calls: u64) -> Value {
    let left_out = report.left_out.iter().map(|(reason, calls)| {
        let names: Vec<Value> = calls.names.iter().map(named).collect();
        let more = calls.count.saturating_sub(calls.names.len() as u64);
        json!({
            "reason": reason.label(), "count": calls.count, "calls": names, "more_calls": more,
        })
    });
    let cost = |cost: &Cost| {
        json!({
            "mean_seconds": cost.mean().as_secs_f64(),
            "max_seconds": cost.max.as_secs_f64(),
            "max_memory_bytes": cost.max_memory,
        })
    };
    json!({
        "result": if report.different == 0 { "same" } else { "different" },
        "plugin": report.plugin,
        "compared": report.compared(),
        "same": report.same,
        "different": report.different,
        "left_out_count": report.left_out(),
        "left_out": left_out.collect::<Vec<_>>(),
        "unrecorded": report.unrecorded,
        "more_unrecorded": report.more_unrecorded,
        "dropped": report.dropped,
        "redacted": report.redacted,
        "old": cost(&report.old_cost),
        "new": cost(&report.new_cost),
        "calls": calls,
        "more_calls": more_calls,
    })
}
