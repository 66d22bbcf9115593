//! Discovery: finds the control socket of a running server, and says why there is none.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_config::{ControlSocket, SocketCandidate, SocketEnvironment};
use jackfield_text::Untrusted;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::config_args::SettingsArgs;
use super::{ControlError, Server};
use crate::user_name;

/// The user id of root.
const ROOT: u32 = 0;
/// The time to connect.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// Command-line arguments of the commands about a running server.
#[derive(Debug, clap::Args)]
pub(in super::super) struct ControlArgs {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(value_name = "DIR")]
    site: Option<PathBuf>,
    /// The same as DIR.
    #[arg(short = 's', long = "site", value_name = "DIR", conflicts_with = "site")]
    site_option: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Command-line arguments of the commands with another argument than the site of a running server.
#[derive(Debug, clap::Args)]
pub(in super::super) struct PluginControlArgs {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(
        short = 's',
        long = "site",
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    site: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Args)]
struct ServerArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Control socket of the server; replaces DIR and the setting `control.socket`.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print the server's answer, a JSON object.
    #[arg(long)]
    json: bool,
}

impl ControlArgs {
    /// Finds the running server.
    ///
    /// # Errors
    /// With the paths, and the reason for each.
    pub(in super::super) async fn find(&self) -> Result<Server, ControlError> {
        let site = self.site.as_deref().or(self.site_option.as_deref());
        self.server.find(site.unwrap_or(Path::new("."))).await
    }

    /// Whether the server's answer is printed as it comes.
    pub(in super::super) fn json(&self) -> bool {
        self.server.json
    }
}

impl PluginControlArgs {
    /// Finds the running server.
    ///
    /// # Errors
    /// With the paths, and the reason for each.
    pub(in super::super) async fn find(&self) -> Result<Server, ControlError> {
        self.server.find(&self.site).await
    }

    /// Whether the server's answer is printed as it comes.
    pub(in super::super) fn json(&self) -> bool {
        self.server.json
    }
}

impl ServerArgs {
    async fn find(&self, site: &Path) -> Result<Server, ControlError> {
        if let Some(path) = &self.socket {
            return at(path.clone()).await;
        }
        let settings = self.settings.find(site);
        match Self::by_setting(&settings.config.control.socket, site).await {
            // A running server keeps its settings while the file has errors, so it is asked anyway.
            Err(ControlError::Unreachable(_)) if !settings.problems.is_empty() => {
                let problems = settings.problems.iter().map(ToString::to_string).collect();
                Err(ControlError::Settings(problems))
            }
            found => found,
        }
    }

    /// Finds the server at the path of the setting, or in the folders of its default.
    async fn by_setting(setting: &ControlSocket, site: &Path) -> Result<Server, ControlError> {
        match setting {
            ControlSocket::Default => {}
            ControlSocket::At(path) => return at(path.clone()).await,
            ControlSocket::Off => {
                return Err(ControlError::Unreachable(
                    "the control channel is disabled (control.socket: off)\n  = help: remove the setting \
                     and restart the server; without the channel, SIGHUP reloads and GET /health has the \
                     state"
                        .to_owned(),
                ));
            }
        }
        let from = |name| std::env::var(name).ok();
        let (service, login) = (from("RUNTIME_DIRECTORY"), from("XDG_RUNTIME_DIR"));
        let environment = SocketEnvironment {
            runtime_directory: service.as_deref(),
            xdg_runtime_dir: login.as_deref(),
            uid: rustix::process::geteuid().as_raw(),
        };
        let owner = site.metadata().ok().map(|metadata| metadata.uid());
        let mut tried = Vec::new();
        for candidate in ControlSocket::candidates(site, &environment, owner) {
            match connect(&candidate).await {
                Ok(_stream) => return Ok(Server(candidate)),
                Err(error) => tried.push((candidate.path, error)),
            }
        }
        Err(ControlError::Unreachable(unreachable(&tried, Some(site))))
    }
}

/// The server at a control socket.
async fn at(path: PathBuf) -> Result<Server, ControlError> {
    let named = SocketCandidate { path, owner: None };
    match connect(&named).await {
        Ok(_stream) => Ok(Server(named)),
        Err(error) => Err(ControlError::Unreachable(unreachable(&[(named.path, error)], None))),
    }
}

/// Finds the running server of a site with these settings.
///
/// # Errors
/// With the paths, and the reason for each.
pub(in super::super) async fn find(
    site: &Path,
    settings: &SettingsArgs,
) -> Result<Server, ControlError> {
    let server = ServerArgs { settings: settings.clone(), socket: None, json: false };
    server.find(site).await
}

pub(super) async fn connect(candidate: &SocketCandidate) -> io::Result<UnixStream> {
    let connecting = timeout(MAX_CONNECT_TIME, UnixStream::connect(&candidate.path)).await;
    let stream = connecting.unwrap_or_else(|_elapsed| Err(ErrorKind::TimedOut.into()))?;
    let server = stream.peer_cred()?.uid();
    match candidate.owner {
        Some(owner) if !is_trusted(server, owner) => {
            let (server, owner) = (user_name::describe(server), user_name::describe(owner));
            Err(io::Error::other(format!("not used: it belongs to {server}, and not to {owner}")))
        }
        Some(_) | None => Ok(stream),
    }
}

/// Whether a server of this user may answer in a folder that any user can make: one of another user
/// could imitate the server.
const fn is_trusted(server: u32, owner: u32) -> bool {
    server == owner || server == ROOT
}

/// The message about a server that cannot be reached, from the paths that were tried.
pub(super) fn unreachable(tried: &[(PathBuf, io::Error)], site: Option<&Path>) -> String {
    let what = match site {
        Some(site) => {
            let site = Untrusted::new(site.display());
            format!("no running server of the site {site} was found")
        }
        None => "no server answers on the control socket".to_owned(),
    };
    let mut text = what;
    // Paths without a socket are shown only if no path has one.
    let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let are_there = tried.iter().filter(|(_, error)| !is_missing(error));
    let mut shown: Vec<&(PathBuf, io::Error)> = are_there.collect();
    if shown.is_empty() {
        shown = tried.iter().collect();
    }
    if shown.len() > 1 && shown.iter().all(|(_, error)| is_missing(error)) {
        let path = |it: &&(PathBuf, _)| Untrusted::new(it.0.display()).to_string();
        let paths: Vec<String> = shown.iter().map(path).collect();
        let _written = write!(text, "\n  there is no socket at {}", paths.join(" or "));
        shown.clear();
    }
    for (path, error) in &shown {
        let (path, reason) = (Untrusted::new(path.display()), reason(path, error));
        // Writing to a string cannot fail.
        let _written = write!(text, "\n  {path}: {reason}");
    }
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let has_ended = |path: &Path, error: &io::Error| {
        error.kind() == ErrorKind::ConnectionRefused && is_socket(path)
    };
    let help = if shown.iter().any(|(path, error)| has_ended(path, error)) {
        "start the server; the next start replaces the socket"
    } else if shown.iter().any(|(_, error)| is_denied(error)) {
        "run the command as the user of the server, or as root"
    } else if site.is_some() {
        "name the directory that `jackfield serve` was started with, DIR or --site DIR, or the socket with \
         --socket; the server's log has its path: `the control channel is open`"
    } else {
        "start the server, or correct the path; the server's log has it: `the control channel is open`"
    };
    text + "\n  = help: " + help
}

fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.file_type().is_socket())
}

/// Why a socket cannot be connected to.
fn reason(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket".to_owned(),
        ErrorKind::ConnectionRefused if is_socket(path) => {
            "connection refused: the server ended without cleaning up".to_owned()
        }
        ErrorKind::ConnectionRefused => "this is no socket".to_owned(),
        ErrorKind::PermissionDenied => {
            let owner = |path: &Path| path.metadata().map(|it| user_name::describe(it.uid()));
            if let Ok(user) = owner(path) {
                format!("permission denied: the server runs as {user}")
            } else if let Ok(user) = owner(path.parent().unwrap_or(path)) {
                format!("permission denied: the folder belongs to {user}")
            } else {
                "permission denied".to_owned()
            }
        }
        ErrorKind::TimedOut => "the server does not accept connections".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusts_servers_of_the_expected_user_and_of_root() {
        assert!(is_trusted(7, 7) && is_trusted(0, 7) && is_trusted(0, 0));
        assert!(!is_trusted(7, 0) && !is_trusted(7, 8));
    }

    #[test]
    fn names_the_path_and_the_reason() {
        let missing = || io::Error::from(ErrorKind::NotFound);
        let path = |text: &str| PathBuf::from(text);
        let text =
            unreachable(&[(path("/a"), missing()), (path("/b"), missing())], Some(Path::new("s")));
        let start = "no running server of the site s was found\n  there is no socket at /a or /b\n  = help: ";
        assert!(text.starts_with(start) && text.contains("--site DIR"), "{text}");
        let text = unreachable(&[(path("/a"), missing())], None);
        assert!(text.contains("\n  /a: there is no such socket\n  = help: "), "{text}");
        // Paths without a socket are left out.
        let refused = io::Error::from(ErrorKind::PermissionDenied);
        let text =
            unreachable(&[(path("/a"), missing()), (path("/"), refused)], Some(Path::new("s")));
        assert!(!text.contains("/a"), "{text}");
        assert!(text.contains("/: permission denied: the server runs as root (uid 0)"), "{text}");
        assert!(text.ends_with("run the command as the user of the server, or as root"), "{text}");
    }
}
