//! Fake servers in place of those that `make bench` compares: a bare broadcaster, and the measured
//! part of NATS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// One subscription: topic, id, and the channel of its client.
type Subscribers = Arc<Mutex<Vec<(String, String, UnboundedSender<Message>)>>>;

/// Listens as long as the runtime lives.
pub(super) async fn serve(nats: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let subscribers = Subscribers::default();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, nats, Arc::clone(&subscribers)));
        }
    });
    addr
}

async fn connection(stream: TcpStream, nats: bool, subscribers: Subscribers) {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let websocket = accept_hdr_async(stream, look).await.unwrap();
    let (mut sink, mut messages) = websocket.split();
    let (sender, mut queue) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut talk = Nats { sender: sender.clone(), subscribers, verbose: false };
    if nats {
        talk.say("INFO {}\r\n");
    } else if path == "/sub" {
        talk.subscribe("", "");
    }
    while let Some(Ok(message)) = messages.next().await {
        match message {
            Message::Binary(bytes) if nats => talk.hear(std::str::from_utf8(&bytes).unwrap()),
            Message::Text(text) => {
                for (_, _, subscriber) in talk.subscribers.lock().unwrap().iter() {
                    let _gone = subscriber.send(Message::Text(text.clone()));
                }
            }
            _ => {}
        }
    }
}

/// One client of NATS.
struct Nats {
    sender: UnboundedSender<Message>,
    subscribers: Subscribers,
    verbose: bool,
}

impl Nats {
    fn say(&self, text: &str) {
        let _gone = self.sender.send(Message::Binary(text.to_owned().into()));
    }

    fn subscribe(&self, topic: &str, id: &str) {
        let subscriber = (topic.to_owned(), id.to_owned(), self.sender.clone());
        self.subscribers.lock().unwrap().push(subscriber);
    }

    fn hear(&mut self, text: &str) {
        let mut lines = text.split_terminator("\r\n");
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["CONNECT", ..] => self.verbose = line.contains("\"verbose\":true"),
                ["PING"] => {
                    self.say("PONG\r\n");
                    continue;
                }
                ["SUB", topic, id] => self.subscribe(topic, id),
                ["UNSUB", id] => {
                    let mut subscribers = self.subscribers.lock().unwrap();
                    subscribers.retain(|subscriber| {
                        subscriber.1 != id || !subscriber.2.same_channel(&self.sender)
                    });
                }
                ["PUB", topic, length] => self.publish(topic, length, lines.next().unwrap()),
                _ => panic!("not of NATS: {line}"),
            }
            if self.verbose {
                self.say("+OK\r\n");
            }
        }
    }

    fn publish(&self, topic: &str, length: &str, payload: &str) {
        assert_eq!(payload.len().to_string(), length);
        for (wanted, id, subscriber) in self.subscribers.lock().unwrap().iter() {
            if wanted == topic {
                let text = format!("MSG {topic} {id} {length}\r\n{payload}\r\n");
                let _gone = subscriber.send(Message::Binary(text.into()));
            }
        }
    }
}
