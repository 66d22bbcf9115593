//! `jackfield top`: the state of a running server, again and again, with rates.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use hyper::Method;
use jackfield_yaml::NonZeroDuration;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::control::{self, ANSWER_TIME, ControlArgs, ControlError};
use super::status;

/// Moves the cursor of a terminal to its first line, and clears the rest. ECMA-48.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const RATES: [&str; 4] = ["messages_in", "bytes_in", "messages_out", "bytes_out"];
/// The parts of the state that a line of JSON has.
const PARTS: [&str; 13] = [
    "version",
    "pid",
    "state",
    "uptime_seconds",
    "generation",
    "connections",
    "sessions",
    "memory",
    "plugin_totals",
    "traffic",
    "rates",
    "ended",
    "problem_count",
];

/// Command-line arguments of `jackfield top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Time between two states [default: 2s].
    #[arg(long, value_name = "DURATION")]
    interval: Option<NonZeroDuration>,
    /// Show one state, with the rates of the last seconds, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    control: ControlArgs,
}

/// Shows the state until the command is ended.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let server = args.control.find().await?;
        let is_page = io::stdout().is_terminal() && !args.control.json() && !args.once;
        let mut ticks = interval(args.interval.map_or(DEFAULT_INTERVAL, NonZeroDuration::get));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Option<(Instant, Value)> = None;
        loop {
            ticks.tick().await;
            let answer = server.ask(Method::GET, "/v1/status", None, ANSWER_TIME).await?;
            let (now, mut state) = (Instant::now(), answer.accepted()?.body);
            let traffic = state.get("traffic").cloned().unwrap_or_default();
            if let (Some((then, before)), Value::Object(state)) = (&before, &mut state) {
                state.insert("rates".to_owned(), rates(before, &traffic, now - *then));
            }
            before = Some((now, traffic));
            let shown = if args.control.json() {
                let part = |key: &str| state.get(key).cloned().unwrap_or_default();
                let parts = PARTS.map(|key| (key.to_owned(), part(key)));
                let line = Value::Object(parts.into_iter().collect()).to_string();
                jackfield_text::json(&line).into_owned() + "\n"
            } else {
                status::page(&state)
            };
            if is_page {
                // The writer of the command would escape it.
                io::stdout().write_all(CLEAR).map_err(ControlError::Output)?;
            }
            let written = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
            written.map_err(ControlError::Output)?;
            if args.once {
                return Ok(ExitCode::SUCCESS);
            }
        }
    })
}

/// The rates between two counts of the traffic, rounded down.
fn rates(before: &Value, now: &Value, time: Duration) -> Value {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let count = |of: &Value, key: &str| of[key].as_u64().unwrap_or_default();
    let rate = |key: &str| count(now, key).saturating_sub(count(before, key)) * 1_000 / millis;
    let mut rates = Map::from_iter([("over_seconds".to_owned(), json!(time.as_secs_f64()))]);
    rates.extend(RATES.map(|key| (key.to_owned(), json!(rate(key)))));
    Value::Object(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_between_two_states() {
        let before = json!({ "messages_in": 10, "bytes_in": 0, "messages_out": 5, "bytes_out": 7 });
        let now =
            json!({ "messages_in": 30, "bytes_in": 1_000, "messages_out": 5, "bytes_out": 6 });
        let expect = json!({ "over_seconds": 2.0, "messages_in": 10, "bytes_in": 500,
                             "messages_out": 0, "bytes_out": 0 });
        assert_eq!(rates(&before, &now, Duration::from_secs(2)), expect);
    }
}
