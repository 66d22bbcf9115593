//! `jackfield rollback PLUGIN [DIGEST]`, `disable PLUGIN` and `enable PLUGIN`: change the version of a
//! plugin in a running server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::control::{self, PluginControlArgs};
use super::reload::{change, wait_time};

/// Command-line arguments of `jackfield rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Digest of the version, or its beginning [default: the version before the present one].
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
}

/// Command-line arguments of the commands that change a plugin.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Name of the plugin.
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: String,
    /// Maximum time to wait for the result, up to 10m. The change itself goes on.
    #[arg(long, value_parser = wait_time, default_value = "60s")]
    wait: Duration,
    #[command(flatten)]
    pub(super) control: PluginControlArgs,
}

/// Returns to an earlier version.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let Args { change, digest } = args;
    let show = |body: &Value| {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{} is rolled back: version {} ({}) serves until {} changes",
            text("plugin"),
            text("version"),
            text("to"),
            text("file")
        )
    };
    change.run("rollback", json!({ "digest": digest }), show, out)
}

/// Disables or enables a plugin.
pub(crate) fn set_enabled(args: &ChangeArgs, is_enabled: bool, out: &mut dyn Write) -> ExitCode {
    let action = if is_enabled { "enable" } else { "disable" };
    let show = |body: &Value| {
        let already = if body["result"] == "unchanged" { " already" } else { "" };
        let until = if body["survives_restart"] == false && body["save_error"].is_null() {
            "; the server has no data folder, so this holds until it ends"
        } else {
            ""
        };
        format!("{} is{already} {action}d{until}", args.plugin)
    };
    args.run(action, json!({}), show, out)
}

impl ChangeArgs {
    /// Requests the change of an endpoint, whose name is `action`, and prints its result.
    pub(super) fn run(
        &self,
        action: &str,
        mut body: Value,
        show: impl Fn(&Value) -> String,
        out: &mut dyn Write,
    ) -> ExitCode {
        control::run(async {
            let server = self.control.find().await?;
            if let Value::Object(body) = &mut body {
                body.insert("plugin".to_owned(), json!(self.plugin));
                body.insert("wait_seconds".to_owned(), json!(self.wait.as_secs()));
            }
            let path = format!("/v1/{action}");
            let (answer, code) = change(&server, &path, &body, self.wait).await?;
            if self.control.json() {
                control::written(answer.print(out))?;
                return Ok(code);
            }
            let answer = answer.accepted()?;
            let written = match answer.status {
                StatusCode::OK => writeln!(out, "{}", show(&answer.body)),
                StatusCode::ACCEPTED => writeln!(
                    out,
                    "the {action} goes on after {} s; `jackfield status` has its result",
                    self.wait.as_secs()
                ),
                _ => problems(&answer.body, action, out),
            };
            control::written(written)?;
            Ok(code)
        })
    }
}

fn problems(body: &Value, action: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let problems = body["problems"].as_array().into_iter().flatten();
    for text in problems.filter_map(|problem| problem.get("text")?.as_str()) {
        writeln!(out, "{text}\n")?;
    }
    writeln!(out, "{action} failed: the site has problems; the versions in service stay")
}
