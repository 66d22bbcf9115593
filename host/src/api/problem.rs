//! Errors of the API: an HTTP status, an error URI for programs, and a sentence for people.

use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use jackfield_wamp::error_uri;
use serde_json::{Value, json};

use crate::dispatch::Refusal;
use crate::http::response::Answer;

/// An error of the API.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    uri: Cow<'static, str>,
    message: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Problem {
    fn new(status: StatusCode, uri: &'static str, message: impl Into<String>) -> Self {
        Self { status, uri: uri.into(), message: message.into(), header: None }
    }

    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Returns whether the same request may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// Returns the HTTP answer to a single request.
    pub(super) fn answer(self) -> Answer {
        let answer = Answer::json(self.status, &self.json());
        match self.header {
            Some((name, value)) => answer.with(name, value),
            None => answer,
        }
    }

    /// Returns the error of one item among several results.
    pub(super) fn of_item(&self, item: usize) -> Value {
        json!({ "item": item, "error": self.uri, "message": self.message })
    }

    fn json(&self) -> Value {
        json!({ "error": self.uri, "message": self.message })
    }

    pub(super) fn switched_off() -> Self {
        let message =
            "there is no HTTP API here: this server's configuration names no token for it";
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
    }

    pub(super) fn not_found(path: &str) -> Self {
        let message = format!(
            "there is no {path}; there are /api/publish, /api/call and /api/topics/TOPIC/history"
        );
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let uri = "jackfield.error.method_not_allowed";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, uri, "use POST");
        problem.with(hyper::header::ALLOW, "POST")
    }

    pub(super) fn use_get() -> Self {
        let uri = "jackfield.error.method_not_allowed";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, uri, "use GET");
        problem.with(hyper::header::ALLOW, "GET")
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "send a token that the server knows, as `Authorization: Bearer TOKEN`";
        let uri = error_uri::AUTHENTICATION_REQUIRED;
        Self::new(StatusCode::UNAUTHORIZED, uri, message)
            .with(WWW_AUTHENTICATE, r#"Bearer realm="jackfield""#)
    }

    pub(super) fn wrong_token() -> Self {
        let uri = error_uri::AUTHENTICATION_DENIED;
        Self::new(StatusCode::UNAUTHORIZED, uri, "the server does not know this token")
            .with(WWW_AUTHENTICATE, r#"Bearer realm="jackfield", error="invalid_token""#)
    }

    /// Returns whether the request had an unknown token.
    pub(super) fn is_wrong_token(&self) -> bool {
        self.uri == error_uri::AUTHENTICATION_DENIED
    }

    pub(super) fn unsupported(kind: &str) -> Self {
        let found = if kind.is_empty() { "none" } else { kind };
        let message = format!(
            "send the body as plain JSON, with `Content-Type: application/json` and no \
             Content-Encoding; the Content-Type was {found}"
        );
        let uri = "jackfield.error.unsupported_media_type";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, uri, message)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message =
            format!("a body has at most {limit} bytes here (api.body): send less at once");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error_uri::PAYLOAD_SIZE_EXCEEDED, message)
    }

    pub(super) fn too_many_items(limit: usize) -> Self {
        let message = format!("a request has at most {limit} publications here (api.batch)");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error_uri::PAYLOAD_SIZE_EXCEEDED, message)
    }

    pub(super) fn too_slow(limit: Duration) -> Self {
        let message = format!("the body did not arrive within {limit:?} (api.body_timeout)");
        Self::new(StatusCode::REQUEST_TIMEOUT, error_uri::TIMEOUT, message)
    }

    pub(super) fn unreadable(error: &str) -> Self {
        let message = format!("the body could not be read: {error}");
        Self::bad_request(error_uri::INVALID_ARGUMENT, message)
    }

    pub(super) fn bad_request(uri: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, uri, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error_uri::INVALID_ARGUMENT, message)
    }

    pub(super) fn other_realm(token: &str, realm: &str) -> Self {
        let message = format!("the token `{token}` is not good for the realm `{realm}`");
        Self::new(StatusCode::FORBIDDEN, error_uri::NOT_AUTHORIZED, message)
    }

    pub(super) fn no_such_realm(realm: &str) -> Self {
        let message = format!("there is no realm `{realm}`");
        Self::new(StatusCode::NOT_FOUND, error_uri::NO_SUCH_REALM, message)
    }

    pub(super) fn key_reused() -> Self {
        let message = "another body was sent with this Idempotency-Key: use a new key for it";
        let uri = "jackfield.error.idempotency_key_reused";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, uri, message)
    }

    pub(super) fn too_many() -> Self {
        let message = "the limit of concurrent requests is reached (api.requests): try again";
        let uri = "jackfield.error.too_many_requests";
        Self::new(StatusCode::TOO_MANY_REQUESTS, uri, message).with(RETRY_AFTER, "1")
    }

    pub(super) fn too_many_waiting() -> Self {
        let message = "too many bytes of requests wait for handlers (limits.waiting): try again";
        let uri = "jackfield.error.too_many_requests";
        Self::new(StatusCode::TOO_MANY_REQUESTS, uri, message).with(RETRY_AFTER, "1")
    }

    pub(super) fn stopping() -> Self {
        let message = "the server is shutting down: try again";
        let uri = error_uri::CLOSE_SYSTEM_SHUTDOWN;
        Self::new(StatusCode::SERVICE_UNAVAILABLE, uri, message).with(RETRY_AFTER, "1")
    }

    pub(super) fn starting() -> Self {
        let message = crate::handshake::Refusal::starting().message;
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error_uri::UNAVAILABLE, message)
            .with(RETRY_AFTER, "1")
    }

    pub(super) fn failed() -> Self {
        let message = "the request failed inside of the server; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error_uri::RUNTIME_ERROR, message)
    }
}

const NOT_FOUND: &str = "jackfield.error.not_found";

/// Converts the refusal of a client's PUBLISH or CALL.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.http_status();
        let (uri, message) = refusal.into_parts();
        let problem = Self { status, uri, message, header: None };
        if problem.is_temporary() { problem.with(RETRY_AFTER, "1") } else { problem }
    }
}
