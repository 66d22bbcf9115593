//! What is answered over HTTP, before it is bytes: small, whole, and never to be cached.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

/// An answer. Cloning shares its body.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    kind: &'static str,
    headers: Vec<(HeaderName, &'static str)>,
    body: Bytes,
}

impl Answer {
    /// A text for people.
    pub(crate) fn text(status: StatusCode, text: &'static str) -> Self {
        let kind = "text/plain; charset=utf-8";
        Self { status, kind, headers: Vec::new(), body: Bytes::from_static(text.as_bytes()) }
    }

    /// Something for programs; it ends with a line end, for those who read it in a terminal.
    pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Self {
        // Maps whose keys are texts cannot fail to be written.
        let mut body = serde_json::to_vec(body).unwrap_or_default();
        body.push(b'\n');
        let body = Bytes::from(body);
        Self { status, kind: "application/json", headers: Vec::new(), body }
    }

    /// With another header.
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
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

    /// As hyper wants it.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in self.headers {
            headers.append(name, HeaderValue::from_static(value));
        }
        response
    }
}
