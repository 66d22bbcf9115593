//! PHP publisher of a back end, on a bare socket and exact to the byte: it connects, reads the
//! answer like PHP, publishes and disconnects. A server that works with every WebSocket library may
//! still be unreachable for this one.

#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The publishers in use, which differ in their request line and in the bytes that they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Origin form; reads until 1 ms of silence. Oro 5.1 and later.
    Oro,
    /// Absolute URI; reads until 1 ms of silence. Oro 4.2 and 5.0.
    OroAbsolute,
    /// Absolute URI; uses the bytes of one read. The client library of GosWebSocketBundle.
    Gos,
}

/// The error of a failed connect; Oro logs it and loses the notification.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No TCP connection, or no bytes within a second.
    Unreachable(String),
    /// The answer does not begin with `HTTP/1.1 101`; the text is everything that was read.
    BadResponse(String),
    /// "Could not extract response body from stream": WELCOME was not in the bytes that were read,
    /// or other bytes were in its place.
    NoWelcome(String),
}

/// A connected publisher. Dropping it ends TCP without a Close frame, as PHP does when a request
/// ends.
pub struct Publisher {
    tcp: TcpStream,
    session: String,
}

/// Timeouts of the publisher for the first byte, and for further ones.
const FIRST: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_millis(1);

impl Publisher {
    pub async fn connect(
        addr: SocketAddr,
        target: &str,
        generation: Generation,
    ) -> Result<Self, Failure> {
        let unreachable = |error: io::Error| Failure::Unreachable(error.to_string());
        let connected = timeout(FIRST, TcpStream::connect(addr)).await;
        let mut tcp = connected
            .map_err(|_| Failure::Unreachable("connect timed out".to_owned()))?
            .map_err(unreachable)?;
        let request = request(addr, target, generation);
        tcp.write_all(request.as_bytes()).await.map_err(unreachable)?;
        let answer = read(&mut tcp, generation).await?;
        let text = || String::from_utf8_lossy(&answer).into_owned();
        if !answer.starts_with(b"HTTP/1.1 101") {
            return Err(Failure::BadResponse(text()));
        }
        match welcome(&answer) {
            Some(session) => Ok(Self { tcp, session }),
            None => Err(Failure::NoWelcome(text())),
        }
    }

    /// Returns the session id of WELCOME.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Sends five elements, the last two empty lists. An error means that the server has closed.
    pub async fn publish(&mut self, topic: &str, payload: &Value) -> io::Result<()> {
        self.send(0x1, publication(topic, payload).as_bytes()).await
    }

    /// Ends like the library: Close with 1000 and the reason `ttfn`, and then the end of the
    /// socket, without waiting for an answer.
    pub async fn disconnect(mut self) -> io::Result<()> {
        let mut payload = 1000_u16.to_be_bytes().to_vec();
        payload.extend_from_slice(b"ttfn");
        self.send(0x8, &payload).await
    }

    /// Sends one masked frame. Like the back end, it never reads again.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                frame.push(0x80 | 0x7e);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(0x80 | 0x7f);
                frame.extend_from_slice(&u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        let mask = random();
        frame.extend_from_slice(&mask[..4]);
        frame.extend(payload.iter().zip(mask[..4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.tcp.write_all(&frame).await
    }
}

fn request(addr: SocketAddr, target: &str, generation: Generation) -> String {
    let line = match generation {
        Generation::Oro => target.to_owned(),
        Generation::OroAbsolute | Generation::Gos => format!("ws://{addr}{target}"),
    };
    let key = STANDARD.encode([random(), random()].concat());
    format!(
        "GET {line} HTTP/1.1\r\n\
         Host: {addr}\r\n\
         Pragma: no-cache\r\n\
         Cache-Control: no-cache\r\n\
         Upgrade: WebSocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Protocol: wamp\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Origin: 127.0.0.1\r\n\
         \r\n"
    )
}

async fn read(tcp: &mut TcpStream, generation: Generation) -> Result<Vec<u8>, Failure> {
    // PHP's own chunk size: a smaller buffer would need several reads.
    let mut answer = Vec::with_capacity(8192);
    let mut patience = FIRST;
    loop {
        match (timeout(patience, tcp.read_buf(&mut answer)).await, generation) {
            (Ok(Ok(0)), _) | (Ok(Ok(_)), Generation::Gos) => return Ok(answer),
            (Ok(Ok(_)), Generation::Oro | Generation::OroAbsolute) => patience = SILENCE,
            (Ok(Err(error)), _) => return Err(Failure::Unreachable(error.to_string())),
            (Err(_), _) if answer.is_empty() => {
                return Err(Failure::Unreachable("nothing read within a second".to_owned()));
            }
            (Err(_), _) => return Ok(answer),
        }
    }
}

/// Extracts the session id. The text from the first `[` of everything read, with the **offset** of
/// the first `]` as its length, has to be JSON. Therefore brackets before WELCOME spoil it, and so
/// do bytes that follow closely.
fn welcome(answer: &[u8]) -> Option<String> {
    let from = answer.iter().position(|byte| *byte == b'[')?;
    let length = answer.iter().position(|byte| *byte == b']')?;
    let to = answer.len().min(from + length);
    let message: Value = serde_json::from_slice(&answer[from..to]).ok()?;
    if message.get(0)? != 0 {
        return None;
    }
    message.get(1)?.as_str().map(str::to_owned)
}

fn publication(topic: &str, payload: &Value) -> String {
    let json = json!([7, topic, without_empty_objects(payload), [], []]).to_string();
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '/' => escaped.push_str("\\/"),
            ascii if ascii.is_ascii() => escaped.push(ascii),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").expect("text takes all");
                }
            }
        }
    }
    escaped
}

/// Replaces `{}` by `[]`: PHP has decoded the payload into arrays before it sends it.
fn without_empty_objects(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.is_empty() => json!([]),
        Value::Object(map) => {
            let pair = |(key, value): (&String, _)| (key.clone(), without_empty_objects(value));
            Value::Object(map.iter().map(pair).collect())
        }
        Value::Array(items) => items.iter().map(without_empty_objects).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Returns random bytes: masks and keys only have to differ.
fn random() -> [u8; 8] {
    RandomState::new().hash_one(0).to_be_bytes()
}
