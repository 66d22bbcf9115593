//! `jackfield rollback PLUGIN [DIGEST]`, `unpin PLUGIN`, `disable PLUGIN` and `enable PLUGIN`: change the
//! version of a plugin in a running server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use hyper::{Method, StatusCode};
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use super::control::{self, ANSWER_TIME, ControlError, PluginControlArgs, Server};
use super::reload::{change, text, wait_time};
use super::say;

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

/// Ends the pin of a plugin.
pub(crate) fn unpin(args: &ChangeArgs, out: &mut dyn Write) -> ExitCode {
    let show = |body: &Value| {
        let plugin = &args.plugin;
        if body["result"] == "unchanged" {
            return format!("{plugin} is not pinned");
        }
        let [version, digest, file] = ["version", "to", "file"].map(|key| text(&body[key]));
        format!("{plugin} is no longer pinned: version {version} ({digest}) of {file} serves")
    };
    args.run("unpin", json!({}), show, out)
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

/// The shadow or the canary that a change is about.
#[derive(Clone, Copy)]
pub(super) struct CandidateDigest<'a> {
    /// Its endpoint: `shadow` or `canary`.
    pub(super) kind: &'static str,
    /// The digest of the command line.
    pub(super) named: Option<&'a str>,
}

/// The path of a page about a plugin.
pub(super) fn page_of(endpoint: &str, plugin: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!("/v1/{endpoint}?{}", query.append_pair("plugin", plugin).finish())
}

impl CandidateDigest<'_> {
    /// Returns the digest for the request: the one of the command line, or else that of the version
    /// that is there now, so that a version that replaces it meanwhile is not changed. `None` if there
    /// is none, or if it is being loaded.
    async fn of(self, server: &Server, plugin: &str) -> Result<Option<String>, ControlError> {
        let Self { kind, named } = self;
        if let Some(named) = named {
            return Ok(Some(named.to_owned()));
        }
        let path = page_of(kind, plugin);
        let answer = server.ask(Method::GET, &path, None, ANSWER_TIME).await?;
        // Without a candidate, the server decides: the change may be one that could not be saved.
        let Ok(answer) = answer.accepted() else { return Ok(None) };
        let digest = |key: &str| answer.body.get(key)?.get("digest")?.as_str().map(str::to_owned);
        Ok(digest(kind).or_else(|| digest("failed")))
    }
}

impl ChangeArgs {
    /// Requests the change of a shadow or a canary, and prints its result.
    pub(super) fn run_on(
        &self,
        candidate: CandidateDigest<'_>,
        action: &str,
        body: Value,
        show: impl Fn(&Value) -> String,
        out: &mut dyn Write,
    ) -> ExitCode {
        control::run(async {
            let server = self.control.find().await?;
            let mut body = body;
            let digest = candidate.of(&server, &self.plugin).await?;
            if let (Value::Object(body), Some(digest)) = (&mut body, digest) {
                body.insert("digest".to_owned(), json!(digest));
            }
            self.request(&server, action, body, show, out).await
        })
    }

    /// Requests the change of an endpoint, whose name is `action`, and prints its result.
    pub(super) fn run(
        &self,
        action: &str,
        body: Value,
        show: impl Fn(&Value) -> String,
        out: &mut dyn Write,
    ) -> ExitCode {
        control::run(async {
            let server = self.control.find().await?;
            self.request(&server, action, body, show, out).await
        })
    }

    async fn request(
        &self,
        server: &Server,
        action: &str,
        mut body: Value,
        show: impl Fn(&Value) -> String,
        out: &mut dyn Write,
    ) -> Result<ExitCode, ControlError> {
        if let Value::Object(body) = &mut body {
            body.insert("plugin".to_owned(), json!(self.plugin));
            body.insert("wait_seconds".to_owned(), json!(self.wait.as_secs()));
        }
        let path = format!("/v1/{action}");
        let (answer, code) = change(server, &path, &body, self.wait).await?;
        if self.control.json() {
            control::written(answer.print(out))?;
            return Ok(code);
        }
        let answer = answer.accepted()?;
        let warnings = answer.body.get("warnings").and_then(Value::as_array);
        for warning in warnings.into_iter().flatten() {
            say(format_args!("warning: {}", Untrusted::new(text(warning))));
        }
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
    }
}

fn problems(body: &Value, action: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let problems = body["problems"].as_array().into_iter().flatten();
    for text in problems.filter_map(|problem| problem.get("text")?.as_str()) {
        writeln!(out, "{text}\n")?;
    }
    writeln!(out, "{action} failed: the site has problems; the versions in service stay")
}
