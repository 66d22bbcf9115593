//! Start of a connection: one HTTP request and its response, and WELCOME in WAMP v1, where the
//! server speaks first.

use std::net::IpAddr;
use std::sync::Arc;

use jackfield_broker::{Features, PendingFlushes};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol as wamp;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{Span, field, warn};

use super::keepalive::Keepalive;
use super::member::Member;
use super::reader::Reader;
use super::{Connection, Context, DisconnectReason, Expiry};
use crate::admission::{Admitted, Rejection};
use crate::connection_limit::ConnectionPermit;
use crate::handshake::{self, Opening, Refusal, Upgrade};
use crate::transport::WebSocketTransport;
use crate::{frame, http};

/// Reads the request of a socket and answers it. None where it asked for something else than a
/// connection, and got it.
pub(super) async fn open(
    context: Arc<Context>,
    mut stream: TcpStream,
    permit: &ConnectionPermit,
) -> Result<Option<Box<Connection>>, DisconnectReason> {
    let mut read = Vec::new();
    loop {
        let limit = context.limits.handshake_bytes;
        let opened_by = Instant::now() + context.handshake_timeout;
        let opening = timeout_at(opened_by, handshake::read(&mut stream, read, limit));
        let opening = tokio::select! {
            () = context.shutdown.requested() => return Ok(None),
            opening = opening => opening,
        };
        let opening = match opening {
            Err(_elapsed) => {
                return Err(DisconnectReason::Handshake("it took too long".to_owned()));
            }
            Ok(Err(error)) => return Err(DisconnectReason::Lost(error.to_string())),
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(opening))) => opening,
        };
        match opening {
            Ok(Opening::Upgrade(_)) if permit.is_reserved() => {
                let limit = permit.limit();
                warn!("maximum connections reached (limits.connections = {limit}); answered 503");
                http::refuse(stream, &Refusal::full()).await;
                return Err(DisconnectReason::Handshake("maximum connections reached".to_owned()));
            }
            Ok(Opening::Upgrade(upgrade)) if context.generations.is_none() => {
                let peer = peer(&stream)?;
                let checked = context.admission.check_address(&upgrade.visitor.forwarded, peer);
                let (refusal, ended) = match checked {
                    Ok(()) => (
                        Refusal::starting(),
                        DisconnectReason::Handshake("it is too early".to_owned()),
                    ),
                    Err(denial) => (denial.refusal, DisconnectReason::Denied(denial.reason)),
                };
                http::refuse(stream, &refusal).await;
                return Err(ended);
            }
            Ok(Opening::Upgrade(upgrade)) => {
                return match admit(&context, &stream, &upgrade, opened_by).await? {
                    Ok(admitted) => {
                        greet(context, stream, upgrade, admitted, opened_by).await.map(Some)
                    }
                    Err(denial) => {
                        http::refuse(stream, &denial.refusal).await;
                        Err(DisconnectReason::Denied(denial.reason))
                    }
                };
            }
            Ok(Opening::Plain(head)) => match plain(&context, stream, head, permit).await? {
                Some(upgrade) => (stream, read) = upgrade,
                None => return Ok(None),
            },
            Err(refusal) => {
                http::refuse(stream, &refusal).await;
                return Err(DisconnectReason::Handshake(refusal.message));
            }
        }
    }
}

/// Serves plain HTTP, until a request asks for a WebSocket after all: then its stream and its head.
async fn plain(
    context: &Context,
    stream: TcpStream,
    head: Vec<u8>,
    permit: &ConnectionPermit,
) -> Result<Option<(TcpStream, Vec<u8>)>, DisconnectReason> {
    let served = context.http.serve(stream, head, !permit.is_reserved()).await;
    served.map_err(|error| DisconnectReason::Lost(error.to_string()))
}

/// Applies the access rules, and authenticates the client.
async fn admit(
    context: &Context,
    stream: &TcpStream,
    upgrade: &Upgrade,
    opened_by: Instant,
) -> Result<Result<Admitted, Rejection>, DisconnectReason> {
    let peer = peer(stream)?;
    match context.admission.client(&upgrade.visitor.forwarded, peer) {
        Some(client) if client == peer.to_canonical() => {}
        Some(client) => drop(Span::current().record("client", field::display(client))),
        None => drop(Span::current().record("client", "unknown")),
    }
    // Version 2 may prove it in the dialogue; version 1 has no words for it.
    let may_follow = upgrade.dialect != Dialect::V1;
    let verdict =
        timeout_at(opened_by, context.admission.admit(&upgrade.visitor, peer, may_follow)).await;
    verdict.map_err(|_| DisconnectReason::Denied("it was not proven in time".to_owned()))
}

/// Answers the handshake; a WAMP v1 client is greeted in the same write.
async fn greet(
    context: Arc<Context>,
    stream: TcpStream,
    upgrade: Upgrade,
    admitted: Admitted,
    opened_by: Instant,
) -> Result<Box<Connection>, DisconnectReason> {
    let Admitted { proven, must_prove } = admitted;
    let peer = peer(&stream)?;
    let client = context.admission.client(&upgrade.visitor.forwarded, peer).unwrap_or(peer);
    let mut dialogue = wamp::Protocol::with_depth(upgrade.dialect, context.limits.depth);
    let wire = WebSocketTransport::new(stream, context.limits.outbox, &context.totals);
    wire.probe_when_silent_for(context.keepalive.interval);
    let (mut member, mut expiry) = (None, Expiry::default());
    let mut greeting = Vec::new();
    if upgrade.dialect == Dialect::V1 {
        let dispatch = context.realms.default_realm();
        let features = Features::default();
        let proven = proven.as_ref();
        let joining = Member::new(&wire, upgrade.dialect, features, dispatch, proven, client)?;
        let welcome = dialogue.welcome(&joining.welcome(None));
        greeting.extend_from_slice(&frame::message(upgrade.dialect, &welcome));
        expiry = Expiry::of(proven);
        member = Some(joining);
    }
    let response = upgrade.response(&greeting);
    wire.greet(&response).await.map_err(|error| DisconnectReason::Lost(error.to_string()))?;
    if let Some(member) = &member {
        member.join(&context.shutdown);
    }
    let limit = context.limits.message_bytes;
    let reader = Reader::new(Arc::clone(&wire), upgrade.early, limit).await;
    let keepalive = Keepalive::new(context.keepalive.interval, context.keepalive.timeout);
    let batch = PendingFlushes::default();
    let proven = proven.filter(|_| member.is_none()).map(Box::new);
    let connection = Connection {
        context,
        wire,
        reader,
        client,
        dialogue,
        proven,
        must_prove,
        asked: None,
        expiry,
        member,
        opened_by,
        batch,
        keepalive,
    };
    Ok(Box::new(connection))
}

fn peer(stream: &TcpStream) -> Result<IpAddr, DisconnectReason> {
    stream
        .peer_addr()
        .map(|peer| peer.ip())
        .map_err(|error| DisconnectReason::Lost(error.to_string()))
}
