//! The public URL in the doctor's report: its name, its certificate, the proxy's `Upgrade`, and the
//! clock, which is compared with that of the server behind the URL.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jackfield_client::{Authorities, HandshakeError, Target};
use jackfield_text::Untrusted;
use jackfield_tls::Validity;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::http::Uri;

use super::super::http_exchange::{HttpAnswer, exchange};
use super::finding::Finding;

/// The time to look a name up, and the time to connect with TLS.
const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);
/// A certificate that expires sooner is reported.
const MIN_VALIDITY: Duration = Duration::from_hours(24 * 14);
/// The largest difference of two clocks: tickets of OroPlatform and tokens are not valid for long.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);
/// The key of the handshake, and the answer to it: those of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The addresses of a name that are shown.
const MAX_SHOWN_ADDRESSES: usize = 4;

/// A URL to which pages connect.
pub(super) struct PublicUrl {
    url: Uri,
    host: String,
    port: u16,
    authorities: Option<Authorities>,
}

impl PublicUrl {
    /// Parses a URL; `http` stands for `ws`.
    ///
    /// # Errors
    /// A text for people.
    pub(super) fn parse(text: &str, authorities: Option<Authorities>) -> Result<Self, String> {
        let text = match text.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => text.to_owned(),
        };
        let url = Target::parse_url(&text)?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_u16().unwrap_or(if is_tls(&url) { 443 } else { 80 });
        Ok(Self { url, host, port, authorities })
    }

    /// Makes all checks. A check whose precondition has failed is left out.
    pub(super) async fn examine(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let addresses = match self.look_up().await {
            Ok((finding, addresses)) => {
                findings.push(finding);
                addresses
            }
            Err(finding) => return vec![finding],
        };
        let stream = match connect(&addresses).await {
            Ok(stream) => stream,
            Err(error) => {
                let help =
                    "is the server or its proxy running, and does a firewall let it through?";
                let message = format!("cannot connect to {}: {error}", self.shown());
                findings.push(Finding::problem("connection", message, help));
                return findings;
            }
        };
        let answer = if is_tls(&self.url) {
            match self.encrypt(stream).await {
                Ok((stream, finding)) => {
                    findings.push(finding);
                    exchange(stream, &self.request()).await
                }
                Err(finding) => {
                    findings.push(finding);
                    return findings;
                }
            }
        } else {
            findings.push(Finding::warning(
                "certificate",
                "the URL is not encrypted: tickets and messages can be read on the way",
                "use wss:// with a proxy that terminates TLS: docs/nginx.md",
            ));
            exchange(stream, &self.request()).await
        };
        match answer {
            Ok(answer) => {
                findings.push(self.upgrade(&answer));
                findings.push(clock(&answer, SystemTime::now()));
            }
            Err(error) => {
                let message = format!("no answer from {}: {error}", self.shown());
                let help = "the log of the proxy has the reason";
                findings.push(Finding::problem("upgrade", message, help));
            }
        }
        findings
    }

    async fn look_up(&self) -> Result<(Finding, Vec<SocketAddr>), Finding> {
        const CHECK: &str = "dns";
        let failed = |error: &dyn std::fmt::Display| {
            let message =
                format!("the name {} has no address: {error}", Untrusted::new(&self.host));
            Finding::problem(CHECK, message, "correct the name, or add a DNS record for it")
        };
        let found = timeout(MAX_CONNECT_TIME, lookup_host((self.host.as_str(), self.port))).await;
        let found = found.map_err(|_elapsed| failed(&"no answer in time"))?;
        let addresses: Vec<SocketAddr> = found.map_err(|error| failed(&error))?.collect();
        let shown: Vec<String> =
            addresses.iter().take(MAX_SHOWN_ADDRESSES).map(|it| it.ip().to_string()).collect();
        let text = format!("{} is {}", Untrusted::new(&self.host), shown.join(", "));
        Ok((Finding::good(CHECK, text), addresses))
    }

    /// Opens TLS, and judges the certificate.
    async fn encrypt(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Finding), Finding> {
        const CHECK: &str = "certificate";
        let problem = |message: String, help: &str| Finding::problem(CHECK, message, help);
        let no_trust = |error: String| problem(error, "pass the CA certificates with --ca FILE");
        let authorities = match self.authorities.clone() {
            Some(authorities) => authorities,
            None => Authorities::of_system().map_err(|error| no_trust(format!("--ca {error}")))?,
        };
        let config = Authorities::client_config(Some(authorities.clone()));
        let config = config.map_err(|error| no_trust(error.to_string()))?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| problem("the host of the URL is no name".to_owned(), "correct the URL"))?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream);
        let stream = match timeout(MAX_CONNECT_TIME, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let known = HandshakeError::among(&error);
                let text = known.as_ref().map_or_else(|| error.to_string(), ToString::to_string);
                let help = known.as_ref().and_then(HandshakeError::help);
                let help = help.unwrap_or("the log of the proxy has the reason");
                return Err(problem(format!("{}: {text}", self.shown()), help));
            }
            Err(_elapsed) => {
                let help = "does the port speak TLS?";
                return Err(problem(format!("{}: no TLS in time", self.shown()), help));
            }
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let finding = match authorities.validity(chain, &name, MIN_VALIDITY) {
            Validity::Valid => {
                Finding::good(CHECK, "valid for more than 14 days, and trusted here")
            }
            Validity::Ending => Finding::warning(
                CHECK,
                "the certificate expires within 14 days",
                "renew it; Jackfield loads it by itself, a proxy must be reloaded",
            ),
        };
        Ok((stream, finding))
    }

    /// The handshake of a WebSocket.
    fn request(&self) -> String {
        let authority = self.url.authority().map_or("", |it| it.as_str());
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let path = self.url.path_and_query().map_or("/", |it| it.as_str());
        let scheme = if is_tls(&self.url) { "https" } else { "http" };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Protocol: wamp.2.json\r\nOrigin: {scheme}://{authority}\r\n\
             User-Agent: {agent}\r\n\r\n",
            agent = crate::AGENT
        )
    }

    /// Judges the answer to the handshake.
    fn upgrade(&self, answer: &HttpAnswer) -> Finding {
        const CHECK: &str = "upgrade";
        let url = self.shown();
        let (status, line) = (answer.status, answer.first_line());
        let problem = |message: String, help: &str| Finding::problem(CHECK, message, help);
        if status == 101 {
            if let Some(wrong) = wrong_upgrade(answer) {
                let message = format!("{url} answers 101, and no WebSocket opens: {wrong}");
                let help = "another program answers there, or a proxy changes headers on the way";
                return problem(message, help);
            }
            return if answer.header("sec-websocket-protocol") == Some("wamp.2.json") {
                Finding::good(CHECK, format!("{url} accepts WebSockets of WAMP v2"))
            } else {
                let message =
                    format!("another WebSocket server answers at {url}: it has no WAMP v2");
                problem(message, "correct the path, or the address behind it in the proxy")
            };
        }
        // The page, or the answer to other paths: the request has arrived without its headers.
        if matches!(status, 200 | 426) && answer.body.contains("This is Jackfield") {
            let message =
                format!("the proxy of {url} does not pass the headers Upgrade and Connection on");
            let help = "nginx needs proxy_http_version 1.1, and proxy_set_header for both; a second \
                        proxy needs the same: docs/nginx.md";
            return problem(message, help);
        }
        match status {
            301 | 302 | 303 | 307 | 308 => {
                let to = answer.header("location").unwrap_or("nowhere");
                let to = Untrusted::new(to).at_most(120).to_string();
                let message =
                    format!("{url} redirects to {to}, and WebSockets follow no redirects");
                problem(message, "give pages the URL to which it redirects")
            }
            401 | 403 => problem(
                format!("{url} refuses the handshake with status {status}: {line}"),
                "the log of Jackfield has the reason: the origin, the address or the ticket; without a \
                 line there, the proxy refuses",
            ),
            404 => problem(
                format!("{url} has status 404: {line}"),
                "correct the path: `access.path` of Jackfield, `location` of the proxy",
            ),
            502 | 504 => problem(
                format!("the proxy of {url} cannot reach Jackfield (status {status})"),
                "is the server running, and has the proxy its address?",
            ),
            503 => problem(
                format!("{url} has status 503: {line}"),
                "the server is starting, stopping or full; or the proxy takes it for unwell",
            ),
            _ => problem(
                format!("{url} answers a WebSocket handshake with status {status}: {line}"),
                "another program answers there, or a proxy without WebSockets",
            ),
        }
    }

    /// The URL without user info and query, which may be secrets.
    fn shown(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        let url = format!("{scheme}://{}:{}{}", self.host, self.port, self.url.path());
        Untrusted::new(url).to_string()
    }
}

/// The header of a `101` answer that a WebSocket client refuses, if there is one. RFC 6455, section 4.1.
fn wrong_upgrade(answer: &HttpAnswer) -> Option<String> {
    let has = |name: &str, token: &str| {
        let values = answer.header(name).unwrap_or_default();
        values.split(',').any(|value| value.trim().eq_ignore_ascii_case(token))
    };
    let shown = |name: &str| {
        let value = answer.header(name).unwrap_or("missing");
        format!("{name} is {}", Untrusted::new(value).at_most(64))
    };
    if !has("upgrade", "websocket") {
        Some(shown("upgrade"))
    } else if !has("connection", "upgrade") {
        Some(shown("connection"))
    } else if answer.header("sec-websocket-accept") != Some(ACCEPT) {
        Some(shown("sec-websocket-accept"))
    } else {
        None
    }
}

/// Compares the clock of this machine with that of the answer.
fn clock(answer: &HttpAnswer, now: SystemTime) -> Finding {
    const CHECK: &str = "clock";
    // RFC 9110: always GMT.
    let date = answer.header("date").map(|date| date.replace("GMT", "+0000"));
    let Some(Ok(theirs)) = date.map(|date| OffsetDateTime::parse(&date, &Rfc2822)) else {
        let help = "check it with `timedatectl`; most proxies send the time, Jackfield does not";
        return Finding::unchecked(CHECK, "the answer of the URL has no time (Date)", help);
    };
    let theirs = SystemTime::from(theirs);
    let difference = now.duration_since(theirs).unwrap_or_else(|error| error.duration());
    let seconds = difference.as_secs();
    if difference > MAX_CLOCK_DIFFERENCE {
        Finding::problem(
            CHECK,
            format!("the clock of this machine and that of the URL differ by {seconds} s"),
            "synchronize both (`timedatectl`): tickets and tokens are valid by the clock",
        )
    } else {
        Finding::good(CHECK, format!("within {seconds} s of that of the URL"))
    }
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let connecting = timeout(MAX_CONNECT_TIME, TcpStream::connect(addresses));
    connecting.await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

fn is_tls(url: &Uri) -> bool {
    url.scheme_str() == Some("wss")
}
