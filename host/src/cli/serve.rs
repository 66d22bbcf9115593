//! `jackfield serve DIR`: serves a site until the process is asked to end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jackfield_config::Opening;
use tracing::info;

use crate::admission::Files;
use crate::http::Demo;
use crate::log;
use crate::server::{self, ServeError, Startup};
use crate::signals::Signals;
use crate::site::Site;

use super::config_args::SettingsArgs;
use super::say;

/// How long work that blocks a thread may take to end once everything else has.
const LINGER: Duration = Duration::from_secs(1);

/// What `jackfield serve` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site: a directory of bundles, each with a websocket_routing.yml and/or .wasm files.
    #[arg(value_name = "DIR")]
    site: PathBuf,
    /// Where to listen, instead of what the configuration says; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", value_parser = jackfield_config::listen_address)]
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
    let mut startup = match runtime.block_on(signals.stop.or(finding)) {
        Some(Ok(Ok(startup))) => startup,
        Some(Ok(Err(code))) => return code,
        Some(Err(error)) => return fail(&error),
        None => {
            runtime.shutdown_background();
            return ExitCode::SUCCESS;
        }
    };
    startup.config.listen = listen.unwrap_or(startup.config.listen);
    let demo = if demo { Demo::On } else { Demo::Off };
    // Lines that wait are written when the guard is dropped, at the end.
    let _log = match log::start(startup.config.log.format) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let mut stdout = std::io::stdout();
    let served =
        runtime.block_on(server::serve(Site::new(site), startup, demo, signals, &mut stdout));
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

/// What the server starts with, opened. What is wrong goes to stderr.
fn find(settings: &SettingsArgs, site: &Path) -> Result<Startup, ExitCode> {
    let settings = settings.find(site);
    let files = Files::new(&settings.config.auth);
    let Opening { opened, problems, absent, .. } = settings.open();
    for warning in &settings.warnings {
        say(warning.warning());
    }
    let problems = [settings.problems, problems, absent].concat();
    match opened {
        Some(opened) if problems.is_empty() => {
            Ok(Startup { config: settings.config, opened, files })
        }
        Some(_) | None => {
            for problem in problems {
                say(problem);
            }
            say("error: invalid configuration; fix the errors above");
            Err(ExitCode::FAILURE)
        }
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    say(format_args!("error: {error}"));
    ExitCode::FAILURE
}
