//! `jackfield replay NEW.wasm FILE`: runs recorded hook calls against another version of a plugin,
//! without a server, and prints the differences.
//!
//! Exit codes: 0 no differences; 1 differences; 2 the calls cannot be replayed.

mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jackfield_config::Config;
use jackfield_sandbox::{PluginVersion, Sandbox};
use jackfield_text::Untrusted;

use super::config_args::SettingsArgs;
use super::{exit_code, say};
use crate::compiler;
use crate::data_folder;
use crate::recording::reader::Reader;
use crate::recording::replay::{Binary, Replay, ReplayReport};
use crate::site::{ContentHash, Site};
use crate::versions;

use report::Printer;

/// The exit code of calls that cannot be replayed.
const UNUSABLE: u8 = 2;
/// The maximum size of a component's file.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Threads of the runtime: one for timers, beside a slow hook.
const WORKERS: usize = 2;

/// Command-line arguments of `jackfield replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// New version of the plugin, a component.
    #[arg(value_name = "NEW.wasm")]
    new: PathBuf,
    /// Recording, as `jackfield record` writes it.
    #[arg(value_name = "FILE")]
    recording: PathBuf,
    /// Recorded version of the plugin [default: found by its digest in the site, or among the
    /// versions that the server has kept]. May be repeated.
    #[arg(long, value_name = "FILE")]
    old: Vec<PathBuf>,
    /// Site directory: its settings have the limits of the plugin, and it may have the recorded
    /// version [default: the current directory].
    #[arg(long = "site", value_name = "DIR", default_value = ".", hide_default_value = true)]
    site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Replays the calls.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let mut printer = Printer::new(args.json, out);
    match replay(args, &mut printer) {
        Ok(report) => {
            let is_same = report.different == 0;
            exit_code(printer.end(&report).map(|()| is_same))
        }
        Err(problem) => {
            if args.json {
                // A failure to write has the same exit code.
                let _unwritten = printer.problem(&problem);
            }
            say(problem);
            ExitCode::from(UNUSABLE)
        }
    }
}

fn replay(args: &Args, printer: &mut Printer<'_>) -> Result<ReplayReport, String> {
    let settings = args.settings.find(&args.site);
    if let Some(problem) = settings.problems.first() {
        return Err(problem.to_string());
    }
    let config = settings.config;
    let mut reader = Reader::open(&args.recording)?;
    let new = read(&args.new)?;
    let mut named = Vec::new();
    for path in &args.old {
        named.push(read(path)?);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build();
    let runtime =
        runtime.map_err(|error| format!("error: failed to start the runtime: {error}"))?;
    let replayed = runtime.block_on(async {
        let sandbox = Sandbox::new(compiler::sandbox_settings(&config.plugins));
        let sandbox = sandbox.map_err(|error| format!("error: failed to {error}"))?;
        let recorded = |version: &PluginVersion| find(version, &named, args, &config);
        let replay = Replay::new(&sandbox, &config.plugins, new, &recorded);
        replay.run(&mut reader, &mut |different| printer.different(different)).await
    })?;
    if replayed.compared() == 0 {
        // A check that compares nothing is not to pass.
        let text = report::nothing(&replayed);
        return Err(format!("{}: error: {text}", Untrusted::new(args.recording.display())));
    }
    Ok(replayed)
}

/// Finds the component of a recorded version.
fn find(
    version: &PluginVersion,
    named: &[Binary],
    args: &Args,
    config: &Config,
) -> Result<Binary, String> {
    let is_it = |bytes: &[u8]| ContentHash::of(bytes).hex().to_string() == version.digest;
    if let Some(binary) = named.iter().find(|binary| is_it(&binary.bytes)) {
        return Ok(binary.clone());
    }
    // A site that cannot be read has no version; the message names it.
    if let Ok(snapshot) = Site::new(&args.site).read()
        && let Some(file) =
            snapshot.plugins().iter().find(|it| it.hash.hex().to_string() == version.digest)
    {
        return Ok(Binary { file: file.path.clone(), bytes: Arc::clone(&file.bytes) });
    }
    let kept = data_folder::place(&config.data, &args.site).map(|it| it.join(versions::PART));
    if let Some(folder) = &kept
        && let Ok(component) = versions::read(folder, &version.digest)
    {
        let file = format!("sha256:{}", version.digest);
        return Ok(Binary { file, bytes: component.bytes });
    }
    let plugin = Untrusted::new(&version.plugin);
    let (author, digest) = (Untrusted::new(&version.version), Untrusted::new(&version.digest));
    let site = Untrusted::new(args.site.display());
    let mut places = format!("the site {site}");
    if let Some(folder) = &kept {
        places = format!("{places} or {}", Untrusted::new(folder.display()));
    }
    let others: Vec<_> = named.iter().map(|it| Untrusted::new(&it.file).to_string()).collect();
    if !others.is_empty() {
        places = format!("{} (another digest), {places}", others.join(", "));
    }
    Err(format!(
        "error: the recorded version {author} of the plugin {plugin} (sha256:{digest}) is not in \
         {places}\n  = help: name its file with --old FILE, or its site with --site DIR"
    ))
}

/// Reads a component.
fn read(path: &Path) -> Result<Binary, String> {
    let file = Untrusted::new(path.display()).to_string();
    match data_folder::read_file(path, MAX_FILE_BYTES) {
        Ok(bytes) => Ok(Binary { file, bytes: bytes.into() }),
        Err(error) => Err(format!("{file}: error: failed to read the component: {error}")),
    }
}
