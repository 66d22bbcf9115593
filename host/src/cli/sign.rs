//! `jackfield sign`: signs the plugins of a bundle for servers with `plugins.verify`, or makes a key.
//!
//! The component is loaded in the sandbox, as a server would load it: the signature states the name
//! and the version of its manifest. The bytes are read once, and are the ones that are signed.

mod component;
mod key;

use std::io::{self, Write};
use std::path::PathBuf;

use jackfield_text::Untrusted;
use serde_json::{Value, json};

use super::say;

/// Command-line arguments of `jackfield sign`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bundle, all components of which are signed, or one component (.wasm).
    #[arg(
        value_name = "BUNDLE|FILE.wasm",
        required_unless_present = "new_key",
        conflicts_with = "new_key"
    )]
    target: Option<PathBuf>,
    /// File of the secret key, in the format of minisign.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Make a key instead: the secret key in the file, and the public one beside it (.pub).
    #[arg(long)]
    new_key: bool,
    /// File whose first line is the password of the key [default: ask on the terminal].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// With --new-key: do not encrypt the secret key.
    #[arg(long, requires = "new_key", conflicts_with = "password_file")]
    no_password: bool,
    /// Number of the release, which grows with each one; servers may refuse lower ones [default: the
    /// seconds since 1970].
    #[arg(long, value_name = "NUMBER", conflicts_with = "new_key")]
    number: Option<u64>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// An error, and the help.
#[derive(Debug)]
struct SignError {
    message: String,
    help: Option<&'static str>,
}

/// Signs, or makes a key. Returns false if an error was printed.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let done = match &args.target {
        Some(target) => component::sign(args, target),
        None => key::make(args),
    };
    match done {
        Ok(report) if args.json => {
            writeln!(out, "{}", jackfield_text::json(&report.json.to_string())).map(|()| true)
        }
        Ok(report) => write!(out, "{}", report.text).map(|()| true),
        Err(SignError { message, help }) => {
            if args.json {
                let error = json!({ "error": "sign", "message": message, "help": help });
                writeln!(out, "{}", jackfield_text::json(&error.to_string()))?;
            } else {
                say(format_args!("error: {message}"));
                if let Some(help) = help {
                    say(format_args!("  = help: {help}"));
                }
            }
            Ok(false)
        }
    }
}

/// The result, for people and for programs.
struct SigningReport {
    text: String,
    json: Value,
}

impl SignError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn with_help(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help: Some(help) }
    }

    /// An error about a path.
    fn at(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self::new(format!("{}: {error}", Untrusted::new(path.display())))
    }
}
