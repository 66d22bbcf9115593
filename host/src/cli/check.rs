//! `jackfield check DIR`: prints every problem of a site, without serving it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use jackfield_routing::RouteTable;
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use super::inspect::{Inspection, SiteArgs};
use crate::count::count;
use crate::generation::{Generation, PluginEntry};
use crate::signatures::Signed;

/// Command-line arguments of `jackfield check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    site: SiteArgs,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints the problems and warnings, and a summary as the last line. Returns true if there are no
/// problems.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let inspection = Inspection::of(&args.site);
    if args.json {
        let json = json_of(&inspection).to_string();
        writeln!(out, "{}", jackfield_text::json(&json))?;
        return Ok(inspection.problems.is_empty());
    }
    for problem in &inspection.problems {
        writeln!(out, "{problem}\n")?;
    }
    for warning in &inspection.warnings {
        writeln!(out, "{warning}\n")?;
    }
    let site = args.site.site.display();
    match inspection.problems.len() {
        0 => {}
        1 => return writeln!(out, "{site}: 1 problem").map(|()| false),
        count => return writeln!(out, "{site}: {count} problems").map(|()| false),
    }
    if inspection.files == 0 && !inspection.access.has_rules() {
        writeln!(out, "{site}: warning: no websocket_routing.yml in this directory or below\n")?;
    }
    let routes = inspection.routes().map(RouteTable::routes).unwrap_or_default();
    let handlers: BTreeSet<&str> =
        routes.iter().map(|route| route.handler.callback.as_str()).collect();
    let routes = count(routes.len() as u64, "route");
    let handlers = count(handlers.len() as u64, "handler");
    match &inspection.generation {
        Some(generation) => {
            for plugin in generation.plugins() {
                print_signature(plugin, out)?;
            }
            let plugins = count(generation.plugins().len() as u64, "plugin");
            writeln!(out, "{site}: {routes}, {handlers}, {plugins}: ok")?;
        }
        None => writeln!(out, "{site}: {routes}, {handlers} (plugins not checked): ok")?,
    }
    Ok(true)
}

/// Prints the verified signature of a plugin, if the settings need one.
fn print_signature(plugin: &PluginEntry, out: &mut dyn Write) -> io::Result<()> {
    let Some(Signed { key, public, statement, .. }) = plugin.signed() else { return Ok(()) };
    let (file, name) = (Untrusted::new(plugin.file()), Untrusted::new(&statement.plugin));
    let number = statement.number.map(|number| format!(", number {number}")).unwrap_or_default();
    writeln!(out, "{file}: signed for the plugin {name} with the key {key} ({public}){number}")
}

fn json_of(inspection: &Inspection) -> Value {
    let plugins = inspection.generation.iter().flat_map(Generation::plugins).map(|plugin| {
        let signature = plugin.signed().map(|Signed { key, public, statement, .. }| {
            json!({
                "key": key,
                "public_key": public,
                "plugin": statement.plugin,
                "version": statement.version,
                "number": statement.number,
            })
        });
        json!({
            "file": plugin.file(),
            "name": plugin.manifest().name,
            "version": plugin.manifest().version,
            "sha256": plugin.digest().hex().to_string(),
            "signature": signature,
        })
    });
    json!({
        "problems": inspection.problems,
        "warnings": inspection.warnings,
        "routing_files": inspection.files,
        "routes": inspection.routes().map(|routes| routes.routes().len()),
        "plugins_checked": inspection.generation.is_some(),
        "plugins": plugins.collect::<Vec<_>>(),
    })
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

    /// Checks a site with one routing file of this text. `expect` is the whole output, with the
    /// directory as `SITE`.
    fn check(text: &str, flags: &[&str], expect: &str) {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("websocket_routing.yml"), text).unwrap();
        let path = site.path().display().to_string();
        let line = ["check", &path].into_iter().chain(flags.iter().copied());
        let mut out = Vec::new();
        let good = run(&Line::parse_from(line).args, &mut out).unwrap();
        let output = String::from_utf8(out).unwrap().replace(&path, "SITE");
        assert_eq!(output, expect);
        assert_eq!(good, expect.ends_with(": ok\n"), "the summary and the exit code agree");
    }

    const GOOD: &str = "a:\n    channel: a\n    handler: b\n";

    #[test]
    fn the_last_line_is_a_summary() {
        check("", &[], "SITE: 0 routes, 0 handlers, 0 plugins: ok\n");
        let alone = "SITE: 1 route, 1 handler (plugins not checked): ok\n";
        check(GOOD, &["--routing-only"], alone);
    }

    #[test]
    fn prints_one_json_object() {
        let json = |text: &str| {
            let site = tempfile::tempdir().unwrap();
            std::fs::write(site.path().join("websocket_routing.yml"), text).unwrap();
            let line = ["check", site.path().to_str().unwrap(), "--json"];
            let mut out = Vec::new();
            let good = run(&Line::parse_from(line).args, &mut out).unwrap();
            let json: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(good, json["problems"] == json!([]));
            json
        };
        let good = json("");
        assert_eq!(good["plugins_checked"], true, "{good}");
        let bad = json(GOOD);
        assert!(bad["problems"][0].as_str().unwrap().contains("no plugin provides"), "{bad}");
    }

    #[test]
    fn every_diagnosis_begins_with_its_place() {
        let output = "\
SITE/websocket_routing.yml:3:14: error: no plugin provides the handler `b`
  |
3 |     handler: b
  |              ^
  = help: the site has no plugins; put the .wasm file of the plugin beside the routing file

SITE: 1 problem
";
        check(GOOD, &[], output);
    }
}
