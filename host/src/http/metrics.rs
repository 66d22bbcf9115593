//! `GET /metrics` on the WebSocket port, if a setting asks for it.
//!
//! Without a token, only programs on the same machine get an answer. A reverse proxy is on the same
//! machine as well, so a request that a proxy has passed on is refused.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap, WWW_AUTHENTICATE};
use tracing::{error, warn};

use super::is_loopback_host;
use super::response::Answer;
use crate::bearer::BearerTokens;
use crate::scrape::{self, Scrape};

/// Headers that proxies add to the requests that they pass on.
const FORWARDING: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// The page of metrics, and the token that it needs.
pub(crate) struct MetricsPage {
    scrape: Arc<Scrape>,
    /// The token, if the page needs one.
    token: Option<BearerTokens<()>>,
}

impl MetricsPage {
    pub(crate) fn new(scrape: Arc<Scrape>, token: Option<&String>) -> Self {
        Self { scrape, token: token.map(|it| BearerTokens::new([(it.as_str(), ())])) }
    }

    /// Answers a request from this address.
    pub(super) async fn answer(&self, headers: &HeaderMap, peer: IpAddr) -> Answer {
        if let Err(refusal) = self.check(headers, peer) {
            warn!(name: "metrics.denied", "a request for metrics is refused: {}", refusal.reason);
            let answer = Answer::text(refusal.status, refusal.text);
            return if refusal.status == StatusCode::UNAUTHORIZED {
                answer.with(WWW_AUTHENTICATE, "Bearer")
            } else {
                answer
            };
        }
        page(&self.scrape).await
    }

    fn check(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), Refused> {
        let Some(token) = &self.token else {
            return check_local(headers, peer);
        };
        if token.find(headers).is_ok() {
            return Ok(());
        }
        Err(Refused {
            status: StatusCode::UNAUTHORIZED,
            text: "send the token of `metrics.token` as `Authorization: Bearer …`\n",
            reason: "its token is missing or unknown".to_owned(),
        })
    }
}

/// Answers with the page. The caller has checked the request.
pub(crate) async fn page(scrape: &Arc<Scrape>) -> Answer {
    match Arc::clone(scrape).page().await {
        Ok(page) => Answer::page(scrape::CONTENT_TYPE, page),
        // An empty page would look like a server without metrics.
        Err(error) => {
            error!(name: "metrics.failed", "failed to write the page of metrics: {error}");
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "failed to write the metrics\n")
        }
    }
}

/// A refused request: the answer, and the reason for the operator.
struct Refused {
    status: StatusCode,
    text: &'static str,
    reason: String,
}

/// Checks that the request comes from a program on this machine: that no proxy has passed it on, and
/// that no page in a browser has made it by a name of its own.
fn check_local(headers: &HeaderMap, peer: IpAddr) -> Result<(), Refused> {
    let proxied = FORWARDING.into_iter().find(|name| headers.contains_key(*name));
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
    let reason = match proxied {
        None if host.is_some_and(|host| !is_loopback_host(host)) => {
            "its `Host` does not name this machine, and there is no `metrics.token`".to_owned()
        }
        None if peer.to_canonical().is_loopback() => return Ok(()),
        None => format!("{peer} is another machine, and there is no `metrics.token`"),
        Some(header) => {
            format!("a proxy has passed it on ({header}), and there is no `metrics.token`")
        }
    };
    Err(Refused {
        status: StatusCode::FORBIDDEN,
        text: "metrics are for programs on this machine; others need `metrics.token`\n",
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    #[test]
    fn answers_programs_of_this_machine_alone() {
        let check = |peer: &str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(HeaderName::from_static(header), HeaderValue::from_static("x"));
            }
            check_local(&headers, peer.parse().unwrap()).is_ok()
        };
        for local in ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
            assert!(check(local, None), "{local}");
            for header in FORWARDING {
                assert!(!check(local, Some(header)), "{local} {header}");
            }
        }
        for (host, is_local) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("a.example", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let checked = check_local(&headers, "127.0.0.1".parse().unwrap());
            assert_eq!(checked.is_ok(), is_local, "{host}");
        }
        for other in ["10.0.0.1", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(!check(other, None), "{other}");
        }
    }
}
