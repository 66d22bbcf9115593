//! `jackfield trace [TOPIC] [--user NAME]`: prints the steps of messages of a running server, live.

use std::io::Write;
use std::num::NonZeroU64;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use jackfield_text::Untrusted;
use jackfield_yaml::NonZeroDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::closed_output::output_closed;
use super::control::{self, ControlError, PluginControlArgs};
use super::say;
use crate::count::count;

/// The time of a trace that has no other end; an alternative to never.
const FOREVER: Duration = Duration::from_hours(24 * 365);
/// The maximum size of a line of the server, in bytes.
const MAX_LINE_BYTES: usize = 64 << 10;
/// The maximum size of a step that is shown, in bytes.
const MAX_STEP_BYTES: usize = 4 << 10;
/// The digits of a time that are shown: to the millisecond.
const TIME: std::ops::Range<usize> = 11..23;

/// Command-line arguments of `jackfield trace`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "jackfield trace [OPTIONS] <TOPIC>\n       jackfield trace [OPTIONS] --user <NAME> [TOPIC]"
)]
pub(crate) struct Args {
    /// Topic or procedure whose messages are traced [default: all of the user].
    #[arg(value_name = "TOPIC", required_unless_present = "user")]
    topic: Option<String>,
    /// User whose messages are traced, and the events that the user receives.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Show the arguments of messages, cut and escaped.
    #[arg(long)]
    payload: bool,
    /// Stop after this time [default: at Ctrl-C].
    #[arg(long = "for", value_name = "DURATION")]
    time: Option<NonZeroDuration>,
    /// Stop after this number of messages.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// Prints steps until the end that the arguments name, or a signal.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let stop = control::stop()?;
        let server = args.control.find().await?;
        let Args { topic, user, payload, .. } = args;
        let body = json!({ "topic": topic, "user": user, "payload": payload });
        let mut stream = server.open("/v1/trace", &body).await?;
        let end = Instant::now() + args.time.map_or(FOREVER, NonZeroDuration::get);
        let mut closed = pin!(output_closed());
        let mut lines =
            Lines { is_json: args.control.json(), part: Vec::new(), ended: 0, dropped: 0 };
        loop {
            let part = tokio::select! {
                part = stream.next() => part?,
                () = stop.requested() => break,
                () = sleep_until(end) => break,
                () = &mut closed => break,
            };
            let Some(part) = part else { break };
            let is_last = lines.take(&part, args.count, out)?;
            out.flush().map_err(ControlError::Output)?;
            if is_last {
                break;
            }
        }
        if lines.dropped > 0 {
            say(format_args!("{} lines were dropped, as there were too many", lines.dropped));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The lines as they come.
struct Lines {
    is_json: bool,
    /// A line that is not complete.
    part: Vec<u8>,
    /// The messages that have ended.
    ended: u64,
    /// The lines that the server has dropped.
    dropped: u64,
}

impl Lines {
    /// Prints the lines that are complete now. Returns whether they are enough.
    fn take(
        &mut self,
        part: &[u8],
        count: Option<NonZeroU64>,
        out: &mut dyn Write,
    ) -> Result<bool, ControlError> {
        for piece in part.split_inclusive(|byte| *byte == b'\n') {
            self.part.extend_from_slice(piece);
            if self.part.len() > MAX_LINE_BYTES {
                let message = "the server sends a line without end".to_owned();
                return Err(ControlError::Refused(message));
            }
            if !self.part.ends_with(b"\n") {
                continue;
            }
            let text = String::from_utf8_lossy(&self.part).into_owned();
            self.part.clear();
            let line: Value = serde_json::from_str(&text).map_err(|error| {
                ControlError::Refused(format!("the server sends a line that is not JSON: {error}"))
            })?;
            self.dropped =
                self.dropped.max(line.get("dropped").and_then(Value::as_u64).unwrap_or_default());
            let shown = if self.is_json {
                jackfield_text::json(text.trim_end()).into_owned()
            } else {
                readable(&line)
            };
            writeln!(out, "{shown}").map_err(ControlError::Output)?;
            self.ended += u64::from(matches!(text_of(&line, "step"), "accept" | "refuse"));
            if count.is_some_and(|count| count.get() <= self.ended) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A line for people.
fn readable(line: &Value) -> String {
    let text = |key: &str| text_of(line, key);
    let time = text("time").get(TIME).unwrap_or_default();
    let number = line["message"].as_u64().map_or_else(String::new, |it| format!("#{it} "));
    let from = || match (line["session"].as_u64(), text("user")) {
        (Some(session), user) => format!(" from {user} (session {session})"),
        (None, _) => String::new(),
    };
    let step = match text("step") {
        "begin" => "the trace begins; Ctrl-C ends it".to_owned(),
        "message" => {
            let payload = match (line["args"].as_str(), line["kwargs"].as_str()) {
                (Some(args), Some("{}") | None) => format!(" {args}"),
                (Some(args), Some(kwargs)) => format!(" {args} {kwargs}"),
                (None, _) => String::new(),
            };
            format!("{} {}{}{payload}", text("kind"), text("topic"), from())
        }
        "route" => match (line["route"].as_str(), line["hook"].as_str()) {
            (None, _) => "  no route".to_owned(),
            (Some(route), Some(hook)) => format!(
                "  route {route}, handler {} of {}, asked: {hook}",
                text("handler"),
                text("plugin")
            ),
            (Some(route), None) => {
                format!("  route {route}, handler {} is not asked", text("handler"))
            }
        },
        "hook" => {
            let place = if line["message"].is_null() {
                format!(" for {}", text("topic"))
            } else {
                String::new()
            };
            let effects: Vec<&str> = line["effects"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let effects = if effects.is_empty() {
                String::new()
            } else {
                format!("; effects: {}", effects.join(", "))
            };
            let error = match line["error"].as_str() {
                Some(error) => format!(" ({error}: {})", text("reason")),
                None => String::new(),
            };
            format!(
                "  {} of {}{place}: {}{error} in {:.3} ms{effects}; {}",
                text("hook"),
                text("handler"),
                text("verdict"),
                line["took_ms"].as_f64().unwrap_or_default(),
                count(line["writes"].as_u64().unwrap_or_default(), "write"),
            )
        }
        "deliver" => {
            let receivers = line["receivers"].as_array().into_iter().flatten();
            let receivers: Vec<String> = receivers
                .map(|it| format!("{} ({})", text_of(it, "user"), it["session"]))
                .collect();
            let all = line["receiver_count"].as_u64().unwrap_or_default();
            let more = if all > receivers.len() as u64 { " …" } else { "" };
            let separator = if receivers.is_empty() { "" } else { ": " };
            format!("  to {}{separator}{}{more}", count(all, "receiver"), receivers.join(", "))
        }
        "accept" => match (line["delivered"].as_u64(), line["answered_by"].as_str()) {
            (Some(delivered), _) => format!("  accepted, queued to {delivered}"),
            (None, Some("client")) => "  forwarded to a client".to_owned(),
            (None, Some(other)) => format!("  answered {other}"),
            (None, None) => "  accepted".to_owned(),
        },
        "refuse" => format!("  refused: {}: {}", text("error"), text("reason")),
        "end" => format!("the trace ends: {}", text("reason")),
        other => format!("  {other}"),
    };
    // Names and texts of clients and plugins are among it.
    format!("{time} {number}{}", Untrusted::new(step).at_most(MAX_STEP_BYTES))
}

fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_readable() {
        let check = |step: Value, expect: &str| {
            let mut line = json!({ "time": "2026-11-29T08:01:02.123456Z", "message": 7 });
            line.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
            assert_eq!(readable(&line), format!("08:01:02.123 #7 {expect}"));
        };
        check(
            json!({ "step": "message", "kind": "publish", "topic": "a", "user": "ann", "session": 5,
                    "args": "[1]", "kwargs": "{}" }),
            "publish a from ann (session 5) [1]",
        );
        check(json!({ "step": "route", "route": null }), "  no route");
        check(
            json!({ "step": "hook", "hook": "publish", "handler": "h", "verdict": "reject",
                    "error": "a.b", "reason": "no", "effects": ["send"], "writes": 1, "took_ms": 0.5 }),
            "  publish of h: reject (a.b: no) in 0.500 ms; effects: send; 1 write",
        );
        check(
            json!({ "step": "deliver", "receivers": [{ "session": 6, "user": "bob" }],
                    "receiver_count": 2 }),
            "  to 2 receivers: bob (6) …",
        );
        check(json!({ "step": "accept", "delivered": 2 }), "  accepted, queued to 2");
        check(
            json!({ "step": "message", "kind": "subscribe", "topic": "a\n08:01 #8   accepted" }),
            r"subscribe a\n08:01 #8   accepted",
        );
    }
}
