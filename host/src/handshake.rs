//! The opening of a connection: one HTTP request head, answered, or the handshake of RawSocket.
//!
//! This is not left to a WebSocket library, because a WAMP v1 client of the PHP kind reads the
//! `101` response and WELCOME in a single read and gives up otherwise: both have to leave in one
//! write. No header of a response may contain `[` or `]`, as the same clients look for WELCOME
//! by its brackets. RFC 6455, section 4.2.

use jackfield_config::{Protocols, Transports};
use jackfield_rawsocket::{self as rawsocket, Serializer};
use jackfield_wamp::dialect::{Codec, Dialect};
use jackfield_websocket::accept_deflate;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::frame::Form;

mod client_info;

pub(crate) use client_info::{ClientInfo, Credential, Forwarded};

/// A request to open a connection that speaks WAMP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// The first subprotocol of the client's that is spoken here.
    pub(crate) dialect: Dialect,
    /// Who wants it.
    pub(crate) visitor: ClientInfo,
    transport: RequestedTransport,
    /// What the client sent behind the head, before it was answered.
    pub(crate) early: Vec<u8>,
}

/// The transport that a client asks for.
#[derive(Debug, PartialEq, Eq)]
enum RequestedTransport {
    WebSocket {
        /// The value of `Sec-WebSocket-Accept`.
        accept: String,
        is_batched: bool,
        /// The value of `Sec-WebSocket-Extensions`; `None` does not compress.
        compression: Option<&'static str>,
    },
    /// A WebSocket without a subprotocol, whose messages are sent back.
    Echo {
        /// The value of `Sec-WebSocket-Accept`.
        accept: String,
    },
    RawSocket(rawsocket::Request),
}

/// The end of the subprotocols with batches. WAMP v2 specification, section "Message Batching".
const BATCHED: &str = ".batched";

/// The first byte of a TLS connection: a record of the handshake.
pub(crate) const HANDSHAKE_RECORD: u8 = 0x16;

/// A request head that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Open a WebSocket.
    Upgrade(Upgrade),
    /// Something else, for [`crate::http`]: all that was read.
    Plain(Vec<u8>),
    /// TLS, within which there is no other.
    Tls,
    /// RawSocket, in a way that does not exist.
    BadRawSocket(rawsocket::HandshakeError),
}

/// The things that a listener speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoken {
    pub(crate) protocols: Protocols,
    pub(crate) transports: Transports,
}

/// Why a request was not understood or not accepted: an HTTP status and what to tell the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `400 Bad Request` and the like.
    pub(crate) status: &'static str,
    /// One sentence.
    pub(crate) message: String,
    /// A header that the status demands, with its line end.
    pub(crate) header: &'static str,
}

impl Upgrade {
    /// The answer, followed by what has to arrive with it: the `101` response, or the handshake of
    /// RawSocket, which names the maximum size of a message in bytes.
    pub(crate) fn response(&self, behind: &[u8], max_message_bytes: usize) -> Vec<u8> {
        let (accept, protocol, compression) = match &self.transport {
            RequestedTransport::WebSocket { accept, is_batched, compression } => {
                let end = if *is_batched { BATCHED } else { "" };
                let name = self.dialect.subprotocol();
                let protocol = format!("Sec-WebSocket-Protocol: {name}{end}\r\n");
                (accept, protocol, *compression)
            }
            RequestedTransport::Echo { accept } => (accept, String::new(), None),
            RequestedTransport::RawSocket(request) => {
                return rawsocket::accept(request.serializer, max_message_bytes).to_vec();
            }
        };
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{protocol}"
        );
        if let Some(extension) = compression {
            head.extend(["Sec-WebSocket-Extensions: ", extension, "\r\n"]);
        }
        head.push_str("\r\n");
        let mut response = head.into_bytes();
        response.extend_from_slice(behind);
        response
    }

    /// Returns whether the messages of the client are sent back to it.
    pub(crate) const fn is_echo(&self) -> bool {
        matches!(self.transport, RequestedTransport::Echo { .. })
    }

    /// Returns whether both sides may compress messages.
    pub(crate) const fn is_compressed(&self) -> bool {
        matches!(self.transport, RequestedTransport::WebSocket { compression: Some(_), .. })
    }

    /// Returns the form of the frames of the socket.
    pub(crate) const fn form(&self) -> Form {
        match &self.transport {
            RequestedTransport::WebSocket { is_batched: false, .. }
            | RequestedTransport::Echo { .. } => Form::WebSocket,
            RequestedTransport::WebSocket { is_batched: true, .. } => Form::Batched,
            RequestedTransport::RawSocket(rawsocket::Request { max_payload_bytes, .. }) => {
                Form::RawSocket { max_payload_bytes: *max_payload_bytes }
            }
        }
    }
}

/// Reads one request head of at most `limit` bytes, of which `head` has been read already. None if
/// the client ends before it says anything, as port scanners and health checks do.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    mut head: Vec<u8>,
    limit: usize,
    spoken: Spoken,
) -> std::io::Result<Option<Result<Opening, Refusal>>> {
    head.reserve(1024);
    loop {
        if let Some(opening) = parse(&head, spoken) {
            return Ok(Some(opening));
        }
        if stream.read_buf(&mut head).await? == 0 {
            if spoken.transports.rawsocket && head.first() == Some(&rawsocket::MAGIC) {
                return Ok(None);
            }
            let cut_short = Refusal::new("400 Bad Request", "the request head is cut short");
            return Ok((!head.is_empty()).then_some(Err(cut_short)));
        }
        if head.len() >= limit {
            let message = format!("the request head is longer than {limit} bytes");
            let status = "431 Request Header Fields Too Large";
            return Ok(Some(Err(Refusal::new(status, message))));
        }
    }
}

/// What the bytes ask for, or none while the head is not complete.
fn parse(bytes: &[u8], spoken: Spoken) -> Option<Result<Opening, Refusal>> {
    if bytes.first() == Some(&HANDSHAKE_RECORD) {
        return Some(Ok(Opening::Tls));
    }
    if spoken.transports.rawsocket && bytes.first() == Some(&rawsocket::MAGIC) {
        let (head, early) = bytes.split_first_chunk()?;
        return Some(Ok(raw(rawsocket::Request::read(*head)?, early, spoken.protocols)));
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return None,
        Err(httparse::Error::TooManyHeaders) => {
            let status = "431 Request Header Fields Too Large";
            return Some(Err(Refusal::new(status, "more than 64 header fields")));
        }
        Err(error) => {
            let message = format!("not an HTTP request: {error}");
            return Some(Err(Refusal::new("400 Bad Request", message)));
        }
    };
    if let Some(name) = repeated(request.headers.iter().map(|field| field.name)) {
        return Some(Err(Refusal::repeated(name)));
    }
    let upgrade =
        lists(&request, "Upgrade", "websocket") && lists(&request, "Connection", "upgrade");
    if !upgrade || has_body(&request) {
        return Some(Ok(Opening::Plain(bytes.to_vec())));
    }
    let early = bytes.get(length..).unwrap_or_default().to_vec();
    Some(judge(&request, early, spoken))
}

/// Judges the handshake of RawSocket.
fn raw(
    request: Result<rawsocket::Request, rawsocket::HandshakeError>,
    early: &[u8],
    protocols: Protocols,
) -> Opening {
    let request = match request {
        Ok(request) => request,
        Err(error) => return Opening::BadRawSocket(error),
    };
    let dialect = Dialect::V2(match request.serializer {
        Serializer::Json => Codec::Json,
        Serializer::MessagePack => Codec::MessagePack,
        Serializer::Cbor => Codec::Cbor,
    });
    if !protocols.contain(dialect) {
        let error = rawsocket::HandshakeError::Serializer(request.serializer as u8);
        return Opening::BadRawSocket(error);
    }
    let visitor = ClientInfo { has_no_path: true, ..ClientInfo::default() };
    let transport = RequestedTransport::RawSocket(request);
    Opening::Upgrade(Upgrade { dialect, visitor, transport, early: early.to_vec() })
}

fn judge(
    request: &httparse::Request<'_, '_>,
    early: Vec<u8>,
    Spoken { protocols, transports }: Spoken,
) -> Result<Opening, Refusal> {
    if request.version != Some(1) {
        return Err(Refusal::new("505 HTTP Version Not Supported", "speak HTTP/1.1"));
    }
    if request.method != Some("GET") {
        let refusal = Refusal::new("405 Method Not Allowed", "a WebSocket is opened with GET");
        return Err(Refusal { header: "Allow: GET\r\n", ..refusal });
    }
    // RFC 9112, section 3.2.
    if header_lines(request, "Host").next().is_none() {
        return Err(Refusal::new("400 Bad Request", "there has to be a Host header"));
    }
    if header(request, "Sec-WebSocket-Version") != Some("13") {
        let refusal = Refusal::new("426 Upgrade Required", "Sec-WebSocket-Version has to be 13");
        return Err(Refusal { header: "Sec-WebSocket-Version: 13\r\n", ..refusal });
    }
    let Some(key) = header(request, "Sec-WebSocket-Key").filter(|key| is_key(key)) else {
        let message = "Sec-WebSocket-Key has to be 16 bytes in base64";
        return Err(Refusal::new("400 Bad Request", message));
    };
    let accept = derive_accept_key(key.as_bytes());
    let offers = || values(request, "Sec-WebSocket-Protocol");
    if transports.echo && offers().next().is_none() {
        // It has no messages of its own to say, like version 1.
        let (dialect, transport) = (Dialect::V1, RequestedTransport::Echo { accept });
        let visitor = ClientInfo::of(request);
        return Ok(Opening::Upgrade(Upgrade { dialect, visitor, transport, early }));
    }
    let spoken = |name: &str| Dialect::from_subprotocol(name).filter(|it| protocols.contain(*it));
    let batched = |name: &str| {
        let dialect = spoken(name.strip_suffix(BATCHED)?)?;
        (dialect != Dialect::V1).then_some((dialect, true))
    };
    // Events are shared by the sockets of those that take them one by one.
    let plain = offers().find_map(|name| Some((spoken(name)?, false)));
    let Some((dialect, is_batched)) = plain.or_else(|| offers().find_map(batched)) else {
        let spoken = protocols.iter().map(Dialect::subprotocol).collect::<Vec<_>>().join(", ");
        let offered = offers().collect::<Vec<_>>().join(", ");
        let message = if offered.is_empty() {
            format!("no subprotocol was offered; this server speaks {spoken}")
        } else {
            format!("none of the subprotocols `{offered}` is spoken here; offer one of {spoken}")
        };
        return Err(Refusal::new("400 Bad Request", message));
    };
    // The frames of batches are rewritten, which compressed ones cannot be.
    let is_possible = transports.compression && !is_batched;
    let extensions = is_possible.then(|| values(request, "Sec-WebSocket-Extensions"));
    let compression = extensions.and_then(accept_deflate);
    let transport = RequestedTransport::WebSocket { accept, is_batched, compression };
    Ok(Opening::Upgrade(Upgrade { dialect, visitor: ClientInfo::of(request), transport, early }))
}

impl Refusal {
    pub(crate) fn new(status: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: "" }
    }

    /// A header that has one value was sent with several.
    pub(crate) fn repeated(name: &str) -> Self {
        Self::new("400 Bad Request", format!("the header {name} is there more than once: send one"))
    }

    /// The client speaks TLS, and the listener does not.
    pub(crate) fn plain_alone() -> Self {
        let message = "this port speaks no TLS: connect with http:// or ws://";
        Self::new("400 Bad Request", message)
    }

    /// There is no generation yet that could serve.
    pub(crate) fn starting() -> Self {
        let refusal = Self::new("503 Service Unavailable", "the server is starting: try again");
        Self { header: "Retry-After: 1\r\n", ..refusal }
    }

    /// The server accepts no more sessions.
    pub(crate) fn stopping() -> Self {
        let message = "the server is shutting down: try again";
        let refusal = Self::new("503 Service Unavailable", message);
        Self { header: "Retry-After: 1\r\n", ..refusal }
    }

    /// The access rules, users or keys have changed since the request.
    pub(crate) fn changed() -> Self {
        let refusal =
            Self::new("503 Service Unavailable", "the access rules have changed: try again");
        Self { header: "Retry-After: 1\r\n", ..refusal }
    }

    /// As many connections are open as may be.
    pub(crate) fn full() -> Self {
        let refusal = Self::new("503 Service Unavailable", "too many connections: try again later");
        Self { header: retry_after(), ..refusal }
    }

    /// More clients connect in this second than may.
    pub(crate) fn too_fast() -> Self {
        let message = "too many new connections: try again in some seconds";
        let refusal = Self::new("503 Service Unavailable", message);
        Self { header: retry_after(), ..refusal }
    }

    /// The client's address has as many connections as it may.
    pub(crate) fn address_full() -> Self {
        Self::too_many("too many connections from this address: close some, or try again later")
    }

    /// The user has as many connections as it may.
    pub(crate) fn user_full() -> Self {
        Self::too_many("too many connections of this user: close some, or try again later")
    }

    fn too_many(message: &str) -> Self {
        Self { header: retry_after(), ..Self::new("429 Too Many Requests", message) }
    }
}

/// Returns a `Retry-After` of 1 to 5 seconds, so that the clients of one moment do not return in one
/// moment.
fn retry_after() -> &'static str {
    const HEADERS: [&str; 5] = [
        "Retry-After: 1\r\n",
        "Retry-After: 2\r\n",
        "Retry-After: 3\r\n",
        "Retry-After: 4\r\n",
        "Retry-After: 5\r\n",
    ];
    fastrand::choice(HEADERS).unwrap_or_default()
}

/// Headers with a single value. Sent twice, a server and the proxy before it may each go by
/// another one (RFC 9110, section 5.3). `X-Forwarded-For` and `X-Forwarded-Proto` are not among
/// them: proxies add lines of their own, and the nearest is the last.
const SINGLE_VALUED: [&str; 10] = [
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Host",
    "Idempotency-Key",
    "Origin",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Transfer-Encoding",
];

/// The header with a single value that is among these names more than once, if one is.
pub(crate) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let mut seen = [false; SINGLE_VALUED.len()];
    for name in names {
        let known = SINGLE_VALUED.iter().zip(&mut seen);
        for (single, seen) in known.filter(|(single, _)| name.eq_ignore_ascii_case(single)) {
            if std::mem::replace(seen, true) {
                return Some(single);
            }
        }
    }
    None
}

/// Whether the text is 16 bytes in base64. Nothing depends on which.
fn is_key(text: &str) -> bool {
    let digits = text.strip_suffix("==").unwrap_or_default();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() == 22 && digits.bytes().all(is_digit)
}

/// Whether more than the head belongs to the request: that would be taken for the beginning of the
/// WebSocket.
fn has_body(request: &httparse::Request<'_, '_>) -> bool {
    header_lines(request, "Transfer-Encoding").next().is_some()
        || header_lines(request, "Content-Length").any(|length| length != b"0")
}

fn header<'a>(request: &'a httparse::Request<'_, '_>, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok().map(str::trim)
}

/// The values of all header fields of that name, as they were sent.
fn header_lines<'a>(
    request: &'a httparse::Request<'_, '_>,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    lines.map(|header| header.value)
}

/// The members of a header that is a list, over all its lines.
fn values<'a>(
    request: &'a httparse::Request<'_, '_>,
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    header_lines(request, name)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

fn lists(request: &httparse::Request<'_, '_>, name: &'static str, member: &str) -> bool {
    values(request, name).any(|value| value.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_wamp::dialect::Codec;

    const HEAD: &str = "GET /ws?ticket=x HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, wamp.2.cbor, wamp\r\n\r\n";

    const SPOKEN: Spoken = Spoken {
        protocols: Protocols::ALL,
        transports: Transports { rawsocket: true, compression: false, echo: false },
    };

    fn open(head: &str) -> Result<Opening, Refusal> {
        parse(head.as_bytes(), SPOKEN).expect("the head is complete")
    }

    #[test]
    fn selects_the_first_supported_subprotocol() {
        let Opening::Upgrade(upgrade) = open(HEAD).unwrap() else { panic!("not an upgrade") };
        assert_eq!(upgrade.dialect, Dialect::V2(Codec::Cbor));
        // The example of RFC 6455, section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        let (is_batched, compression) = (false, None);
        let expected = RequestedTransport::WebSocket { accept, is_batched, compression };
        assert_eq!(upgrade.transport, expected);
    }

    #[test]
    fn selects_batches_if_nothing_else_is_offered() {
        let check = |offer: &str, expect: Option<(&str, Form)>| {
            let selected = match open(&HEAD.replace("soap, wamp.2.cbor, wamp", offer)) {
                Ok(Opening::Upgrade(upgrade)) => Some(upgrade),
                Ok(other) => panic!("{other:?}"),
                Err(_) => None,
            };
            let shown = selected.map(|upgrade| {
                let response = String::from_utf8(upgrade.response(b"", 1_024)).unwrap();
                let (_, protocol) = response.split_once("Sec-WebSocket-Protocol: ").unwrap();
                (protocol.trim().to_owned(), upgrade.form())
            });
            assert_eq!(
                shown.as_ref().map(|(name, form)| (name.as_str(), *form)),
                expect,
                "{offer}"
            );
        };
        check("wamp.2.json.batched", Some(("wamp.2.json.batched", Form::Batched)));
        check("soap, wamp.2.cbor.batched", Some(("wamp.2.cbor.batched", Form::Batched)));
        check("wamp.2.cbor.batched, wamp.2.msgpack", Some(("wamp.2.msgpack", Form::WebSocket)));
        check("wamp.batched", None);
        check("wamp.2.json.batched.batched", None);
    }

    #[test]
    fn appends_the_welcome_to_a_response_without_brackets() {
        let Opening::Upgrade(upgrade) = open(HEAD).unwrap() else { panic!("not an upgrade") };
        let response = upgrade.response(b"[0]", 1_024);
        let text = std::str::from_utf8(&response).unwrap();
        assert!(text.ends_with("\r\n\r\n[0]"));
        assert_eq!(text.find('['), Some(text.len() - 3));
        assert!(text.starts_with("HTTP/1.1 101 "));
    }

    #[test]
    fn answers_an_offer_of_compression_where_it_is_on() {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; unknown=1\r\n\
            Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits";
        let head = HEAD.replace("\r\n\r\n", &format!("\r\n{offer}\r\n\r\n"));
        let response = |head: &str, compression| {
            let transports = Transports { compression, ..SPOKEN.transports };
            let spoken = Spoken { transports, ..SPOKEN };
            let opening = parse(head.as_bytes(), spoken).unwrap().unwrap();
            let Opening::Upgrade(upgrade) = opening else { panic!("not an upgrade") };
            let response = String::from_utf8(upgrade.response(b"", 1_024)).unwrap();
            assert_eq!(upgrade.is_compressed(), response.contains("Extensions"));
            response
        };
        let expected = "Sec-WebSocket-Protocol: wamp.2.cbor\r\nSec-WebSocket-Extensions: \
            permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n";
        assert!(response(&head, true).ends_with(expected), "{}", response(&head, true));
        let batched = head.replace("soap, wamp.2.cbor, wamp", "wamp.2.cbor.batched");
        for (head, compression) in [(&head[..], false), (HEAD, true), (&batched[..], true)] {
            assert!(!response(head, compression).contains("Extensions"));
        }
    }

    #[test]
    fn keeps_bytes_after_the_head() {
        let Opening::Upgrade(upgrade) = open(&format!("{HEAD}early")).unwrap() else { panic!() };
        assert_eq!(upgrade.early, b"early");
    }

    #[test]
    fn rejects_malformed_upgrades() {
        let cases = [
            ("HTTP/1.1", "HTTP/1.0", "505"),
            ("GET", "POST", "405"),
            ("Host: localhost\r\n", "", "400"),
            ("Host: localhost\r\n", "Host: localhost\r\nHost: other\r\n", "400"),
            ("Version: 13", "Version: 8", "426"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!==", "400"),
            ("soap, wamp.2.cbor, wamp", "soap", "400"),
            ("Sec-WebSocket-Protocol: soap, wamp.2.cbor, wamp\r\n", "", "400"),
            ("GET /ws", "GET /w\u{1}s", "400"),
        ];
        for (from, to, status) in cases {
            let refusal = open(&HEAD.replace(from, to)).unwrap_err();
            assert!(refusal.status.starts_with(status), "{from:?} → {to:?}: {refusal:?}");
        }
    }

    #[test]
    fn passes_plain_requests_on_unchanged() {
        let post = "POST /api/publish HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}".to_owned();
        let with = |field: &str| HEAD.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n12"));
        for head in [post, with("Content-Length: 2"), with("Transfer-Encoding: chunked")] {
            assert_eq!(open(&head), Ok(Opening::Plain(head.into_bytes())));
        }
        assert!(matches!(open(&with("Content-Length: 0")), Ok(Opening::Upgrade(_))));
    }

    #[test]
    fn waits_for_the_rest_of_an_incomplete_head() {
        for end in 0..HEAD.len() {
            assert!(parse(&HEAD.as_bytes()[..end], SPOKEN).is_none());
        }
    }

    #[tokio::test]
    async fn rejects_an_endless_head() {
        let endless = "GET / HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(5000);
        let answer =
            read(&mut endless.as_bytes(), Vec::new(), 4096, SPOKEN).await.unwrap().unwrap();
        assert!(answer.unwrap_err().status.starts_with("431"));
        assert_eq!(read(&mut &b""[..], Vec::new(), 4096, SPOKEN).await.unwrap(), None);
        let (start, end) = HEAD.as_bytes().split_at(100);
        let answer = read(&mut &*end, start.to_vec(), 4096, SPOKEN).await.unwrap().unwrap();
        assert!(matches!(answer, Ok(Opening::Upgrade(_))));
    }
}
