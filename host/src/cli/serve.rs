//! `jackfield serve DIR`: serves a site until the process is asked to end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tracing::info;

use crate::config::Config;
use crate::http::Demo;
use crate::log;
use crate::server::{self, ServeError};
use crate::signals::Signals;
use crate::site::Site;

use super::say;
use super::settings::SettingsArgs;

/// How long work that blocks a thread may take to end once everything else has.
const LINGER: Duration = Duration::from_secs(1);

/// What `jackfield serve` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site: a directory of bundles, each with a websocket_routing.yml and/or .wasm files.
    #[arg(value_name = "DIR")]
    site: PathBuf,
    /// Where to listen, instead of what the configuration says; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = crate::config::listen_address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Serve the page of the demo at /demo/. Not for production: whoever opens it publishes.
    #[arg(long)]
    demo: bool,
}

/// Serves until asked to end. Mistakes of the site go to stderr, each with its place.
pub fn run(args: Args) -> ExitCode {
    let Args { site, listen, settings, demo } = args;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // First of all: from here on, a signal means what it means while the server serves.
    let signals = match runtime.block_on(async { Signals::receive() }) {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let below = site.clone();
    // Files of settings may be on a file system that does not answer.
    let finding = runtime.spawn_blocking(move || find(&settings, &below));
    let mut config = match runtime.block_on(signals.stop.or(finding)) {
        Some(Ok(Ok(config))) => config,
        Some(Ok(Err(code))) => return code,
        Some(Err(error)) => return fail(&error),
        None => {
            runtime.shutdown_background();
            return ExitCode::SUCCESS;
        }
    };
    config.listen = listen.unwrap_or(config.listen);
    let demo = if demo { Demo::On } else { Demo::Off };
    // Lines that wait are written when the guard is dropped, at the end.
    let _log = match log::start(config.log.format) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let mut stdout = std::io::stdout();
    let served =
        runtime.block_on(server::serve(Site::new(site), config, demo, signals, &mut stdout));
    // A thread that waits for a file system that does not answer holds up nobody.
    runtime.shutdown_timeout(LINGER);
    match served {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            if let ServeError::Site(problems) = &error {
                for problem in problems {
                    say(problem);
                }
            }
            fail(&error)
        }
    }
}

/// The settings, if a server can start with them. What is wrong with them goes to stderr.
fn find(settings: &SettingsArgs, site: &Path) -> Result<Config, ExitCode> {
    let settings = settings.find(site);
    let ready = settings.preflight().map_err(|error| fail(&error))?;
    let problems = [settings.problems, ready.problems, ready.absent].concat();
    for warning in &settings.warnings {
        say(warning.warning());
    }
    if problems.is_empty() {
        return Ok(settings.config);
    }
    for problem in problems {
        say(problem);
    }
    say("error: invalid configuration; fix the errors above");
    Err(ExitCode::FAILURE)
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    say(format_args!("error: {error}"));
    ExitCode::FAILURE
}
