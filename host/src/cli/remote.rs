//! What the commands that talk to a running server have in common: how it is named, how long it may
//! take, and how they end. The client itself is the crate `jackfield-client`.
//!
//! Exit codes: 0 done; 1 refused by the server; 2 usage; 3 cannot connect, or the connection was
//! lost; 4 timed out. They are documented in `docs/publishing.md`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_client::{Client, Failure, Target};
use jackfield_wamp::dialect::Codec;
use jackfield_wamp::error_uri;
use jackfield_wamp::payload::Payload;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::http::Uri;

use super::say;
use crate::config::oro::{self, Dsn};

/// The variable that names the server.
const URL: &str = "JACKFIELD_URL";
/// The variable with a ticket.
const TICKET: &str = "JACKFIELD_TICKET";
/// The variable with a token. Not called so: the tokens of the HTTP API are something else.
const JWT: &str = "JACKFIELD_JWT";
/// Where a server is that nobody has configured otherwise.
const USUAL: &str = "ws://127.0.0.1:8080/";

/// How a server is named, and who wants something of it.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// The server, such as wss://example.com/ws. Without it, what JACKFIELD_URL says or else
    /// ORO_WEBSOCKET_BACKEND_DSN, and without those ws://127.0.0.1:8080/.
    // Read later: what the command line's own errors repeat may have a password in it.
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The realm to join.
    #[arg(long, default_value = "realm1")]
    realm: String,
    /// How messages are written.
    #[arg(long, value_enum, default_value_t = Serializer::Json)]
    serializer: Serializer,
    /// Who to be, where the server asks for a proof.
    #[arg(long)]
    authid: Option<String>,
    /// A ticket; better in the environment variable JACKFIELD_TICKET, which nobody else can see.
    #[arg(long)]
    ticket: Option<String>,
    /// A JSON Web Token, sent as `Authorization: Bearer`; better in JACKFIELD_JWT.
    #[arg(long, conflicts_with = "ticket")]
    token: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Serializer {
    Json,
    Msgpack,
    Cbor,
}

/// How a command ended, other than well.
pub(super) enum Ended {
    /// The server's affair, or the network's.
    Failed(Failure),
    /// The server wants to know who it is, or does not believe it; and what to do.
    Unproven(Failure, String),
    /// What was asked for makes no sense.
    Usage(String),
    /// It did not happen in this time.
    TimedOut(Duration),
    /// What was learnt cannot be written.
    Output(io::Error),
}

impl Remote {
    /// Opens a session.
    pub(super) async fn connect(self) -> Result<Client, Ended> {
        let Options { realm, serializer, authid, ticket, token } = self.options;
        let from = |name| std::env::var(name).ok().filter(|it: &String| !it.is_empty());
        let proofs = Proofs::find(ticket, token, from);
        let help = proofs.help();
        let codec = match serializer {
            Serializer::Json => Codec::Json,
            Serializer::Msgpack => Codec::MessagePack,
            Serializer::Cbor => Codec::Cbor,
        };
        let url = match self.url {
            Some(url) => Target::parse_url(&url).map_err(|error| format!("--url: {error}")),
            None => usual_url(from),
        };
        let url = url.map_err(Ended::Usage)?;
        let (ticket, token) = (proofs.ticket.map(|it| it.text), proofs.token.map(|it| it.text));
        let target = Target { url, realm, codec, authid, ticket, token };
        Client::connect(&target).await.map_err(|failure| match failure {
            Failure::Refused { ref uri, .. } if asks_for_proof(uri) => {
                Ended::Unproven(failure, help)
            }
            failure => Ended::Failed(failure),
        })
    }
}

/// What shows who somebody is, and where it was found.
struct Proof {
    text: String,
    source: &'static str,
}

struct Proofs {
    ticket: Option<Proof>,
    token: Option<Proof>,
}

impl Proofs {
    /// What is empty is none. Whichever was given by hand stands alone.
    fn find(
        ticket: Option<String>,
        token: Option<String>,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Self {
        let proof = |text: Option<String>, source| {
            text.filter(|text| !text.is_empty()).map(|text| Proof { text, source })
        };
        let by_hand = Self { ticket: proof(ticket, "--ticket"), token: proof(token, "--token") };
        if by_hand.ticket.is_some() || by_hand.token.is_some() {
            return by_hand;
        }
        Self { ticket: proof(variable(TICKET), TICKET), token: proof(variable(JWT), JWT) }
    }

    /// What to do where the server is not content with them.
    fn help(&self) -> String {
        match (&self.ticket, &self.token) {
            (None, None) => format!(
                "give a ticket with --ticket or {TICKET} (`jackfield ticket DIR --user NAME` makes \
                 one), or a JSON Web Token with --token or {JWT}"
            ),
            (Some(ticket), None) => format!(
                "the ticket is that of {}; tickets are good for five minutes as a rule, and \
                 `jackfield ticket DIR` makes a new one",
                ticket.source
            ),
            (None, Some(token)) => format!("the token is that of {}", token.source),
            (Some(ticket), Some(token)) => format!(
                "the ticket is that of {}, and the token that of {}; unset whichever is not meant",
                ticket.source, token.source
            ),
        }
    }
}

/// Whether a refusal is about who somebody is: an HTTP status, or WAMP's own.
fn asks_for_proof(uri: &str) -> bool {
    const URIS: [&str; 4] = [
        error_uri::NO_MATCHING_AUTH_METHOD,
        error_uri::AUTHENTICATION_DENIED,
        error_uri::AUTHENTICATION_FAILED,
        error_uri::AUTHENTICATION_REQUIRED,
    ];
    uri.starts_with("401") || uri.starts_with("403") || URIS.contains(&uri)
}

/// The server that is meant when none is named; `variable` is the environment.
fn usual_url(variable: impl Fn(&'static str) -> Option<String>) -> Result<Uri, String> {
    if let Some(url) = variable(URL) {
        return Target::parse_url(&url).map_err(|error| format!("{URL}: {error}"));
    }
    let url = match variable(oro::BACKEND) {
        None => USUAL.to_owned(),
        Some(text) => Dsn::parse(oro::BACKEND, &text)
            .and_then(|dsn| dsn.url(oro::BACKEND))
            .map_err(|error| error.to_string())?,
    };
    Target::parse_url(&url)
}

/// Runs a command to its end, and says on stderr what went wrong.
pub(super) fn run(command: impl Future<Output = Result<(), Ended>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Ended::Output(error)),
    };
    let (code, message) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        // That nobody reads on is no failure.
        Err(Ended::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(Ended::Output(error)) => (1, error.to_string()),
        Err(Ended::Usage(message)) => (2, message),
        Err(Ended::Unproven(failure, help)) => (1, format!("{failure}\n  = help: {help}")),
        Err(Ended::TimedOut(limit)) => (4, format!("timed out after {limit:?}")),
        Err(Ended::Failed(failure)) => match &failure {
            Failure::Refused { .. } => (1, failure.to_string()),
            Failure::Connect { .. } | Failure::Lost(_) | Failure::Garbled(_) => {
                (3, failure.to_string())
            }
        },
    };
    say(format_args!("error: {message}"));
    ExitCode::from(code)
}

/// Gives a command so long.
pub(super) async fn within<T>(
    limit: Duration,
    command: impl Future<Output = Result<T, Ended>>,
) -> Result<T, Ended> {
    tokio::time::timeout(limit, command).await.unwrap_or(Err(Ended::TimedOut(limit)))
}

/// A span of time as an option: `500ms`, `10s`, `2m`, or a number of seconds.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    crate::config::span(text).ok_or_else(|| "write 500ms, 10s, 2m or a number of seconds".into())
}

/// Arguments as they are typed: what is JSON is meant as JSON, and anything else as text.
pub(super) fn payload(args: &[String], kwargs: &str, text: bool) -> Result<Payload, Ended> {
    let value = |arg: &String| match serde_json::from_str::<&RawValue>(arg) {
        Ok(value) if !text => value.get().to_owned(),
        _ => serde_json::Value::from(arg.as_str()).to_string(),
    };
    let args = format!("[{}]", args.iter().map(value).collect::<Vec<_>>().join(","));
    Payload::from_json(&args, kwargs).map_err(|error| Ended::Usage(error.to_string()))
}

/// Writes one JSON value and a line end, and does not keep it back.
pub(super) fn print(value: &impl Serialize, pretty: bool) -> Result<(), Ended> {
    let text =
        if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.map_err(|error| Ended::Output(error.into()))?;
    // Of a terminal, what others have published drives nothing.
    let text: Vec<_> = text.split('\n').map(jackfield_text::json).collect();
    let text = text.join(if pretty { "\n" } else { " " });
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Ended::Output)
}

/// A part of a payload, which is JSON already.
pub(super) fn raw(text: &str) -> Result<Box<RawValue>, Ended> {
    RawValue::from_string(text.to_owned()).map_err(|error| Ended::Output(error.into()))
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_server_is_meant() {
        let check = |variables: &[(&str, &str)], expect: Result<&str, &str>| {
            let variable = |name| {
                let found = variables.iter().find(|(other, _)| *other == name);
                found.map(|(_, text)| (*text).to_owned())
            };
            let url = usual_url(variable).map(|url| url.to_string());
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
    fn which_proof_is_meant() {
        let check = |flags: [Option<&str>; 2],
                     variables: [Option<&str>; 2],
                     expect: [Option<&str>; 2],
                     help: &str| {
            let variable = |name| variables[usize::from(name == JWT)].map(str::to_owned);
            let proofs =
                Proofs::find(flags[0].map(str::to_owned), flags[1].map(str::to_owned), variable);
            assert!(proofs.help().starts_with(help), "{}", proofs.help());
            let found = [proofs.ticket, proofs.token].map(|it| it.map(|it| it.text));
            assert_eq!(found.each_ref().map(Option::as_deref), expect);
        };
        let none = [None; 2];
        check(none, none, none, "give a ticket with --ticket or JACKFIELD_TICKET");
        check(none, [Some(""), None], none, "give a ticket");
        check(
            [Some(""), None],
            [Some("a"), None],
            [Some("a"), None],
            "the ticket is that of JACKFIELD_TICKET",
        );
        check(
            [Some("b"), None],
            [Some("a"), Some("c")],
            [Some("b"), None],
            "the ticket is that of --ticket",
        );
        check(
            [None, Some("b")],
            [Some("a"), None],
            [None, Some("b")],
            "the token is that of --token",
        );
        check(none, [None, Some("c")], [None, Some("c")], "the token is that of JACKFIELD_JWT");
        check(
            none,
            [Some("a"), Some("c")],
            [Some("a"), Some("c")],
            "the ticket is that of JACKFIELD_TICKET, and",
        );
    }

    #[test]
    fn an_argument_that_is_json_is_json() {
        let check = |args: &[&str], text: bool, expect: &str| {
            let args: Vec<_> = args.iter().map(|&it| it.to_owned()).collect();
            let Ok(payload) = payload(&args, "", text) else { panic!("{args:?}") };
            assert_eq!(payload.args_json(), expect, "{args:?}");
        };
        check(&[], false, "[]");
        check(&["1", "-2.50", "true", "null"], false, "[1,-2.50,true,null]");
        check(&["hello", "\"hello\"", ""], false, r#"["hello","hello",""]"#);
        check(
            &[r#"{"b":1,"a":[]}"#, "18446744073709551615"],
            false,
            r#"[{"b":1,"a":[]},18446744073709551615]"#,
        );
        check(&["1", "{", "say \"hi\""], true, r#"["1","{","say \"hi\""]"#);
        check(&["1 2", "{"], false, r#"["1 2","{"]"#);
    }

    #[test]
    fn keyword_arguments_are_an_object() {
        assert!(payload(&[], r#"{"a":1}"#, false).is_ok());
        for wrong in ["[1]", "x", "{\"a\":1} 2"] {
            assert!(matches!(payload(&[], wrong, false), Err(Ended::Usage(_))), "{wrong}");
        }
    }
}
