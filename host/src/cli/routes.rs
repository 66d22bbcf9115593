//! `jackfield routes DIR`: prints the routes of a site in matching order.

use std::io::{self, Write};

use jackfield_routing::{
    Action, History, Restriction, RestrictionOrigin, Route, RouteTable, SlowSubscriber,
};
use jackfield_text::Untrusted;
use serde_json::{Map, Value, json};

use crate::generation::{AccessLists, PluginEntry};

use super::inspect::{Inspection, SiteArgs};
use super::say;
use super::table::{fit, terminal_columns};

/// Command-line arguments of `jackfield routes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Print a JSON array with one object for each route.
    #[arg(long)]
    json: bool,
}

/// Prints the routes, and the problems to stderr. Returns true if there are no problems.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let inspection = Inspection::of(&args.site);
    for problem in &inspection.problems {
        say(format_args!("{problem}\n"));
    }
    let routes = inspection.routes().map(RouteTable::routes).unwrap_or_default();
    let row = |route| {
        let plugin = plugin(&inspection, route);
        Row { route, lists: inspection.access.of_route(route), plugin }
    };
    let rows: Vec<Row<'_>> = routes.iter().map(row).collect();
    if args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        for line in format!("{:#}", Value::Array(rows)).lines() {
            writeln!(out, "{}", jackfield_text::json(line))?;
        }
    } else {
        table(&rows, out)?;
    }
    Ok(inspection.problems.is_empty())
}

/// Returns the file of the plugin that serves the route, if plugins were loaded.
pub(super) fn plugin<'a>(inspection: &'a Inspection, route: &Route) -> Option<&'a str> {
    let plugins = inspection.generation.as_ref()?.plugins();
    let serves =
        |plugin: &&PluginEntry| plugin.manifest().handler(&route.handler.callback).is_some();
    plugins.iter().find(serves).map(PluginEntry::file)
}

/// Formats the roles: `subscribe: member|staff; publish: backend (configuration)`; `-` if no action is
/// restricted.
pub(super) fn allowed(lists: AccessLists<'_>) -> String {
    let shown = lists.restrictions().into_iter().map(|it| {
        let Restriction { action, roles, origin } = it;
        let roles = if roles.is_empty() { "none".to_owned() } else { roles.join("|") };
        let origin = match origin {
            RestrictionOrigin::Route => "",
            RestrictionOrigin::Configuration => " (configuration)",
        };
        format!("{}: {roles}{origin}", action.key())
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join("; ") }
}

/// The recent events that are kept, for programs.
fn history(history: History) -> Value {
    let History { events, age, bytes, on_subscribe, durable } = history;
    json!({
        "events": events,
        "age_seconds": age.as_secs_f64(),
        "bytes": bytes,
        "on_subscribe": on_subscribe,
        "durable": durable,
    })
}

struct Row<'a> {
    route: &'a Route,
    lists: AccessLists<'a>,
    plugin: Option<&'a str>,
}

impl Row<'_> {
    fn cells(&self) -> [String; 6] {
        let Route { name, channel, handler, origin, .. } = self.route;
        [
            name.clone(),
            channel.clone(),
            handler.callback.clone(),
            self.plugin.unwrap_or("-").to_owned(),
            allowed(self.lists),
            format!("{}:{}", origin.path, origin.line),
        ]
        .map(|cell| Untrusted::new(cell).to_string())
    }

    fn json(&self) -> Value {
        let Route { name, channel, handler, requirements, timer, lanes, origin, .. } = self.route;
        let history = self.route.history.map(history);
        let schemas: Vec<&str> = self.route.schemas.actions().map(Action::key).collect();
        let slow_subscriber = self.route.slow_subscriber.map(SlowSubscriber::key);
        let (allow, allow_from) = self.lists.json(RestrictionOrigin::Route.key());
        let requirements: Map<String, Value> =
            requirements.iter().map(|(name, pattern)| (name.clone(), json!(pattern))).collect();
        json!({
            "name": name,
            "channel": channel,
            "handler": handler.callback,
            "args": handler.args,
            "plugin": self.plugin,
            "requirements": requirements,
            "allow": allow,
            "allow_from": allow_from,
            "timer_seconds": timer.and_then(|it| it.every).map(|every| every.as_secs_f64()),
            "timer_from": timer.map(|it| it.from.key()),
            "lanes": lanes.get(),
            "slow_subscriber": slow_subscriber,
            "history": history,
            "schema": schemas,
            "file": origin.path,
            "line": origin.line,
            "column": origin.column,
        })
    }
}

fn table(rows: &[Row<'_>], out: &mut dyn Write) -> io::Result<()> {
    let head = ["NAME", "CHANNEL", "HANDLER", "PLUGIN", "ALLOW", "FILE"].map(str::to_owned);
    let lines: Vec<[String; 6]> =
        std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let lines = fit(lines, terminal_columns());
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn names_the_roles_of_the_configuration() {
        let site = tempfile::tempdir().unwrap();
        let routes = "a:\n    channel: a\n    handler: h\n    allow: { publish: [staff] }\n";
        std::fs::write(site.path().join("websocket_routing.yml"), routes).unwrap();
        let settings = site.path().join("settings.yml");
        std::fs::write(&settings, "allow: { publish: [user], register: [backend] }\n").unwrap();
        let [path, settings] = [site.path(), &settings].map(|it| it.display().to_string());
        let line = ["routes", &path, "--routing-only", "--config", &settings];
        let mut out = Vec::new();
        assert!(run(&Line::parse_from(line).args, &mut out).unwrap());
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("publish: staff; register: backend (configuration)"), "{text}");
    }

    fn said(flags: &[&str]) -> String {
        let site = tempfile::tempdir().unwrap();
        let text = "\
a:
    channel: 'a/{id}'
    handler: { callback: h, args: { n: 1 } }
    allow: { subscribe: [member, staff], publish: [] }
    timer: 500ms
long.name:
    channel: b
    handler: h
";
        std::fs::write(site.path().join("websocket_routing.yml"), text).unwrap();
        let path = site.path().display().to_string();
        let line = ["routes", &path, "--routing-only"].into_iter().chain(flags.iter().copied());
        let mut out = Vec::new();
        assert!(run(&Line::parse_from(line).args, &mut out).unwrap());
        String::from_utf8(out).unwrap().replace(&path, "SITE")
    }

    #[test]
    fn prints_routes_as_a_table() {
        let table = "\
NAME       CHANNEL  HANDLER  PLUGIN  ALLOW                                   FILE
a          a/{id}   h        -       subscribe: member|staff; publish: none  \
SITE/websocket_routing.yml:1
long.name  b        h        -       -                                       \
SITE/websocket_routing.yml:6
";
        // The width of the last column depends on the site's path alone.
        assert_eq!(said(&[]), table);
    }

    #[test]
    fn prints_routes_as_json() {
        let rows: Value = serde_json::from_str(&said(&["--json"])).unwrap();
        let Value::Array(rows) = rows else { panic!("{rows}") };
        assert_eq!(rows[0]["args"], json!({ "n": 1 }));
        assert_eq!(rows[0]["timer_seconds"], json!(0.5));
        assert_eq!(rows[0]["timer_from"], json!("subscribe"));
        assert_eq!(rows[1]["timer_from"], Value::Null);
        assert_eq!(rows[0]["allow"], json!({ "subscribe": ["member", "staff"], "publish": [] }));
        assert_eq!(rows[0]["allow_from"], json!({ "subscribe": "route", "publish": "route" }));
        assert_eq!(rows[1]["line"], json!(6));
        assert_eq!(rows[1]["plugin"], Value::Null);
    }
}
