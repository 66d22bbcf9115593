//! `jackfield session ID [kick]`: shows a session of a running server, or ends it.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use hyper::{Method, StatusCode};
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use super::control::{self, ANSWER_TIME, Answer, ControlError, PluginControlArgs};
use super::sessions::traffic;
use super::status::{duration, size};
use super::table::table;
use crate::count::count;

/// Command-line arguments of `jackfield session`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Id of the session, as in `jackfield sessions`.
    #[arg(value_name = "ID")]
    id: u64,
    /// `kick` ends the session.
    #[arg(value_enum, value_name = "ACTION")]
    action: Option<SessionAction>,
    /// Message to a client of WAMP v2 whose session is ended.
    #[arg(long, value_name = "TEXT", requires = "action")]
    reason: Option<String>,
    #[command(flatten)]
    control: PluginControlArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SessionAction {
    Kick,
}

/// Shows the session, or ends it.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let Args { id, action, reason, control } = args;
    control::run(async {
        let server = control.find().await?;
        let Some(SessionAction::Kick) = action else {
            let path = format!("/v1/session?id={id}");
            let answer = server.ask(Method::GET, &path, None, ANSWER_TIME).await?;
            return control::print_answer(known(answer, *id), control.json(), page, out);
        };
        let body = json!({ "id": id, "message": reason });
        let path = "/v1/session/kick";
        let answer = server.ask(Method::POST, path, Some(&body), ANSWER_TIME).await?;
        let answer = known(answer, *id);
        if control.json() {
            answer.print(out).map_err(ControlError::Output)?;
            answer.accepted()?;
            return Ok(ExitCode::SUCCESS);
        }
        let body = &answer.accepted()?.body;
        let user = body["user"].as_str().unwrap_or_default();
        let done = if body["result"] == "ok" { "ended" } else { "ending already" };
        control::written(writeln!(out, "session {id} of {user}: {done}"))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The answer; a session that is not open is explained in terms of commands.
fn known(answer: Answer, id: u64) -> Answer {
    if answer.status != StatusCode::NOT_FOUND {
        return answer;
    }
    let help =
        "`jackfield sessions` lists the open sessions, `jackfield ended` the last that have ended";
    answer.in_terms_of_commands(&format!("no session {id} is open"), help)
}

/// The session for people: one fact a line, names before values.
fn page(session: &Value) -> String {
    let mut page = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a string cannot fail.
        let _written = writeln!(page, "{label:<14} {}", Untrusted::new(value));
    };
    let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| session[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |path: &str| session.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    line("session", format!("{} in {}", session["id"], text("realm")));
    let kind = if session["is_anonymous"] == true { ", anonymous" } else { "" };
    line("user", format!("{} ({}{kind})", text("user"), text("authmethod")));
    let roles: Vec<&str> = list("roles").iter().filter_map(Value::as_str).collect();
    line("roles", roles.join(", "));
    line("protocol", text("protocol"));
    line("address", text("address"));
    line("since", format!("{} ({} ago)", text("since"), duration(number("/seconds"))));
    line("in", traffic(&session["in"]));
    line("out", traffic(&session["out"]));
    let waiting = size(number("/outbox/bytes"));
    line("outbox", format!("{waiting}, {} dropped", count(number("/outbox/dropped"), "event")));
    let calls = (number("/calls/waiting"), number("/calls/handling"));
    line("calls", format!("{} wait for an answer, {} to answer", calls.0, calls.1));
    for (label, key, count) in [
        ("subscriptions", "subscriptions", "/subscription_count"),
        ("registrations", "registrations", "/registration_count"),
    ] {
        let (shown, all) = (list(key).len(), number(count));
        let more = if all > shown as u64 { format!(", the first {shown}") } else { String::new() };
        line(label, format!("{all}{more}"));
    }
    let cell = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let rows = list("subscriptions")
        .iter()
        .map(|it| [cell(it, "uri"), cell(it, "match"), cell(it, "route"), cell(it, "handler")]);
    let subscriptions = table(["SUBSCRIPTION", "MATCH", "ROUTE", "HANDLER"], rows.collect());
    let rows = list("registrations").iter().map(|it| [cell(it, "uri"), cell(it, "match")]);
    let registrations = table(["REGISTRATION", "MATCH"], rows.collect());
    for part in [subscriptions, registrations] {
        if !part.is_empty() {
            page.push('\n');
            page += &part;
        }
    }
    page
}
