//! Client commands: the common options, credentials and exit codes of the commands that talk to a
//! running server. The client itself is the crate `jackfield-client`.
//!
//! Exit codes: 0 success; 1 rejected by the server; 2 usage; 3 cannot connect, or connection lost;
//! 4 timed out. They are documented in `docs/publishing.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_client::{Authorities, Client, ClientError, Target};
use jackfield_config::oro::{self, Dsn};
use jackfield_wamp::dialect::Codec;
use jackfield_wamp::error_uri;
use jackfield_yaml::NonZeroDuration;
use jackfield_yaml::duration::DurationError;
use tokio_tungstenite::tungstenite::http::Uri;

use super::say;
use crate::admission::HTTPS_REQUIRED;
use crate::dispatch::NO_ROUTE;

/// The environment variable with the URL of the server.
const URL: &str = "JACKFIELD_URL";
/// The environment variable with a ticket.
const TICKET: &str = "JACKFIELD_TICKET";
/// The environment variable with a JSON Web Token. Its name avoids `TOKEN`, as the HTTP API has
/// tokens of another kind.
const JWT: &str = "JACKFIELD_JWT";
/// The environment variable with the path of a CA certificate file.
const CA: &str = "JACKFIELD_CA";
/// The help for a topic without a route.
const NO_ROUTE_HELP: &str = "`jackfield match DIR TOPIC` in the site of the server says why; if another \
                             server is meant, name it with --url";
/// The help for a server that cannot be reached.
const CONNECT_HELP: &str = "start the server, or name another one with --url or JACKFIELD_URL; \
                            `jackfield doctor DIR --url URL` finds the cause";
/// The help for a server with `access.https`.
const TLS_HELP: &str = "use the URL of the proxy with TLS: --url wss://HOST/PATH";
/// The help for a procedure without a route and a callee.
const NO_PROCEDURE_HELP: &str = "`jackfield match DIR PROCEDURE` in the site of the server shows its \
                                 route; a client may have left that offered it";
/// The URL of a server with the default configuration.
const DEFAULT_URL: &str = "ws://127.0.0.1:8080/";

/// Command-line arguments of the client commands: the server, and the session to open.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// URL of the server, such as wss://example.com/ws [default: the environment variable
    /// JACKFIELD_URL, or ORO_WEBSOCKET_BACKEND_DSN, or ws://127.0.0.1:8080/].
    // Not parsed by clap, whose errors would repeat a URL that may contain a password.
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Realm to join.
    #[arg(long, default_value = "realm1")]
    realm: String,
    /// Serialization of the messages.
    #[arg(long, value_enum, default_value_t = Serializer::Json)]
    serializer: Serializer,
    /// Authentication id (WAMP authid): the user name, if the server requires authentication.
    #[arg(long)]
    authid: Option<String>,
    /// Ticket to authenticate with. Prefer the environment variable JACKFIELD_TICKET: other users
    /// of the machine can see command lines.
    #[arg(long)]
    ticket: Option<String>,
    /// JSON Web Token to authenticate with, sent as `Authorization: Bearer`. Prefer the environment
    /// variable JACKFIELD_JWT.
    #[arg(long, conflicts_with = "ticket")]
    token: Option<String>,
    /// PEM file of CA certificates to verify a wss:// server with [default: the environment
    /// variable JACKFIELD_CA, or the CA certificates of the operating system].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Serializer {
    Json,
    Msgpack,
    Cbor,
}

/// The failure of a client command.
pub(super) enum CommandError {
    /// The server rejected a request, or the connection failed.
    Failed(ClientError),
    /// The same, with a help line: TLS or authentication failed.
    Advised(ClientError, String),
    /// The arguments or the input are invalid.
    Usage(String),
    /// The time limit was exceeded.
    TimedOut(Duration),
    /// The output cannot be written.
    Output(io::Error),
}

impl Remote {
    /// Connects and opens a session.
    pub(super) async fn connect(self) -> Result<Client, CommandError> {
        let Options { realm, serializer, authid, ticket, token, ca } = self.options;
        let from = |name| std::env::var(name).ok().filter(|it: &String| !it.is_empty());
        let credentials = Credentials::find(ticket, token, from);
        let help = credentials.help();
        let codec = match serializer {
            Serializer::Json => Codec::Json,
            Serializer::Msgpack => Codec::MessagePack,
            Serializer::Cbor => Codec::Cbor,
        };
        let url = match self.url {
            Some(url) => Target::parse_url(&url).map_err(|error| format!("--url: {error}")),
            None => default_url(from),
        };
        let url = url.map_err(CommandError::Usage)?;
        let ticket = credentials.ticket.map(|it| it.text);
        let token = credentials.token.map(|it| it.text);
        let mut target = Target { url, realm, codec, authid, ticket, token, authorities: None };
        target.authorities =
            authorities(ca, from(CA), target.is_tls()).map_err(CommandError::Usage)?;
        Client::connect(&target).await.map_err(|failure| {
            let help = match &failure {
                ClientError::Connect { .. } => Some(CONNECT_HELP.to_owned()),
                ClientError::Refused { uri, message } if is_without_tls(uri, message) => {
                    Some(TLS_HELP.to_owned())
                }
                ClientError::Refused { uri, .. } if is_unauthenticated(uri) => Some(help),
                ClientError::Tls { error, .. } => error.help().map(str::to_owned),
                _ => None,
            };
            match help {
                Some(help) => CommandError::Advised(failure, help),
                None => CommandError::Failed(failure),
            }
        })
    }
}

/// Returns the CA certificates, if a file is given. `--ca` for a server without TLS is an error;
/// `JACKFIELD_CA` is ignored then, as it may be set for other servers.
fn authorities(
    option: Option<PathBuf>,
    variable: Option<String>,
    is_tls: bool,
) -> Result<Option<Authorities>, String> {
    let (source, path) = match (option, variable) {
        (Some(_), _) if !is_tls => {
            return Err("--ca: a ws:// server has no certificate; use wss://".to_owned());
        }
        (Some(path), _) => ("--ca", path),
        (None, Some(path)) if is_tls => (CA, PathBuf::from(path)),
        (None, _) => return Ok(None),
    };
    read_authorities(source, &path).map(Some)
}

/// Reads CA certificates from a file that an option or a variable names.
pub(super) fn read_authorities(source: &str, path: &Path) -> Result<Authorities, String> {
    let pem = std::fs::read(path)
        .map_err(|error| format!("{source}: cannot read {}: {error}", path.display()))?;
    let authorities = Authorities::from_pem(&pem);
    authorities.map_err(|error| format!("{source}: {} {error}", path.display()))
}

/// A credential, and the option or variable that it comes from.
struct Credential {
    text: String,
    source: &'static str,
}

struct Credentials {
    ticket: Option<Credential>,
    token: Option<Credential>,
}

impl Credentials {
    /// Finds the credentials. Options replace environment variables. Empty values are ignored.
    fn find(
        ticket: Option<String>,
        token: Option<String>,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Self {
        let credential = |text: Option<String>, source| {
            text.filter(|text| !text.is_empty()).map(|text| Credential { text, source })
        };
        let options =
            Self { ticket: credential(ticket, "--ticket"), token: credential(token, "--token") };
        if options.ticket.is_some() || options.token.is_some() {
            return options;
        }
        Self { ticket: credential(variable(TICKET), TICKET), token: credential(variable(JWT), JWT) }
    }

    /// Returns the help line for a server that rejects these credentials.
    fn help(&self) -> String {
        match (&self.ticket, &self.token) {
            (None, None) => format!(
                "pass a ticket with --ticket or {TICKET} (`jackfield ticket DIR --user NAME` makes \
                 one), or a JSON Web Token with --token or {JWT}"
            ),
            (Some(ticket), None) => format!(
                "the ticket comes from {}; tickets expire after five minutes by default, and \
                 `jackfield ticket DIR` makes a new one",
                ticket.source
            ),
            (None, Some(token)) => format!("the token comes from {}", token.source),
            (Some(ticket), Some(token)) => format!(
                "the ticket comes from {}, and the token from {}; unset the wrong one",
                ticket.source, token.source
            ),
        }
    }
}

/// Returns whether a rejection is about authentication: an HTTP status, or a WAMP error URI.
fn is_unauthenticated(uri: &str) -> bool {
    const URIS: [&str; 4] = [
        error_uri::NO_MATCHING_AUTH_METHOD,
        error_uri::AUTHENTICATION_DENIED,
        error_uri::AUTHENTICATION_FAILED,
        error_uri::AUTHENTICATION_REQUIRED,
    ];
    uri.starts_with("401") || uri.starts_with("403") || URIS.contains(&uri)
}

/// Returns the URL of the server without `--url`; `variable` reads the environment.
fn default_url(variable: impl Fn(&'static str) -> Option<String>) -> Result<Uri, String> {
    if let Some(url) = variable(URL) {
        return Target::parse_url(&url).map_err(|error| format!("{URL}: {error}"));
    }
    let url = match variable(oro::BACKEND) {
        None => DEFAULT_URL.to_owned(),
        Some(text) => Dsn::parse(oro::BACKEND, &text)
            .and_then(|dsn| dsn.url(oro::BACKEND))
            .map_err(|error| error.to_string())?,
    };
    Target::parse_url(&url)
}

/// Runs a command and prints its error to stderr.
pub(super) fn run(command: impl Future<Output = Result<(), CommandError>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(CommandError::Output(error)),
    };
    let (code, message) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        // A closed output pipe is not an error.
        Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(CommandError::Output(error)) => (1, error.to_string()),
        Err(CommandError::Usage(message)) => (2, message),
        Err(CommandError::Advised(failure, help)) => {
            (code(&failure), format!("{failure}\n  = help: {help}"))
        }
        Err(CommandError::TimedOut(limit)) => (4, format!("timed out after {limit:?}")),
        Err(CommandError::Failed(failure)) if is_without_route(&failure) => {
            (code(&failure), format!("{failure}\n  = help: {NO_ROUTE_HELP}"))
        }
        Err(CommandError::Failed(failure)) if is_without_procedure(&failure) => {
            (code(&failure), format!("{failure}\n  = help: {NO_PROCEDURE_HELP}"))
        }
        Err(CommandError::Failed(failure)) => (code(&failure), failure.to_string()),
    };
    say(format_args!("error: {message}"));
    ExitCode::from(code)
}

/// Returns whether the server has no route for a topic.
fn is_without_route(failure: &ClientError) -> bool {
    matches!(failure, ClientError::Refused { uri, .. } if uri == NO_ROUTE)
}

/// Returns whether the server has no procedure of this name.
fn is_without_procedure(failure: &ClientError) -> bool {
    matches!(failure, ClientError::Refused { uri, .. } if uri == error_uri::NO_SUCH_PROCEDURE)
}

/// Returns whether a server with `access.https` rejects a client that connects without TLS.
fn is_without_tls(uri: &str, message: &str) -> bool {
    uri.starts_with("403") && message.contains(HTTPS_REQUIRED)
}

/// Returns the exit code of a failure.
const fn code(failure: &ClientError) -> u8 {
    match failure {
        ClientError::Refused { .. } => 1,
        ClientError::Connect { .. }
        | ClientError::Tls { .. }
        | ClientError::Lost(_)
        | ClientError::Protocol(_) => 3,
    }
}

/// Runs a command with a time limit.
pub(super) async fn within<T>(
    limit: Duration,
    command: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    tokio::time::timeout(limit, command).await.unwrap_or(Err(CommandError::TimedOut(limit)))
}

/// Parses a duration of an option: `500ms`, `10s`, `2m`, or a number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, DurationError> {
    text.parse().map(NonZeroDuration::get)
}

impl From<ClientError> for CommandError {
    fn from(failure: ClientError) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_the_server_url() {
        let check = |variables: &[(&str, &str)], expect: Result<&str, &str>| {
            let variable = |name| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, text)| (*text).to_owned())
            };
            let url = default_url(variable).map(|url| url.to_string());
            match (&url, expect) {
                (Ok(url), Ok(expect)) => assert_eq!(url, expect),
                (Err(error), Err(expect)) => assert!(error.starts_with(expect), "{error}"),
                _ => panic!("{url:?} is not {expect:?}"),
            }
        };
        let dsn = ("ORO_WEBSOCKET_BACKEND_DSN", "ssl://app.example:443/ws");
        check(&[], Ok("ws://127.0.0.1:8080/"));
        check(&[dsn], Ok("wss://app.example:443/ws"));
        check(&[dsn, ("JACKFIELD_URL", "ws://x:1/")], Ok("ws://x:1/"));
        check(&[("JACKFIELD_URL", "x")], Err("JACKFIELD_URL: write ws://"));
        check(&[("ORO_WEBSOCKET_BACKEND_DSN", "x")], Err("ORO_WEBSOCKET_BACKEND_DSN: error: "));
    }

    #[test]
    fn selects_the_credential() {
        let check = |flags: [Option<&str>; 2],
                     variables: [Option<&str>; 2],
                     expect: [Option<&str>; 2],
                     help: &str| {
            let variable = |name| variables[usize::from(name == JWT)].map(str::to_owned);
            let [ticket, token] = flags.map(|it| it.map(str::to_owned));
            let credentials = Credentials::find(ticket, token, variable);
            assert!(credentials.help().starts_with(help), "{}", credentials.help());
            let found = [credentials.ticket, credentials.token].map(|it| it.map(|it| it.text));
            assert_eq!(found.each_ref().map(Option::as_deref), expect);
        };
        let none = [None; 2];
        check(none, none, none, "pass a ticket with --ticket or JACKFIELD_TICKET");
        check(none, [Some(""), None], none, "pass a ticket");
        check(
            [Some(""), None],
            [Some("a"), None],
            [Some("a"), None],
            "the ticket comes from JACKFIELD_TICKET",
        );
        check(
            [Some("b"), None],
            [Some("a"), Some("c")],
            [Some("b"), None],
            "the ticket comes from --ticket",
        );
        check(
            [None, Some("b")],
            [Some("a"), None],
            [None, Some("b")],
            "the token comes from --token",
        );
        check(none, [None, Some("c")], [None, Some("c")], "the token comes from JACKFIELD_JWT");
        check(
            none,
            [Some("a"), Some("c")],
            [Some("a"), Some("c")],
            "the ticket comes from JACKFIELD_TICKET, and",
        );
    }

    #[test]
    fn reads_certificate_authorities_for_tls_only() {
        let none = || None::<PathBuf>;
        assert!(matches!(authorities(none(), None, true), Ok(None)));
        assert!(matches!(authorities(none(), Some("/no/such".to_owned()), false), Ok(None)));
        let error = authorities(none(), Some("/no/such".to_owned()), true).unwrap_err();
        assert!(error.starts_with("JACKFIELD_CA: cannot read /no/such: "), "{error}");
        let error = authorities(Some("/dev/null".into()), None, true).unwrap_err();
        assert_eq!(error, "--ca: /dev/null has no certificate in PEM");
        let error = authorities(Some("/dev/null".into()), None, false).unwrap_err();
        assert!(error.starts_with("--ca: a ws:// server has no certificate"), "{error}");
    }
}
