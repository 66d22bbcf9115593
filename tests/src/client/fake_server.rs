//! Scripted server, which sends exactly the bytes of a test. It tests the clients with servers that
//! misbehave.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The connection of the only client.
pub(crate) struct Connection {
    pub(crate) tcp: TcpStream,
    /// The request's lines, without the empty one.
    pub(crate) request: Vec<String>,
}

/// WELCOME of WAMP v1.
pub(crate) const WELCOME: &str = r#"[0,"s1",1,"stand-in"]"#;

/// Serves one client with `script`, on a port of its own.
pub(crate) async fn serve<F>(script: impl FnOnce(Connection) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // Only one client is served; others are refused at once.
        drop(listener);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(tcp.read_buf(&mut request).await.unwrap(), 0, "the client sent no request");
        }
        let request = String::from_utf8(request).unwrap();
        let request = request.trim_end().split("\r\n").map(str::to_owned).collect();
        script(Connection { tcp, request }).await;
    });
    addr
}

impl Connection {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.iter().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the 101 response, with `lines` added to its headers.
    pub(crate) fn accept(&self, lines: &[&str]) -> Vec<u8> {
        let key = derive_accept_key(self.header("sec-websocket-key").unwrap().as_bytes());
        let mut response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n"
        );
        for line in lines {
            response.push_str(line);
            response.push_str("\r\n");
        }
        response.push_str("\r\n");
        response.into_bytes()
    }

    /// Accepts with the subprotocol `wamp`, and sends `texts` in the same write.
    pub(crate) async fn welcome(&mut self, texts: &[&str]) {
        let mut bytes = self.accept(&["Sec-WebSocket-Protocol: wamp"]);
        for message in texts {
            bytes.extend(text(message));
        }
        self.write(&bytes).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).await.unwrap();
    }

    /// Reads one masked frame of the client: opcode and payload. Frames of 64 KiB and more are not
    /// supported.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.tcp.read_u8().await.unwrap() & 0x0f;
        let length = match self.tcp.read_u8().await.unwrap() & 0x7f {
            126 => self.tcp.read_u16().await.unwrap().into(),
            length => usize::from(length),
        };
        let mut mask = [0; 4];
        self.tcp.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; length];
        self.tcp.read_exact(&mut payload).await.unwrap();
        for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
            *byte ^= mask;
        }
        (opcode, payload)
    }

    /// Reads until the client ends TCP.
    pub(crate) async fn drain(mut self) {
        let mut rest = Vec::new();
        let _reset_or_end = self.tcp.read_to_end(&mut rest).await;
    }
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x1, payload.as_bytes())
}

/// Returns a Close frame with a code, or without any.
pub(crate) fn close(code: Option<u16>) -> Vec<u8> {
    frame(0x8, &code.map(u16::to_be_bytes).map(Vec::from).unwrap_or_default())
}

/// Returns one unmasked frame, as servers send them. Only short ones are supported.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126);
    let mut frame = vec![0x80 | opcode, length.expect("a short frame")];
    frame.extend_from_slice(payload);
    frame
}
