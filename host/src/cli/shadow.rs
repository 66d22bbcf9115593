//! `jackfield shadow PLUGIN [FILE | --stop]`: runs a new version behind the one in service, and shows
//! how its answers differ.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::canary::{absolute, until};
use super::control;
use super::reload::text;
use super::rollback::{CandidateDigest, ChangeArgs, page_of};
use super::status::size;
use super::table::table;
use crate::count::count;
use crate::versions::word;

/// Command-line arguments of `jackfield shadow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Component of the new version. Without it, the differences are shown.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// End the shadow. A file of the site is no shadow any more until it changes.
    #[arg(long, conflicts_with = "file")]
    stop: bool,
    /// Digest of the shadow, or its beginning, as `jackfield shadow PLUGIN` has shown it, for `--stop`.
    /// Another shadow is not ended.
    #[arg(long, value_name = "DIGEST", requires = "stop")]
    digest: Option<String>,
}

/// Places, ends or shows a shadow.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let Args { change, file, stop, digest } = args;
    let plugin = &change.plugin;
    if *stop {
        let show =
            |body: &Value| format!("the shadow of {plugin} ({}) has ended", text(&body["digest"]));
        let present = CandidateDigest { kind: "shadow", named: digest.as_deref() };
        return change.run_on(present, "shadow/stop", json!({}), show, out);
    }
    let Some(file) = file else { return show(args, out) };
    let file = match absolute(file) {
        Ok(file) => file,
        Err(code) => return code,
    };
    let placed = |body: &Value| {
        let (version, digest) = (text(&body["version"]), text(&body["digest"]));
        let until = until(body);
        format!(
            "version {version} ({digest}) is the shadow of {plugin}: `jackfield shadow {}` has its \
             differences{until}",
            word(plugin)
        )
    };
    change.run("shadow", json!({ "file": file }), placed, out)
}

fn show(args: &Args, out: &mut dyn Write) -> ExitCode {
    let control = &args.change.control;
    control::run(async {
        let server = control.find().await?;
        let path = page_of("shadow", &args.change.plugin);
        control::print_page(&server, &path, control.json(), page, out).await
    })
}

fn page(body: &Value) -> String {
    let plugin = text(&body["plugin"]);
    let mut page = String::new();
    // Writing to a string cannot fail.
    let failed = &body["failed"];
    if failed.is_object() {
        let (source, reason) = (text(&failed["source"]), text(&failed["reason"]));
        let _written = writeln!(page, "{source} cannot be the shadow of {plugin}: {reason}");
    }
    if body["loading"] == true {
        let _written = writeln!(page, "the shadow of {plugin} is being loaded");
    }
    let shadow = &body["shadow"];
    if !shadow.is_object() {
        if page.is_empty() {
            let _written = writeln!(page, "{plugin} has no shadow");
        }
        return page;
    }
    let [version, digest, since, source] =
        ["version", "digest", "since", "source"].map(|key| text(&shadow[key]));
    let _written = writeln!(
        page,
        "version {version} ({digest}) is the shadow of {plugin} since {since}; it was read from {source}"
    );
    let number = |key: &str| shadow[key].as_u64().unwrap_or_default();
    let left_out = shadow["left_out"].as_object().into_iter().flatten();
    let left_out: Vec<String> = left_out
        .filter(|(_, calls)| calls.as_u64() > Some(0))
        .map(|(reason, calls)| format!("{reason} {calls}"))
        .collect();
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
    let _written = writeln!(
        page,
        "calls compared {}, with another outcome {}, faults of the shadow alone {}; left out: \
         {left_out}",
        number("compared"),
        number("differing"),
        number("faults")
    );
    if number("unanswered") > 0 {
        let _written = writeln!(
            page,
            "{} calls asked the host for what the version in service had not asked for, and got \
             nothing",
            number("unanswered")
        );
    }
    for note in shadow["notes"].as_array().into_iter().flatten() {
        let _written = writeln!(page, "note: {}", text(note));
    }
    if let Some(error) = shadow["error"].as_str() {
        let _written = writeln!(page, "its instances cannot be started: {error}");
    }
    let costs = &shadow["cost"];
    let rows =
        [("serving", &costs["serving"]), ("shadow", &costs["shadow"])].map(|(version, cost)| {
            let [mean, max, memory] = ["mean_microseconds", "max_microseconds", "memory_bytes"]
                .map(|key| cost[key].as_u64().unwrap_or_default());
            [version.to_owned(), format!("{mean} µs"), format!("{max} µs"), size(memory)]
        });
    page += "\n";
    page += &table(["VERSION", "MEAN TIME", "LONGEST", "MEMORY"], rows.to_vec());
    for difference in shadow["differences"].as_array().into_iter().flatten() {
        let example = &difference["example"];
        let calls = count(difference["calls"].as_u64().unwrap_or_default(), "call");
        let kind = text(&difference["kind"]);
        let (topic, at) = (text(&example["topic"]), text(&example["at"]));
        let _written = writeln!(page, "\n{kind}: {calls}, such as {topic} at {at}");
        for line in text(&example["diff"]).lines() {
            let _written = writeln!(page, "    {line}");
        }
    }
    if number("unlisted") > 0 {
        let _written = writeln!(page, "\nand {} differences of further kinds", number("unlisted"));
    }
    page
}
