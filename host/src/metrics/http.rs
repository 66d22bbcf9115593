//! Counters of HTTP requests by endpoint and class of the status.

use hyper::StatusCode;
use jackfield_metrics::{Grid, label};

label! {
    /// The endpoint of a request.
    pub(crate) Endpoint {
        Publish = "publish",
        Call = "call",
        Health = "health",
        Metrics = "metrics",
        /// Pages, files, and requests for nothing that exists.
        Other = "other",
    }
}

label! {
    /// The class of a status code.
    pub(crate) StatusClass {
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }
}

/// Requests by endpoint and class.
type Requests = Grid<Endpoint, StatusClass, { Endpoint::COUNT * StatusClass::COUNT }>;

/// Counters of HTTP requests.
#[derive(Debug, Default)]
pub(crate) struct HttpMetrics {
    requests: Requests,
}

impl HttpMetrics {
    /// Counts an answer.
    pub(crate) fn answered(&self, endpoint: Endpoint, status: StatusCode) {
        let class = match status.as_u16() {
            0..300 => StatusClass::Success,
            300..400 => StatusClass::Redirection,
            400..500 => StatusClass::ClientError,
            500.. => StatusClass::ServerError,
        };
        self.requests.add(endpoint, class, 1);
    }

    /// The number of requests by endpoint and class.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (Endpoint, StatusClass, u64)> {
        self.requests.sums()
    }
}

impl Endpoint {
    /// The endpoint of a path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/api/publish" => Self::Publish,
            "/api/call" => Self::Call,
            "/health" | "/livez" | "/readyz" => Self::Health,
            "/metrics" => Self::Metrics,
            _ => Self::Other,
        }
    }
}
