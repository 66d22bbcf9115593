//! `jackfield ticket DIR`: makes a ticket as the application would, for trying a server that asks
//! for one, and for the commands that publish to it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use jackfield_auth::ticket::{self, AppSecret, Holder, Ticket};
use jackfield_auth::{AuthSettings, UsersError};

use super::config_args::SettingsArgs;
use super::say;

/// What `jackfield ticket` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site; its settings have to say `auth.tickets`.
    #[arg(value_name = "DIR")]
    site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Whose ticket it is to be, by the name that the application knows; without it, nobody's, as
    /// the application's own backend uses them.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
enum NoTicket {
    #[error("the settings have no `auth.tickets`, whose secret a ticket is made with")]
    NotConfigured,
    #[error("there is no user `{0}`")]
    Unknown(String),
    #[error("the user `{0}` has no password, without which nobody believes a ticket")]
    NoPassword(String),
    #[error("the user `{0}` is disabled")]
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

/// Prints the ticket, as it is before it is written into a URL. True if there is one.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<bool> {
    let settings = args.settings.find(&args.site);
    if !settings.problems.is_empty() {
        settings.problems.iter().for_each(say);
        return Ok(false);
    }
    match make(&settings.config.auth, args.user.as_deref()) {
        Ok(ticket) => writeln!(out, "{ticket}").map(|()| true),
        Err(error) => {
            say(format_args!("error: {error}"));
            if let (NoTicket::NotConfigured, Some(file)) = (&error, &settings.missing) {
                let file = file.display();
                say(format_args!(
                    "  = help: there is no {file}: name the configuration with --config"
                ));
            }
            Ok(false)
        }
    }
}

fn make(auth: &AuthSettings, username: Option<&str>) -> Result<String, NoTicket> {
    let settings = auth.tickets.as_ref().ok_or(NoTicket::NotConfigured)?;
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

/// The name and the password of a user.
fn find(
    auth: &AuthSettings,
    name: &str,
) -> Result<(String, jackfield_auth::PasswordHash), NoTicket> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let user = runtime.block_on(async {
        let users = auth.users.as_ref().ok_or(jackfield_auth::SetupError::NoUsers)?.open()?;
        users.find(name).await.map_err(NoTicket::from)
    })?;
    let user = user.ok_or_else(|| NoTicket::Unknown(name.to_owned()))?;
    if !user.enabled {
        return Err(NoTicket::Disabled(name.to_owned()));
    }
    let password = user.password.clone().ok_or_else(|| NoTicket::NoPassword(name.to_owned()))?;
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

    /// What is printed, if anything is.
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
