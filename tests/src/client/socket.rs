//! WebSocket of a client, read by a background task as in a browser: pings are answered and the
//! kernel's buffer stays empty, unless the test stops reading. WAMP is in `v1` and `v2`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// The handshake request.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Path and query, `/` or `/ws?ticket=…`.
    pub path: String,
    /// The offered subprotocols, best first.
    pub protocols: Vec<String>,
    /// The `Origin` header; browsers always send one.
    pub origin: Option<String>,
    /// Size of the kernel's receive buffer; `None` leaves the system's choice. With a small one, a
    /// subscriber that does not read is noticed soon.
    pub receive_buffer: Option<u32>,
    /// The local address of the connection, one of this machine's.
    pub source: Option<IpAddr>,
}

/// The reason of a failed handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, if the server answered.
    pub status: Option<u16>,
    /// The body of the answer, or the error.
    pub text: String,
}

/// A message or control frame from the server. `Ended` is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Ended(Ending),
}

/// The end of a connection, as a browser reports it (`CloseEvent.wasClean`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close frames in both directions and a regular end of TCP; the code and reason are the
    /// server's.
    Clean { code: Option<u16>, reason: String },
    /// FIN or RST without a Close frame, RST after one, or broken framing.
    Lost(String),
}

/// An open WebSocket. Dropping it ends TCP without a Close frame.
pub struct Socket {
    /// The subprotocol that the server selected.
    pub protocol: Option<String>,
    commands: mpsc::UnboundedSender<Command>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
}

enum Command {
    Send(Message),
    Read(bool),
    Close(Option<CloseFrame>),
    Reset,
}

impl Default for Handshake {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            protocols: Vec::new(),
            origin: Some("http://127.0.0.1".to_owned()),
            receive_buffer: None,
            source: None,
        }
    }
}

impl Socket {
    pub async fn open(addr: SocketAddr, handshake: Handshake) -> Result<Self, Refused> {
        let Handshake { path, protocols, origin, receive_buffer, source } = handshake;
        let refused = |text: String| Refused { status: None, text };
        let tcp = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        if let Some(bytes) = receive_buffer {
            tcp.set_recv_buffer_size(bytes).unwrap();
        }
        if let Some(source) = source {
            tcp.bind(SocketAddr::new(source, 0)).unwrap();
        }
        let tcp = tcp.connect(addr).await.map_err(|error| refused(error.to_string()))?;
        tcp.set_nodelay(true).unwrap();
        let uri = format!("ws://{addr}{path}").parse().expect("path and query make a URI");
        let mut request = ClientRequestBuilder::new(uri);
        for protocol in protocols {
            request = request.with_sub_protocol(protocol);
        }
        if let Some(origin) = origin {
            request = request.with_header("Origin", origin);
        }
        let failure = Arc::new(OnceLock::new());
        let stream = Tapped { tcp, failure: Arc::clone(&failure) };
        match client_async(request.into_client_request().unwrap(), stream).await {
            Ok((stream, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|name| name.to_str().unwrap().to_owned());
                let (commands, orders) = mpsc::unbounded_channel();
                let (deliver, incoming) = mpsc::unbounded_channel();
                tokio::spawn(pump(stream, failure, orders, deliver));
                Ok(Self { protocol, commands, incoming })
            }
            Err(Error::Http(answer)) => Err(Refused {
                status: Some(answer.status().as_u16()),
                text: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into(),
            }),
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// Returns the next message or event. `Ended` is the last one.
    pub async fn next(&mut self) -> Incoming {
        let gone = || Incoming::Ended(Ending::Lost("already ended".to_owned()));
        self.incoming.recv().await.unwrap_or_else(gone)
    }

    pub fn send_text(&self, text: impl Into<String>) {
        self.order(Command::Send(Message::text(text.into())));
    }

    pub fn send_binary(&self, bytes: Vec<u8>) {
        self.order(Command::Send(Message::binary(bytes)));
    }

    pub fn ping(&self, payload: &[u8]) {
        self.order(Command::Send(Message::Ping(payload.to_vec().into())));
    }

    /// Stops reading: later data stays in the kernel, and pings stay unanswered.
    pub fn stop_reading(&self) {
        self.order(Command::Read(false));
    }

    pub fn resume_reading(&self) {
        self.order(Command::Read(true));
    }

    /// Starts the closing handshake; `next` then yields the remaining messages and finally `Ended`.
    pub fn close(&self, code: u16, reason: &str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.to_owned().into() };
        self.order(Command::Close(Some(frame)));
    }

    /// Ends TCP with RST, as after a network failure.
    pub fn reset(self) {
        self.order(Command::Reset);
    }

    /// Sends a command. Frames after the end are lost, as in a browser.
    fn order(&self, command: Command) {
        let _ended = self.commands.send(command);
    }
}

/// The connection's TCP, which records the error of reading: tungstenite reports RST after a Close
/// frame as a regular end, a browser does not.
struct Tapped {
    tcp: TcpStream,
    failure: Arc<OnceLock<io::ErrorKind>>,
}

async fn pump(
    mut stream: WebSocketStream<Tapped>,
    failure: Arc<OnceLock<io::ErrorKind>>,
    mut orders: mpsc::UnboundedReceiver<Command>,
    deliver: mpsc::UnboundedSender<Incoming>,
) {
    let mut reading = true;
    let mut closed: Option<Ending> = None;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                // A failed write is noticed by reading; earlier received data must still be read.
                Some(Command::Send(message)) => { let _failed = stream.send(message).await; }
                Some(Command::Read(on)) => reading = on,
                Some(Command::Close(frame)) => { let _failed = stream.close(frame).await; }
                Some(Command::Reset) => {
                    stream.get_ref().tcp.set_zero_linger().unwrap();
                    return;
                }
                None => return,
            },
            message = stream.next(), if reading => {
                let incoming = match message {
                    Some(Ok(Message::Text(text))) => Incoming::Text(text.as_str().to_owned()),
                    Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes.to_vec()),
                    Some(Ok(Message::Pong(payload))) => Incoming::Pong(payload.to_vec()),
                    Some(Ok(Message::Close(frame))) => {
                        closed = Some(clean(frame));
                        continue;
                    }
                    // tungstenite has answered; raw frames are never read.
                    Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                    Some(Err(error)) => {
                        Incoming::Ended(ending(closed.take(), &failure, &error.to_string()))
                    }
                    None => Incoming::Ended(ending(closed.take(), &failure, "end of stream")),
                };
                let last = matches!(incoming, Incoming::Ended(_));
                if deliver.send(incoming).is_err() || last {
                    return;
                }
            }
        }
    }
}

fn clean(frame: Option<CloseFrame>) -> Ending {
    match frame {
        Some(frame) => {
            Ending::Clean { code: Some(frame.code.into()), reason: frame.reason.to_string() }
        }
        None => Ending::Clean { code: None, reason: String::new() },
    }
}

fn ending(closed: Option<Ending>, failure: &OnceLock<io::ErrorKind>, error: &str) -> Ending {
    match (closed, failure.get()) {
        (Some(clean), None) => clean,
        (_, Some(kind)) => Ending::Lost(kind.to_string()),
        (None, None) => Ending::Lost(error.to_owned()),
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read {
            let _first = self.failure.set(error.kind());
        }
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
