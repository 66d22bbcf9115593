//! `jackfield new NAME`: makes the folder of a new bundle, with sources that build at once.

mod name;
mod scaffold;
mod sdk;
mod template;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jackfield_text::Untrusted;
use serde_json::json;

use name::Name;
use scaffold::Scaffold;
use sdk::{Sdk, SdkArgs};
use template::Values;

use super::say;

/// Command-line arguments of `jackfield new`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the bundle and its plugin, such as acme-shout.
    #[arg(value_name = "NAME")]
    name: Name,
    /// Programming language.
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,
    /// Folder to make; it may exist if it is empty [default: NAME in the current directory].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    sdk: SdkArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A language with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    Python,
}

/// The failure of making a bundle.
#[derive(Debug)]
struct NewError {
    message: String,
    help: Option<&'static str>,
}

/// Makes the bundle, and prints the next commands. Returns false if it cannot be made; nothing of
/// it is left behind then.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let given = args.dir.clone().unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    match make(args, &given) {
        Ok(sdk) if args.json => {
            let made = json!({
                "folder": given.display().to_string(),
                "language": args.lang.to_string(),
                "sdk": sdk.to_string(),
                "next": args.lang.next_commands(),
            });
            writeln!(out, "{}", jackfield_text::json(&made.to_string())).map(|()| true)
        }
        Ok(sdk) => {
            let folder = given.display();
            writeln!(out, "created {folder} ({}; the SDK is {sdk})", args.lang)?;
            writeln!(out, "next:\n  cd {folder}")?;
            for command in args.lang.next_commands() {
                writeln!(out, "  {command}")?;
            }
            Ok(true)
        }
        Err(error) => {
            say(format_args!("error: {error}"));
            Ok(false)
        }
    }
}

/// Makes the bundle. Returns the place of the SDK.
fn make(args: &Args, given: &Path) -> Result<Sdk, NewError> {
    let scaffold = Scaffold::begin(given)?;
    let sdk = Sdk::find(&args.sdk, scaffold.folder())?.of(args.lang)?;
    let values = Values { name: &args.name, sdk: &sdk };
    for (path, text) in template::files(args.lang, &values) {
        scaffold.write(&path, &text)?;
    }
    scaffold.keep();
    Ok(sdk)
}

impl Language {
    fn next_commands(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["cargo test", "jackfield build", "jackfield test .", "jackfield dev ."],
            Self::JavaScript => {
                &["jackfield build", "npm test", "jackfield test .", "jackfield dev ."]
            }
            Self::Python => &[
                "jackfield build",
                ".venv/bin/python -m unittest tests/test_*.py",
                "jackfield test .",
                "jackfield dev .",
            ],
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        })
    }
}

impl NewError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    fn with_help(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help: Some(help) }
    }

    /// An error of the operating system about a path.
    fn at(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("{}: {error}", Untrusted::new(path.display())))
    }
}

impl fmt::Display for NewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.map_or(Ok(()), |help| write!(f, "\n  = help: {help}"))
    }
}
