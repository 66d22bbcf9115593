//! `jackfield reload [DIR]`: reloads the settings and the site of a running server, and prints the
//! results.

use std::convert::Infallible;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use hyper::{Method, StatusCode};
use jackfield_text::Untrusted;
use jackfield_yaml::NonZeroDuration;
use serde_json::{Value, json};

use super::control::{self, ANSWER_TIME, Answer, ControlArgs, ControlError, Server};
use super::{say, settings};
use crate::count::count;

/// The interval of the lines about plugins that are being compiled.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// The exit code of a reload that goes on.
const TIMED_OUT: u8 = 4;
/// The longest wait: the server's limit.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// Command-line arguments of `jackfield reload`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    control: ControlArgs,
    /// Maximum time to wait for the result, up to 10m. The reload itself goes on.
    #[arg(long, value_parser = wait_time, default_value = "60s")]
    wait: Duration,
}

/// Reloads. The exit code is 1 if the site or the settings have problems, 4 if the time is over.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let server = args.control.find().await?;
        let wait = args.wait.as_secs();
        let body = json!({ "wait_seconds": wait });
        let (answer, code) = change(&server, "/v1/reload", &body, args.wait).await?;
        if args.control.json() {
            control::written(answer.print(out))?;
            return Ok(code);
        }
        control::written(show(&answer.accepted()?, wait, out))?;
        Ok(code)
    })
}

/// Requests a change and waits for its result; meanwhile it prints what is being compiled. Returns the
/// answer and the exit code.
pub(super) async fn change(
    server: &Server,
    path: &str,
    body: &Value,
    wait: Duration,
) -> Result<(Answer, ExitCode), ControlError> {
    let answer = tokio::select! {
        answer = server.ask(Method::POST, path, Some(body), wait + ANSWER_TIME) => answer?,
        never = tell(server) => match never {},
    };
    let unsaved = answer.body.get("save_error").and_then(Value::as_str);
    if let Some(reason) = unsaved {
        let reason = Untrusted::new(reason);
        say(format_args!(
            "error: the change is lost when the server ends: {reason}\n  = help: mend it, and run the command again; the server itself \
             tries again every 10 s, and `jackfield status` shows whether it is saved"
        ));
    }
    let code = match answer.status {
        StatusCode::OK if unsaved.is_some() => ExitCode::FAILURE,
        StatusCode::OK => ExitCode::SUCCESS,
        StatusCode::ACCEPTED => ExitCode::from(TIMED_OUT),
        _ => ExitCode::FAILURE,
    };
    Ok((answer, code))
}

pub(super) fn wait_time(text: &str) -> Result<Duration, String> {
    let wait = text.parse().map(NonZeroDuration::get).map_err(|error| format!("{error}"))?;
    if wait > MAX_WAIT || wait < Duration::from_secs(1) {
        return Err("write 1s to 10m".to_owned());
    }
    Ok(wait)
}

/// Prints the plugins that are being compiled at an interval, forever.
async fn tell(server: &Server) -> Infallible {
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        // The request under way reports an error of the server.
        let Ok(answer) = server.ask(Method::GET, "/v1/status", None, ANSWER_TIME).await else {
            continue;
        };
        for line in compiling(&answer.body) {
            say(line);
        }
    }
}

fn compiling(body: &Value) -> Vec<String> {
    let files = body.get("compiling").and_then(Value::as_array).into_iter().flatten();
    let line = |it: &Value| {
        let file = it.get("file")?.as_str()?;
        Some(format!("still compiling {file}, {} s", it.get("seconds")?))
    };
    files.filter_map(line).collect()
}

fn show(answer: &Answer, wait: u64, out: &mut dyn Write) -> std::io::Result<()> {
    let body = &answer.body;
    let number = |key: &str| body.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (generation, count) = (number("generation"), number("problem_count"));
    for line in settings::reload(body.get("settings").unwrap_or(&Value::Null)) {
        writeln!(out, "{line}")?;
    }
    let took = body.get("took_seconds").and_then(Value::as_f64).unwrap_or_default();
    match body.get("result").and_then(Value::as_str).unwrap_or_default() {
        "ok" => writeln!(out, "reloaded in {took:.1} s: generation {generation} is in service"),
        "unchanged" => writeln!(
            out,
            "unchanged: generation {generation} stays in service, as the site is equal to it"
        ),
        "running" => {
            for line in compiling(body) {
                writeln!(out, "{line}")?;
            }
            writeln!(
                out,
                "the reload goes on after {wait} s; generation {generation} is in service until it \
                 ends. `jackfield status` has its result"
            )
        }
        _ => {
            let problems = body.get("problems").and_then(Value::as_array).into_iter().flatten();
            for text in problems.filter_map(|problem| problem.get("text")?.as_str()) {
                writeln!(out, "{text}\n")?;
            }
            let count = self::count(count, "problem");
            writeln!(out, "reload failed: {count}; generation {generation} stays in service")
        }
    }
}

/// The text of a value of an answer; empty if it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
