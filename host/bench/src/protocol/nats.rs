//! The client protocol of NATS: lines of text, and payloads of a length that is told. Its public
//! documentation, page "Client Protocol".

use super::writer::decimal;
use super::{Garbled, Refusal, Said};

/// Tells who we are, and asks for a sign of life: its PONG says that the session is open.
pub(crate) fn hello(out: &mut Vec<u8>, acknowledged: bool) {
    let verbose: &[u8] = if acknowledged { b"true" } else { b"false" };
    out.extend_from_slice(b"CONNECT {\"verbose\":");
    out.extend_from_slice(verbose);
    out.extend_from_slice(
        b",\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0.1.0\",\"protocol\":1,\
          \"echo\":true,\"name\":\"jackfield bench\"}\r\nPING\r\n",
    );
}

/// `SUB topic id`
pub(crate) fn subscribe(out: &mut Vec<u8>, id: u64, topic: &str) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(topic.as_bytes());
    out.push(b' ');
    decimal(out, id);
    out.extend_from_slice(b"\r\n");
}

/// `UNSUB id`
pub(crate) fn unsubscribe(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(b"UNSUB ");
    decimal(out, id);
    out.extend_from_slice(b"\r\n");
}

/// `PUB topic length`, and the text behind.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, text: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(topic.as_bytes());
    out.push(b' ');
    decimal(out, text.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// What the server's stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Said(Said<'a>),
    /// The server wants a PONG.
    Ping,
}

/// Longer than any line of the protocol: INFO is the longest, with the addresses of a cluster.
const MAX_LINE: usize = 1 << 20;

/// Reads what the stream begins with, and its length. None while it is not complete.
pub(crate) fn read(stream: &[u8]) -> Result<Option<(Line<'_>, usize)>, Garbled> {
    let Some(end) = stream.windows(2).position(|pair| pair == b"\r\n") else {
        if stream.len() > MAX_LINE {
            return Err(Garbled::message("a line", stream));
        }
        return Ok(None);
    };
    let line = stream.get(..end).unwrap_or_default();
    let used = end + 2;
    let said = match line {
        [b'M', b'S', b'G', b' ', arguments @ ..] => {
            let length = length(arguments).ok_or_else(|| Garbled::message("a MSG", line))?;
            let Some(text) = stream.get(used..used + length) else { return Ok(None) };
            // The payload has a line end as well.
            if stream.len() < used + length + 2 {
                return Ok(None);
            }
            return Ok(Some((Line::Said(Said::Event(text)), used + length + 2)));
        }
        b"PING" => return Ok(Some((Line::Ping, used))),
        b"PONG" => Said::Welcome,
        b"+OK" => Said::Done { request: None, id: None },
        [b'-', b'E', b'R', b'R', b' ', words @ ..] => refusal(words),
        _ => Said::Nothing,
    };
    Ok(Some((Line::Said(said), used)))
}

/// The last of a MSG's arguments, of which there are three or four.
fn length(arguments: &[u8]) -> Option<usize> {
    let digits = arguments.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|length| *length < 1 << 30)
}

/// Permissions are refused for one topic; everything else ends the connection.
fn refusal(words: &[u8]) -> Said<'static> {
    let words = String::from_utf8_lossy(words).trim_matches('\'').to_owned();
    if words.starts_with("Permissions Violation") {
        let topic = words.split('"').nth(1).map(str::to_owned);
        return Said::Refused(Refusal { request: None, topic, words });
    }
    Said::Ended(words)
}
