//! Floor: the lower bound for the measurements of `make bench`, a broadcaster without a protocol.
//! Everything that a publisher sends to `/pub` goes to all connections at `/sub`, on one thread,
//! with one write per subscriber for all bytes of one read. It has no topics, sessions,
//! serializers, handlers or limits, so no broker on the same machine can be expected to be faster.
//!
//! `floor [ADDR]` listens on ADDR (127.0.0.1:0 by default) and prints its URL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on stops; the address is printed for clients"
)]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// More than a publisher's window of events needs.
const READ: usize = 256 * 1024;

/// All connections to `/sub`.
type Audience = Rc<RefCell<Vec<Rc<Subscriber>>>>;

/// A subscriber.
struct Subscriber {
    stream: TcpStream,
    /// Bytes that the socket did not accept at once. Unbounded: this is not a real server.
    backlog: RefCell<Vec<u8>>,
    /// Notified when there is a backlog to write.
    behind: Notify,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(listen()));
}

async fn listen() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address: std::net::SocketAddr = address.parse().expect("an address and a port");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).expect("the address is free");
    // Thousands of clients connect at once.
    let listener: TcpListener = socket.listen(4096).unwrap();
    println!("listening on ws://{}/", listener.local_addr().unwrap());
    let audience = Audience::default();
    loop {
        let (stream, _) = listener.accept().await.expect("there are descriptors left");
        let audience = Rc::clone(&audience);
        // A broken connection affects no other.
        spawn_local(async move { drop(serve(stream, audience).await) });
    }
}

async fn serve(stream: TcpStream, audience: Audience) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Vec::with_capacity(1024);
    let head = loop {
        if let Some(at) = inbox.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        read(&stream, &mut inbox).await?;
    };
    let request = String::from_utf8_lossy(&inbox[..head]).into_owned();
    inbox.drain(..head);
    write(&stream, accept(&request).as_bytes()).await?;
    if request.starts_with("GET /pub") {
        return publish(&stream, inbox, &audience).await;
    }
    let own = Rc::new(Subscriber { stream, backlog: RefCell::default(), behind: Notify::new() });
    audience.borrow_mut().push(Rc::clone(&own));
    let ended = attend(&own).await;
    audience.borrow_mut().retain(|other| !Rc::ptr_eq(other, &own));
    ended
}

fn accept(request: &str) -> String {
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// Forwards everything until the publisher leaves.
async fn publish(stream: &TcpStream, mut inbox: Vec<u8>, audience: &Audience) -> io::Result<()> {
    let mut outgoing = Vec::with_capacity(READ);
    inbox.reserve(READ);
    loop {
        let mut read_so_far = 0;
        while let Some(length) = unmask(&mut inbox[read_so_far..], &mut outgoing) {
            read_so_far += length;
        }
        inbox.drain(..read_so_far);
        for subscriber in audience.borrow().iter() {
            subscriber.deliver(&outgoing);
        }
        outgoing.clear();
        read(stream, &mut inbox).await?;
    }
}

/// Appends the first frame in a server's form, and returns its length; `None` if it is incomplete.
fn unmask(inbox: &mut [u8], outgoing: &mut Vec<u8>) -> Option<usize> {
    let (opcode, short) = (*inbox.first()? & 0x0f, *inbox.get(1)? & 0x7f);
    let (mask_at, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(inbox.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(inbox.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    let mask: [u8; 4] = inbox.get(mask_at..mask_at + 4)?.try_into().ok()?;
    let end = mask_at + 4 + length;
    let payload = inbox.get_mut(mask_at + 4..end)?;
    if opcode > 2 {
        return Some(end); // Control frames are not forwarded.
    }
    if mask != [0; 4] {
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
    }
    // The length is copied from the client's frame, without the mask bit.
    let length_at = outgoing.len() + 1;
    outgoing.extend_from_slice(&inbox[..mask_at]);
    outgoing[length_at] &= 0x7f;
    outgoing.extend_from_slice(&inbox[mask_at + 4..end]);
    Some(end)
}

impl Subscriber {
    fn deliver(&self, bytes: &[u8]) {
        let mut backlog = self.backlog.borrow_mut();
        let taken = if backlog.is_empty() {
            // The subscriber's own task notices an error.
            self.stream.try_write(bytes).unwrap_or(0)
        } else {
            0
        };
        if taken < bytes.len() {
            backlog.extend_from_slice(&bytes[taken..]);
            self.behind.notify_one();
        }
    }
}

/// Waits for the end, and writes the bytes that the socket did not accept at once.
async fn attend(subscriber: &Subscriber) -> io::Result<()> {
    let mut ignored = Vec::new();
    loop {
        tokio::select! {
            read = read(&subscriber.stream, &mut ignored) => {
                read?;
                ignored.clear();
            }
            () = subscriber.behind.notified() => {
                while !subscriber.backlog.borrow().is_empty() {
                    subscriber.stream.writable().await?;
                    let mut backlog = subscriber.backlog.borrow_mut();
                    match subscriber.stream.try_write(&backlog) {
                        Ok(taken) => drop(backlog.drain(..taken)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

/// Appends available bytes; the end is an error.
async fn read(stream: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<()> {
    loop {
        stream.readable().await?;
        inbox.reserve(1024);
        match stream.try_read_buf(inbox) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
