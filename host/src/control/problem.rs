//! Errors of the control API: an HTTP status, an error URI for programs, and a sentence for people;
//! in the form of the HTTP API's errors.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, RETRY_AFTER};
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use serde_json::{Value, json};

use crate::http::response::Answer;

/// The maximum size of a text of the client that is repeated.
const MAX_REPEATED_BYTES: usize = 128;

/// An error of a request.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Value,
    header: Option<Box<(HeaderName, &'static str)>>,
}

const NOT_FOUND: &str = "jackfield.error.not_found";
const TOO_MANY: &str = "jackfield.error.too_many_requests";

impl Problem {
    fn new(status: StatusCode, uri: &str, message: impl Into<String>) -> Self {
        let body = json!({ "error": uri, "message": message.into() });
        Self { status, body, header: None }
    }

    pub(super) fn answer(self) -> Answer {
        let answer = Answer::json(self.status, &self.body);
        match self.header {
            Some(header) => answer.with(header.0, header.1),
            None => answer,
        }
    }

    pub(super) fn not_found(path: &str, endpoints: &str) -> Self {
        let path = Untrusted::new(path).at_most(MAX_REPEATED_BYTES);
        let message = format!("there is no {path}; there are {endpoints}");
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
    }

    /// A path of a version of the API that this server does not have.
    pub(super) fn unknown_version(version: &str, versions: &[&str]) -> Self {
        let version = Untrusted::new(version).at_most(MAX_REPEATED_BYTES);
        let known = versions.join(", ");
        let message = format!("there is no version `{version}` of the control API here: {known}");
        let mut problem =
            Self::new(StatusCode::NOT_FOUND, "jackfield.error.unknown_version", message);
        if let Value::Object(body) = &mut problem.body {
            body.insert("versions".to_owned(), json!(versions));
        }
        problem
    }

    /// A plugin or a version that there is not.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
    }

    /// A change that the present state does not permit.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "jackfield.error.conflict", message)
    }

    /// A store that cannot be saved.
    pub(super) fn store_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "jackfield.error.store_failed", message)
    }

    /// An error in a line of the body.
    pub(super) fn in_line(line: u64, message: impl std::fmt::Display) -> Self {
        let mut problem = Self::invalid(format!("line {line}: {message}"));
        if let Value::Object(body) = &mut problem.body {
            body.insert("line".to_owned(), json!(line));
        }
        problem
    }

    /// An error of the server itself.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error_uri::RUNTIME_ERROR, message)
    }

    pub(super) fn method_not_allowed(methods: &'static str) -> Self {
        let uri = "jackfield.error.method_not_allowed";
        let message = format!("use {methods}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, uri, message);
        Self { header: Some(Box::new((ALLOW, methods))), ..problem }
    }

    pub(super) fn forbidden() -> Self {
        let message = "the control channel is for the user of the server, and for root";
        Self::new(StatusCode::FORBIDDEN, error_uri::NOT_AUTHORIZED, message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("a body has at most {limit} bytes here");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error_uri::PAYLOAD_SIZE_EXCEEDED, message)
    }

    pub(super) fn too_slow() -> Self {
        let message = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, error_uri::TIMEOUT, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error_uri::INVALID_ARGUMENT, message)
    }

    pub(super) fn too_many(what: &str, limit: usize) -> Self {
        let message = format!("{limit} {what} are under way already: try again");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY, message);
        Self { header: Some(Box::new((RETRY_AFTER, "1"))), ..problem }
    }

    pub(super) fn stopping() -> Self {
        let message = "the server is shutting down";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error_uri::CLOSE_SYSTEM_SHUTDOWN, message)
    }

    /// An unknown result: the history no longer has it, or the server failed.
    pub(super) fn lost() -> Self {
        let message = "the result of the reload is not known; GET /v1/status has the last ones";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error_uri::RUNTIME_ERROR, message)
    }
}
