//! A network between a browser and a server that can be cut: nothing passes any more, and nobody
//! is told.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on a port of its own.
pub(super) struct Network {
    pub(super) addr: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Network {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (whole, passes) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, server, passes.clone()));
            }
        });
        Self { addr, whole }
    }

    pub(super) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

/// Carries one connection; while the network is cut, it does not even come about.
async fn carry(near: TcpStream, server: SocketAddr, mut passes: watch::Receiver<bool>) {
    if passes.wait_for(|whole| *whole).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(server).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let out = copy(near_read, far_write, passes.clone());
    tokio::join!(out, copy(far_read, near_write, passes));
}

/// What arrives while the network is cut arrives when it is whole again, as TCP sends it again.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passes: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if passes.wait_for(|whole| *whole).await.is_err() || count == 0 {
            break;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _gone = to.shutdown().await;
}
