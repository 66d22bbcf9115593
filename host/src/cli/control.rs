//! Control client: sends one request to a running server, which [`discovery`] finds. The common part of
//! `status` and `reload`.
//!
//! Exit codes: 0 success; 1 the server reports a problem; 2 usage; 3 no server answers; 4 the time is
//! over.

mod discovery;
mod stream;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jackfield_config::SocketCandidate;
use jackfield_text::Untrusted;
use jackfield_yaml::suggest;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::say;

pub(super) use discovery::{ControlArgs, PluginControlArgs, find};
use discovery::{connect, unreachable};
pub(super) use stream::{Stream, stop};

/// The maximum size of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The time for an answer that the server has at hand.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A server that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Server(SocketCandidate);

/// An answer of the server.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    text: Bytes,
    pub(super) body: Value,
    /// The help for a refusal, if there is one.
    help: Option<String>,
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
        let mut answer = asked
            .unwrap_or_else(|_elapsed| Err(self.failed(&format_args!("none within {limit:?}"))))?;
        let plugin = body.and_then(|body| body.get("plugin")?.as_str());
        if let (StatusCode::NOT_FOUND, Some(plugin)) = (answer.status, plugin) {
            answer.help = self.other_plugins(plugin).await;
        }
        Ok(answer)
    }

    /// The help for a name that no plugin in service has; `None` if the server does not tell the
    /// names, or has the plugin.
    async fn other_plugins(&self, name: &str) -> Option<String> {
        let status = timeout(ANSWER_TIME, self.exchange(Method::GET, "/v1/status", None)).await;
        let status = status.ok()?.ok()?.body;
        let plugins = status.get("plugins")?.as_array()?.iter();
        let names: Vec<&str> = plugins.filter_map(|it| it.get("name")?.as_str()).collect();
        if names.is_empty() || names.contains(&name) {
            return None;
        }
        Some(match suggest::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the plugins in service are {}", suggest::list(&names)),
        })
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
        Ok(Answer { status, text, body, help: None })
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
        let help = self.help.map(|help| format!("\n  = help: {}", Untrusted::new(help)));
        let help = help.unwrap_or_default();
        Err(ControlError::Refused(format!("the server refuses: {message}{help}")))
    }

    /// The same answer, with a message in the terms of the command in place of those of the API.
    pub(super) fn in_terms_of_commands(mut self, message: &str, help: &str) -> Self {
        if let Some(text) = self.body.get_mut("message") {
            *text = Value::from(message);
            self.help = Some(help.to_owned());
        }
        self
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
    print_answer(answer, json, page, out)
}

/// Prints an answer: as it came, or the text that `page` makes.
pub(super) fn print_answer(
    answer: Answer,
    json: bool,
    page: impl FnOnce(&Value) -> String,
    out: &mut dyn Write,
) -> Result<ExitCode, ControlError> {
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

/// Checks the result of writing. A closed pipe is no error: its reader has read enough.
pub(super) fn written(output: io::Result<()>) -> Result<(), ControlError> {
    match output {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ControlError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
