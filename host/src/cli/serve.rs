//! `jackfield serve DIR`: serves a site until the process receives a signal to stop.

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

/// The time for blocking threads to end after everything else has.
const MAX_BLOCKING_SHUTDOWN: Duration = Duration::from_secs(1);

/// Command-line arguments of `jackfield serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Site directory: bundles with websocket_routing.yml and .wasm files.
    #[arg(value_name = "DIR")]
    site: PathBuf,
    /// Address and port to listen on; replaces the setting `listen`. Port 0 selects a free port.
    #[arg(long, value_name = "ADDR", value_parser = jackfield_config::listen_address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Serve the demo page at /demo/. Not for production: every visitor of the page can publish.
    #[arg(long)]
    demo: bool,
}

/// Serves until the process receives a signal to stop. Problems of the site go to stderr.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { site, listen, settings, demo } = args;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // Before anything else: from here on, signals stop the server in order.
    let signals = match runtime.block_on(async { Signals::receive() }) {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let directory = site.clone();
    // On a thread of its own: reading the settings blocks if their file system does not respond.
    let finding = runtime.spawn_blocking(move || find(&settings, &directory));
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
    // Dropping the guard, at the end, writes the lines that are still queued.
    let _log = match log::start(startup.config.log.format) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let mut stdout = std::io::stdout();
    let served =
        runtime.block_on(server::serve(Site::new(site), startup, demo, signals, &mut stdout));
    // Bounded: a thread may be blocked on a file system that does not respond.
    runtime.shutdown_timeout(MAX_BLOCKING_SHUTDOWN);
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

/// Finds and opens the settings, if they are valid. Problems and warnings go to stderr.
fn find(settings: &SettingsArgs, site: &Path) -> Result<Startup, ExitCode> {
    let settings = settings.find(site);
    let files = Files::new(&settings.config.auth);
    let Opening { opened, problems, absent, .. } = settings.open();
    let config_file = settings.file().map(Path::to_owned);
    for warning in &settings.warnings {
        say(warning.warning());
    }
    let problems = [settings.problems, problems, absent].concat();
    match opened {
        Some(opened) if problems.is_empty() => {
            Ok(Startup { config: settings.config, config_file, opened, files })
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
