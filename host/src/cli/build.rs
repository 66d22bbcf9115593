//! `jackfield build`: compiles the plugin of a bundle, and reports what it has and needs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use jackfield_config::{Config, Sources};
use jackfield_sandbox::HandlerDescription;
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use crate::bundle::{BuildError, BuildReport, Builder, Bundle};
use crate::signals::Stop;

use super::{exit_code, say};

/// The beginning of the names of interfaces of the contract. The others are those of the system,
/// which need no grant.
const CONTRACT: &str = "jackfield:";

/// Command-line arguments of `jackfield build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the bundle: websocket_routing.yml and the sources of its plugin.
    #[arg(value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Builds the bundle. The compiler writes to stderr, the report goes to `out`.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("error: failed to start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let built = runtime.block_on(build(args));
    // Its threads only wait for ended processes.
    runtime.shutdown_background();
    exit_code(
        match built {
            Ok(Some(report)) if args.json => writeln!(out, "{}", one_line(&json_of(&report))),
            Ok(Some(report)) => print(&report, out),
            Ok(None) => return ExitCode::FAILURE,
            Err(error) => {
                let printed = if args.json {
                    let BuildError { code, message, help } = &error;
                    let error = json!({ "error": code, "message": message, "help": help });
                    writeln!(out, "{}", one_line(&error))
                } else {
                    say(format_args!("error: {error}"));
                    Ok(())
                };
                return exit_code(printed.map(|()| false));
            }
        }
        .map(|()| true),
    )
}

/// Builds until a signal arrives. None if one has.
async fn build(args: &Args) -> Result<Option<BuildReport>, BuildError> {
    let bundle = Bundle::at(&args.bundle)?;
    let sources = Sources { file: None, set: Vec::new(), variables: Sources::environment() };
    let plugins = Config::find(&sources, &args.bundle).config.plugins;
    let sandbox = |error| BuildError::sandbox(&error);
    let builder = Builder::new(plugins).map_err(sandbox)?;
    let stop = Stop::of_command().map_err(|error| BuildError::io("signals", &error))?;
    let build = async {
        let package = builder.package(&bundle).await?;
        builder.build(&bundle, &package).await
    };
    stop.or(build).await.transpose()
}

fn print(report: &BuildReport, out: &mut dyn Write) -> io::Result<()> {
    let BuildReport { file, manifest, contract, imports, took, .. } = report;
    let unchanged = if report.is_changed { "" } else { ", unchanged" };
    let size = size(report.size_bytes);
    let took = took.as_secs_f64();
    writeln!(out, "{}: {size}, built in {took:.1} s{unchanged}", file.display())?;
    let (name, version) = (Untrusted::new(&manifest.name), Untrusted::new(&manifest.version));
    writeln!(out, "  plugin   {name} {version}, contract {contract}")?;
    for handler in &manifest.handlers {
        let hooks: Vec<String> = hooks(handler).collect();
        let hooks = if hooks.is_empty() { "no hooks".to_owned() } else { hooks.join(", ") };
        writeln!(out, "  handler  {}: {hooks}", Untrusted::new(&handler.name))?;
    }
    let (contract, system): (Vec<_>, Vec<_>) =
        imports.names.iter().partition(|name| name.starts_with(CONTRACT));
    for name in contract {
        writeln!(out, "  import   {}", Untrusted::new(name))?;
    }
    if !system.is_empty() {
        writeln!(out, "  import   {} of the system (WASI)", system.len())?;
    }
    let grant: Vec<&str> = imports.grant.names().collect();
    let grant = if grant.is_empty() { "nothing".to_owned() } else { grant.join(", ") };
    writeln!(out, "  needs    {grant}")
}

fn json_of(report: &BuildReport) -> Value {
    let BuildReport { manifest, imports, .. } = report;
    let handlers = manifest.handlers.iter().map(|handler| {
        json!({
            "name": handler.name,
            "hooks": hooks(handler).collect::<Vec<_>>(),
            "timer_ms": handler.timer.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
            "summary": handler.summary,
        })
    });
    json!({
        "file": report.file.display().to_string(),
        "language": report.language.to_string(),
        "size_bytes": report.size_bytes,
        "sha256": report.digest.hex().to_string(),
        "changed": report.is_changed,
        "plugin": manifest.name,
        "version": manifest.version,
        "contract": report.contract,
        "stateless": manifest.is_stateless,
        "schema": manifest.schema,
        "handlers": handlers.collect::<Vec<_>>(),
        "imports": imports.names,
        "grant": imports.grant.names().collect::<Vec<_>>(),
        "took_ms": u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn one_line(value: &Value) -> String {
    jackfield_text::json(&value.to_string()).into_owned()
}

fn hooks(handler: &HandlerDescription) -> impl Iterator<Item = String> {
    handler.hooks.iter().map(|hook| hook.to_string())
}

/// A size for people: `83.2 KiB`.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn size(bytes: usize) -> String {
    let kibibytes = bytes as f64 / 1024.0;
    if kibibytes < 1024.0 {
        format!("{kibibytes:.1} KiB")
    } else {
        format!("{:.1} MiB", kibibytes / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_sizes_with_one_digit() {
        assert_eq!(size(512), "0.5 KiB");
        assert_eq!(size(85_300), "83.3 KiB");
        assert_eq!(size(3 << 20), "3.0 MiB");
    }
}
