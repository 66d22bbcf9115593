//! Minimal HTTP/1.1 client: one connection, raw requests, parsed answers.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

/// A connection.
pub struct Http {
    tcp: TcpStream,
    /// Bytes read beyond the last answer.
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Http {
    pub async fn connect(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect(addr).await.expect("the server listens");
        tcp.set_nodelay(true).unwrap();
        Self { tcp, ahead: Vec::new() }
    }

    /// Sends bytes unchanged.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Sends bytes that a server may refuse to read.
    pub async fn push(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.tcp.write_all(bytes.as_ref()).await
    }

    /// Sends a POST of JSON with these headers besides the usual ones.
    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let more: String =
            headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{more}\r\n{body}",
            body.len()
        ))
        .await;
        self.answer().await
    }

    /// Returns the next line, without its end; `None` at the end of the connection.
    pub async fn line(&mut self) -> Option<String> {
        within("a line", async {
            loop {
                if let Some(end) = self.ahead.iter().position(|it| *it == b'\n') {
                    let rest = self.ahead.split_off(end + 1);
                    let line = std::mem::replace(&mut self.ahead, rest);
                    return Some(String::from_utf8(line).expect("text").trim_end().to_owned());
                }
                // A connection that was cut may be reset.
                let count = self.tcp.read_buf(&mut self.ahead).await.unwrap_or(0);
                if count == 0 {
                    return None;
                }
            }
        })
        .await
    }

    /// Returns the next complete answer.
    pub async fn answer(&mut self) -> Answer {
        within("an answer", async {
            let (head, mut body) = loop {
                let end = self.ahead.windows(4).position(|it| it == b"\r\n\r\n");
                if let Some(end) = end {
                    let body = self.ahead.split_off(end + 4);
                    break (std::mem::take(&mut self.ahead), body);
                }
                let count = self.tcp.read_buf(&mut self.ahead).await.expect("an answer");
                assert!(count > 0, "ended: {:?}", String::from_utf8_lossy(&self.ahead));
            };
            let head = String::from_utf8(head).expect("a head of text");
            let mut lines = head.trim_end().split("\r\n");
            let status = lines.next().unwrap();
            assert!(status.starts_with("HTTP/1."), "{head}");
            let status: u16 = status.split(' ').nth(1).unwrap().parse().unwrap();
            let header = |line: &str| {
                let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
                (name.to_ascii_lowercase(), value.trim().to_owned())
            };
            let headers: Vec<_> = lines.map(header).collect();
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
            while body.len() < length {
                let count = self.tcp.read_buf(&mut body).await.expect("a body");
                assert!(count > 0, "{head} ended within its body");
            }
            self.ahead = body.split_off(length);
            let body = String::from_utf8(body).expect("a body of text");
            Answer { status, headers, body }
        })
        .await
    }

    /// Waits until the server ends the connection, and checks that it sends nothing more.
    pub async fn ended(&mut self) {
        let mut rest = std::mem::take(&mut self.ahead);
        let ended = within("the end", self.tcp.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{ended:?} {:?}", String::from_utf8_lossy(&rest));
    }

    /// Returns the socket, for protocols other than HTTP.
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
