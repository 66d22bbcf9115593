//! A client that is cut at every point of a script: after any byte of the handshake, of WELCOME, of
//! SUBSCRIBED, of a replay or of an event, and again while it recovers. It has seen what was published,
//! once and in order, or it was told.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;

/// The number of scripts, if `JACKFIELD_CUTS` does not say another one.
const SCRIPTS: u64 = 60;
/// Connections of one script that are cut.
const CUTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_cut_anywhere_has_no_silent_hole() {
    let scripts = std::env::var("JACKFIELD_CUTS").ok().and_then(|it| it.parse().ok());
    let site = super::site();
    let server = Server::configured(site.path(), super::NO_RATES);
    let mut backend = super::join(&server, Codec::MsgPack).await;
    let (mut gaps, mut recoveries) = (0, 0);
    for seed in 0..scripts.unwrap_or(SCRIPTS) {
        let topic = format!("kept/{seed}");
        let mut random = Random(seed);
        let mut page = Page::default();
        let mut published = 0;
        for _ in 0..CUTS {
            // The kept events are five: more are a gap, unless the client gets them now.
            for _ in 0..random.below(5) {
                published += 1;
                super::publish(&mut backend, &topic, json!([published])).await;
            }
            // The handshake, WELCOME and the answer to the position take about 1000 bytes.
            let budget = usize::try_from(random.below(1_600)).unwrap();
            let more = random.below(5);
            let script = page.connect(&server, &topic, budget, published + more);
            let publishing = async {
                for number in published + 1..=published + more {
                    super::publish(&mut backend, &topic, json!([number])).await;
                }
            };
            let ((), ()) =
                within(format!("script {seed}"), async { tokio::join!(script, publishing) }).await;
            published += more;
        }
        within("the end", page.connect(&server, &topic, usize::MAX, published)).await;
        assert_eq!(page.offset, published, "script {seed}");
        gaps += page.gaps;
        recoveries += page.recoveries;
    }
    assert!(gaps > 0 && recoveries > 0, "{gaps} gaps and {recoveries} recoveries: both are tested");
}

/// A page: what it has seen. The number of each event is its offset.
#[derive(Default)]
struct Page {
    epoch: Option<String>,
    offset: u64,
    gaps: usize,
    recoveries: usize,
}

impl Page {
    /// Connects, and reads so many bytes, or until the event with the last number. Then the connection
    /// is cut.
    async fn connect(&mut self, server: &Server, topic: &str, mut budget: usize, last: u64) {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        let upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
        let since = match &self.epoch {
            Some(epoch) => json!({ "epoch": epoch, "offset": self.offset }),
            None => json!({}),
        };
        let hello = json!([1, "realm1", { "roles": { "subscriber": {} } }]);
        let subscribe = json!([32, 1, { "_since": since }, topic]);
        tcp.write_all(upgrade.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let mut has_upgraded = false;
        let mut chunk = [0; 97];
        while budget > 0 {
            let room = budget.min(chunk.len());
            let count = tcp.read(&mut chunk[..room]).await.unwrap();
            assert!(count > 0, "the server has closed the connection: {}", server.log());
            budget -= count;
            read.extend_from_slice(&chunk[..count]);
            if !has_upgraded {
                let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
                assert!(read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&read));
                read.drain(..end + 4);
                has_upgraded = true;
                for message in [&hello, &subscribe] {
                    tcp.write_all(&frame(&message.to_string())).await.unwrap();
                }
            }
            while let Some(message) = next_message(&mut read) {
                if self.handle(&message, last).is_break() {
                    return;
                }
            }
        }
    }

    fn handle(&mut self, message: &Value, last: u64) -> ControlFlow<()> {
        if message[0] != 36 {
            return ControlFlow::Continue(());
        }
        let details = &message[3];
        if let Some(stream) = details.get("_stream") {
            let had_position = self.epoch.is_some();
            self.epoch = Some(stream["epoch"].as_str().unwrap().to_owned());
            let offset = stream["offset"].as_u64().unwrap();
            if stream["recovered"] == true {
                self.recoveries += 1;
                assert_eq!(offset, self.offset, "{message}");
            } else {
                self.gaps += usize::from(had_position);
                self.offset = offset;
            }
        } else {
            let number = message[4][0].as_u64();
            assert_eq!(number, details["_offset"].as_u64(), "{message}");
            assert_eq!(number, Some(self.offset + 1), "the next event, once");
            self.offset += 1;
        }
        if self.offset >= last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Returns a text frame of a client, with a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81];
    match u8::try_from(length) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Takes the first message, if it is complete. Pings are skipped.
fn next_message(read: &mut Vec<u8>) -> Option<Value> {
    loop {
        let (&opcode, &short) = (read.first()?, read.get(1)?);
        let (start, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes([*read.get(2)?, *read.get(3)?]))),
            short => (2, usize::from(short)),
        };
        let body = read.get(start..start + length)?.to_vec();
        read.drain(..start + length);
        if opcode == 0x81 {
            return Some(serde_json::from_slice(&body).unwrap());
        }
    }
}

/// A small generator, so that a script can be run again (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % limit
    }
}
