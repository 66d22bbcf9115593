//! Requests and answers of HTTP, and the reasons why there is none.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Refusal, error::reason};

/// A request. [`Request::send`] sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
}

/// An answer, also one with an error status or a redirect: redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// The answer to a request, as [`Handler::on_response`](crate::Handler::on_response) gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) context: Vec<u8>,
    pub(crate) result: Result<Response, Error>,
}

/// Why a request was not sent, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operator does not allow it; the text has the line to add.
    #[error("the request is denied: {0}")]
    Denied(String),
    /// The request, its context or the answer is malformed.
    #[error("the request is invalid: {0}")]
    Invalid(String),
    /// Too many requests wait for their answers.
    #[error("too many requests wait for their answers")]
    Busy,
    /// No connection.
    #[error("the server is unreachable: {0}")]
    Unreachable(String),
    /// No complete answer in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer is larger than the operator allows.
    #[error("the answer is too large")]
    TooLarge,
    /// The server did not answer in HTTP.
    #[error("the answer is broken: {0}")]
    Broken(String),
}

impl Request {
    /// Creates a request with any of the methods GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: Vec::new(), body: Vec::new(), timeout: None }
    }

    /// Creates a GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Creates a POST request with a body.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// Sets the body to a value in JSON, and the header `content-type`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], if the value cannot be serialized.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.body = encode(value)?;
        Ok(self.header("content-type", "application/json"))
    }

    /// Adds a header. Its value may be a credential: it is in no log.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time for the answer; the operator's limit applies if it is shorter.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of the first header of this name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// Creates an answer, for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of success, 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; malformed parts are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, parsed as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], if it has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("the answer", &self.body)
    }
}

impl Answer {
    /// The context that the request carried.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], if it has another shape: a version with another type may have sent it.
    pub fn context<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("the context", &self.context)
    }

    /// The answer of the server.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    pub fn response(&self) -> Result<&Response, Error> {
        self.result.as_ref().map_err(Clone::clone)
    }
}

/// Without headers and body, which may have credentials.
impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.url)
    }
}

/// A client learns that the handler could not do its work; the reason is for the log.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(Self::RUNTIME_ERROR, error.to_string())
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Invalid(reason(&error)))
}

fn decode<T: DeserializeOwned>(part: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Invalid(format!("{part}: {}", reason(&error))))
}
