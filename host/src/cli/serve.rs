//! `jackfield serve DIR`: serves a site until the process receives a signal to stop. The command
//! `dev` serves by the same code.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jackfield_config::{Config, Opening};
use tempfile::TempDir;
use tracing::{info, warn};

use crate::admission::Files;
use crate::http::Demo;
use crate::inherited_sockets::InheritedSockets;
use crate::log::{self, PluginLog, Reader};
use crate::server::{self, ServeError, Startup};
use crate::settings::{OpenMode, SettingsOrigin, SettingsSource, WatchedFile, parse_realm};
use crate::signals::{Signals, Stop};
use crate::site::Site;

use super::config_args::SettingsArgs;
use super::say;

/// The time for blocking threads to end after everything else has.
const MAX_BLOCKING_SHUTDOWN: Duration = Duration::from_secs(1);

/// Command-line arguments of `jackfield serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Site directory: bundles with websocket_routing.yml and .wasm files. Not needed with --open.
    #[arg(value_name = "DIR", required_unless_present = "open")]
    site: Option<PathBuf>,
    /// Address and port to listen on; replaces the setting `listen`. Port 0 selects a free port.
    #[arg(long, value_name = "ADDR", value_parser = jackfield_config::listen_address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Serve the demo page at /demo/. Not for production: every visitor of the page can publish.
    #[arg(long)]
    demo: bool,
    /// Let every program on this machine publish, subscribe, register and call everything, without a
    /// routing file. For trying clients of WAMP; only at loopback addresses, and without `auth`.
    #[arg(long)]
    open: bool,
    /// Add a realm to those of the settings. May be repeated.
    #[arg(long, value_name = "NAME", requires = "open", value_parser = parse_realm)]
    realm: Vec<String>,
}

/// A site that can be served, once or several times in a row.
pub(super) struct Service {
    site: PathBuf,
    /// Removed at the end, if the site is in it.
    _empty: Option<TempDir>,
    is_open: bool,
    /// The sockets of the service manager, for each server in turn.
    sockets: InheritedSockets,
    source: SettingsSource,
    demo: Demo,
    signals: Signals,
    config: Config,
    plugin_log: PluginLog,
    /// None once it has been used; it is found again then.
    startup: Option<Startup>,
}

/// The end of serving.
pub(super) enum Served {
    /// The process received a signal to stop.
    Stopped,
    /// The site has problems, which have been printed.
    Broken,
    /// The server cannot run. The reason has been printed.
    Failed,
}

/// Serves until the process receives a signal to stop. Problems of the site go to stderr.
pub(crate) fn run(args: Args) -> ExitCode {
    run_with(args, Reader::Operator, async |service| service.serve().await)
}

/// Finds the settings, starts the log, and runs `work`, which serves.
pub(super) fn run_with(
    args: Args,
    reader: Reader,
    work: impl AsyncFnOnce(&mut Service) -> Served,
) -> ExitCode {
    let Args { site, listen, settings, demo, open, realm } = args;
    let (site, empty) = match site {
        Some(site) => (site, None),
        None => match tempfile::Builder::new().prefix("jackfield-open-").tempdir() {
            Ok(folder) => (folder.path().to_owned(), Some(folder)),
            Err(error) => {
                say(format_args!(
                    "error: failed to make an empty site: {error}\n  = help: name a folder in TMPDIR, or a site"
                ));
                return ExitCode::FAILURE;
            }
        },
    };
    // Before the process has threads.
    let sockets = match InheritedSockets::of_environment() {
        Ok(sockets) => sockets,
        Err(error) => return fail(&error),
    };
    if open && !sockets.is_empty() {
        say(
            "error: --open: open mode opens its own address, and the service manager has passed sockets\n  = help: \
             serve without --open",
        );
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // Before anything else: from here on, signals stop the server in order.
    let signals = match runtime.block_on(async { Signals::receive() }) {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let stop = signals.stop.clone();
    let source = SettingsSource::new(settings.sources(), &site, listen);
    let source = source.open_all(open.then(|| OpenMode::new(realm, empty.is_some())));
    let startup = match runtime.block_on(stop.or(find(source.clone()))) {
        Some(Ok(startup)) => startup,
        Some(Err(code)) => return code,
        None => {
            runtime.shutdown_background();
            return ExitCode::SUCCESS;
        }
    };
    // Dropping the guard, at the end, writes the lines that are still queued.
    let log = match log::start(startup.config.log.format, reader) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let demo = if demo { Demo::On } else { Demo::Off };
    let config = startup.config.clone();
    let startup = Some(startup);
    let mut service = Service {
        site,
        _empty: empty,
        is_open: open,
        sockets,
        source,
        demo,
        signals,
        config,
        plugin_log: log.plugin_log(),
        startup,
    };
    let served = runtime.block_on(work(&mut service));
    // Bounded: a thread may be blocked on a file system that does not respond.
    runtime.shutdown_timeout(MAX_BLOCKING_SHUTDOWN);
    match served {
        Served::Stopped => {
            info!(name: "server.stopped", "stopped");
            ExitCode::SUCCESS
        }
        Served::Broken | Served::Failed => ExitCode::FAILURE,
    }
}

impl Service {
    /// The directory of the site.
    pub(super) fn site(&self) -> &Path {
        &self.site
    }

    /// The settings at the start.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Serves plugins without signatures, whatever the settings say: those that are built here have
    /// none.
    pub(super) fn accept_unsigned(&mut self) {
        if !self.config.plugins.verify.is_empty() {
            warn!(name: "plugin.signatures_ignored", "signatures are not verified by this command: `plugins.verify` is ignored");
        }
        self.source.accept_unsigned();
        if let Some(startup) = &mut self.startup {
            startup.ignore_signatures();
        }
    }

    /// The signal to stop.
    pub(super) fn stop(&self) -> Stop {
        self.signals.stop.clone()
    }

    /// Whether the address can be listened on, so that a port in use is reported before a long
    /// build. The reason is printed if it cannot.
    pub(super) async fn can_listen(&self) -> bool {
        if !self.sockets.is_empty() {
            return true;
        }
        let Some(address) = self.config.listen else { return true };
        server::check_address(address).await.map_err(|error| fail(&error)).is_ok()
    }

    /// Serves until the process receives a signal to stop, or until the server cannot go on. May be
    /// called again.
    pub(super) async fn serve(&mut self) -> Served {
        let found = match self.startup.take() {
            Some(startup) => Ok(startup),
            None => find(self.source.clone()).await,
        };
        let Ok(mut startup) = found else { return Served::Failed };
        let signals = match self.signals.try_clone() {
            Ok(signals) => signals,
            Err(error) => {
                fail(&error);
                return Served::Failed;
            }
        };
        match self.sockets.try_clone() {
            Ok(sockets) => startup.sockets = sockets,
            Err(error) => {
                fail(&error);
                return Served::Failed;
            }
        }
        startup.plugin_log = self.plugin_log.clone();
        if self.is_open {
            OpenMode::announce(&startup.config);
        }
        let site = Site::new(&self.site);
        let mut stdout = std::io::stdout();
        // On the heap: all of a server is in this future.
        let serving = Box::pin(server::serve(site, startup, self.demo, signals, &mut stdout));
        match serving.await {
            Ok(()) => Served::Stopped,
            Err(error) => {
                let problems =
                    if let ServeError::Site(problems) = &error { &**problems } else { &[] };
                problems.iter().for_each(say);
                fail(&error);
                if problems.is_empty() { Served::Failed } else { Served::Broken }
            }
        }
    }
}

/// Finds and opens the settings, on a thread of its own: reading them blocks if their file system
/// does not respond.
async fn find(source: SettingsSource) -> Result<Startup, ExitCode> {
    let finding = tokio::task::spawn_blocking(move || open(source));
    finding.await.unwrap_or_else(|error| Err(fail(&error)))
}

/// Finds and opens the settings, if they are valid. Problems and warnings go to stderr.
fn open(source: SettingsSource) -> Result<Startup, ExitCode> {
    let own = source.watched_file();
    let settings = source.find();
    let watched = own.into_iter().chain(WatchedFile::of_secrets(&settings.config)).collect();
    let files = Files::new(&settings.config.auth);
    let digests = settings.config.secret_digests();
    let Opening { opened, problems, absent, .. } = settings.open();
    let config_file = settings.file().map(Path::to_owned);
    for warning in &settings.warnings {
        say(warning.warning());
    }
    let problems = [settings.problems, problems, absent].concat();
    match opened {
        Some(opened) if problems.is_empty() => {
            let (config, plugin_log) = (settings.config, PluginLog::default());
            let settings = SettingsOrigin { source, watched, digests };
            let sockets = InheritedSockets::default();
            Ok(Startup { config, config_file, opened, files, settings, sockets, plugin_log })
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
