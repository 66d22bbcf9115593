//! Target of a client: server, credentials and serializer.

use std::fmt;

use jackfield_tls::Authorities;
use jackfield_wamp::dialect::{Codec, Dialect};
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::error::ClientError;

/// Target of a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The server's `ws://` or `wss://` URL.
    pub url: Uri,
    /// The realm to join.
    pub realm: String,
    /// The serializer.
    pub codec: Codec,
    /// The authid; `None` for an anonymous session.
    pub authid: Option<String>,
    /// A ticket, sent in the URL as `ticket` (as OroPlatform's clients do), and in the answer to a
    /// challenge for a ticket.
    pub ticket: Option<String>,
    /// A token, sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Trusted authorities of a `wss://` server; `None` for those of the operating system.
    pub authorities: Option<Authorities>,
}

impl Target {
    /// Parses a server's URL.
    ///
    /// # Errors
    /// A human-readable message.
    pub fn parse_url(text: &str) -> Result<Uri, String> {
        let url: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        match (url.scheme_str(), url.host()) {
            (Some("ws" | "wss"), Some(host)) if !host.is_empty() && has_valid_port(&url) => Ok(url),
            (Some("ws" | "wss"), Some(host)) if !host.is_empty() => {
                Err("the port is not a number, 1 to 65535".to_owned())
            }
            _ => Err("write ws://HOST:PORT/ or wss://HOST/".to_owned()),
        }
    }

    /// Returns whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("wss")
    }

    /// Returns host and port to connect to.
    pub(crate) fn address(&self) -> (String, u16) {
        let host = self.url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let usual = if self.is_tls() { 443 } else { 80 };
        (host, self.url.port_u16().unwrap_or(usual))
    }

    /// Returns the answer to a challenge.
    pub(crate) fn credential(&self) -> Option<&str> {
        self.ticket.as_deref().or(self.token.as_deref())
    }

    /// Returns the URL without user info and query, which may hold secrets.
    pub(crate) fn redacted_url(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        let authority = self.url.authority().map_or("", |it| it.as_str());
        let authority = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{authority}{}", self.url.path())
    }

    /// Returns the handshake's request.
    pub(crate) fn request(&self) -> Result<Request, ClientError> {
        let wrong = |error: &dyn fmt::Display| ClientError::Connect {
            url: self.redacted_url(),
            message: error.to_string(),
        };
        let url = match &self.ticket {
            Some(ticket) => {
                let mark = if self.url.query().is_some() { '&' } else { '?' };
                let url = format!("{}{mark}ticket={}", self.url, percent_encoded(ticket));
                url.parse().map_err(|error| wrong(&error))?
            }
            None => self.url.clone(),
        };
        let protocol = Dialect::V2(self.codec).subprotocol();
        // Servers that check origins accept local ones.
        let mut request = ClientRequestBuilder::new(url)
            .with_sub_protocol(protocol)
            .with_header("Origin", "http://127.0.0.1");
        if let Some(token) = &self.token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        request.into_client_request().map_err(|error| wrong(&error))
    }
}

/// Formats the target without ticket and token.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.redacted_url())
            .field("realm", &self.realm)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// Percent-encodes a query value: all but unreserved characters. RFC 3986, section 2.3.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    encoded
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

/// Whether the port is a number of a port, or left out. [`Uri`] accepts other texts, and has no port then.
fn has_valid_port(url: &Uri) -> bool {
    let authority = url.authority().map_or("", |it| it.as_str());
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let host_end = host_and_port.rfind(']').map_or(0, |end| end + 1);
    match host_and_port.get(host_end..).and_then(|rest| rest.split_once(':')) {
        Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_ports_that_are_none() {
        for good in ["ws://a/", "wss://a:443/ws", "ws://[::1]/", "ws://[::1]:80/", "ws://u:p@a:1/"]
        {
            assert!(Target::parse_url(good).is_ok(), "{good}");
        }
        for wrong in ["ws://a:99999/", "ws://a:8o/", "ws://a:0/", "ws://a:/", "ws://[::1]:99999/"] {
            let error = Target::parse_url(wrong).unwrap_err();
            assert!(error.contains("port") || error.contains("not a URL"), "{wrong}: {error}");
        }
    }

    fn target(url: &str) -> Target {
        Target {
            url: Target::parse_url(url).unwrap(),
            realm: "realm1".to_owned(),
            codec: Codec::Json,
            authid: None,
            ticket: Some("a b==;é".to_owned()),
            token: Some("hunter2".to_owned()),
            authorities: None,
        }
    }

    #[test]
    fn accepts_websocket_urls_only() {
        let check = |text: &str, expect: bool| {
            assert_eq!(Target::parse_url(text).is_ok(), expect, "{text}");
        };
        check("ws://127.0.0.1:8080/", true);
        check("ws://127.0.0.1:8080", true);
        check("wss://example.com/ws?x=y", true);
        check("ws://[::1]:8080/", true);
        check("http://127.0.0.1:8080/", false);
        check("127.0.0.1:8080", false);
        check("ws://", false);
        check("", false);
        check("a b", false);
    }

    #[test]
    fn resolves_host_and_port_of_a_url() {
        let check = |url: &str, host: &str, port: u16| {
            assert_eq!(target(url).address(), (host.to_owned(), port), "{url}");
        };
        check("ws://127.0.0.1:8080/", "127.0.0.1", 8080);
        check("ws://example.com/ws", "example.com", 80);
        check("wss://example.com/ws", "example.com", 443);
        check("ws://[::1]:8080/", "::1", 8080);
    }

    #[test]
    fn sends_secrets_and_does_not_show_them() {
        for url in ["ws://user:pw@h:1/ws?x=y", "ws://h:1/ws"] {
            let target = target(url);
            let request = target.request().unwrap();
            let query = request.uri().query().unwrap().to_owned();
            assert!(query.ends_with("ticket=a%20b%3D%3D%3B%C3%A9"), "{query}");
            assert_eq!(request.headers()["authorization"], "Bearer hunter2");
            assert_eq!(target.redacted_url(), "ws://h:1/ws");
            let printed = format!("{target:?}");
            assert!(!printed.contains("hunter2") && !printed.contains("ticket"), "{printed}");
        }
    }
}
