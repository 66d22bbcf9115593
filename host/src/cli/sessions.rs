//! `jackfield sessions`, `jackfield ended` and `jackfield topics`: lists of a running server, in pages.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::control::{self, ControlArgs, PluginControlArgs};
use super::status::{duration, size};
use super::table::{after, table};
use crate::connection_end::ConnectionEnd;
use crate::count::count;

/// Command-line arguments of `jackfield sessions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions of this user alone.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Sessions that are subscribed to this topic alone, by its name or by a pattern.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Sessions of this realm alone.
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Sessions behind this one alone: the end of the page before.
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// Number of sessions, up to 1000.
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u32,
    #[command(flatten)]
    control: ControlArgs,
}

/// Command-line arguments of `jackfield ended`.
#[derive(Debug, clap::Args)]
pub(crate) struct EndedArgs {
    /// Sessions of this user alone.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only sessions that ended for this reason.
    #[arg(long, value_name = "REASON", value_parser = ConnectionEnd::ALL.map(ConnectionEnd::label))]
    reason: Option<String>,
    /// Number of sessions, up to 1000.
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u32,
    #[command(flatten)]
    control: ControlArgs,
}

/// Command-line arguments of `jackfield topics`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopicsArgs {
    /// Beginning of the topics and patterns [default: all].
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
    /// Realm of the topics [default: the first realm of the settings].
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,
    /// Topics behind this place alone: the `next` of the page before.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Number of topics, up to 1000.
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u32,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// Prints a page of the open sessions.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let Args { user, topic, realm, after, limit, control } = args;
    let after = after.map(|id| id.to_string());
    let keys = [("user", user), ("topic", topic), ("realm", realm), ("after", &after)];
    let path = path("/v1/sessions", keys, *limit);
    control::run(async {
        let server = control.find().await?;
        control::print_page(&server, &path, control.json(), sessions, out).await
    })
}

/// Prints the last sessions that have ended.
pub(crate) fn ended(args: &EndedArgs, out: &mut dyn Write) -> ExitCode {
    let EndedArgs { user, reason, limit, control } = args;
    let path = path("/v1/ended", [("user", user), ("reason", reason)], *limit);
    control::run(async {
        let server = control.find().await?;
        control::print_page(&server, &path, control.json(), ended_page, out).await
    })
}

/// Prints a page of the topics that have subscribers.
pub(crate) fn topics(args: &TopicsArgs, out: &mut dyn Write) -> ExitCode {
    let TopicsArgs { prefix, realm, after, limit, control } = args;
    let path = path("/v1/topics", [("prefix", prefix), ("realm", realm), ("after", after)], *limit);
    control::run(async {
        let server = control.find().await?;
        control::print_page(&server, &path, control.json(), topics_page, out).await
    })
}

/// The path of a request with the keys that have a value.
fn path<const KEYS: usize>(
    endpoint: &str,
    keys: [(&str, &Option<String>); KEYS],
    limit: u32,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (key, value) in keys {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let query = query.append_pair("limit", &limit.to_string()).finish();
    format!("{endpoint}?{query}")
}

fn sessions(body: &Value) -> String {
    let rows = list(&body["sessions"]).iter().map(|session| {
        let roles: Vec<&str> = list(&session["roles"]).iter().map(text).collect();
        [
            session["id"].to_string(),
            text(&session["user"]).to_owned(),
            roles.join(","),
            text(&session["realm"]).to_owned(),
            text(&session["protocol"]).to_owned(),
            text(&session["address"]).to_owned(),
            duration(number(&session["seconds"])),
            session["subscriptions"].to_string(),
            session["registrations"].to_string(),
            traffic(&session["in"]),
            traffic(&session["out"]),
            size(session.pointer("/outbox/bytes").map_or(0, number)),
        ]
    });
    let head = [
        "SESSION",
        "USER",
        "ROLES",
        "REALM",
        "PROTOCOL",
        "ADDRESS",
        "AGE",
        "SUBSCRIPTIONS",
        "REGISTRATIONS",
        "IN",
        "OUT",
        "OUTBOX",
    ];
    let page = table(head, rows.collect());
    with_rest(page, "session", &body["session_count"], &body["next"])
}

fn topics_page(body: &Value) -> String {
    let rows = list(&body["topics"]).iter().map(|topic| {
        [
            text(&topic["uri"]).to_owned(),
            text(&topic["match"]).to_owned(),
            topic["subscribers"].to_string(),
            text(&topic["route"]).to_owned(),
            text(&topic["handler"]).to_owned(),
            text(&topic["plugin"]).to_owned(),
        ]
    });
    let head = ["TOPIC", "MATCH", "SUBSCRIBERS", "ROUTE", "HANDLER", "PLUGIN"];
    let page = table(head, rows.collect());
    with_rest(page, "topic", &body["topic_count"], &body["next"])
}

fn ended_page(body: &Value) -> String {
    let rows = list(&body["sessions"]).iter().map(|session| {
        let [uri, message] = ["uri", "message"].map(|key| text(&session[key]));
        let separator = if uri.is_empty() || message.is_empty() { "" } else { ": " };
        [
            text(&session["ended"]).to_owned(),
            session["id"].to_string(),
            text(&session["user"]).to_owned(),
            text(&session["protocol"]).to_owned(),
            text(&session["address"]).to_owned(),
            text(&session["reason"]).to_owned(),
            duration(session["seconds"].as_f64().map_or(0, whole_seconds)),
            traffic(&session["in"]),
            traffic(&session["out"]),
            format!("{uri}{separator}{message}"),
        ]
    });
    let head = [
        "ENDED", "SESSION", "USER", "PROTOCOL", "ADDRESS", "REASON", "LASTED", "IN", "OUT",
        "MESSAGE",
    ];
    let mut page = table(head, rows.collect());
    let ended = &body["ended"];
    let by_reason = ended["by_reason"].as_object().into_iter().flatten();
    let by_reason: Vec<String> = by_reason.map(|(name, count)| format!("{name} {count}")).collect();
    let separator = if by_reason.is_empty() { "" } else { ": " };
    // Writing to a string cannot fail.
    let _written = writeln!(
        page,
        "{} ended since the start{separator}{}",
        count(number(&ended["count"]), "session"),
        by_reason.join(", ")
    );
    page
}

/// The page with the number of all entries, and where the next page begins.
fn with_rest(mut page: String, noun: &str, count: &Value, next: &Value) -> String {
    let _written = write!(page, "{}", self::count(number(count), noun));
    let _written = match next {
        Value::Null => writeln!(page),
        Value::String(next) => writeln!(page, "; the next page: {}", after(next)),
        next => writeln!(page, "; the next page: --after {next}"),
    };
    page
}

/// Messages and bytes.
pub(super) fn traffic(of: &Value) -> String {
    format!("{} ({})", of["messages"], size(number(&of["bytes"])))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the time of a session in whole seconds"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
