//! Requests of HTTP, validated, and their answers.

use std::fmt;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};

use super::ReplyTo;
use super::origin::{Host, HttpOrigin};
use super::policy::HttpPolicy;
use super::tally::{NotAccepted, Permit};
use crate::contract::http_types;

/// A request of a plugin: an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// The hook that receives the answer.
    pub reply_to: ReplyTo,
    /// The request.
    pub request: HttpRequest,
    /// Handed to the hook with the answer.
    pub context: Vec<u8>,
    /// How many calls have led to this request: the hook with the answer goes on from there.
    pub depth: u8,
    /// Its place among the requests that wait.
    pub permit: Permit,
}

/// A request that the operator allows.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Scheme, host and port.
    pub origin: HttpOrigin,
    /// Path and query.
    pub path: String,
    /// The method.
    pub method: Method,
    /// The headers of the plugin, none of which concerns the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The longest wait for the answer.
    pub timeout: Duration,
    /// The largest body of the answer, in bytes.
    pub max_response_bytes: usize,
    /// Whether the name may lead to a private address.
    pub may_be_private: bool,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Names and values of the headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The reason why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "reason", content = "text", rename_all = "snake_case")]
pub enum HttpError {
    /// The operator does not allow it.
    #[error("denied: {0}")]
    Denied(String),
    /// The request is malformed.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// Too many requests wait.
    #[error("too many requests wait for their answers")]
    Busy,
    /// No connection.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The answer is too large.
    #[error("the answer is too large")]
    TooLarge,
    /// No answer of HTTP.
    #[error("broken answer: {0}")]
    Broken(String),
}

/// Methods that a plugin may use.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
/// Headers that the host sets, or that concern the connection.
const FORBIDDEN: [HeaderName; 9] = [
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    EXPECT,
    TE,
    TRAILER,
    PROXY_AUTHORIZATION,
];
/// Further ones, without a constant.
const FORBIDDEN_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];
/// Most headers of a request.
const MAX_HEADERS: usize = 100;

impl HttpRequest {
    /// Validates a request, and checks it against the policy.
    pub(crate) fn parse(raw: http_types::Request, policy: &HttpPolicy) -> Result<Self, HttpError> {
        let request = Self::validate(raw, policy)?;
        request.denial(policy).map_or(Ok(request), |text| Err(HttpError::Denied(text)))
    }

    /// Validates a request, which the policy may deny.
    pub(crate) fn validate(
        raw: http_types::Request,
        policy: &HttpPolicy,
    ) -> Result<Self, HttpError> {
        let http_types::Request { method, url, headers, body, timeout } = raw;
        let invalid = |text: &str| HttpError::Invalid(text.to_owned());
        let method = METHODS.into_iter().find(|known| known.as_str() == method);
        let method =
            method.ok_or_else(|| invalid("the method is none of GET, HEAD, POST, PUT, PATCH …"))?;
        let url: Uri = url.parse().map_err(|_| invalid("the URL is malformed"))?;
        let origin = HttpOrigin::of(&url).map_err(HttpError::Invalid)?;
        let timeout = timeout.map(|timeout| Duration::from_millis(timeout.into()));
        Ok(Self {
            path: path_of(&url),
            method,
            headers: parse_headers(headers)?,
            body,
            timeout: timeout.unwrap_or(policy.timeout).min(policy.timeout),
            max_response_bytes: policy.response,
            // An address in the list is meant.
            may_be_private: policy.private || matches!(origin.host, Host::Address(_)),
            origin,
        })
    }

    /// Why the policy does not allow it; none if it does.
    pub(crate) fn denial(&self, policy: &HttpPolicy) -> Option<String> {
        let origin = &self.origin;
        let is_allowed = policy.allow.iter().any(|allowed| allowed.0 == *origin);
        (!is_allowed).then(|| {
            let reason = origin.denial(&policy.allow);
            format!("{reason}; to allow it, add \"{origin}\" to `http.allow` of the plugin")
        })
    }

    /// Size towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        self.path.len() + self.body.len() + headers.sum::<usize>()
    }
}

/// The path and the query. `http://host?query` has an empty path, which is `/` on the wire.
fn path_of(url: &Uri) -> String {
    let path = url.path_and_query().map_or("", |path| path.as_str());
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

impl OutgoingRequest {
    /// Size towards the output limit, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.reply_to.len() + self.request.len() + self.context.len()
    }
}

impl HttpError {
    /// The size of its text, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Denied(text)
            | Self::Invalid(text)
            | Self::Unreachable(text)
            | Self::Broken(text) => text.len(),
            Self::Busy | Self::Timeout | Self::TooLarge => 0,
        }
    }
}

impl From<NotAccepted> for HttpError {
    fn from(refused: NotAccepted) -> Self {
        match refused {
            NotAccepted::Busy => Self::Busy,
            NotAccepted::Denied(text) => Self::Denied(text),
        }
    }
}

/// Without path, headers and body, which may have credentials.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.origin)
    }
}

fn parse_headers(raw: Vec<(String, String)>) -> Result<HeaderMap, HttpError> {
    if raw.len() > MAX_HEADERS {
        let text = format!("{} headers; at most {MAX_HEADERS} are allowed", raw.len());
        return Err(HttpError::Invalid(text));
    }
    let mut headers = HeaderMap::with_capacity(raw.len());
    for (position, (name, value)) in raw.into_iter().enumerate() {
        // Neither text is repeated: a value may be a credential, and so may a name in its place.
        let invalid =
            |part| HttpError::Invalid(format!("the {part} of header {position} is malformed"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("name"))?;
        if FORBIDDEN.contains(&name) || FORBIDDEN_NAMES.contains(&name.as_str()) {
            return Err(HttpError::Invalid(format!("the header `{name}` is the host's")));
        }
        let value = HeaderValue::from_str(&value)
            .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
            .map_err(|_| invalid("value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

impl From<HttpError> for http_types::Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(text) => Self::Denied(text),
            HttpError::Invalid(text) => Self::Invalid(text),
            HttpError::Busy => Self::Busy,
            HttpError::Unreachable(text) => Self::Unreachable(text),
            HttpError::Timeout => Self::Timeout,
            HttpError::TooLarge => Self::TooLarge,
            HttpError::Broken(text) => Self::Broken(text),
        }
    }
}

impl From<HttpResponse> for http_types::Response {
    fn from(response: HttpResponse) -> Self {
        let HttpResponse { status, headers, body } = response;
        Self { status, headers, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> HttpPolicy {
        let allow = ["https://api.example.com", "http://127.0.0.1:9000"];
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        HttpPolicy { allow, ..HttpPolicy::default() }
    }

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> http_types::Request {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        http_types::Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.iter().map(text).collect(),
            body: Vec::new(),
            timeout: Some(60_000),
        }
    }

    #[test]
    fn accepts_granted_requests() {
        let headers = [("authorization", "Bearer s3cret"), ("x-a", "é")];
        let raw = request("POST", "https://API.example.com/v1/a?b=c#d", &headers);
        let parsed = HttpRequest::parse(raw, &policy()).unwrap();
        assert_eq!(parsed.origin.to_string(), "https://api.example.com");
        assert_eq!((parsed.path.as_str(), parsed.may_be_private), ("/v1/a?b=c", false));
        assert_eq!(parsed.timeout, policy().timeout, "the operator's limit");
        let shown = format!("{parsed:?}");
        assert_eq!(shown, "POST https://api.example.com", "no credentials");
        let literal = request("GET", "http://[::ffff:7f00:1]:9000", &[]);
        let literal = HttpRequest::parse(literal, &policy()).unwrap();
        assert!(literal.may_be_private, "the address is in the list");
        for (url, path) in [("", "/"), ("?x", "/?x"), ("/", "/"), ("/a", "/a")] {
            let raw = request("GET", &format!("http://127.0.0.1:9000{url}"), &[]);
            assert_eq!(HttpRequest::parse(raw, &policy()).unwrap().path, path, "{url}");
        }
    }

    #[test]
    fn denies_other_origins_with_the_line_to_add() {
        let check = |url: &str, part: &str| {
            let error = HttpRequest::parse(request("GET", url, &[]), &policy()).unwrap_err();
            let HttpError::Denied(text) = error else { panic!("{url}: {error}") };
            assert!(text.contains(part), "{url}: {text}");
        };
        check(
            "https://evil.example/",
            "host is not allowed; to allow it, add \"https://evil.example\"",
        );
        check("https://api.example.com:444/", "port is not allowed");
        check("http://api.example.com/", "scheme is not allowed");
        check("http://2130706433:9000/", "host is not allowed");
        check("http://127.1:9000/", "host is not allowed");
        check("http://localhost:9000/", "host is not allowed");
        check("https://api.example.com.evil.example/", "host is not allowed");
    }

    #[test]
    fn rejects_malformed_requests() {
        let check = |method: &str, url: &str, headers: &[(&str, &str)]| {
            let error = HttpRequest::parse(request(method, url, headers), &policy()).unwrap_err();
            assert!(matches!(error, HttpError::Invalid(_)), "{method} {url} {headers:?}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        };
        let good = "https://api.example.com/";
        check("CONNECT", good, &[]);
        check("TRACE", good, &[]);
        check("GET\r\nx: y", good, &[]);
        check("get", good, &[]);
        check("GET", "https://api.example.com/a\r\nhost: b", &[]);
        check("GET", "https://api.example.com/a b", &[]);
        check("GET", "https://u:s3cret@api.example.com/", &[]);
        check("GET", "https://evil.example\\@api.example.com/", &[]);
        check("GET", "/path", &[]);
        check("GET", "api.example.com", &[]);
        check("GET", "file:///etc/passwd", &[]);
        check("GET", "https://api.example.com:0/", &[]);
        check("GET", good, &[("x-a", "s3cret\r\nhost: b")]);
        check("GET", good, &[("x-a", "s3cret\0")]);
        check("GET", good, &[("s3cret\r\nx", "a")]);
        check("GET", good, &[("", "a")]);
        check("GET", good, &[("x y", "a")]);
        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "Keep-Alive"] {
            check("GET", good, &[(name, "s3cret")]);
        }
        check("GET", good, &vec![("x-a", "b"); MAX_HEADERS + 1]);
    }
}
