//! TLS handshake of a connection, before its first request.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::Error as TlsError;

use super::DisconnectReason;
use crate::client_socket::ClientSocket;
use crate::client_stream::ClientStream;
use crate::handshake::{HANDSHAKE_RECORD, Refusal};
use crate::http;
use crate::listener_tls::ListenerTls;
use crate::metrics::ConnectionOutcome;

/// The answer to a client that does not speak TLS begins with it.
pub(crate) const TLS_ONLY: &str = "this port accepts only TLS";

/// A failed handshake: its outcome, and the end of the connection.
pub(crate) struct FailedHandshake {
    pub(crate) outcome: ConnectionOutcome,
    pub(crate) ended: DisconnectReason,
}

/// Makes the handshake. A client that speaks HTTP without TLS gets an answer that says so.
pub(crate) async fn secure(
    socket: ClientSocket,
    tls: &ListenerTls,
) -> Result<Option<ClientStream>, FailedHandshake> {
    let lost = |error: io::Error| FailedHandshake {
        outcome: ConnectionOutcome::Lost,
        ended: DisconnectReason::Lost(error.to_string()),
    };
    match socket.peek().await.map_err(lost)? {
        None => return Ok(None),
        Some(HANDSHAKE_RECORD) => {}
        Some(first) => {
            if first.is_ascii_uppercase() {
                let message = format!("{TLS_ONLY}: connect with https:// or wss://");
                let refusal = Refusal::new("400 Bad Request", message);
                http::refuse(ClientStream::Plain(socket), &refusal).await;
            }
            let ended = DisconnectReason::TlsMismatch(
                "the client does not speak TLS, and the listener does",
            );
            return Err(FailedHandshake { outcome: ConnectionOutcome::Tls, ended });
        }
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.current().config));
    match acceptor.accept(socket).await {
        Ok(stream) => Ok(Some(ClientStream::Tls(Box::new(stream)))),
        Err(error) => {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
            let outcome = match tls {
                Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => {
                    ConnectionOutcome::ClientCertificate
                }
                Some(_) => ConnectionOutcome::Tls,
                None => ConnectionOutcome::Lost,
            };
            let ended = DisconnectReason::Handshake(format!("TLS: {error}"));
            Err(FailedHandshake { outcome, ended })
        }
    }
}
