//! `jackfield manuals DIR`: writes the manual pages and the completions of shells, for packages.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Command-line arguments of `jackfield manuals`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the files, which is made.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes a page for each command, and completions for bash, zsh and fish.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let Args { folder } = args;
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "jackfield", folder)?;
    }
    writeln!(out, "{}", jackfield_text::Untrusted::new(folder.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_page_for_each_command_that_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let args = Args { folder: folder.path().join("a") };
        assert!(run(&args, &mut Vec::new()).unwrap());
        let page = |name: &str| fs::read_to_string(args.folder.join(name));
        assert!(page("jackfield.1").unwrap().contains("jackfield\\-serve(1)"));
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("jackfield-{}.1", command.get_name());
            assert!(page(&name).unwrap().contains(".TH"), "{name}");
        }
        assert!(page("jackfield-compile.1").is_err());
        assert!(page("_jackfield").unwrap().starts_with("#compdef jackfield"));
        assert!(page("jackfield.bash").is_ok() && page("jackfield.fish").is_ok());
    }
}
