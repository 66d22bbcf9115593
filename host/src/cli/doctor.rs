//! `jackfield doctor [DIR]`: one page about an installation: settings, folders, exposure, limits, the
//! port, the running server, and the public URL. Nothing is changed.
//!
//! Exit codes: 0 no problems, perhaps warnings; 1 problems; 2 usage.

mod exposure;
mod finding;
mod folders;
mod machine;
mod process;
mod public_url;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyper::Method;
use jackfield_config::{Config, Opening, Settings};
use serde_json::Value;

use super::config_args::SettingsArgs;
use super::control::{self, ControlError};
use super::{remote, say};
use finding::{Finding, Report, plural};
use machine::RunningServer;
use process::Process;
use public_url::PublicUrl;

/// The exit code for wrong arguments.
const USAGE: u8 = 2;

/// Command-line arguments of `jackfield doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// URL to which pages connect, such as wss://example.com/ws: checks its name, its certificate, the
    /// proxy and the clock.
    #[arg(long)]
    url: Option<String>,
    /// PEM file of CA certificates to verify a wss:// URL with [default: those of the operating system].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the findings as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Examines the installation, and prints the findings.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        let url = match public_url(args) {
            Ok(url) => url,
            Err(error) => {
                say(format_args!("error: {error}"));
                return Ok(ExitCode::from(USAGE));
            }
        };
        let report = Report::new(examine(args, url.as_ref()).await);
        let text = if args.json {
            let json = report.json().to_string();
            format!("{}\n", jackfield_text::json(&json))
        } else {
            report.page()
        };
        out.write_all(text.as_bytes()).map_err(ControlError::Output)?;
        Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn public_url(args: &Args) -> Result<Option<PublicUrl>, String> {
    let Some(url) = &args.url else { return Ok(None) };
    let authorities = match &args.ca {
        Some(path) => Some(remote::read_authorities("--ca", path)?),
        None => None,
    };
    let url = PublicUrl::parse(url, authorities).map_err(|error| format!("--url: {error}"))?;
    Ok(Some(url))
}

async fn examine(args: &Args, url: Option<&PublicUrl>) -> Vec<Finding> {
    let Args { site, settings, .. } = args;
    let found = settings.find(site);
    let config = found.config.clone();
    let ServerFindings { mut findings, running, is_denied } = server(site, settings).await;
    let process = running.as_ref().and_then(|running| Process::server(running.pid));
    if running.is_some() && process.is_none() {
        findings.push(Finding::unchecked(
            "process",
            "the process of the server cannot be examined, so this command stands for it",
            "run the command as root or as the server's user, in the server's container",
        ));
    }
    let process = process.unwrap_or_else(Process::own);
    findings.extend([
        settings_of(&found, &config, process.is_server),
        folders::site(site),
        folders::cache(&config, &process),
        folders::data(&config, site, &process),
        exposure::secrets(&found),
        exposure::writers(&found, site),
        exposure::clients(&config),
        exposure::admin(&config),
        machine::open_files(&config, &process),
        machine::queue(),
    ]);
    findings.extend(exposure::certificates(&config));
    findings.extend(machine::ports(&config, running.as_ref(), is_denied).await);
    // As another user, the port may be that of the running server.
    findings.extend(machine::admin_port(&config, running.as_ref()).filter(|_| !is_denied));
    match url {
        Some(url) => findings.extend(url.examine().await),
        None => findings.push(Finding::unchecked(
            "url",
            "name, certificate, proxy and clock are not checked",
            "pass the URL of pages: --url wss://HOST/ws",
        )),
    }
    findings
}

/// The running server of the site, as far as this user can see it.
struct ServerFindings {
    findings: Vec<Finding>,
    running: Option<RunningServer>,
    /// Whether there may be one that this user may not ask.
    is_denied: bool,
}

impl ServerFindings {
    /// No server that can be asked, with the reason.
    fn none(reason: Option<Finding>, is_denied: bool) -> Self {
        let own = Finding::good("version", env!("CARGO_PKG_VERSION"));
        let findings = std::iter::once(own).chain(reason).collect();
        Self { findings, running: None, is_denied }
    }
}

/// Asks the running server of the site, if there is one.
async fn server(site: &Path, settings: &SettingsArgs) -> ServerFindings {
    const CHECK: &str = "control";
    let status = async {
        let server = control::find(site, settings).await?;
        let answer = server.ask(Method::GET, "/v1/status", None, control::ANSWER_TIME).await?;
        Ok::<Value, ControlError>(answer.body)
    };
    let error = match status.await {
        Ok(status) => match RunningServer::of(&status) {
            Some(running) => {
                let findings = vec![running.version(), running.control()];
                return ServerFindings { findings, running: Some(running), is_denied: false };
            }
            None => ControlError::Refused("the control socket does not answer as expected".into()),
        },
        Err(error) => error,
    };
    match error {
        ControlError::Unreachable(text) => {
            let mut lines = text.lines().map(str::trim);
            let message = lines.next().unwrap_or_default();
            // The paths are between the first line and the help.
            let is_denied = text.contains("permission denied");
            let help = text.rsplit_once("= help: ").map_or("start the server", |(_, help)| help);
            let finding = if is_denied {
                Finding::problem(CHECK, format!("{message}: permission denied"), help)
            } else {
                Finding::warning(CHECK, message, help)
            };
            ServerFindings::none(Some(finding), is_denied)
        }
        // They are reported as those of the settings.
        ControlError::Settings(_) => ServerFindings::none(None, false),
        ControlError::Refused(text) => {
            let finding = Finding::problem(CHECK, text, "restart the server");
            ServerFindings::none(Some(finding), false)
        }
        ControlError::Output(error) => {
            let finding = Finding::problem(CHECK, error.to_string(), "run the command again");
            ServerFindings::none(Some(finding), false)
        }
    }
}

/// The settings, and the secrets that they refer to.
fn settings_of(found: &Settings, config: &Config, is_served: bool) -> Finding {
    const CHECK: &str = "settings";
    let first = |problems: &[String]| problems.first().map_or("", |it| it.as_str()).to_owned();
    let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let texts: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    if !texts.is_empty() {
        let count = plural(texts.len(), "problem");
        let message = format!("{count}: {}", line(&first(&texts)));
        return Finding::problem(CHECK, message, "`jackfield check` shows all of them");
    }
    let Opening { problems, absent, .. } = found.open();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if !texts.is_empty() {
        let help = "`jackfield serve` would end with this error";
        return Finding::problem(CHECK, line(&first(&texts)), help);
    }
    let texts: Vec<String> = absent.iter().map(ToString::to_string).collect();
    // The running server has them: they may be for its process alone.
    if !texts.is_empty() && !is_served {
        return Finding::warning(
            CHECK,
            line(&first(&texts)),
            "run the command with the environment and as the user of the server",
        );
    }
    let file = found.file().map_or_else(
        || "the defaults, as there is no configuration file".to_owned(),
        |file| jackfield_text::Untrusted::new(file.display()).to_string(),
    );
    let places: Vec<String> = config.all_listeners().map(|it| it.place.to_string()).collect();
    Finding::good(CHECK, format!("{file}; listen: {}", places.join(", ")))
}
