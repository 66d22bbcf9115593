//! `jackfield match DIR TOPIC`: shows the route that matches a topic, and why the others do not.

use std::io::{self, Write};

use jackfield_routing::{Outcome, Route};
use jackfield_text::Untrusted;

use crate::generation::no_uri;

use super::inspect::{Inspection, SiteArgs};
use super::routes::plugin;
use super::say;

/// Command-line arguments of `jackfield match`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Topic, as a client would name it: `chat/kitchen`, not `chat/{room}`.
    topic: String,
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
    let mut is_matched = false;
    let mut others = Vec::new();
    for (route, outcome) in table.explain(topic) {
        match outcome {
            Outcome::Matched { attributes } => {
                is_matched = true;
                print_match(topic, route, plugin(&inspection, route), &attributes, out)?;
            }
            Outcome::Shadowed { by } => {
                others.push((route, format!("also matches, but `{by}` comes first")));
            }
            Outcome::Unmatched { reason } => others.push((route, reason)),
        }
    }
    if !is_matched {
        writeln!(out, "no route matches `{}`", shown(topic))?;
    }
    if let Some(reason) = no_uri(topic) {
        let topic = shown(topic);
        writeln!(out, "WAMP v2 and HTTP API clients cannot use the topic `{topic}`: {reason}")?;
    }
    if !others.is_empty() {
        writeln!(out, "\nother routes:")?;
        let width = others.iter().map(|(route, _)| shown(&route.name).chars().count()).max();
        let width = width.unwrap_or_default();
        for (route, reason) in others {
            let [name, channel] = [&route.name, &route.channel].map(shown);
            writeln!(out, "  {name:width$}  {channel}: {}", shown(reason))?;
        }
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

    fn check(topic: &str, expect: &str) {
        let site = tempfile::tempdir().unwrap();
        let text = TEXT;
        std::fs::write(site.path().join("websocket_routing.yml"), text).unwrap();
        let path = site.path().display().to_string();
        let mut out = Vec::new();
        let line = Line::parse_from(["match", &path, topic, "--routing-only"]);
        let found = run(&line.args, &mut out).unwrap();
        let output = String::from_utf8(out).unwrap().replace(&path, "SITE");
        assert_eq!(output, expect);
        assert_eq!(found, !expect.starts_with("no route"));
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
WAMP v2 and HTTP API clients cannot use the topic `user/a b`: URIs have no white space

other routes:
  user  user/{id}: segment 2 `a b` does not match `\\d+` of {id}
",
        );
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
