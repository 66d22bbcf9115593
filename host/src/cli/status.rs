//! `jackfield status [DIR]`: prints the state of a running server.

mod cluster;

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::control::{self, ControlArgs};
use super::table::table;
use super::validity::validity;
use crate::count::count;

/// The reloads that are shown.
const MAX_SHOWN_RELOADS: usize = 5;

/// Command-line arguments of `jackfield status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    control: ControlArgs,
}

/// Prints the state.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let server = args.control.find().await?;
        control::print_page(&server, "/v1/status", args.control.json(), page, out).await
    })
}

/// The state for people: one fact a line, names before values.
pub(super) fn page(status: &Value) -> String {
    let mut page = Page::default();
    let at = |path: &str| status.pointer(path).unwrap_or(&Value::Null);
    let uptime = duration(number(at("/uptime_seconds")));
    page.line(
        "server",
        format!("{}, version {}, pid {}", text(at("/state")), text(at("/version")), at("/pid")),
    );
    page.line("started", format!("{} ({uptime} ago)", text(at("/started"))));
    page.line("address", text(at("/listen")));
    page.line("site", text(at("/site")));
    page.line("config", at("/config_file").as_str().unwrap_or("none"));
    page.line(
        "generation",
        format!(
            "{} since {}, {}",
            at("/generation/number"),
            text(at("/generation/since")),
            count(number(at("/generation/routes")), "route")
        ),
    );
    let problems = number(at("/problem_count"));
    if problems > 0 {
        page.line(
            "problems",
            format!("{problems}, the change is not in service since {}", text(at("/failed_since"))),
        );
    }
    page.settings(at("/settings"));
    if let Some(reason) = at("/save_error").as_str() {
        page.line(
            "not saved",
            format!("changes of versions are lost when the server ends: {reason}"),
        );
    }
    for compiling in list(at("/compiling")) {
        let seconds = number(&compiling["seconds"]);
        page.line("compiling", format!("{}, {seconds} s", text(&compiling["file"])));
    }
    for listener in list(at("/listeners")) {
        page.listener(text(&listener["url"]), listener["name"].as_str(), listener);
    }
    if at("/admin").is_object() {
        page.listener(text(at("/admin/listen")), Some("admin"), at("/admin"));
    }
    page.line("connections", of_limit(at("/connections/open"), at("/connections/limit")));
    let protocols = at("/sessions/by_protocol").as_object().into_iter().flatten();
    let protocols: Vec<String> = protocols
        .filter(|(_, count)| number(count) > 0)
        .map(|(protocol, count)| format!("{protocol} {count}"))
        .collect();
    let protocols =
        if protocols.is_empty() { String::new() } else { format!(" ({})", protocols.join(", ")) };
    page.line("sessions", format!("{}{protocols}", at("/sessions/open")));
    let rate = |key: &str| number(&at("/rates")[key]);
    page.line(
        "messages",
        format!(
            "{} in, {} out per second ({} in, {} out since the start)",
            rate("messages_in"),
            rate("messages_out"),
            number(at("/traffic/messages_in")),
            number(at("/traffic/messages_out")),
        ),
    );
    page.line(
        "traffic",
        format!("{} in, {} out per second", size(rate("bytes_in")), size(rate("bytes_out"))),
    );
    page.line("ended", format!("{} since the start", count(number(at("/ended/count")), "session")));
    for realm in list(at("/realms")) {
        let subscriptions = of_limit(&realm["subscriptions"], &realm["subscription_limit"]);
        let sessions = count(number(&realm["sessions"]), "session");
        let name = text(&realm["name"]);
        page.line("realm", format!("{name}: {sessions}, {subscriptions} subscriptions"));
    }
    page.cluster(at("/cluster"));
    for (label, key) in [
        ("instances", "instances"),
        ("outboxes", "outboxes"),
        ("waiting", "waiting"),
        ("incomplete", "incomplete"),
        ("history", "history"),
    ] {
        let memory = &at("/memory")[key];
        let [bytes, limit] = ["bytes", "limit"].map(|key| size(number(&memory[key])));
        page.line(label, format!("{bytes} of {limit}"));
    }
    if let Some(reason) = at("/history/failure").as_str() {
        page.line("history", format!("durable histories have failed: {reason}"));
    }
    page.text.push('\n');
    page.plugins(list(at("/plugins")), number(at("/plugin_count")));
    page.reloads(list(at("/reloads")));
    page.text
}

/// The output, as it grows.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, label: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.text, "{label:<12} {value}");
    }

    /// A listener with its name and its certificates. One without either is the `address`, as a rule.
    fn listener(&mut self, place: &str, name: Option<&str>, listener: &Value) {
        let certificates = list(&listener["certificates"]).iter().map(|certificate| {
            let hosts: Vec<&str> = list(&certificate["hosts"]).iter().map(text).collect();
            let left = certificate["seconds_left"].as_i64().unwrap_or_default();
            let hosts = if hosts.is_empty() { "no host".to_owned() } else { hosts.join(", ") };
            format!("{hosts}; {}", validity(left))
        });
        let parts: Vec<String> = name.map(str::to_owned).into_iter().chain(certificates).collect();
        if !parts.is_empty() {
            self.line("listener", format!("{place} ({})", parts.join("; ")));
        }
    }

    fn settings(&mut self, settings: &Value) {
        let problems = settings.get("problem_count").map_or(0, number);
        if problems > 0 {
            let since = text(&settings["failed_since"]);
            let problems = count(problems, "problem");
            self.line(
                "settings",
                format!("refused since {since}: {problems}; the running ones stay"),
            );
            let first = settings.pointer("/problems/0/text").map_or("", text);
            self.line("", first.lines().next().unwrap_or_default());
        }
        for line in super::settings::restarts(settings) {
            self.line("settings", line);
        }
    }

    fn plugins(&mut self, plugins: &[Value], count: u64) {
        let rows = plugins.iter().map(|plugin| {
            let memory = &plugin["memory"];
            let [used, limit] =
                ["bytes", "limit_per_instance"].map(|key| size(number(&memory[key])));
            let digest = text(&plugin["digest"]);
            let digest = digest.split_once(':').map_or(digest, |(_, digits)| digits);
            let state = match (&plugin["disabled"], &plugin["pinned"]) {
                (Value::Bool(true), _) => "disabled",
                (_, Value::Bool(true)) => "pinned",
                _ => "serving",
            };
            let canary =
                plugin.pointer("/canary/share").map(|share| format!(", canary {}", text(share)));
            let shadow = plugin.pointer("/shadow/differing");
            let shadow = shadow.map(|calls| format!(", shadow {calls} differ"));
            let state =
                format!("{state}{}{}", canary.unwrap_or_default(), shadow.unwrap_or_default());
            [
                text(&plugin["name"]).to_owned(),
                text(&plugin["version"]).to_owned(),
                digest.chars().take(12).collect(),
                state,
                plugin["instances"].to_string(),
                format!("{used} (limit {limit} each)"),
                store(&plugin["store"]),
                queue(&plugin["queue"]),
                plugin.pointer("/circuit_breaker/state").map_or("", text).to_owned(),
                number(&plugin["handler_count"]).to_string(),
                text(&plugin["file"]).to_owned(),
            ]
        });
        let head = [
            "PLUGIN",
            "VERSION",
            "DIGEST",
            "STATE",
            "INSTANCES",
            "MEMORY",
            "STORE",
            "QUEUE",
            "BREAKER",
            "HANDLERS",
            "FILE",
        ];
        self.text.push_str(&table(head, rows.collect()));
        let omitted = count.saturating_sub(plugins.len() as u64);
        if omitted > 0 {
            let _written = writeln!(self.text, "and {} more", self::count(omitted, "plugin"));
        }
    }

    fn reloads(&mut self, reloads: &[Value]) {
        if reloads.is_empty() {
            return;
        }
        self.text.push('\n');
        let rows = reloads.iter().take(MAX_SHOWN_RELOADS).map(|reload| {
            let took = reload["took_seconds"].as_f64().unwrap_or_default();
            let first = reload.pointer("/problems/0/text").map_or("", text);
            [
                text(&reload["at"]).to_owned(),
                text(&reload["cause"]).to_owned(),
                text(&reload["result"]).to_owned(),
                reload["generation"].to_string(),
                format!("{took:.1} s"),
                first.lines().next().unwrap_or_default().to_owned(),
            ]
        });
        let head = ["RELOAD", "CAUSE", "RESULT", "GENERATION", "TOOK", "FIRST PROBLEM"];
        self.text.push_str(&table(head, rows.collect()));
    }
}

/// The size of a store against its quota; plugins without one have no quota.
fn store(store: &Value) -> String {
    match number(&store["limit"]) {
        0 => "none".to_owned(),
        limit => format!("{} of {}", size(number(&store["bytes"])), size(limit)),
    }
}

/// The calls that wait for lanes; the longest queue, if there are several lanes.
fn queue(queue: &Value) -> String {
    let (waiting, lanes) = (number(&queue["waiting"]), list(&queue["lanes"]));
    let longest = lanes.iter().map(number).max().unwrap_or_default();
    if lanes.len() > 1 && waiting > 0 {
        return format!("{waiting} (longest {longest})");
    }
    waiting.to_string()
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

fn of_limit(count: &Value, limit: &Value) -> String {
    format!("{count} of {limit}")
}

/// A number of bytes with its unit.
#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit behind the point")]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size);
    match unit {
        Some((size, unit)) if bytes.is_multiple_of(*size) => format!("{} {unit}", bytes / size),
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_have_units() {
        let sizes = [0, 1023, 1024, 1536, 64 << 20, (1 << 30) + 1].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "64 MiB", "1.0 GiB"]);
        let durations = [0, 59, 61, 3_660, 90_000].map(duration);
        assert_eq!(durations, ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_server_that_says_little_is_shown() {
        let page = page(&serde_json::json!({ "state": "starting", "save_error": null }));
        assert!(page.starts_with("server       starting, version , pid null\n"), "{page}");
        assert!(!page.contains("not saved"), "{page}");
    }

    #[test]
    fn plugins_have_their_store_and_queue() {
        let plugin = |limit: u64, lanes: &[u64]| {
            let waiting: u64 = lanes.iter().sum();
            let store = serde_json::json!({ "bytes": 1536, "limit": limit });
            let queue = serde_json::json!({ "waiting": waiting, "lanes": lanes });
            let plugins = serde_json::json!([{ "name": "a", "store": store, "queue": queue }]);
            page(&serde_json::json!({ "plugins": plugins, "plugin_count": 1 }))
        };
        let shown = plugin(64 << 20, &[7]);
        assert!(shown.contains("1.5 KiB of 64 MiB  7 "), "{shown}");
        let shown = plugin(0, &[7, 2, 0]);
        assert!(shown.contains(" none   9 (longest 7)"), "{shown}");
    }
}
