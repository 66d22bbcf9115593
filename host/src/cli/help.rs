//! Help of `jackfield`: the commands in groups, by the task that they are for.

use std::fmt::Write as _;

use clap::Command;

/// The groups of commands, and the commands of each in the order of use.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Serve a site", &["serve", "check", "doctor", "health", "reload"]),
    (
        "Routes and plugins of a site",
        &["routes", "match", "new", "build", "dev", "test", "sign", "convert"],
    ),
    (
        "State of a running server",
        &["status", "top", "sessions", "session", "ended", "topics", "trace"],
    ),
    (
        "Versions and stores of plugins",
        &[
            "history", "rollback", "unpin", "disable", "enable", "canary", "shadow", "promote",
            "record", "replay", "store",
        ],
    ),
    ("Messages", &["publish", "subscribe", "call", "maintenance", "ticket"]),
    ("Other", &["bench", "help"]),
];

/// Gives the command a help with its subcommands in groups.
pub(super) fn grouped(command: Command) -> Command {
    // `help` is added by clap when the command is built.
    let mut built = command.clone();
    built.build();
    let names = || built.get_subcommands().map(|it| it.get_name().len());
    let width = names().max().unwrap_or_default();
    let mut text = String::new();
    for (title, members) in GROUPS {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{title}:");
        for name in members {
            let found = built.find_subcommand(name);
            let about = found.and_then(Command::get_about).map(ToString::to_string);
            let _written = writeln!(text, "  {name:<width$}  {}", about.unwrap_or_default());
        }
        text.push('\n');
    }
    // Braces are variables of a template.
    let text = text.replace(['{', '}'], "");
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}Options:\n{{options}}"
    ))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Cli;
    use super::*;

    #[test]
    fn each_command_is_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let visible = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut expected: Vec<&str> = visible.map(Command::get_name).collect();
        let mut listed: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        expected.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, expected);
        let help = grouped(Cli::command()).render_help().to_string();
        assert!(help.contains("\nState of a running server:\n  status "), "{help}");
        assert!(help.contains("\nOptions:\n  -h, --help"), "{help}");
    }
}
