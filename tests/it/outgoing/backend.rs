//! An HTTP server whose answers the test gives, one by one.

use std::net::SocketAddr;

use jackfield_tests::client::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server.
pub(crate) struct Backend {
    listener: TcpListener,
    pub(crate) addr: SocketAddr,
}

/// A request that waits for its answer.
pub(crate) struct Arrived {
    stream: TcpStream,
    pub(crate) text: String,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { listener, addr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The settings that allow it.
    pub(crate) fn allowed(&self, more: &str) -> String {
        let comma = if more.is_empty() { "" } else { ", " };
        format!("http: {{ allow: ['http://{}']{comma}{more} }}", self.addr)
    }

    /// Waits for a request.
    pub(crate) async fn request(&self) -> Arrived {
        within("a request", async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            while !is_whole(&bytes) {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole request");
            }
            Arrived { stream, text: String::from_utf8(bytes).unwrap() }
        })
        .await
    }

    /// Whether a request has arrived by now.
    pub(crate) fn is_idle(&self) -> bool {
        use std::task::{Context, Poll, Waker};
        let polled = self.listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Pending)
    }
}

impl Arrived {
    /// Answers with a body.
    pub(crate) async fn answer(self, body: &str) {
        let length = body.len();
        self.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    /// Writes anything, and ends the connection.
    pub(crate) async fn write(mut self, text: &str) {
        // The client may have left.
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }

    /// Waits until the client has left.
    pub(crate) async fn ended(mut self) {
        within("the end of the connection", async {
            let mut rest = [0; 1];
            while self.stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
        })
        .await;
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap())
}
