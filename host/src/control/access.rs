//! Access to the admin listener: tokens, certificates of clients, and requests of web pages.
//!
//! A token or a certificate is needed at every address. On the loopback device, any user of the machine
//! can connect, and so can any web page that a browser on it shows. A page does not know a token, but
//! its browser may have a certificate; it is refused before that by the headers that browsers add
//! (`Origin`, `Sec-Fetch-Site`), and by the name in `Host`, which a page can choose by its own domain
//! (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request};
use jackfield_config::{AdminCertificates, OpenAdminToken};
use jackfield_text::Untrusted;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::audit::Caller;
use super::problem::Problem;
use crate::bearer::{BearerError, BearerTokens};
use crate::client_certificate;
use crate::http::is_loopback_host;

/// The relation of a page to the server, which browsers tell. W3C, "Fetch Metadata Request Headers".
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The maximum size of a client's text in a log line.
const MAX_LOGGED_BYTES: usize = 128;

/// The rules of a listener at an address.
pub(super) struct AdminAccess {
    /// Whether the address is on the loopback device.
    is_loopback: bool,
    /// Whether the listener has TLS.
    is_encrypted: bool,
    /// Change with the settings.
    tokens: ArcSwap<BearerTokens<Arc<Token>>>,
}

/// The tokens of a listener, for changes of the settings.
#[derive(Clone)]
pub(crate) struct AdminTokens(pub(super) Arc<AdminAccess>);

/// The holder of a token, and its rights.
struct Token {
    name: String,
    read_only: bool,
    /// Its receivers notice when the token is revoked: the sender is dropped with the token.
    life: watch::Sender<()>,
}

/// The end of a caller's rights.
#[derive(Clone, Debug)]
pub(super) enum Revocation {
    /// The sender is dropped with the token; nothing is ever sent.
    Token(watch::Receiver<()>),
    /// The certificate has expired, or the authorities are others.
    Certificate(watch::Receiver<()>, Duration),
}

impl Revocation {
    /// Waits until the token or the certificate is revoked.
    pub(super) async fn revoked(self) {
        match self {
            Self::Token(mut life) => while life.changed().await.is_ok() {},
            Self::Certificate(mut authorities, left) => tokio::select! {
                _changed = authorities.changed() => {}
                () = sleep(left) => {}
            },
        }
    }
}

/// The holder of a client's certificate, and its rights.
pub(super) struct CertificateHolder {
    name: Result<String, &'static str>,
    read_only: bool,
    revocation: Revocation,
}

impl CertificateHolder {
    /// Reads a certificate in DER, which TLS has verified. `authorities` are those of the handshake.
    pub(super) fn read(
        settings: &AdminCertificates,
        der: &[u8],
        authorities: watch::Receiver<()>,
    ) -> Self {
        let AdminCertificates { name, read_only } = *settings;
        let (name, left) = match client_certificate::name(name, der) {
            // A session of TLS that is resumed may have one that was valid before.
            Ok((_, info)) if info.seconds_left() <= 0 => {
                (Err("the certificate of the client has expired"), 0)
            }
            Ok((name, info)) => (Ok(name), info.seconds_left().try_into().unwrap_or_default()),
            Err(reason) => (Err(reason), 0),
        };
        let revocation = Revocation::Certificate(authorities, Duration::from_secs(left));
        Self { name, read_only, revocation }
    }

    fn caller(&self, peer: IpAddr) -> Result<(Caller, Revocation), Problem> {
        let name = self.name.as_ref().map_err(|reason| Problem::wrong_certificate(reason))?;
        let caller = Caller::certificate(name, peer, self.read_only);
        Ok((caller, self.revocation.clone()))
    }
}

impl AdminTokens {
    /// Replaces the tokens. Those that stay as they are keep the requests under way; the streams of
    /// others end.
    pub(crate) fn replace(&self, tokens: &[OpenAdminToken]) {
        let before = self.0.tokens.load_full();
        self.0.tokens.store(Arc::new(bearer_tokens(tokens, Some(&before))));
    }
}

/// Makes a set of tokens; one with the text, the name and the rights of one before is the same.
fn bearer_tokens(
    tokens: &[OpenAdminToken],
    before: Option<&BearerTokens<Arc<Token>>>,
) -> BearerTokens<Arc<Token>> {
    BearerTokens::new(tokens.iter().map(|OpenAdminToken { name, text, read_only }| {
        let same = before.and_then(|before| before.of_text(text));
        let same = same.filter(|it| it.name == *name && it.read_only == *read_only);
        let token = same.map_or_else(
            || {
                let (name, read_only) = (name.clone(), *read_only);
                Arc::new(Token { name, read_only, life: watch::Sender::new(()) })
            },
            Arc::clone,
        );
        (text.as_str(), token)
    }))
}

impl AdminAccess {
    pub(super) fn new(listen: SocketAddr, tokens: &[OpenAdminToken], is_encrypted: bool) -> Self {
        let is_loopback = listen.ip().to_canonical().is_loopback();
        let tokens = ArcSwap::from_pointee(bearer_tokens(tokens, None));
        Self { is_loopback, is_encrypted, tokens }
    }

    /// Returns the caller of a request from this address, and the end of its rights. A token takes
    /// precedence over the certificate of the connection.
    ///
    /// # Errors
    /// For a request of a web page, without a known token or a certificate, or beyond the rights of its
    /// caller.
    pub(super) fn check<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        certificate: Option<&CertificateHolder>,
    ) -> Result<(Caller, Revocation), Problem> {
        self.check_browser(request.headers()).inspect_err(|problem| {
            let origin = shown(request.headers().get(ORIGIN));
            let host = shown(request.headers().get(HOST));
            warn!(name: "admin.denied", %peer, origin, host, "a request to the admin listener is refused: {problem}");
        })?;
        let tokens = self.tokens.load();
        let (caller, revocation) = match (tokens.find(request.headers()), certificate) {
            (Ok(token), _) => {
                let caller = Caller::token(&token.name, peer, token.read_only);
                (caller, Revocation::Token(token.life.subscribe()))
            }
            (Err(BearerError::Missing), Some(certificate)) => certificate.caller(peer)?,
            // Other credentials are refused, even beside a certificate: the caller expects their rights.
            (Err(BearerError::OtherScheme), _) | (Err(BearerError::Missing), None) => {
                return Err(Problem::unauthenticated());
            }
            (Err(BearerError::Repeated), _) => {
                return Err(Problem::invalid("a request has one `Authorization`"));
            }
            (Err(BearerError::Unknown), _) => {
                warn!(name: "admin.unknown_token", %peer, "a request to the admin listener is refused: its token is unknown");
                return Err(Problem::wrong_token());
            }
        };
        match caller.read_only_name() {
            Some(name) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                Err(Problem::read_only(name))
            }
            Some(_) | None => Ok((caller, revocation)),
        }
    }

    /// Refuses requests to the loopback device by a name that a page can choose; returns the name.
    ///
    /// # Errors
    /// For another name, none, or several.
    pub(super) fn check_host<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, Problem> {
        let mut hosts = headers.get_all(HOST).iter();
        let (host, others) = (hosts.next().and_then(|it| it.to_str().ok()), hosts.next());
        let Some(host) = host.filter(|_| others.is_none()) else {
            return Err(Problem::invalid("a request names one `Host`"));
        };
        if self.is_loopback && !is_loopback_host(host) {
            return Err(Problem::other_host());
        }
        Ok(host)
    }

    /// Refuses requests of web pages, except those of a page that this listener has served.
    fn check_browser(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = self.check_host(headers)?;
        // A proxy may have TLS in place of this listener. A page without it may come from anybody.
        let schemes = ["https://", "http://"];
        let schemes = schemes.into_iter().take(if self.is_encrypted { 1 } else { 2 });
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().ok();
            let origin =
                origin.and_then(|it| schemes.clone().find_map(|scheme| it.strip_prefix(scheme)));
            if !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
                return Err(Problem::other_origin());
            }
        }
        let is_own = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
        if headers.get_all(FETCH_SITE).iter().all(is_own) {
            Ok(())
        } else {
            Err(Problem::other_origin())
        }
    }
}

fn shown(value: Option<&HeaderValue>) -> Option<String> {
    let text = String::from_utf8_lossy(value?.as_bytes());
    Some(Untrusted::new(text).at_most(MAX_LOGGED_BYTES).to_string())
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";

    fn access(listen: &str) -> AdminAccess {
        access_with(listen, false)
    }

    fn access_with(listen: &str, is_encrypted: bool) -> AdminAccess {
        let token = |name: &str, text: &str, read_only| OpenAdminToken {
            name: name.to_owned(),
            text: text.to_owned().into(),
            read_only,
        };
        let tokens = [token("a", A, false), token("b", B, true)];
        AdminAccess::new(listen.parse().unwrap(), &tokens, is_encrypted)
    }

    /// The status of a refusal; 200 without one.
    fn status(access: &AdminAccess, method: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = IpAddr::from([127, 0, 0, 1]);
        let checked = access.check(&request.body(()).unwrap(), peer, None);
        checked.err().map_or(StatusCode::OK, |it| it.answer().status()).as_u16()
    }

    #[test]
    fn a_request_has_one_known_token() {
        let access = access("127.0.0.1:1");
        let check = |tokens: &[&str], expect: u16| {
            let tokens: Vec<String> = tokens.iter().map(|it| format!("Bearer {it}")).collect();
            let mut headers = vec![("host", "localhost:1")];
            headers.extend(tokens.iter().map(|token| ("authorization", token.as_str())));
            assert_eq!(status(&access, "GET", &headers), expect, "{tokens:?}");
        };
        check(&[A], 200);
        check(&[B], 200);
        check(&["unknown"], 401);
        check(&[], 401);
        check(&[A, A], 400);
    }

    #[test]
    fn a_token_for_reading_changes_nothing() {
        let access = access("[::1]:1");
        let headers = |token: &str| {
            let value: &'static str = format!("Bearer {token}").leak();
            [("host", "[::1]:1"), ("authorization", value)]
        };
        for (method, token, expect) in
            [("GET", A, 200), ("POST", A, 200), ("GET", B, 200), ("HEAD", B, 200), ("POST", B, 403)]
        {
            assert_eq!(status(&access, method, &headers(token)), expect, "{method} {token}");
        }
    }

    #[test]
    fn refuses_pages_of_other_origins() {
        let local = access("127.0.0.1:9");
        let token: &str = &format!("Bearer {A}");
        let check = |access: &AdminAccess, headers: &[(&str, &str)], expect: u16| {
            let all: Vec<_> = headers.iter().copied().chain([("authorization", token)]).collect();
            assert_eq!(status(access, "GET", &all), expect, "{headers:?}");
        };
        for host in ["127.0.0.1:9", "127.0.0.1", "localhost", "LocalHost:9", "[::1]:9", "[::1]"] {
            check(&local, &[("host", host)], 200);
        }
        for host in ["evil.example", "evil.example:9", "10.0.0.1:9", "localhost.evil.example", ""] {
            check(&local, &[("host", host)], 403);
        }
        check(&local, &[], 400);
        check(&local, &[("host", "localhost"), ("host", "localhost")], 400);
        let host = ("host", "localhost:9");
        check(&local, &[host, ("origin", "http://localhost:9")], 200);
        for origin in ["http://localhost:8", "https://evil.example", "null", "localhost:9", ""] {
            check(&local, &[host, ("origin", origin)], 403);
        }
        for (site, expect) in
            [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
        {
            check(&local, &[host, ("sec-fetch-site", site)], expect);
        }
        // Other machines may have any name for this one.
        let public = access("0.0.0.0:9");
        check(&public, &[("host", "admin.example.com")], 200);
        let host = ("host", "admin.example.com");
        check(&public, &[host, ("origin", "https://admin.example.com")], 200);
        check(&public, &[host, ("origin", "https://evil.example")], 403);
        // A page without TLS has another origin than one with it.
        check(&public, &[host, ("origin", "http://admin.example.com")], 200);
        let encrypted = access_with("0.0.0.0:9", true);
        check(&encrypted, &[host, ("origin", "https://admin.example.com")], 200);
        check(&encrypted, &[host, ("origin", "http://admin.example.com")], 403);
    }
}
