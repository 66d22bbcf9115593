//! Errors of the control API: an HTTP status, an error URI for programs, and a sentence for people;
//! in the form of the HTTP API's errors.

use std::fmt::{self, Display};

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use serde_json::{Value, json};

use crate::dispatch::Refusal;
use crate::http::response::Answer;

/// The maximum size of a text of the client that is repeated.
const MAX_REPEATED_BYTES: usize = 128;

/// The kind of an error: its status and its URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProblemKind {
    Invalid,
    Unauthenticated,
    WrongToken,
    NotAuthorized,
    NotFound,
    UnknownVersion,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    TooLarge,
    TooMany,
    NoPlace,
    Internal,
    StoreFailed,
    Stopping,
    /// A publication that is refused as one of a client would be.
    Refused(StatusCode),
}

/// An error of a request.
#[derive(Debug)]
pub(super) struct Problem {
    kind: ProblemKind,
    /// The URI, if it is not that of the kind.
    uri: Option<Box<str>>,
    message: Box<str>,
    /// Another key of the answer.
    more: Option<Box<(&'static str, Value)>>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ProblemKind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NotAuthorized => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownVersion => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StoreFailed | Self::Stopping | Self::NoPlace => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(status) => status,
        }
    }

    const fn uri(self) -> &'static str {
        match self {
            Self::Invalid => error_uri::INVALID_ARGUMENT,
            Self::Unauthenticated => error_uri::AUTHENTICATION_REQUIRED,
            Self::WrongToken => error_uri::AUTHENTICATION_DENIED,
            Self::NotAuthorized => error_uri::NOT_AUTHORIZED,
            Self::NotFound => "jackfield.error.not_found",
            Self::UnknownVersion => "jackfield.error.unknown_version",
            Self::MethodNotAllowed => "jackfield.error.method_not_allowed",
            Self::TooSlow => error_uri::TIMEOUT,
            Self::Conflict => "jackfield.error.conflict",
            Self::TooLarge => error_uri::PAYLOAD_SIZE_EXCEEDED,
            Self::TooMany | Self::NoPlace => "jackfield.error.too_many_requests",
            Self::Internal | Self::Refused(_) => error_uri::RUNTIME_ERROR,
            Self::StoreFailed => "jackfield.error.store_failed",
            Self::Stopping => error_uri::CLOSE_SYSTEM_SHUTDOWN,
        }
    }
}

impl Problem {
    fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, uri: None, message: message.into().into(), more: None, header: None }
    }

    pub(super) fn answer(self) -> Answer {
        let Self { kind, uri, message, more, header } = self;
        let uri = uri.as_deref().unwrap_or(kind.uri());
        let mut body = json!({ "error": uri, "message": message });
        if let (Value::Object(body), Some(more)) = (&mut body, more) {
            body.insert(more.0.to_owned(), more.1);
        }
        let answer = Answer::json(kind.status(), &body);
        match header {
            Some(header) => answer.with_value(header.0, header.1),
            None => answer,
        }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// A path without an endpoint.
    pub(super) fn not_found(path: &str, endpoints: &str) -> Self {
        let path = Untrusted::new(path).at_most(MAX_REPEATED_BYTES);
        Self::new(ProblemKind::NotFound, format!("there is no {path}; there are {endpoints}"))
    }

    /// An endpoint of the table without an answer, which a test would find.
    pub(super) fn unanswered(path: &str) -> Self {
        Self::new(ProblemKind::Internal, format!("{path} has no answer"))
    }

    /// A path of a version of the API that this server does not have.
    pub(super) fn unknown_version(version: &str, versions: &[&str]) -> Self {
        let version = Untrusted::new(version).at_most(MAX_REPEATED_BYTES);
        let known = versions.join(", ");
        let message = format!("there is no version `{version}` of the control API here: {known}");
        let more = Some(Box::new(("versions", json!(versions))));
        Self { more, ..Self::new(ProblemKind::UnknownVersion, message) }
    }

    /// A plugin or a version that there is not.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, message)
    }

    /// A change that the present state does not permit.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, message)
    }

    /// A store that cannot be saved.
    pub(super) fn store_failed(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::StoreFailed, message)
    }

    /// An error in a line of the body.
    pub(super) fn in_line(line: u64, message: impl std::fmt::Display) -> Self {
        let more = Some(Box::new(("line", json!(line))));
        Self { more, ..Self::invalid(format!("line {line}: {message}")) }
    }

    /// An error of the server itself.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Internal, message)
    }

    /// A method that the endpoint does not have; `methods` are those that it has.
    pub(super) fn method_not_allowed(methods: &str) -> Self {
        let problem = Self::new(ProblemKind::MethodNotAllowed, format!("use {methods}"));
        match HeaderValue::from_str(methods) {
            Ok(methods) => problem.with(ALLOW, methods),
            Err(_) => problem,
        }
    }

    /// A request of another user of the machine.
    pub(super) fn forbidden() -> Self {
        let message = "the control channel is for the user of the server, and for root";
        Self::new(ProblemKind::NotAuthorized, message)
    }

    /// A request to the admin listener without a token.
    pub(super) fn unauthenticated() -> Self {
        let message = "send a token that the server knows, as `Authorization: Bearer TOKEN`";
        let challenge = HeaderValue::from_static(r#"Bearer realm="jackfield""#);
        Self::new(ProblemKind::Unauthenticated, message).with(WWW_AUTHENTICATE, challenge)
    }

    /// A request to the admin listener with a token that the settings do not have.
    pub(super) fn wrong_token() -> Self {
        let message = "the server does not know this token";
        let challenge = r#"Bearer realm="jackfield", error="invalid_token""#;
        let challenge = HeaderValue::from_static(challenge);
        Self::new(ProblemKind::WrongToken, message).with(WWW_AUTHENTICATE, challenge)
    }

    /// A request to the admin listener with a certificate that names no single user.
    pub(super) fn wrong_certificate(reason: &str) -> Self {
        Self::new(ProblemKind::NotAuthorized, reason)
    }

    /// A change by a caller that may only read; `holder` is a kind of caller and a name.
    pub(super) fn read_only(holder: impl Display) -> Self {
        let message = format!("{holder} is for reading alone (read_only: true)");
        Self::new(ProblemKind::NotAuthorized, message)
    }

    /// A request of a web page from elsewhere.
    pub(super) fn other_origin() -> Self {
        Self::new(ProblemKind::NotAuthorized, "web pages of other origins may not ask here")
    }

    /// A request to the loopback device by another name.
    pub(super) fn other_host() -> Self {
        let message =
            "the `Host` of a request to this listener is a loopback address or `localhost`";
        Self::new(ProblemKind::NotAuthorized, message)
    }

    /// A request of a token that names a file of the server's machine.
    pub(super) fn files_are_local() -> Self {
        let message = "requests that name a file of the server's machine are answered on its control \
                       socket only";
        Self::new(ProblemKind::NotAuthorized, message)
    }

    /// A publication that is refused as one of a client would be.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let kind = ProblemKind::Refused(refusal.http_status());
        let message = Untrusted::new(refusal.message()).to_string();
        Self { uri: Some(refusal.uri().into()), ..Self::new(kind, message) }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(ProblemKind::TooLarge, format!("a body has at most {limit} bytes here"))
    }

    pub(super) fn too_slow(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::TooSlow, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, message)
    }

    /// Work of a kind of which there is as much as may be.
    pub(super) fn too_many(work: &str, limit: usize) -> Self {
        let message = format!("{limit} {work} are under way already: try again");
        Self::new(ProblemKind::TooMany, message).with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// A connection for which there is no place.
    pub(super) fn no_place(kind: &str) -> Self {
        let message = format!("too many {kind} connections are open: try again");
        Self::new(ProblemKind::NoPlace, message).with(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn stopping() -> Self {
        Self::new(ProblemKind::Stopping, "the server is shutting down")
    }

    /// An unknown result: the history no longer has it, or the server failed.
    pub(super) fn lost() -> Self {
        let message = "the result of the reload is not known; GET /v1/status has the last ones";
        Self::new(ProblemKind::Internal, message)
    }
}
