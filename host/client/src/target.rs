//! Which server, as whom, and how its messages are written.

use std::fmt;

use jackfield_tls::Authorities;
use jackfield_wamp::dialect::{Codec, Dialect};
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::failure::Failure;

/// A server, and who wants what of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `ws://` or `wss://`, with whatever path the server is behind.
    pub url: Uri,
    /// The realm to join.
    pub realm: String,
    /// How messages are written.
    pub codec: Codec,
    /// Who to be; nobody in particular without it.
    pub authid: Option<String>,
    /// A ticket: sent in the URL as `ticket`, as OroPlatform's clients do, and as the answer where
    /// the server asks for a ticket.
    pub ticket: Option<String>,
    /// A token: sent in the head as `Authorization: Bearer`.
    pub token: Option<String>,
    /// Who may vouch for the server of a `wss://` URL; without them, those of the operating system.
    pub authorities: Option<Authorities>,
}

impl Target {
    /// A server's URL.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse_url(text: &str) -> Result<Uri, String> {
        let url: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        match (url.scheme_str(), url.host()) {
            (Some("ws" | "wss"), Some(host)) if !host.is_empty() => Ok(url),
            _ => Err("write ws://HOST:PORT/ or wss://HOST/".to_owned()),
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("wss")
    }

    /// Where to connect to: a host and a port.
    pub(crate) fn address(&self) -> (String, u16) {
        let host = self.url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let usual = if self.is_tls() { 443 } else { 80 };
        (host, self.url.port_u16().unwrap_or(usual))
    }

    /// The proof that answers a challenge.
    pub(crate) fn proof(&self) -> Option<&str> {
        self.ticket.as_deref().or(self.token.as_deref())
    }

    /// The URL as it may be shown: without its query, where tickets are.
    pub(crate) fn shown(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        let authority = self.url.authority().map_or("", |it| it.as_str());
        let authority = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{authority}{}", self.url.path())
    }

    /// The head of the handshake.
    pub(crate) fn request(&self) -> Result<Request, Failure> {
        let wrong = |error: &dyn fmt::Display| Failure::Connect {
            url: self.shown(),
            message: error.to_string(),
        };
        let url = match &self.ticket {
            Some(ticket) => {
                let mark = if self.url.query().is_some() { '&' } else { '?' };
                let url = format!("{}{mark}ticket={}", self.url, encoded(ticket));
                url.parse().map_err(|error| wrong(&error))?
            }
            None => self.url.clone(),
        };
        let protocol = Dialect::V2(self.codec).subprotocol();
        // Servers that ask which page somebody comes from take those who run here for their own.
        let mut request = ClientRequestBuilder::new(url)
            .with_sub_protocol(protocol)
            .with_header("Origin", "http://127.0.0.1");
        if let Some(token) = &self.token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        request.into_client_request().map_err(|error| wrong(&error))
    }
}

/// Neither ticket nor token.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.shown())
            .field("realm", &self.realm)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// For a query: everything but what is unreserved is escaped. RFC 3986, section 2.3.
fn encoded(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(target.shown(), "ws://h:1/ws");
            let printed = format!("{target:?}");
            assert!(!printed.contains("hunter2") && !printed.contains("ticket"), "{printed}");
        }
    }
}
