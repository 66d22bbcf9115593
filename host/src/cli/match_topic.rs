//! `jackfield match DIR TOPIC`: shows the route that matches a topic, and why the others do not.

use std::io::{self, Write};

use jackfield_routing::{Allow, Outcome, Route};
use jackfield_text::Untrusted;
use serde_json::{Map, Value, json};

use crate::generation::no_uri;

use super::inspect::{Inspection, SiteArgs};
use super::routes::{allow_lists, allowed, plugin};
use super::say;
use crate::count::count;

/// Command-line arguments of `jackfield match`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Topic, as a client would name it: `chat/kitchen`, not `chat/{room}`.
    topic: String,
    /// Show why each other route does not match, also if one matches.
    #[arg(long)]
    all: bool,
    /// Print one JSON object, with all routes.
    #[arg(long)]
    json: bool,
}

/// A route that does not serve the topic, and why.
struct Other<'a> {
    route: &'a Route,
    reason: String,
    /// Whether it matches as well, behind another one.
    is_shadowed: bool,
}

/// Prints the matching route and the reasons of the others. Returns true if a route matches.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let inspection = Inspection::of(&args.site);
    for diagnosis in inspection.problems.iter().chain(&inspection.warnings) {
        say(format_args!("{diagnosis}\n"));
    }
    let Some(table) = inspection.routes() else { return Ok(false) };
    let topic = &args.topic;
    let mut matched = None;
    let mut others = Vec::new();
    for (route, outcome) in table.explain(topic) {
        match outcome {
            Outcome::Matched { attributes } => matched = Some((route, attributes)),
            Outcome::Shadowed { by } => {
                let reason = format!("also matches, but `{by}` comes first");
                others.push(Other { route, reason, is_shadowed: true });
            }
            Outcome::Unmatched { reason } => {
                others.push(Other { route, reason, is_shadowed: false });
            }
        }
    }
    let is_matched = matched.is_some();
    if args.json {
        let matched = matched.map(|(route, attributes)| {
            object(route, plugin(&inspection, route), &attributes, &inspection.allow)
        });
        let others: Vec<Value> = others.iter().map(Other::object).collect();
        let found = json!({ "topic": topic, "match": matched, "not_a_uri": no_uri(topic), "others": others });
        writeln!(out, "{}", jackfield_text::json(&found.to_string()))?;
        return Ok(is_matched);
    }
    if let Some((route, attributes)) = matched {
        print_match(topic, route, plugin(&inspection, route), &attributes, out)?;
        let allowed = allowed(route, &inspection.allow);
        let allowed = if allowed == "-" { "all roles" } else { allowed.as_str() };
        writeln!(out, "  allowed     {}", shown(allowed))?;
    } else {
        writeln!(out, "no route matches `{}`", shown(topic))?;
        if inspection.has_unrouted_events {
            let note =
                "its events reach all subscribers, as the configuration has `unrouted: broadcast`";
            writeln!(out, "{note}")?;
        }
    }
    if let Some(reason) = no_uri(topic) {
        let topic = shown(topic);
        writeln!(out, "WAMP v2 and HTTP API clients cannot use the topic `{topic}`: {reason}")?;
    }
    // The reasons of a miss explain a topic that no route matches.
    let all = others.len();
    others.retain(|it| it.is_shadowed || !is_matched || args.all);
    let hidden = all - others.len();
    if !others.is_empty() {
        writeln!(out, "\nother routes:")?;
        let width = others.iter().map(|it| shown(&it.route.name).chars().count()).max();
        let width = width.unwrap_or_default();
        for Other { route, reason, .. } in others {
            let [name, channel] = [&route.name, &route.channel].map(shown);
            writeln!(out, "  {name:width$}  {channel}: {}", shown(reason))?;
        }
    }
    if hidden > 0 {
        let (routes, verb) =
            (count(hidden as u64, "route"), if hidden == 1 { "does" } else { "do" });
        writeln!(out, "\n{routes} {verb} not match; --all shows the reasons")?;
    }
    Ok(is_matched)
}

fn print_match(
    topic: &str,
    route: &Route,
    plugin: Option<&str>,
    attributes: &[(&str, &str)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let Route { name, channel, handler, origin, .. } = route;
    writeln!(out, "`{}` matches the route `{}`", shown(topic), shown(name))?;
    writeln!(out, "  channel     {}", shown(channel))?;
    let handler = shown(&handler.callback);
    match plugin {
        Some(plugin) => writeln!(out, "  handler     {handler} of {}", shown(plugin))?,
        None => writeln!(out, "  handler     {handler}")?,
    }
    writeln!(out, "  declared    {}:{}:{}", shown(&origin.path), origin.line, origin.column)?;
    for (attribute, value) in attributes {
        writeln!(out, "  attribute   {} = {}", shown(attribute), shown(value))?;
    }
    Ok(())
}

fn object(
    route: &Route,
    plugin: Option<&str>,
    attributes: &[(&str, &str)],
    configured: &Allow,
) -> Value {
    let Route { name, channel, handler, origin, .. } = route;
    let attributes: Map<String, Value> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let (allow, allow_from) = allow_lists(route, configured);
    json!({
        "name": name,
        "channel": channel,
        "handler": handler.callback,
        "plugin": plugin,
        "allow": allow,
        "allow_from": allow_from,
        "declared": format!("{}:{}:{}", origin.path, origin.line, origin.column),
        "attributes": attributes,
    })
}

impl Other<'_> {
    fn object(&self) -> Value {
        let Self { route, reason, .. } = self;
        json!({ "name": route.name, "channel": route.channel, "reason": reason })
    }
}

fn shown(text: impl AsRef<str>) -> String {
    Untrusted::new(text.as_ref()).to_string()
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

    const TEXT: &str = "\
user:
    channel: 'user/{id}'
    handler: h
    requirements: { id: '\\d+' }
any:
    channel: 'user/{name}'
    handler: h
";

    /// The output about a topic, and whether a route matches.
    fn output(topic: &str, more: &[&str]) -> (String, bool) {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("websocket_routing.yml"), TEXT).unwrap();
        let path = site.path().display().to_string();
        let mut out = Vec::new();
        let words = [&["match", &path, topic, "--routing-only"], more].concat();
        let found = run(&Line::parse_from(words).args, &mut out).unwrap();
        (String::from_utf8(out).unwrap().replace(&path, "SITE"), found)
    }

    fn check(topic: &str, expect: &str) {
        let (output, found) = output(topic, &[]);
        assert_eq!(output, expect);
        assert_eq!(found, !expect.starts_with("no route"));
    }

    #[test]
    fn prints_one_json_object() {
        let json = |topic| {
            let (output, found) = output(topic, &["--json"]);
            (serde_json::from_str::<Value>(&output).unwrap(), found)
        };
        let user = json!({
            "name": "user",
            "channel": "user/{id}",
            "handler": "h",
            "plugin": null,
            "allow": {},
            "allow_from": {},
            "declared": "SITE/websocket_routing.yml:1:1",
            "attributes": { "id": "7" },
        });
        let any = json!({
            "name": "any",
            "channel": "user/{name}",
            "reason": "also matches, but `user` comes first",
        });
        let both = json!({ "topic": "user/7", "match": user, "not_a_uri": null, "others": [any] });
        assert_eq!(json("user/7"), (both, true));
        let (none, found) = json("x y");
        assert!(!found && none["match"].is_null() && none["not_a_uri"].is_string(), "{none}");
    }

    #[test]
    fn reports_a_topic_that_is_no_uri() {
        check(
            "user/a b",
            "`user/a b` matches the route `any`
  channel     user/{name}
  handler     h
  declared    SITE/websocket_routing.yml:5:1
  attribute   name = a b
  allowed     all roles
WAMP v2 and HTTP API clients cannot use the topic `user/a b`: URIs have no white space

1 route does not match; --all shows the reasons
",
        );
    }

    #[test]
    fn all_reasons_are_shown_on_demand() {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("websocket_routing.yml"), TEXT).unwrap();
        let path = site.path().to_str().unwrap();
        let mut out = Vec::new();
        let line = Line::parse_from(["match", path, "user/ann", "--routing-only", "--all"]);
        assert!(run(&line.args, &mut out).unwrap());
        let output = String::from_utf8(out).unwrap();
        let reason = "other routes:\n  user  user/{id}: segment 2 `ann` does not match";
        assert!(output.contains(reason), "{output}");
    }

    #[test]
    fn names_the_matching_route_and_why_others_do_not_match() {
        check(
            "user/7",
            "`user/7` matches the route `user`
  channel     user/{id}
  handler     h
  declared    SITE/websocket_routing.yml:1:1
  attribute   id = 7
  allowed     all roles

other routes:
  any  user/{name}: also matches, but `user` comes first
",
        );
        check(
            "user/ann/x",
            "no route matches `user/ann/x`

other routes:
  user  user/{id}: segment 2 `ann` does not match `\\d+` of {id}
  any   user/{name}: the topic has 3 segments, the channel 2
",
        );
    }
}
