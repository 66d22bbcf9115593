//! The report of `jackfield test`: a line for each script, failures with their log, and a summary;
//! or one JSON object.

use std::io::{self, Write};
use std::path::Path;

use jackfield_text::Untrusted;
use jackfield_yaml::Source;
use serde_json::{Value, json};

use crate::dialogue::Outcome;
use crate::log::capture::LogLine;

/// The results so far.
pub(super) struct TestReport<'o> {
    out: &'o mut dyn Write,
    bundle: String,
    is_json: bool,
    /// Whether passed scripts show their log.
    shows_log: bool,
    passed: usize,
    failed: usize,
    problems: Vec<String>,
    scripts: Vec<Value>,
}

impl<'o> TestReport<'o> {
    pub(super) fn new(
        bundle: &Path,
        is_json: bool,
        shows_log: bool,
        out: &'o mut dyn Write,
    ) -> Self {
        let bundle = Untrusted::new(bundle.display()).to_string();
        let (problems, scripts) = (Vec::new(), Vec::new());
        Self { out, bundle, is_json, shows_log, passed: 0, failed: 0, problems, scripts }
    }

    /// Adds problems that are no failures of a script.
    pub(super) fn problems(&mut self, problems: Vec<String>) -> io::Result<()> {
        if !self.is_json {
            problems.iter().try_for_each(|problem| writeln!(self.out, "{problem}\n"))?;
        }
        self.problems.extend(problems);
        Ok(())
    }

    /// Adds a result.
    pub(super) fn script(&mut self, script: &Source, outcome: Outcome) -> io::Result<()> {
        let has_passed = outcome.failures.is_empty();
        self.passed += usize::from(has_passed);
        self.failed += usize::from(!has_passed);
        if self.is_json {
            self.scripts.push(object(script, &outcome));
            return Ok(());
        }
        let Outcome { failures, log, log_left_out, lines, took } = outcome;
        for failure in &failures {
            writeln!(self.out, "{}", failure.shown(script))?;
        }
        if has_passed {
            let (lines, took) = (count(lines, "line"), took.as_millis());
            writeln!(self.out, "{}: {lines}, {took} ms: ok", script.path)?;
        }
        if !has_passed || self.shows_log {
            for (number, line) in &log {
                writeln!(self.out, "  log at line {number}: {}", text(line))?;
                if let Some(Value::String(backtrace)) = line.fields.get("backtrace") {
                    writeln!(self.out, "    in {}", Untrusted::new(backtrace))?;
                }
            }
            if log_left_out > 0 {
                writeln!(self.out, "  log: {log_left_out} more lines left out")?;
            }
        }
        if has_passed { Ok(()) } else { writeln!(self.out) }
    }

    /// Prints the summary. Returns whether everything has passed.
    pub(super) fn end(self) -> io::Result<bool> {
        let Self { out, bundle, is_json, passed, failed, problems, scripts, .. } = self;
        let has_passed = failed == 0 && problems.is_empty();
        if is_json {
            let result = json!({
                "bundle": bundle,
                "ok": has_passed,
                "passed": passed,
                "failed": failed,
                "problems": problems,
                "scripts": scripts,
            });
            for line in format!("{result:#}").lines() {
                writeln!(out, "{}", jackfield_text::json(line))?;
            }
            return Ok(has_passed);
        }
        let total = count(passed + failed, "script");
        match (failed, problems.len()) {
            (0, 0) => writeln!(out, "{bundle}: {total}: ok")?,
            (0, found) => writeln!(out, "{bundle}: {total}, {}", count(found, "problem"))?,
            (_, 0) => writeln!(out, "{bundle}: {total}, {failed} failed")?,
            (_, found) => {
                writeln!(out, "{bundle}: {total}, {failed} failed, {}", count(found, "problem"))?;
            }
        }
        Ok(has_passed)
    }
}

fn object(script: &Source, outcome: &Outcome) -> Value {
    let Outcome { failures, log, log_left_out, lines, took } = outcome;
    let failures: Vec<Value> = failures.iter().map(|failure| failure.json(script)).collect();
    let log: Vec<Value> = log
        .iter()
        .map(|(number, LogLine { level, target, fields })| {
            json!({ "line": number, "level": level.as_str(), "target": target, "fields": fields })
        })
        .collect();
    json!({
        "script": script.path,
        "ok": failures.is_empty(),
        "lines": lines,
        "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "failures": failures,
        "log": log,
        "log_left_out": log_left_out,
    })
}

/// Returns a line of the log: the level, the plugin if it is a plugin's own line, and the message.
fn text(line: &LogLine) -> String {
    let LogLine { level, target, fields } = line;
    let field = |name: &str| fields.get(name).and_then(Value::as_str);
    let message = field("message").unwrap_or_default();
    match field("plugin").filter(|_| target.ends_with("::plugin")) {
        Some(plugin) => format!("{level} {}: {message}", Untrusted::new(plugin)),
        None => format!("{level} {message}"),
    }
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
