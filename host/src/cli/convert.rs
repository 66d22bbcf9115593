//! `jackfield convert crossbar FILE DIR`: writes the settings of a site from the configuration of another
//! server.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jackfield_text::Untrusted;
use serde_json::{Value, json};

use super::say;
use crate::count::count;
use crate::crossbar::{self, Conversion, Counts, Note, PRINCIPALS_FILE};

/// The maximum size of a configuration, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Command-line arguments of `jackfield convert`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Convert a configuration of Crossbar.io: realms, roles, permissions, credentials, transports. Prints
    /// each part that the settings do not have.
    Crossbar(CrossbarArgs),
}

#[derive(Debug, clap::Args)]
struct CrossbarArgs {
    /// Configuration of a node, in JSON or YAML: .crossbar/config.json.
    file: PathBuf,
    /// Directory of the new site. Files that exist are not replaced.
    site: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Converts the file. Returns true if the settings were written.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let From::Crossbar(CrossbarArgs { file, site, json }) = &args.from;
    let Some(configuration) = read(file) else { return Ok(false) };
    // Its paths are relative to it, and those of the settings to theirs.
    let folder = fs::canonicalize(file).ok().and_then(|file| file.parent().map(Path::to_owned));
    let conversion = match crossbar::convert(configuration, &folder.unwrap_or_default()) {
        Ok(conversion) => conversion,
        Err((reason, notes)) => {
            for Note { place, message } in notes {
                say(format_args!("{}: {}", shown(&place), shown(&message)));
            }
            say(format_args!("error: {}: {reason}", shown_path(file)));
            return Ok(false);
        }
    };
    let Some(written) = write(&conversion, site) else { return Ok(false) };
    if *json {
        print_json(&conversion, &written, out)?;
    } else {
        print(&conversion, &written, site, out)?;
    }
    Ok(true)
}

/// Reads the configuration. Problems are printed.
fn read(file: &Path) -> Option<Value> {
    let path = shown_path(file);
    let text = fs::File::open(file).and_then(|file| {
        let mut text = String::new();
        // A device has no size.
        file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(text)
    });
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            say(format_args!(
                "error: {path}: the file cannot be read: {error}\n  = help: Crossbar's own is \
                 .crossbar/config.json"
            ));
            return None;
        }
    };
    // Messages of a reader may quote a secret.
    if file.extension().is_some_and(|it| it == "json") {
        let parsed = serde_json::from_str(&text);
        return parsed.map_err(|error| not_valid(&path, error.line(), error.column())).ok();
    }
    let (root, problems) = jackfield_yaml::document(&path, &text);
    if let Some(problem) = problems.first() {
        not_valid(&path, problem.line, problem.column);
        return None;
    }
    Some(root.map_or(Value::Null, |root| root.to_json()))
}

fn not_valid(path: &str, line: usize, column: usize) {
    say(format_args!("{path}:{line}:{column}: error: this is not valid JSON or YAML"));
}

/// Writes the files, none over another. Returns their paths.
fn write(conversion: &Conversion, site: &Path) -> Option<Vec<PathBuf>> {
    let secret =
        conversion.principals.as_ref().map(|text| (site.join(PRINCIPALS_FILE), text, 0o600));
    let settings = (site.join(jackfield_config::FILE_NAME), &conversion.settings, 0o644);
    let files = [Some(settings), secret];
    for (path, ..) in files.iter().flatten() {
        if path.symlink_metadata().is_ok() {
            say(format_args!(
                "error: {} exists\n  = help: name a directory without it",
                shown_path(path)
            ));
            return None;
        }
    }
    let failed = |path: &Path, error: &io::Error| {
        say(format_args!("error: failed to write {}: {error}", shown_path(path)));
        None
    };
    if let Err(error) = fs::create_dir_all(site) {
        return failed(site, &error);
    }
    let mut written = Vec::new();
    for (path, text, mode) in files.into_iter().flatten() {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            return failed(&path, &error);
        }
        written.push(path);
    }
    Some(written)
}

fn print(
    conversion: &Conversion,
    written: &[PathBuf],
    site: &Path,
    out: &mut dyn Write,
) -> io::Result<()> {
    for path in written {
        writeln!(out, "wrote {}", shown_path(path))?;
    }
    let Counts { realms, rules, principals, listeners } = conversion.counts;
    let all =
        [(realms, "realm"), (rules, "rule"), (principals, "principal"), (listeners, "listener")];
    let all: Vec<String> = all.iter().map(|(number, noun)| count(*number as u64, noun)).collect();
    writeln!(out, "converted: {}", all.join(", "))?;
    if !conversion.notes.is_empty() {
        writeln!(out, "\nnot converted, or not as it is:")?;
    }
    for Note { place, message } in &conversion.notes {
        writeln!(out, "  {}: {}", shown(place), shown(message))?;
    }
    let site = shown_path(site);
    writeln!(out, "\nnext: jackfield check {site}, then jackfield serve {site}")
}

fn print_json(conversion: &Conversion, written: &[PathBuf], out: &mut dyn Write) -> io::Result<()> {
    let Counts { realms, rules, principals, listeners } = conversion.counts;
    let notes =
        conversion.notes.iter().map(|it| json!({ "place": it.place, "message": it.message }));
    let body = json!({
        "written": written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "realms": realms,
        "rules": rules,
        "principals": principals,
        "listeners": listeners,
        "notes": notes.collect::<Vec<_>>(),
    });
    writeln!(out, "{}", jackfield_text::json(&body.to_string()))
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

fn shown(text: &str) -> String {
    Untrusted::new(text).to_string()
}
