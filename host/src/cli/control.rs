//! Control client: finds the socket of a running server, and sends one request. The common part of
//! `status` and `reload`.
//!
//! Exit codes: 0 success; 1 the server reports a problem; 2 usage; 3 no server answers; 4 the time is
//! over.

mod stream;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jackfield_config::{ControlSocket, SocketCandidate, SocketEnvironment};
use jackfield_text::Untrusted;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config_args::SettingsArgs;
use super::say;
use crate::user_name;

pub(super) use stream::Stream;

/// The maximum size of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The user id of root.
const ROOT: u32 = 0;
/// The time for an answer that the server has at hand.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The time to connect.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(5);

/// Command-line arguments of the commands about a running server.
#[derive(Debug, clap::Args)]
pub(super) struct ControlArgs {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    site: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// Command-line arguments of the commands about a plugin of a running server.
#[derive(Debug, clap::Args)]
pub(super) struct PluginControlArgs {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(long = "site", value_name = "DIR", default_value = ".", hide_default_value = true)]
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

/// A server that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Server(SocketCandidate);

/// An answer of the server.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    text: Bytes,
    pub(super) body: Value,
}

/// The failure of a command.
#[derive(Debug)]
pub(super) enum ControlError {
    /// No server answers; complete with its help.
    Unreachable(String),
    /// The settings, which have the path of the socket, are invalid.
    Settings(Vec<String>),
    /// The server has refused the request.
    Refused(String),
    /// The output cannot be written.
    Output(io::Error),
}

impl ControlArgs {
    /// Finds the running server.
    ///
    /// # Errors
    /// With the paths, and the reason for each.
    pub(super) async fn find(&self) -> Result<Server, ControlError> {
        self.server.find(&self.site).await
    }

    /// Whether the server's answer is printed as it comes.
    pub(super) fn json(&self) -> bool {
        self.server.json
    }
}

impl PluginControlArgs {
    /// Finds the running server.
    ///
    /// # Errors
    /// With the paths, and the reason for each.
    pub(super) async fn find(&self) -> Result<Server, ControlError> {
        self.server.find(&self.site).await
    }

    /// Whether the server's answer is printed as it comes.
    pub(super) fn json(&self) -> bool {
        self.server.json
    }
}

impl ServerArgs {
    async fn find(&self, site: &Path) -> Result<Server, ControlError> {
        let named = match &self.socket {
            Some(path) => Some(path.clone()),
            None => self.named(site)?,
        };
        if let Some(path) = named {
            let named = SocketCandidate { path, owner: None };
            return match connect(&named).await {
                Ok(_stream) => Ok(Server(named)),
                Err(error) => {
                    Err(ControlError::Unreachable(unreachable(&[(named.path, error)], None)))
                }
            };
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

    /// The path of the setting, if it names one.
    fn named(&self, site: &Path) -> Result<Option<PathBuf>, ControlError> {
        let settings = self.settings.find(site);
        if !settings.problems.is_empty() {
            let problems = settings.problems.iter().map(ToString::to_string).collect();
            return Err(ControlError::Settings(problems));
        }
        match settings.config.control.socket {
            ControlSocket::Default => Ok(None),
            ControlSocket::At(path) => Ok(Some(path)),
            ControlSocket::Off => Err(ControlError::Unreachable(
                "the control channel is disabled (control.socket: off)\n  = help: remove the setting \
                 and restart the server; without the channel, SIGHUP reloads and GET /health has the \
                 state"
                    .to_owned(),
            )),
        }
    }
}

impl Server {
    /// Sends a request, and waits for the answer up to `limit`.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, ControlError> {
        let asked = timeout(limit, self.exchange(method, path, body)).await;
        asked.unwrap_or_else(|_elapsed| Err(self.failed(&format_args!("none within {limit:?}"))))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ControlError> {
        let (response, _connection) = self.send(method, path, body).await?;
        self.collect(response).await
    }

    /// Sends a request, and waits for the head of its answer.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), ControlError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send_body(method, path, Full::new(Bytes::from(body))).await
    }

    /// Sends a request with a body of any length, and waits for the head of its answer. The
    /// connection ends with the answer.
    pub(super) async fn send_body<B>(
        &self,
        method: Method,
        path: &str,
        body: B,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), ControlError>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let failed = |reason: &dyn std::fmt::Display| self.failed(reason);
        let stream = connect(&self.0).await;
        let stream = stream.map_err(|error| {
            ControlError::Unreachable(unreachable(&[(self.0.path.clone(), error)], None))
        })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "jackfield")
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let request = request.map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        Ok((response, connection))
    }

    /// Reads an answer.
    pub(super) async fn collect(
        &self,
        response: Response<Incoming>,
    ) -> Result<Answer, ControlError> {
        let status = response.status();
        let text = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let text = text.map_err(|error| self.failed(&error))?.to_bytes();
        let body = serde_json::from_slice(&text).map_err(|_| self.failed(&"it is not JSON"))?;
        Ok(Answer { status, text, body })
    }

    pub(super) fn failed(&self, reason: &dyn std::fmt::Display) -> ControlError {
        let path = Untrusted::new(self.0.path.display());
        let help = "the server may have ended or be stopped; its log says more";
        ControlError::Unreachable(format!("{path}: no answer: {reason}\n  = help: {help}"))
    }
}

impl Answer {
    /// Prints the answer as it came.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let text = String::from_utf8_lossy(&self.text);
        writeln!(out, "{}", jackfield_text::json(text.trim_end()))
    }

    /// The answer, unless it is the refusal of the request.
    pub(super) fn accepted(self) -> Result<Self, ControlError> {
        if self.body.get("error").is_none() {
            return Ok(self);
        }
        let message = self.body.get("message").and_then(Value::as_str).unwrap_or_default();
        Err(ControlError::Refused(format!("the server refuses: {message}")))
    }
}

impl ControlError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Output(_) => 1,
            Self::Settings(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

/// Asks for a page of the state, and prints it: the answer as it came, or the text that `page` makes.
pub(super) async fn print_page(
    server: &Server,
    path: &str,
    json: bool,
    page: impl FnOnce(&Value) -> String,
    out: &mut dyn Write,
) -> Result<ExitCode, ControlError> {
    let answer = server.ask(Method::GET, path, None, ANSWER_TIME).await?;
    if json {
        answer.print(out).map_err(ControlError::Output)?;
        answer.accepted()?;
    } else {
        let answer = answer.accepted()?;
        out.write_all(page(&answer.body).as_bytes()).map_err(ControlError::Output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command to its end.
pub(super) fn run(command: impl Future<Output = Result<ExitCode, ControlError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("error: failed to start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command) {
        Ok(code) => code,
        Err(ControlError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            match &error {
                ControlError::Unreachable(text) | ControlError::Refused(text) => {
                    say(format_args!("error: {text}"));
                }
                ControlError::Settings(problems) => {
                    problems.iter().for_each(say);
                    say(
                        "error: invalid configuration; fix the errors above, or name the socket with --socket",
                    );
                }
                ControlError::Output(error) => {
                    say(format_args!("error: failed to write the output: {error}"));
                }
            }
            ExitCode::from(error.exit_code())
        }
    }
}

async fn connect(candidate: &SocketCandidate) -> io::Result<UnixStream> {
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

/// Checks the result of writing. A closed pipe is no error: its reader has read enough.
pub(super) fn written(output: io::Result<()>) -> Result<(), ControlError> {
    match output {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ControlError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The message about a server that cannot be reached, from the paths that were tried.
fn unreachable(tried: &[(PathBuf, io::Error)], site: Option<&Path>) -> String {
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
    for (path, error) in &shown {
        let (path, reason) = (Untrusted::new(path.display()), reason(path, error));
        // Writing to a string cannot fail.
        let _written = write!(text, "\n  {path}: {reason}");
    }
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let help = if shown.iter().any(|(_, error)| is_denied(error)) {
        "run the command as the user of the server, or as root"
    } else if site.is_some() {
        "name the DIR that `jackfield serve` was started with, or the socket with --socket; the \
         server's log has its path: `the control channel is open`"
    } else {
        "start the server, or correct the path; the server's log has it: `the control channel is open`"
    };
    text + "\n  = help: " + help
}

/// Why a socket cannot be connected to.
fn reason(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such socket".to_owned(),
        ErrorKind::ConnectionRefused => {
            let is_socket = path.symlink_metadata().is_ok_and(|it| it.file_type().is_socket());
            if is_socket {
                "connection refused: the server ended without cleaning up".to_owned()
            } else {
                "this is no socket".to_owned()
            }
        }
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
        assert!(
            text.starts_with("no running server of the site s was found\n  /a: there is no such")
        );
        assert!(text.contains("\n  /b: there is no such socket\n  = help: name the DIR"), "{text}");
        // Paths without a socket are left out.
        let refused = io::Error::from(ErrorKind::PermissionDenied);
        let text =
            unreachable(&[(path("/a"), missing()), (path("/"), refused)], Some(Path::new("s")));
        assert!(!text.contains("/a"), "{text}");
        assert!(text.contains("/: permission denied: the server runs as root (uid 0)"), "{text}");
        assert!(text.ends_with("run the command as the user of the server, or as root"), "{text}");
    }
}
