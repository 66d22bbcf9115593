//! `jackfield ticket DIR`: makes a ticket as OroPlatform does, to try a server that requires
//! authentication, and for the client commands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use jackfield_auth::ticket::{self, AppSecret, Holder, Ticket};
use jackfield_auth::{AuthSettings, UsersError};
use serde_json::json;

use super::config_args::SettingsArgs;
use super::say;

/// Command-line arguments of `jackfield ticket`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Site directory; its configuration must contain `auth.tickets`.
    #[arg(value_name = "DIR")]
    site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// User name in the ticket [default: an anonymous ticket, as the application's backend uses].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// An error of making a ticket.
#[derive(Debug, thiserror::Error)]
enum TicketCommandError {
    #[error("`auth.tickets` is not configured; its secret is needed to sign a ticket")]
    NotConfigured,
    #[error("unknown user `{0}`")]
    Unknown(String),
    #[error("user `{0}` has no password, which is needed to sign a ticket")]
    NoPassword(String),
    #[error("user `{0}` is disabled")]
    Disabled(String),
    #[error("cannot load `auth.tickets.secret`: {0}")]
    Secret(#[from] jackfield_auth::SecretError),
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error(transparent)]
    Setup(#[from] jackfield_auth::SetupError),
    #[error(transparent)]
    Ticket(#[from] ticket::TicketError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Prints the ticket, not URL-encoded. Returns true on success.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let settings = args.settings.find(&args.site);
    if !settings.problems.is_empty() {
        settings.problems.iter().for_each(say);
        return Ok(false);
    }
    match make(&settings.config.auth, args.user.as_deref()) {
        Ok(ticket) if args.json => {
            writeln!(out, "{}", json!({ "ticket": ticket, "user": args.user })).map(|()| true)
        }
        Ok(ticket) => writeln!(out, "{ticket}").map(|()| true),
        Err(error) => {
            say(format_args!("error: {error}"));
            if let (TicketCommandError::NotConfigured, Some(file)) = (&error, &settings.missing) {
                let file = file.display();
                say(format_args!(
                    "  = help: {file} does not exist; pass the configuration file with --config"
                ));
            }
            Ok(false)
        }
    }
}

fn make(auth: &AuthSettings, username: Option<&str>) -> Result<String, TicketCommandError> {
    let settings = auth.tickets.as_ref().ok_or(TicketCommandError::NotConfigured)?;
    let secret = settings.secret.fetch()?;
    let secret = AppSecret::new(secret).map_err(jackfield_auth::SetupError::from)?;
    let user = match username {
        None => None,
        Some(name) => Some(find(auth, name)?),
    };
    let holder = match &user {
        None => Holder::Anonymous,
        Some((username, password)) => Holder::User { username, password },
    };
    Ok(Ticket::mint(&secret, holder, &ticket::nonce()?, SystemTime::now())?)
}

/// Returns the user name and password hash of a user.
fn find(
    auth: &AuthSettings,
    name: &str,
) -> Result<(String, jackfield_auth::PasswordHash), TicketCommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let user = runtime.block_on(async {
        let users = auth.users.as_ref().ok_or(jackfield_auth::SetupError::NoUsers)?.open()?;
        users.find(name).await.map_err(TicketCommandError::from)
    })?;
    let user = user.ok_or_else(|| TicketCommandError::Unknown(name.to_owned()))?;
    if !user.enabled {
        return Err(TicketCommandError::Disabled(name.to_owned()));
    }
    let password =
        user.password.clone().ok_or_else(|| TicketCommandError::NoPassword(name.to_owned()))?;
    Ok((user.username.clone(), password))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const SETTINGS: &str = "
auth:
  tickets: { secret: kernel-secret }
  users: { file: users.yml }
";
    const USERS: &str = "
users:
  admin: { id: 1, password: '$2y$13$abc' }
  former: { id: 2, password: '$2y$13$abc', enabled: false }
  locked: { id: 3 }
";

    /// Runs `jackfield ticket`, and returns its output if it succeeds.
    fn ticket(settings: &str, flags: &[&str]) -> Option<String> {
        let site = tempfile::tempdir().unwrap();
        std::fs::write(site.path().join("jackfield.yml"), settings).unwrap();
        std::fs::write(site.path().join("users.yml"), USERS).unwrap();
        let path = site.path().display().to_string();
        let line = ["ticket", &path].into_iter().chain(flags.iter().copied());
        let mut out = Vec::new();
        let made = run(&Line::parse_from(line).args, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(made, !text.is_empty());
        made.then_some(text)
    }

    #[test]
    fn makes_valid_tickets() {
        let secret = AppSecret::new("kernel-secret".to_owned().into()).unwrap();
        for (flags, username) in [(&[][..], None), (&["--user", "admin"], Some("admin"))] {
            let text = ticket(SETTINGS, flags).unwrap();
            let ticket = Ticket::parse(text.trim()).unwrap();
            assert_eq!(ticket.username(), username);
            ticket.check_time(SystemTime::now(), ticket::Validity::default()).unwrap();
            let password = jackfield_auth::PasswordHash::new("$2y$13$abc".to_owned());
            ticket.verify(&secret, password.as_ref()).unwrap();
        }
        let text = ticket(SETTINGS, &["--user", "admin", "--json"]).unwrap();
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["user"], "admin");
        assert!(Ticket::parse(object["ticket"].as_str().unwrap()).is_ok(), "{text}");
    }

    #[test]
    fn makes_no_ticket_for_disabled_or_unknown_users() {
        for user in ["former", "locked", "nobody"] {
            assert_eq!(ticket(SETTINGS, &["--user", user]), None, "{user}");
        }
        assert_eq!(ticket("", &[]), None);
        assert_eq!(ticket("auth: { tickets: { secret: { file: gone } } }", &[]), None);
        let no_users = "auth: { tickets: { secret: x } }";
        assert_eq!(ticket(no_users, &["--user", "admin"]), None);
        assert!(ticket(no_users, &[]).is_some());
    }
}
