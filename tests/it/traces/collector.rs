//! A collector: an HTTP server that reads OTLP in Protobuf with a reader of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use jackfield_tests::client::within;

/// The treatment of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Accept,
    /// Answers with status 400.
    Refuse,
    /// Never answers.
    Hang,
    /// Answers with bytes that are not HTTP, without end.
    Nonsense,
}

/// A collector on a port of its own.
pub(super) struct Collector {
    addr: SocketAddr,
    requests: mpsc::UnboundedReceiver<Request>,
    arrived: Vec<Request>,
}

/// A request with spans.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: String,
    body: Vec<u8>,
    pub(super) resource: BTreeMap<String, String>,
    spans: Vec<Span>,
}

/// A span, with ids in hexadecimal; `parent` is empty if there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) error: String,
}

impl Collector {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, behaviour, sender.clone()));
            }
        });
        Self { addr, requests, arrived: Vec::new() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.addr)
    }

    /// Waits until at least so many spans have arrived; returns all of them.
    pub(super) async fn spans(&mut self, count: usize) -> Vec<Span> {
        loop {
            let spans: Vec<Span> = self.arrived.iter().flat_map(|it| it.spans.clone()).collect();
            if spans.len() >= count {
                return spans;
            }
            let request = within(format!("{count} spans, after {spans:#?}"), self.requests.recv());
            self.arrived.push(request.await.unwrap());
        }
    }

    /// The first request.
    pub(super) fn first(&self) -> &Request {
        &self.arrived[0]
    }
}

impl Request {
    fn read(head: String, body: Vec<u8>) -> Self {
        let (mut resource, mut spans) = (BTreeMap::new(), Vec::new());
        for of_resource in messages(&body, 1) {
            for found in messages(of_resource, 1) {
                resource.extend(messages(found, 1).into_iter().map(attribute));
            }
            for of_scope in messages(of_resource, 2) {
                spans.extend(messages(of_scope, 2).into_iter().map(Span::read));
            }
        }
        Self { head, body, resource, spans }
    }

    /// Whether the bytes are anywhere in the body.
    pub(super) fn has(&self, bytes: &[u8]) -> bool {
        self.body.windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Span {
    fn read(bytes: &[u8]) -> Self {
        let one = |number| messages(bytes, number).first().copied().unwrap_or_default();
        let time =
            |number| fields(bytes).find_map(|(at, field)| field.number().filter(|_| at == number));
        Self {
            name: text(one(5)),
            trace: hexadecimal(one(1)),
            id: hexadecimal(one(2)),
            parent: hexadecimal(one(4)),
            began: time(7).unwrap(),
            ended: time(8).unwrap(),
            attributes: messages(bytes, 9).into_iter().map(attribute).collect(),
            error: text(messages(one(15), 2).first().copied().unwrap_or_default()),
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    behaviour: Behaviour,
    requests: mpsc::UnboundedSender<Request>,
) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(read.drain(..end).collect()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        while read.len() < length {
            stream.read_buf(&mut read).await.unwrap();
        }
        let body = read.drain(..length).collect();
        let answer: &[u8] = match behaviour {
            Behaviour::Accept => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Behaviour::Refuse => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            Behaviour::Hang => return std::future::pending().await,
            Behaviour::Nonsense => {
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
                return;
            }
        };
        // The test may have ended.
        let _gone = requests.send(Request::read(head, body));
        stream.write_all(answer).await.unwrap();
    }
}

/// The value of a field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bytes(_) => None,
        }
    }
}

/// The fields of a message, by their number. Protocol Buffers, "Encoding".
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
            kind => panic!("a field of the kind {kind}"),
        };
        Some((tag >> 3, field))
    })
}

/// The fields of this number that are bytes.
fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let of_number = fields(bytes).filter(|(at, _)| *at == number);
    let bytes = of_number.filter_map(|(_, field)| match field {
        Field::Bytes(bytes) => Some(bytes),
        Field::Number(_) => None,
    });
    bytes.collect()
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(bytes, 1) else { unreachable!() };
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// A name and its text.
fn attribute(bytes: &[u8]) -> (String, String) {
    let value = messages(bytes, 2)[0];
    (text(messages(bytes, 1)[0]), text(messages(value, 1).first().copied().unwrap_or_default()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
