//! `jackfield history [PLUGIN]`: prints the versions of plugins that have served.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::control::{self, PluginControlArgs};
use super::table::table;

/// Command-line arguments of `jackfield history`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin [default: all plugins].
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// Prints the versions, the newest first.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let server = args.control.find().await?;
        let mut path = "/v1/history".to_owned();
        if let Some(plugin) = &args.plugin {
            let mut query = form_urlencoded::Serializer::new(String::new());
            path = format!("{path}?{}", query.append_pair("plugin", plugin).finish());
        }
        control::print_page(&server, &path, args.control.json(), page, out).await
    })
}

fn page(body: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    let mut notes = String::new();
    for plugin in body["plugins"].as_array().into_iter().flatten() {
        let name = text(&plugin["name"]);
        if let Some(since) = plugin["disabled_since"].as_str() {
            // Writing to a string cannot fail.
            let _written = writeln!(notes, "{name} is disabled since {since}");
        }
        let pin = &plugin["pin"];
        if pin.is_object() {
            let (digest, file) = (short(&pin["digest"]), text(&pin["file"]));
            let _written = writeln!(notes, "{name} is pinned to {digest} until {file} changes");
        }
        for version in plugin["versions"].as_array().into_iter().flatten() {
            let until = version["until"].as_str().unwrap_or("in service");
            rows.push([
                name.clone(),
                short(&version["digest"]),
                text(&version["version"]),
                text(&version["since"]),
                until.to_owned(),
                text(&version["ended"]).replace('_', " "),
                if version["kept"] == true { "yes" } else { "no" }.to_owned(),
                text(&version["file"]),
            ]);
        }
    }
    if rows.is_empty() {
        return "no plugin has served yet\n".to_owned();
    }
    let head = ["PLUGIN", "DIGEST", "VERSION", "SINCE", "UNTIL", "ENDED", "KEPT", "FILE"];
    let table = table(head, rows);
    if notes.is_empty() { table } else { format!("{table}\n{notes}") }
}

/// The first characters of a digest.
fn short(digest: &Value) -> String {
    let digest = digest.as_str().unwrap_or_default();
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.chars().take(12).collect()
}
