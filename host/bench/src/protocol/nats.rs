//! NATS client protocol: lines of text, and payloads of an announced length. NATS documentation,
//! page "Client Protocol".

use std::fmt;
use std::io::Write;

use super::{ProtocolError, RequestError, ServerMessage};

/// Encodes `CONNECT` and `PING`; the PONG shows that the session is open.
pub(crate) fn hello(out: &mut Vec<u8>, acknowledged: bool) {
    let verbose: &[u8] = if acknowledged { b"true" } else { b"false" };
    out.extend_from_slice(b"CONNECT {\"verbose\":");
    out.extend_from_slice(verbose);
    out.extend_from_slice(
        b",\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0.1.0\",\"protocol\":1,\
          \"echo\":true,\"name\":\"jackfield bench\"}\r\nPING\r\n",
    );
}

/// Encodes `SUB topic id`.
pub(crate) fn subscribe(out: &mut Vec<u8>, id: u64, topic: &str) {
    line(out, format_args!("SUB {topic} {id}\r\n"));
}

/// Encodes `UNSUB id`.
pub(crate) fn unsubscribe(out: &mut Vec<u8>, id: u64) {
    line(out, format_args!("UNSUB {id}\r\n"));
}

/// Encodes `PUB topic length`, followed by the text.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, text: &[u8]) {
    line(out, format_args!("PUB {topic} {}\r\n", text.len()));
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _infallible = out.write_fmt(text);
}

/// An element of the server's stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    ServerMessage(ServerMessage<'a>),
    /// The server expects a PONG.
    Ping,
}

/// Longest line. INFO is the longest of the protocol, with the addresses of a cluster.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads one element from the beginning of the stream, with its length. `None` while it is
/// incomplete.
pub(crate) fn read(stream: &[u8]) -> Result<Option<(Line<'_>, usize)>, ProtocolError> {
    let Some(end) = stream.windows(2).position(|pair| pair == b"\r\n") else {
        if stream.len() > MAX_LINE_BYTES {
            return Err(ProtocolError::message("a line", stream));
        }
        return Ok(None);
    };
    let line = stream.get(..end).unwrap_or_default();
    let used = end + 2;
    let message = match line {
        [b'M', b'S', b'G', b' ', arguments @ ..] => {
            let length = length(arguments).ok_or_else(|| ProtocolError::message("a MSG", line))?;
            let Some(text) = stream.get(used..used + length) else { return Ok(None) };
            // The payload is followed by a line end.
            if stream.len() < used + length + 2 {
                return Ok(None);
            }
            return Ok(Some((Line::ServerMessage(ServerMessage::Event(text)), used + length + 2)));
        }
        b"PING" => return Ok(Some((Line::Ping, used))),
        b"PONG" => ServerMessage::Welcome,
        b"+OK" => ServerMessage::Done { request: None, id: None },
        [b'-', b'E', b'R', b'R', b' ', text @ ..] => refusal(text),
        _ => ServerMessage::Nothing,
    };
    Ok(Some((Line::ServerMessage(message), used)))
}

/// Returns the payload length: the last of a MSG's three or four arguments.
fn length(arguments: &[u8]) -> Option<usize> {
    let digits = arguments.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|length| *length < 1 << 30)
}

/// Decodes `-ERR`. A permissions violation concerns one topic; other errors end the connection.
fn refusal(text: &[u8]) -> ServerMessage<'static> {
    let text = String::from_utf8_lossy(text).trim_matches('\'').to_owned();
    if text.starts_with("Permissions Violation") {
        let topic = text.split('"').nth(1).map(str::to_owned);
        return ServerMessage::Refused(RequestError { request: None, topic, text });
    }
    ServerMessage::Ended(text)
}
