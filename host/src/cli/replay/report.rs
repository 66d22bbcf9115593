//! Report of a replay: differing calls as they come, then a summary; or one JSON object.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use jackfield_sandbox::Hook;
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use crate::recording::replay::{CallName, Cost, Different, LeftOut, Report};

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
    pub(super) fn end(mut self, report: &Report) -> io::Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.is_json {
            let calls = std::mem::take(&mut self.calls);
            return writeln!(self.out, "{}", object(report, &calls));
        }
        let more = self.shown.saturating_sub(MAX_SHOWN);
        if more > 0 {
            writeln!(self.out, "({more} more calls differ)\n")?;
        }
        self.out.write_all(summary(report).as_bytes())
    }
}

/// Why a replay has compared nothing.
pub(super) fn nothing(report: &Report) -> String {
    let plugin = Untrusted::new(&report.plugin);
    if report.left_out() == 0 {
        return format!(
            "there are no calls of the plugin {plugin}\n  = help: record while there is traffic"
        );
    }
    let mut text = format!("no call of the plugin {plugin} could be compared\n");
    text.push_str(&left_out(report));
    text.push_str(
        "  = help: record from the start of the plugin, or with --with-payload --with-claims",
    );
    text
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{} calls of {} compared: {} same, {} different; {} left out\n",
        report.compared(),
        Untrusted::new(&report.plugin),
        report.same,
        report.different,
        report.left_out()
    );
    text.push_str(&left_out(report));
    for (answer, calls) in &report.unrecorded {
        write_to(&mut text, format_args!("  not recorded: {answer} ({calls} calls)\n"));
    }
    if report.dropped > 0 {
        write_to(
            &mut text,
            format_args!("  the server dropped {} calls while it recorded\n", report.dropped),
        );
    }
    let Report { old_cost, new_cost, .. } = report;
    let time = |of: fn(&Cost) -> Duration| {
        format!("{} before, {} now", micros(of(old_cost)), micros(of(new_cost)))
    };
    write_to(&mut text, format_args!("time of a call: {}\n", time(Cost::mean)));
    write_to(&mut text, format_args!("longest call: {}\n", time(|cost| cost.max)));
    let (old, new) = (kib(old_cost.max_memory), kib(new_cost.max_memory));
    write_to(&mut text, format_args!("memory of an instance: {old} before, {new} now\n"));
    text
}

fn left_out(report: &Report) -> String {
    let mut text = String::new();
    for (reason, calls) in &report.left_out {
        let why = match reason {
            LeftOut::NotReproduced if report.redacted.payload || report.redacted.claims => {
                "the recorded version gives another outcome now: it keeps state in memory, or needs \
                 what is redacted"
            }
            LeftOut::NotReproduced => {
                "the recorded version gives another outcome now: it keeps state in memory"
            }
            LeftOut::TooLarge => "more answers of the host than a recording keeps",
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

fn named(call: &CallName) -> Value {
    let hook = serde_json::to_value::<Hook>(call.hook).unwrap_or_default();
    json!({ "call": call.number, "hook": hook, "topic": call.topic, "session": call.session })
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

fn object(report: &Report, calls: &[Value]) -> Value {
    let left_out = report.left_out.iter().map(|(reason, calls)| {
        let names: Vec<Value> = calls.names.iter().map(named).collect();
        json!({ "reason": reason.label(), "count": calls.count, "calls": names })
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
        "dropped": report.dropped,
        "redacted": report.redacted,
        "old": cost(&report.old_cost),
        "new": cost(&report.new_cost),
        "calls": calls,
    })
}
