//! A proxy between the browser and the admin listener that can spoil the answers of the API, and go on to
//! another server.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The treatment of requests to the API. Files of the console always pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoiled {
    No,
    /// This answer in place of the server's.
    By(&'static str),
    /// No answer, while the connection stays open.
    Hangs,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<(SocketAddr, Spoiled)>>,
}

impl Proxy {
    pub(super) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((server, Spoiled::No)));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    pub(super) fn spoil(&self, spoiled: Spoiled) {
        self.state.lock().unwrap().1 = spoiled;
    }

    pub(super) fn lead_to(&self, server: SocketAddr) {
        self.state.lock().unwrap().0 = server;
    }
}

/// Passes one request on, and ends the connection behind its answer.
async fn pass(client: TcpStream, state: Arc<Mutex<(SocketAddr, Spoiled)>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_lowercase().as_str() {
            "connection" => continue,
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).await?;
    let (server, spoiled) = *state.lock().unwrap();
    if head[0].contains(" /v1/") {
        match spoiled {
            Spoiled::No => {}
            Spoiled::By(answer) => return client.write_all(answer.as_bytes()).await,
            Spoiled::Hangs => {
                // Until the browser gives up.
                let _ended = client.read(&mut [0; 1]).await;
                return Ok(());
            }
        }
    }
    let mut server = TcpStream::connect(server).await?;
    head.push("Connection: close\r\n\r\n".to_owned());
    server.write_all(head.concat().as_bytes()).await?;
    server.write_all(&body).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}
