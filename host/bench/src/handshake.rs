//! WebSocket handshake of a client. RFC 6455, section 4.1.
//!
//! Hand-written, because bytes after the response's head belong to the connection: WELCOME of WAMP
//! v1 arrives with it.

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::plan::Dialect;

/// An upgrade request, and the values that its response must contain.
#[derive(Debug)]
pub(crate) struct UpgradeRequest {
    /// The expected `Sec-WebSocket-Accept`; `None` if it is not checked.
    accept: Option<String>,
    /// The requested subprotocol.
    subprotocol: Option<&'static str>,
    /// Whether the server has to accept compression.
    compress: bool,
    pub(crate) bytes: Vec<u8>,
}

impl UpgradeRequest {
    pub(crate) fn new(authority: &str, path: &str, dialect: Dialect, compress: bool) -> Self {
        let key = generate_key();
        // A raw broadcaster sends a minimal response.
        let is_checked = dialect != Dialect::Raw;
        let accept = is_checked.then(|| derive_accept_key(key.as_bytes()));
        let subprotocol = dialect.subprotocol();
        let header = subprotocol
            .map(|subprotocol| format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"))
            .unwrap_or_default();
        let offer = if compress { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let bytes = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             {header}{offer}\r\n"
        );
        Self { accept, subprotocol, compress, bytes: bytes.into_bytes() }
    }

    /// Checks the response. Returns the length of its head, or `None` while it is incomplete.
    ///
    /// # Errors
    /// The response's status and body, or the error in it.
    pub(crate) fn check_response(&self, response: &[u8]) -> Result<Option<usize>, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(response) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("the response is not HTTP: {error}")),
        };
        let code = head.code.unwrap_or_default();
        if code != 101 {
            let body = String::from_utf8_lossy(response.get(length..).unwrap_or_default());
            let status = format!("{code} {}", head.reason.unwrap_or_default());
            let body = body.lines().next().unwrap_or_default().trim();
            let body: String = body.chars().take(200).collect();
            let end = if body.is_empty() { "" } else { ": " };
            return Err(format!("{}{end}{body}", status.trim()));
        }
        let value = |name: &str| {
            let header = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name));
            header.map(|header| header.value.trim_ascii())
        };
        let accept = value("Sec-WebSocket-Accept");
        if self.accept.as_ref().is_some_and(|expected| accept != Some(expected.as_bytes())) {
            return Err("Sec-WebSocket-Accept does not match the key".to_owned());
        }
        let chosen = value("Sec-WebSocket-Protocol");
        // As in browsers, it is an error if a subprotocol was requested and none was selected.
        if self.accept.is_some() && chosen != self.subprotocol.map(str::as_bytes) {
            let name = |name: Option<&[u8]>| {
                name.map_or("none".to_owned(), |name| format!("`{}`", name.escape_ascii()))
            };
            let requested = name(self.subprotocol.map(str::as_bytes));
            let chosen = name(chosen);
            return Err(format!("the server selected subprotocol {chosen} instead of {requested}"));
        }
        let extension = value("Sec-WebSocket-Extensions").unwrap_or_default();
        if self.compress != extension.starts_with(b"permessage-deflate") {
            let what = if self.compress { "does not accept" } else { "has selected" };
            return Err(format!("the server {what} compression (permessage-deflate)"));
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> UpgradeRequest {
        // The example of RFC 6455, section 1.3.
        UpgradeRequest {
            accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()),
            subprotocol: None,
            compress: false,
            bytes: Vec::new(),
        }
    }

    const OPEN: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn leaves_bytes_after_the_head() {
        assert_eq!(request().check_response(&OPEN.as_bytes()[..40]), Ok(None));
        assert_eq!(request().check_response(format!("{OPEN}[0]").as_bytes()), Ok(Some(OPEN.len())));
    }

    #[test]
    fn reports_a_refusal_with_the_servers_text() {
        for (response, message) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\nspeak wamp\n", "400 Bad Request: speak wamp"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
            ("HTTP/1.1 101 X\r\nSec-WebSocket-Accept: other\r\n\r\n", "Sec-WebSocket-Accept"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "the response is not HTTP"),
        ] {
            let error = request().check_response(response.as_bytes()).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_server_must_select_the_requested_subprotocol() {
        let answer = |subprotocol, chosen: &str| {
            let response = OPEN.replace("\r\n\r\n", &format!("\r\n{chosen}\r\n"));
            UpgradeRequest { subprotocol, ..request() }
                .check_response(response.as_bytes())
                .map(|_| ())
        };
        let json = "Sec-WebSocket-Protocol: wamp.2.json\r\n";
        assert_eq!(answer(Some("wamp.2.json"), json), Ok(()));
        for (requested, chosen, message) in [
            (Some("wamp"), json, "`wamp.2.json` instead of `wamp`"),
            (Some("wamp"), "", "none instead of `wamp`"),
            (None, json, "`wamp.2.json` instead of none"),
        ] {
            let error = answer(requested, chosen).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_server_must_accept_compression_if_it_is_offered() {
        let answer = |compress, extension: &str| {
            let response = OPEN.replace("\r\n\r\n", &format!("\r\n{extension}\r\n"));
            UpgradeRequest { compress, ..request() }.check_response(response.as_bytes()).map(|_| ())
        };
        let accepted =
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
        assert_eq!(answer(true, accepted), Ok(()));
        assert!(answer(true, "").unwrap_err().contains("does not accept compression"));
        assert!(answer(false, accepted).unwrap_err().contains("has selected compression"));
        let request = UpgradeRequest::new("h", "/", Dialect::Wamp1, true);
        let text = String::from_utf8(request.bytes).unwrap();
        assert!(text.contains("\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"), "{text}");
    }

    #[test]
    fn a_request_names_path_host_and_subprotocol() {
        let request = UpgradeRequest::new("h:1", "/p", Dialect::Wamp1, false);
        let text = String::from_utf8(request.bytes).unwrap();
        assert!(text.starts_with("GET /p HTTP/1.1\r\nHost: h:1\r\n"), "{text}");
        assert!(text.ends_with("Sec-WebSocket-Protocol: wamp\r\n\r\n"), "{text}");
    }
}
