//! HTTP responses: small and complete; only files may be cached.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

/// What a browser may do with an answer that it shows as a page: nothing. Files that are more than
/// that have a policy of their own.
pub(super) const CONTENT_POLICY: &str = "default-src 'none'; base-uri 'none'; \
                                         form-action 'none'; frame-ancestors 'none'";

/// An answer. Cloning shares its body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    kind: &'static str,
    caching: &'static str,
    policy: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    /// A text for people.
    pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// Something for programs; it ends with a line end, for those who read it in a terminal.
    pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Self {
        // Maps whose keys are texts cannot fail to be written.
        let mut body = serde_json::to_vec(body).unwrap_or_default();
        body.push(b'\n');
        Self::new(status, "application/json", Bytes::from(body))
    }

    /// A page for programs.
    pub(super) fn page(kind: &'static str, text: String) -> Self {
        Self::new(StatusCode::OK, kind, text.into())
    }

    /// A file of the binary's own.
    pub(super) fn file(kind: &'static str, bytes: &'static [u8]) -> Self {
        Self::new(StatusCode::OK, kind, Bytes::from_static(bytes))
    }

    /// Nothing but a status and headers.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self::new(status, "", Bytes::new())
    }

    fn new(status: StatusCode, kind: &'static str, body: Bytes) -> Self {
        Self {
            status,
            kind,
            caching: "no-store",
            policy: CONTENT_POLICY,
            headers: Vec::new(),
            body,
        }
    }

    /// With another header.
    pub(crate) fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    /// With another header that is not the same each time.
    pub(crate) fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// May be kept, if the server is asked each time whether it still is what is kept.
    pub(super) fn revalidated(self) -> Self {
        Self { caching: "no-cache", ..self }
    }

    /// With another policy for browsers that show it as a page.
    pub(crate) fn with_policy(self, policy: &'static str) -> Self {
        Self { policy, ..self }
    }

    /// With the methods that would have been right.
    pub(crate) fn allowing(self, methods: &'static str) -> Self {
        self.with(ALLOW, methods)
    }

    /// Its status.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Bytes of its body.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The whole response in bytes, for a connection that is closed after it without a look at its
    /// request.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let response = self.clone().response();
        let mut bytes = format!("HTTP/1.1 {}\r\n", self.status).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        let length = self.body.len();
        bytes.extend(format!("content-length: {length}\r\nconnection: close\r\n\r\n").bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// As hyper wants it.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.caching));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
