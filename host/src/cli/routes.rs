//! `jackfield routes DIR`: prints the routes of a site in matching order.

use std::io::{self, Write};

use jackfield_routing::{Action, Route, RouteTable};
use jackfield_text::Untrusted;
use serde_json::{Map, Value, json};

use crate::generation::PluginEntry;

use super::inspect::{Inspection, SiteArgs};
use super::say;

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
    let rows: Vec<Row<'_>> =
        routes.iter().map(|route| Row { route, plugin: plugin(&inspection, route) }).collect();
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

struct Row<'a> {
    route: &'a Route,
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
            self.allow(),
            format!("{}:{}", origin.path, origin.line),
        ]
        .map(|cell| Untrusted::new(cell).to_string())
    }

    /// Formats the roles: `subscribe: member|staff; publish: none`, or `-` if no action is
    /// restricted.
    fn allow(&self) -> String {
        let restricted: Vec<String> = Action::ALL
            .into_iter()
            .filter_map(|action| {
                let roles = self.route.allow.roles(action)?;
                let roles = if roles.is_empty() { "none".to_owned() } else { roles.join("|") };
                Some(format!("{}: {roles}", action.key()))
            })
            .collect();
        if restricted.is_empty() { "-".to_owned() } else { restricted.join("; ") }
    }

    fn json(&self) -> Value {
        let Route { name, channel, handler, requirements, timer, lanes, origin, .. } = self.route;
        let allow: Map<String, Value> = Action::ALL
            .into_iter()
            .filter_map(|action| {
                Some((action.key().to_owned(), json!(self.route.allow.roles(action)?)))
            })
            .collect();
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
            "timer_seconds": timer.and_then(|it| it.every).map(|every| every.as_secs_f64()),
            "timer_from": timer.map(|it| it.from.key()),
            "lanes": lanes.get(),
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
        assert_eq!(rows[1]["line"], json!(6));
        assert_eq!(rows[1]["plugin"], Value::Null);
    }
}
