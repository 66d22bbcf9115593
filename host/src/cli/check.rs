//! `jackfield check DIR`: every mistake of a site with its place, without serving it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use jackfield_routing::RouteTable;

use super::inspect::{Judgement, SiteArgs};

/// What `jackfield check` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    site: SiteArgs,
}

/// Prints what is wrong, and a summary as the last line. True if nothing is wrong.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let judgement = Judgement::of(&args.site);
    for problem in &judgement.problems {
        writeln!(out, "{problem}\n")?;
    }
    for warning in &judgement.warnings {
        writeln!(out, "{warning}\n")?;
    }
    let site = args.site.site.display();
    match judgement.problems.len() {
        0 => {}
        1 => return writeln!(out, "{site}: 1 problem").map(|()| false),
        count => return writeln!(out, "{site}: {count} problems").map(|()| false),
    }
    if judgement.files == 0 {
        writeln!(out, "{site}: warning: there is no websocket_routing.yml below it\n")?;
    }
    let routes = judgement.routes().map(RouteTable::routes).unwrap_or_default();
    let handlers: BTreeSet<&str> =
        routes.iter().map(|route| route.handler.callback.as_str()).collect();
    let routes = count(routes.len(), "route");
    let handlers = count(handlers.len(), "handler");
    match &judgement.generation {
        Some(generation) => {
            let plugins = count(generation.plugins().len(), "plugin");
            writeln!(out, "{site}: {routes}, {handlers}, {plugins}: ok")?;
        }
        None => writeln!(out, "{site}: {routes}, {handlers} (plugins were not looked at): ok")?,
    }
    Ok(true)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
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

    /// `files` is one file's text; expects the whole answer, with the site as `SITE`.
    fn check(text: &str, flags: &[&str], expect: &str) {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("websocket_routing.yml"), text).unwrap();
        let path = site.path().display().to_string();
        let line = ["check", &path].into_iter().chain(flags.iter().copied());
        let mut out = Vec::new();
        let good = run(&Line::parse_from(line).args, &mut out).unwrap();
        let said = String::from_utf8(out).unwrap().replace(&path, "SITE");
        assert_eq!(said, expect);
        assert_eq!(good, expect.ends_with(": ok\n"), "what is said and the exit code agree");
    }

    const GOOD: &str = "a:\n    channel: a\n    handler: b\n";

    #[test]
    fn the_last_line_is_a_summary() {
        check("", &[], "SITE: 0 routes, 0 handlers, 0 plugins: ok\n");
        let alone = "SITE: 1 route, 1 handler (plugins were not looked at): ok\n";
        check(GOOD, &["--routing-only"], alone);
    }

    #[test]
    fn every_diagnosis_begins_with_its_place() {
        let said = "\
SITE/websocket_routing.yml:3:14: error: no plugin of the site offers `b`
  |
3 |     handler: b
  |              ^
  = help: the site has no plugins; put the .wasm that offers it beside the routing file

SITE: 1 problem
";
        check(GOOD, &[], said);
    }
}
