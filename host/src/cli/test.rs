//! `jackfield test BUNDLE [SCRIPT…]`: runs dialogue scripts against the plugins of a bundle, in
//! process and without a server.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_config::Config;
use jackfield_text::Untrusted;
use jackfield_yaml::{NonZeroDuration, Source};
use tokio::runtime::Runtime;

use crate::bundle::{BuildError, Builder, Bundle};
use crate::dialogue::{self, MAX_SCRIPT_BYTES};
use crate::log::capture::{self, Capture};
use crate::signals::Stop;
use crate::site::{Site, Snapshot};

use super::config_args::SettingsArgs;

mod report;

use report::TestReport;

/// The folder of a bundle's scripts.
const FOLDER: &str = "tests";
/// The extension of scripts.
const EXTENSION: &str = "dialogue";
/// The time for threads to end after the last script.
const MAX_BLOCKING_SHUTDOWN: Duration = Duration::from_secs(1);
/// The problem of a process that gets a signal to stop.
const INTERRUPTED: &str = "error: interrupted";
/// Threads of the runtime: one for timers, beside a slow hook.
const WORKERS: usize = 2;

/// Command-line arguments of `jackfield test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bundle: a directory with websocket_routing.yml and the compiled plugin. A site may be tested
    /// as a whole.
    #[arg(value_name = "BUNDLE", default_value = ".")]
    bundle: PathBuf,
    /// Dialogue scripts [default: tests/*.dialogue of the bundle, or of each bundle of the site].
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Build the bundle first, or each bundle of the site that has sources.
    #[arg(long)]
    build: bool,
    /// Maximum time of each script.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: NonZeroDuration,
    /// Print the log of passed scripts as well.
    #[arg(long)]
    log: bool,
    /// Print one JSON object with the result of each script.
    #[arg(long)]
    json: bool,
}

/// Runs the scripts, and prints a summary as the last line. Returns true if all have passed.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let mut report = TestReport::new(&args.bundle, args.json, args.log, out);
    if let Err(problems) = run_all(args, &mut report)? {
        report.problems(problems)?;
    }
    report.end()
}

/// Runs the scripts. The inner error is a list of problems that are no failures of a script.
fn run_all(args: &Args, report: &mut TestReport<'_>) -> io::Result<Result<(), Vec<String>>> {
    let settings = args.settings.find(&args.bundle);
    if !settings.problems.is_empty() {
        return Ok(Err(settings.problems.iter().map(ToString::to_string).collect()));
    }
    let process = match Process::start() {
        Ok(started) => started,
        Err(problem) => return Ok(Err(vec![problem])),
    };
    let built = if args.build { process.build(args, &settings.config) } else { Ok(()) };
    let done = match built.and_then(|()| find(args)) {
        Ok((snapshot, paths)) => {
            run_each(&paths, &snapshot, &settings.config, args, &process, report)
        }
        Err(problem) => Ok(Err(vec![problem])),
    };
    process.runtime.shutdown_timeout(MAX_BLOCKING_SHUTDOWN);
    done
}

fn run_each(
    paths: &[PathBuf],
    snapshot: &Snapshot,
    config: &Config,
    args: &Args,
    Process { runtime, capture, stop }: &Process,
    report: &mut TestReport<'_>,
) -> io::Result<Result<(), Vec<String>>> {
    for path in paths {
        let script = match read(path) {
            Ok(script) => script,
            Err(problem) => {
                report.problems(vec![problem])?;
                continue;
            }
        };
        let timeout = args.timeout.get();
        let run = dialogue::run(&script, snapshot, config, timeout, capture);
        match runtime.block_on(stop.or(run)) {
            Some(Ok(outcome)) => report.script(&script, outcome)?,
            // The next script would have the same.
            Some(Err(problems)) => return Ok(Err(problems)),
            None => return Ok(Err(vec![INTERRUPTED.to_owned()])),
        }
    }
    Ok(Ok(()))
}

/// The parts of the process that all scripts share.
struct Process {
    runtime: Runtime,
    /// The log in memory.
    capture: Capture,
    stop: Stop,
}

impl Process {
    fn start() -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(WORKERS).enable_all().build();
        let runtime =
            runtime.map_err(|error| format!("error: failed to start the runtime: {error}"))?;
        let stop = Stop::of_command();
        let stop = stop.map_err(|error| format!("error: failed to get signals: {error}"))?;
        let capture = capture::start().map_err(|error| format!("error: failed to log: {error}"))?;
        Ok(Self { runtime, capture, stop })
    }

    /// Builds each bundle that has sources. Compilers write their errors to stderr.
    fn build(&self, args: &Args, config: &Config) -> Result<(), String> {
        let bundles = Bundle::all(&args.bundle);
        if bundles.is_empty() {
            let shown = args.bundle.display();
            return Err(format!("{shown}: error: no sources of a plugin beside a routing file"));
        }
        let build = async {
            let builder = Builder::new(config.plugins.clone());
            let builder = builder.map_err(|error| BuildError::sandbox(&error))?;
            for bundle in &bundles {
                let package = builder.package(bundle).await?;
                builder.build(bundle, &package).await?;
            }
            Ok(())
        };
        let done = self.runtime.block_on(self.stop.or(build));
        done.ok_or(INTERRUPTED)?.map_err(|error: BuildError| format!("error: {error}"))
    }
}

/// Reads the site, and finds the scripts.
fn find(args: &Args) -> Result<(Snapshot, Vec<PathBuf>), String> {
    let shown = args.bundle.display();
    let snapshot =
        Site::new(&args.bundle).read().map_err(|error| format!("{shown}: error: {error}"))?;
    let paths =
        if args.scripts.is_empty() { scripts(args, &snapshot) } else { args.scripts.clone() };
    if paths.is_empty() {
        return Err(format!(
            "{shown}: error: no script {FOLDER}/*.{EXTENSION} in this directory or its bundles\n  \
             = help: write one (docs/dialogues.md), or name scripts after the bundle"
        ));
    }
    if snapshot.plugins().is_empty() && snapshot.problems().is_empty() {
        return Err(format!(
            "{shown}: error: no compiled plugin (.wasm) in this directory or below\n  \
             = help: `jackfield build {shown}` compiles it, and so does the option --build"
        ));
    }
    Ok((snapshot, paths))
}

/// Returns the scripts of the directory and of each bundle below, in order.
fn scripts(args: &Args, snapshot: &Snapshot) -> Vec<PathBuf> {
    let routing = snapshot.routing().iter().filter_map(|file| Path::new(&file.path).parent());
    let folders: BTreeSet<&Path> = routing.chain([args.bundle.as_path()]).collect();
    let mut found = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let is_script = |path: &PathBuf| path.extension().is_some_and(|it| it == EXTENSION);
        found.extend(paths.filter(is_script));
    }
    found.sort();
    found.dedup();
    found
}

/// Reads a script; of a longer one than allowed, a part that is too long as well.
fn read(path: &Path) -> Result<Source, String> {
    let shown = Untrusted::new(path.display()).to_string();
    let mut bytes = Vec::new();
    let limit = MAX_SCRIPT_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| format!("{shown}: error: failed to read the script: {error}"))?;
    let is_long = bytes.len() > MAX_SCRIPT_BYTES;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_long => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(_) => return Err(format!("{shown}: error: the script is not valid UTF-8")),
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(Source::new(shown, text))
}
