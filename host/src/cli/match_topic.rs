//! `jackfield match DIR TOPIC`: shows the route that matches a topic, and why the others do not.

use std::io::{self, Write};

use jackfield_config::Rule;
use jackfield_routing::{Action, Outcome, RestrictionOrigin, Route};
use jackfield_text::Untrusted;
use jackfield_wamp::uri::{MatchPolicy, is_reserved};
use serde_json::{Map, Value, json};

use crate::generation::{AccessLists, RealmUri, no_uri, rule_json};

use super::inspect::{Inspection, SiteArgs};
use super::routes::{allowed, plugin};
use super::say;
use crate::count::count;

/// Command-line arguments of `jackfield match`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Topic, as a client would name it: `chat/kitchen`, not `chat/{room}`.
    topic: String,
    /// Realm of the topic, for `rules` of one realm [default: the first realm].
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
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

/// Prints the matching route and the reasons of the others. Returns true if a route or a rule
/// matches.
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
    let realm = args.realm.as_ref().or(inspection.realms.first()).map_or("", String::as_str);
    if !inspection.realms.iter().any(|it| it == realm) {
        let names = inspection.realms.join(", ");
        say(format_args!(
            "error: there is no realm `{}`\n  = help: realms: {}",
            shown(realm),
            shown(&names)
        ));
        return Ok(false);
    }
    let unrouted = Unrouted::of(&inspection, RealmUri { realm, uri: topic });
    let mut matched = None;
    let mut others = Vec::new();
    for (route, outcome) in table.explain(topic) {
        match outcome {
            Outcome::Matched { .. } if is_reserved(topic) => {
                let reason = "matches, but topics of the router itself have no route".to_owned();
                others.push(Other { route, reason, is_shadowed: true });
            }
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
    let is_served = is_matched || unrouted.as_ref().is_some_and(|it| it.rule.is_some());
    if args.json {
        let matched = matched.map(|(route, attributes)| {
            object(
                route,
                plugin(&inspection, route),
                &attributes,
                inspection.access.of_route(route),
            )
        });
        let others: Vec<Value> = others.iter().map(Other::object).collect();
        let unrouted = unrouted.as_ref().filter(|_| !is_matched).map(Unrouted::object);
        let found = json!({
            "topic": topic,
            "match": matched,
            "not_a_uri": no_uri(topic),
            "unrouted": unrouted,
            "others": others,
        });
        writeln!(out, "{}", jackfield_text::json(&found.to_string()))?;
        return Ok(is_served);
    }
    if let Some((route, attributes)) = matched {
        print_match(topic, route, plugin(&inspection, route), &attributes, out)?;
        print_allowed(&allowed(inspection.access.of_route(route)), out)?;
        print_schemas(route, out)?;
    } else if let Some(Unrouted { rule, lists }) = &unrouted {
        match rule {
            Some(rule) => writeln!(out, "{}", shown_rule(topic, rule))?,
            None => writeln!(
                out,
                "no route matches `{}`, and the configuration has `unrouted: broadcast`: its events reach all \
                 subscribers",
                shown(topic)
            )?,
        }
        print_allowed(&allowed(*lists), out)?;
        let authorizer = rule.and_then(|it| it.authorizer.as_ref());
        authorizer.map_or(Ok(()), |it| writeln!(out, "  authorizer  {}", shown(it)))?;
    } else {
        writeln!(out, "no route matches `{}`, and no rule: it is refused", shown(topic))?;
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
    Ok(is_served)
}

/// The access to a topic without a route.
struct Unrouted<'a> {
    /// The rule that matches.
    rule: Option<&'a Rule>,
    /// Its roles, or those of `unrouted: broadcast`.
    lists: AccessLists<'a>,
}

impl<'a> Unrouted<'a> {
    /// Returns `None` if the topic is refused.
    fn of(inspection: &'a Inspection, topic: RealmUri<'_>) -> Option<Self> {
        let access = &inspection.access;
        Some(Self { rule: access.rule(topic), lists: access.of_unrouted(topic)? })
    }

    fn object(&self) -> Value {
        let rule = self.rule.map(rule_json);
        let (allow, allow_from) = self.lists.json("rule");
        json!({ "rule": rule, "allow": allow, "allow_from": allow_from })
    }
}

fn shown_rule(topic: &str, rule: &Rule) -> String {
    let Rule { uri, policy, realm, .. } = rule;
    let pattern = match (uri.as_str(), policy) {
        ("", MatchPolicy::Prefix) => "of all topics".to_owned(),
        _ => format!("`{}` (match: {})", shown(uri), policy.name()),
    };
    let realm = realm.as_ref().map_or(String::new(), |it| format!(" of the realm {}", shown(it)));
    format!(
        "`{}` has no route; the rule {pattern}{realm} of the configuration applies",
        shown(topic)
    )
}

fn print_allowed(allowed: &str, out: &mut dyn Write) -> io::Result<()> {
    let allowed = if allowed == "-" { "all roles" } else { allowed };
    writeln!(out, "  allowed     {}", shown(allowed))
}

fn print_schemas(route: &Route, out: &mut dyn Write) -> io::Result<()> {
    let schemas: Vec<&str> = route.schemas.actions().map(Action::key).collect();
    if schemas.is_empty() {
        return Ok(());
    }
    writeln!(out, "  schema      {}", schemas.join(", "))
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
    lists: AccessLists<'_>,
) -> Value {
    let Route { name, channel, handler, origin, .. } = route;
    let attributes: Map<String, Value> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let (allow, allow_from) = lists.json(RestrictionOrigin::Route.key());
    let schemas: Vec<&str> = route.schemas.actions().map(Action::key).collect();
    json!({
        "name": name,
        "channel": channel,
        "handler": handler.callback,
        "plugin": plugin,
        "allow": allow,
        "allow_from": allow_from,
        "schema": schemas,
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
    schema: {}
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
            "schema": ["publish", "call"],
            "declared": "SITE/websocket_routing.yml:1:1",
            "attributes": { "id": "7" },
        });
        let any = json!({
            "name": "any",
            "channel": "user/{name}",
            "reason": "also matches, but `user` comes first",
        });
        let both = json!({
            "topic": "user/7",
            "match": user,
            "not_a_uri": null,
            "unrouted": null,
            "others": [any],
        });
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
  declared    SITE/websocket_routing.yml:6:1
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
  schema      publish, call

other routes:
  any  user/{name}: also matches, but `user` comes first
",
        );
        check(
            "user/ann/x",
            "no route matches `user/ann/x`, and no rule: it is refused

other routes:
  user  user/{id}: segment 2 `ann` does not match `\\d+` of {id}
  any   user/{name}: the topic has 3 segments, the channel 2
",
        );
    }
}
