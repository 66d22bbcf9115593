//! A cable between a client and a server: a TCP proxy that can be cut without a word to either side, as a
//! network or a machine fails.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy, which ends with the test.
pub(super) struct Cable {
    pub(super) addr: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Cable {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (is_cut, cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = cut.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        forward(from_client, to_server, cut.clone()),
                        forward(from_server, to_client, cut)
                    );
                });
            }
        });
        Self { addr, is_cut }
    }

    /// Nothing passes from now on, and both sides stay connected.
    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Passes everything on again.
    pub(super) fn restore(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    while cut.wait_for(|is_cut| !is_cut).await.is_ok() {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _changed = cut.changed() => continue,
        };
        let Ok(count @ 1..) = read else { return };
        // What was under way is lost with the cable, or passes when it is restored.
        if cut.wait_for(|is_cut| !is_cut).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
