//! `jackfield canary PLUGIN [FILE] [--share SHARE | --stop]` and `jackfield promote PLUGIN [DIGEST] [--force]`: a
//! new version that serves a share of the topics, and later all of them.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::control;
use super::reload::text;
use super::rollback::{CandidateDigest, ChangeArgs, page_of};
use super::say;
use crate::generation::Share;

/// Command-line arguments of `jackfield canary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Component of the new version. Without it, `--share` sets the share of the canary that is
    /// there.
    #[arg(value_name = "FILE", requires = "share")]
    file: Option<PathBuf>,
    /// Share of the plugin's topics that go to the new version, such as 10%.
    #[arg(long, value_name = "SHARE", conflicts_with = "stop")]
    share: Option<Share>,
    /// End the canary: the version in service has all topics again.
    #[arg(long, conflicts_with = "file")]
    stop: bool,
    /// Digest of the canary, or its beginning, as `jackfield canary PLUGIN` has shown it, for `--stop`
    /// and `--share` without FILE. Another canary is not changed.
    #[arg(long, value_name = "DIGEST", conflicts_with = "file")]
    digest: Option<String>,
}

/// Command-line arguments of `jackfield promote`.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Digest of the version, or its beginning, as `jackfield shadow` or `canary` has shown it.
    /// Another version is not promoted. A shadow that is a file of the site
    /// needs at least 12 digits.
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
    /// Promote a version whose signature has a lower number than one that has served, although
    /// `plugins.refuse_downgrades` is set.
    #[arg(long)]
    force: bool,
}

/// Places, changes, ends or shows a canary.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let Args { change, file, share, stop, digest } = args;
    let plugin = &change.plugin;
    let present = CandidateDigest { kind: "canary", named: digest.as_deref() };
    if *stop {
        let show = |body: &Value| {
            let (version, digest) = (text(&body["version"]), text(&body["digest"]));
            format!("the canary of {plugin}, version {version} ({digest}), has ended")
        };
        return change.run_on(present, "canary/stop", json!({}), show, out);
    }
    let Some(share) = share else { return show(args, out) };
    let file = match file.as_deref().map(absolute).transpose() {
        Ok(file) => file,
        Err(code) => return code,
    };
    let placed = |body: &Value| {
        let (version, digest) = (text(&body["version"]), text(&body["digest"]));
        let until = until(body);
        format!("version {version} ({digest}) serves {share} of the topics of {plugin}{until}")
    };
    let body = json!({ "file": file, "share": share.to_string() });
    if file.is_some() {
        change.run("canary", body, placed, out)
    } else {
        change.run_on(present, "canary", body, placed, out)
    }
}

/// Makes the shadow or the canary of a plugin serve.
pub(crate) fn promote(args: &PromoteArgs, out: &mut dyn Write) -> ExitCode {
    let PromoteArgs { change, digest, force } = args;
    let promoted = |body: &Value| {
        let [plugin, version, digest, file] =
            ["plugin", "version", "to", "file"].map(|key| text(&body[key]));
        let until = until(body);
        format!(
            "{plugin} is promoted: version {version} ({digest}) serves until {file} changes{until}"
        )
    };
    change.run("promote", json!({ "digest": digest, "force": force }), promoted, out)
}

fn show(args: &Args, out: &mut dyn Write) -> ExitCode {
    let control = &args.change.control;
    control::run(async {
        let server = control.find().await?;
        let path = page_of("canary", &args.change.plugin);
        control::print_page(&server, &path, control.json(), page, out).await
    })
}

fn page(body: &Value) -> String {
    let plugin = text(&body["plugin"]);
    let canary = &body["canary"];
    let mut page = if canary.is_object() {
        let [version, digest, share, since, source] =
            ["version", "digest", "share", "since", "source"].map(|key| text(&canary[key]));
        let state =
            if canary["serves"] == true { "serves" } else { "will serve, once it is loaded," };
        format!(
            "version {version} ({digest}) {state} {share} of the topics of {plugin} since {since}, {} \
             faults; it was read from {source}\n",
            canary["faults"]
        )
    } else {
        format!("{plugin} has no canary\n")
    };
    let ended = &body["ended"];
    if ended.is_object() {
        let [version, share, at, reason] =
            ["version", "share", "at", "reason"].map(|key| text(&ended[key]));
        let reason = reason.replace('_', " ");
        // Writing to a string cannot fail.
        let _written =
            writeln!(page, "the last one, version {version} at {share}, was {reason} at {at}");
    }
    page
}

/// The absolute path of a file for the server, which has another working directory.
///
/// # Errors
/// The exit code, after a message.
pub(super) fn absolute(file: &Path) -> Result<String, ExitCode> {
    let failed = |reason: &dyn std::fmt::Display| {
        say(format_args!("error: failed to find {}: {reason}", file.display()));
        ExitCode::FAILURE
    };
    let path = std::path::absolute(file).map_err(|error| failed(&error))?;
    let path = path.into_os_string().into_string();
    path.map_err(|_path| failed(&"the path is not valid UTF-8"))
}

/// A note for a server without a data folder.
pub(super) fn until(body: &Value) -> &'static str {
    if body["survives_restart"] == false && body["save_error"].is_null() {
        "; the server has no data folder, so this holds until it ends"
    } else {
        ""
    }
}
