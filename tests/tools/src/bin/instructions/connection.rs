//! Connection in raw bytes, from the handshake to the Close frame. Each send waits until the server
//! is idle: the tests' clients send as soon as they can, and the number of messages in one read of
//! the server would depend on timing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use jackfield_tests::client::PATIENCE;

use crate::valgrind::Counted;

/// Connects, joins a realm, subscribes to a topic, leaves and closes.
pub(crate) async fn visit(server: &Counted, topic: &str) {
    let mut visit = Visit { tcp: TcpStream::connect(server.server.addr).unwrap(), server };
    visit.tcp.set_nonblocking(true).unwrap();
    visit.tcp.set_nodelay(true).unwrap();
    visit.send(UPGRADE.as_bytes(), b"HTTP/1.1 101 ").await;
    visit.say(r#"[1,"realm1",{"roles":{"publisher":{},"subscriber":{}}}]"#, "[2,").await;
    visit.say(&format!(r#"[32,1,{{}},"{topic}"]"#), "[33,1,").await;
    visit.say(r#"[6,{},"wamp.close.close_realm"]"#, "[6,").await;
    visit.send(&frame(CLOSE, &1000_u16.to_be_bytes()), b"").await;
    drop(visit.tcp);
    server.idle().await;
}

const UPGRADE: &str = "GET / HTTP/1.1\r\n\
    Host: localhost\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: wamp.2.json\r\n\
    Origin: http://127.0.0.1\r\n\r\n";
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

struct Visit<'a> {
    tcp: TcpStream,
    server: &'a Counted,
}

impl Visit<'_> {
    /// Sends a WAMP message, and checks the beginning of the answer.
    async fn say(&mut self, message: &str, answer: &str) {
        let header = 2;
        let got = self.exchange(&frame(TEXT, message.as_bytes())).await;
        // The header of a long answer is longer.
        let found = got.iter().skip(header).position(|&byte| byte == b'[').map(|at| at + header);
        let found = found.map(|at| String::from_utf8_lossy(&got[at..]).into_owned());
        let found = found.unwrap_or_default();
        assert!(found.starts_with(answer), "{message} was answered with {found:?}");
    }

    /// Sends bytes, and checks the beginning of the answer.
    async fn send(&mut self, bytes: &[u8], answer: &[u8]) {
        let got = self.exchange(bytes).await;
        assert!(got.starts_with(answer), "{:?}", String::from_utf8_lossy(&got));
    }

    async fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.server.idle().await;
        self.tcp.write_all(bytes).unwrap();
        let mut got = vec![0; 64 * 1024];
        let until = Instant::now() + PATIENCE;
        let count = loop {
            self.server.idle().await;
            match self.tcp.read(&mut got) {
                Ok(count) => break count,
                // Under valgrind, all threads sleep for a moment when one wakes another.
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {}
                Err(error) => panic!("the server does not answer: {error}"),
            }
        };
        got.truncate(count);
        got
    }
}

/// Returns a frame of a client whose mask changes nothing. RFC 6455, section 5.2.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|&length| length < 126);
    let length = length.expect("a short message");
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
