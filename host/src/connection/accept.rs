//! Start of a connection: one HTTP request and its response, and WELCOME in WAMP v1, where the
//! server speaks first.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::{Features, PendingFlushes};
use jackfield_rawsocket::{self as rawsocket, HandshakeError};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol as wamp;
use tokio::time::{Instant, sleep, timeout_at};

use super::keepalive::Keepalive;
use super::limits::{Exceeded, UserPlace};
use super::member::Member;
use super::message_rate::MessageRate;
use super::reader::Reader;
use super::{Connection, Context, DisconnectReason, Expiry};
use super::{FailedHandshake, secure};
use crate::admission::{Admittance, Admitted, Rejection, Rule};
use crate::client_certificate::CertificateUser;
use crate::client_listener::ClientListener;
use crate::client_socket::ClientSocket;
use crate::client_stream::ClientStream;
use crate::connection_limit::ConnectionPermit;
use crate::frame::Form;
use crate::handshake::{self, Opening, Refusal, Spoken, Upgrade};
use crate::log::ConnectionScope;
use crate::metrics::ConnectionOutcome;
use crate::transport::ClientTransport;
use crate::{client_certificate, frame, http, ids};

/// The time for a request that is on its way when the server stops.
const MAX_HEAD_DELAY: Duration = Duration::from_secs(1);

/// Makes the handshake of TLS where the listener has it, reads the request of a socket and answers it.
/// None where it asked for something else than a connection, and got it.
pub(super) async fn open(
    context: Arc<Context>,
    socket: ClientSocket,
    listener: Arc<ClientListener>,
    permit: &ConnectionPermit,
) -> Result<Option<Box<Connection>>, DisconnectReason> {
    let mut began = Instant::now();
    let times = Times { context: &context, permit };
    let mut stream = match &listener.tls {
        None => ClientStream::Plain(socket),
        // A handshake costs more than the rest of a refusal.
        Some(_) if context.admission.is_blocked(socket.peer().map_err(lost)?) => {
            context.metrics.began(ConnectionOutcome::Address);
            let reason = "the address is blocked (access.blocked)".to_owned();
            return Err(DisconnectReason::Denied(reason));
        }
        Some(tls) => match times.limit(began, secure(socket, tls)).await? {
            Some(Ok(Some(stream))) => stream,
            Some(Ok(None)) => {
                context.metrics.began(ConnectionOutcome::Lost);
                return Ok(None);
            }
            None => return Ok(None),
            Some(Err(FailedHandshake { outcome, ended })) => {
                context.metrics.began(outcome);
                return Err(ended);
            }
        },
    };
    let mut read = Vec::new();
    loop {
        let settings = context.settings.current();
        let limit = settings.limits.handshake_bytes;
        let transports = context.admission.transports(&listener);
        let spoken = Spoken { protocols: listener.rules.protocols, transports };
        let reading = handshake::read(&mut stream, read, limit, spoken);
        let Some(opening) = times.limit(began, reading).await? else { return Ok(None) };
        if !permit.keep() {
            return Err(evicted(&context));
        }
        let opening = match opening {
            Err(error) => {
                context.metrics.began(ConnectionOutcome::Lost);
                return Err(DisconnectReason::Lost(error.to_string()));
            }
            Ok(None) => {
                context.metrics.began(ConnectionOutcome::Lost);
                return Ok(None);
            }
            Ok(Some(opening)) => opening,
        };
        match opening {
            Ok(Opening::Upgrade(upgrade)) => {
                let opened_by = began + settings.handshake_timeout;
                let certificate = user_of(&stream, &listener);
                let peer = stream.peer().map_err(lost)?;
                let asked =
                    UpgradeRequest { upgrade, listener, peer, certificate, permit, opened_by };
                return upgraded(Arc::clone(&context), stream, asked).await.map(Some);
            }
            Ok(Opening::Plain(head)) => {
                match plain(&context, stream, head, &listener, permit).await? {
                    Some(upgrade) => (stream, read) = upgrade,
                    None => return Ok(None),
                }
            }
            Ok(Opening::Tls) => {
                context.metrics.began(ConnectionOutcome::Tls);
                http::refuse(stream, &Refusal::plain_alone()).await;
                let why = "the client speaks TLS, and the listener does not";
                return Err(DisconnectReason::TlsMismatch(why));
            }
            Ok(Opening::BadRawSocket(error)) => {
                context.metrics.began(ConnectionOutcome::Handshake);
                http::end(stream, &rawsocket::refuse(error)).await;
                return Err(DisconnectReason::Handshake(error.to_string()));
            }
            Err(refusal) => {
                context.metrics.began(ConnectionOutcome::Handshake);
                http::refuse(stream, &refusal).await;
                return Err(DisconnectReason::Handshake(refusal.message));
            }
        }
        began = Instant::now();
    }
}

/// The limits of the time of an opening connection.
struct Times<'a> {
    context: &'a Context,
    permit: &'a ConnectionPermit,
}

impl Times<'_> {
    /// Does a part of the opening, which began at this time. `None` if the server stops.
    async fn limit<T>(
        &self,
        began: Instant,
        part: impl Future<Output = T>,
    ) -> Result<Option<T>, DisconnectReason> {
        let Self { context, permit } = self;
        let stopped = async {
            context.shutdown.requested().await;
            sleep(MAX_HEAD_DELAY).await;
        };
        let time = context.settings.current().handshake_timeout;
        let done_by = began + permit.head_time(time);
        tokio::select! {
            () = stopped => Ok(None),
            () = permit.evicted() => Err(evicted(context)),
            done = timeout_at(done_by, part) => done.map(Some).map_err(|_elapsed| {
                context.metrics.began(ConnectionOutcome::Timeout);
                DisconnectReason::Handshake("it took too long".to_owned())
            }),
        }
    }
}

/// Counts a connection of the reserve that has sent no request when another one needed its place.
fn evicted(context: &Context) -> DisconnectReason {
    context.metrics.began(ConnectionOutcome::Unanswered);
    DisconnectReason::Handshake(
        "no request had come when another connection needed the place".to_owned(),
    )
}

/// A refused request for a WebSocket.
struct Refused {
    outcome: ConnectionOutcome,
    refusal: Refusal,
    ended: DisconnectReason,
}

impl Refused {
    fn temporary(outcome: ConnectionOutcome, refusal: Refusal, why: &str) -> Self {
        Self { outcome, refusal, ended: DisconnectReason::Handshake(why.to_owned()) }
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let outcome = outcome(&rejection);
        let Rejection { refusal, reason, .. } = rejection;
        Self { outcome, refusal, ended: DisconnectReason::Denied(reason) }
    }
}

/// Returns the user of the client's certificate.
fn user_of(stream: &ClientStream, listener: &ClientListener) -> Option<CertificateUser> {
    let users = listener.tls.as_ref()?.users()?;
    stream.certificate().map(|certificate| client_certificate::user(users, certificate))
}

/// A request for a WebSocket.
struct UpgradeRequest<'a> {
    upgrade: Upgrade,
    listener: Arc<ClientListener>,
    /// The address of the peer, for which the system is asked once.
    peer: IpAddr,
    /// The user of the client's certificate, if it has one.
    certificate: Option<CertificateUser>,
    permit: &'a ConnectionPermit,
    opened_by: Instant,
}

/// Answers a request for a WebSocket.
async fn upgraded(
    context: Arc<Context>,
    stream: ClientStream,
    asked: UpgradeRequest<'_>,
) -> Result<Box<Connection>, DisconnectReason> {
    if let Some(context) = context.for_probe(&asked.upgrade.visitor.path) {
        let admitted = Admitted { proven: None, must_prove: false };
        return greet(context, stream, asked, admitted, None, None).await;
    }
    // Before the client is judged: a change meanwhile is noticed.
    let (visitor, listener) = (&asked.upgrade.visitor, &asked.listener);
    let admittance = context.admission.admittance(visitor, asked.peer, listener);
    let examined = match examine(&context, &asked).await? {
        Ok(_) if !context.admission.is_current(&admittance) => {
            let why = "the access rules have changed meanwhile";
            Err(Refused::temporary(ConnectionOutcome::Unavailable, Refusal::changed(), why))
        }
        examined => examined,
    };
    match examined {
        Ok((admitted, place)) => {
            context.metrics.began(ConnectionOutcome::Accepted);
            let admittance = Some(Box::new(admittance));
            greet(context, stream, asked, admitted, place, admittance).await
        }
        Err(refused) => {
            context.metrics.began(refused.outcome);
            if matches!(asked.upgrade.form(), Form::RawSocket { .. }) {
                // Its errors have no other number for a client that may not connect, or not now.
                let error = HandshakeError::TooManyConnections;
                http::end(stream, &rawsocket::refuse(error)).await;
            } else {
                http::refuse(stream, &refused.refusal).await;
            }
            Err(refused.ended)
        }
    }
}

/// Applies the state of the server, the limits of new connections and the access rules, in the order
/// of their costs: credentials are verified last. A client that may not connect from its page, or at
/// its path, takes nothing of the rates of others.
async fn examine(
    context: &Context,
    asked: &UpgradeRequest<'_>,
) -> Result<Result<(Admitted, UserPlace), Refused>, DisconnectReason> {
    let UpgradeRequest { upgrade, listener, peer, certificate, permit, opened_by } = asked;
    let peer = *peer;
    if context.shutdown.is_requested() {
        let refusal = Refusal::stopping();
        let why = "the server is stopping";
        return Ok(Err(Refused::temporary(ConnectionOutcome::Stopping, refusal, why)));
    }
    if let Some(reached) = permit.reached() {
        return Ok(Err(context.exceeded(Exceeded::Reached(reached))));
    }
    let visitor = &upgrade.visitor;
    if let Err(rejection) = context.admission.check(visitor, peer, listener) {
        return Ok(Err(rejection.into()));
    }
    if context.generations.is_none() {
        let refusal = Refusal::starting();
        let why = "it is too early";
        return Ok(Err(Refused::temporary(ConnectionOutcome::Starting, refusal, why)));
    }
    let client = context.admission.client(&visitor.forwarded, peer);
    if client != Some(peer.to_canonical()) {
        ConnectionScope::name_client(client);
    }
    if let Err(exceeded) = context.new_connections.check(client.unwrap_or(peer), permit) {
        return Ok(Err(context.exceeded(exceeded)));
    }
    // Version 2 may prove it in the dialogue; version 1 has no words for it.
    let may_follow = upgrade.dialect != Dialect::V1;
    let admission =
        context.admission.admit(visitor, peer, may_follow, listener, certificate.as_ref());
    let admitted = match timeout_at(*opened_by, admission).await {
        Ok(Ok(admitted)) => admitted,
        Ok(Err(rejection)) => return Ok(Err(rejection.into())),
        Err(_elapsed) => {
            return Err(DisconnectReason::Denied("it was not proven in time".to_owned()));
        }
    };
    Ok(match context.new_connections.place(admitted.proven.as_ref()) {
        Ok(place) => Ok((admitted, place)),
        Err(exceeded) => Err(context.exceeded(exceeded)),
    })
}

impl Context {
    /// Logs a limit, and returns its answer.
    fn exceeded(&self, exceeded: Exceeded) -> Refused {
        let (outcome, refusal) = (exceeded.outcome(), exceeded.refusal());
        Refused { outcome, refusal, ended: exceeded.log(&self.settings.current().limits) }
    }
}

/// Returns the outcome of a rejected client.
fn outcome(rejection: &Rejection) -> ConnectionOutcome {
    match rejection.rule {
        Rule::Address => ConnectionOutcome::Address,
        Rule::Transport => ConnectionOutcome::Transport,
        Rule::Path => ConnectionOutcome::Path,
        Rule::Origin => ConnectionOutcome::Origin,
        Rule::Credential if rejection.is_temporary() => ConnectionOutcome::Unavailable,
        Rule::Credential => ConnectionOutcome::Credential,
    }
}

/// Serves plain HTTP, until a request asks for a WebSocket after all: then its stream and its head.
async fn plain(
    context: &Context,
    stream: ClientStream,
    head: Vec<u8>,
    listener: &ClientListener,
    permit: &ConnectionPermit,
) -> Result<Option<(ClientStream, Vec<u8>)>, DisconnectReason> {
    context.metrics.began(ConnectionOutcome::Http);
    let keep_alive = permit.reached().is_none();
    let served = context.http.serve(stream, head, keep_alive, listener).await;
    served.map_err(|error| DisconnectReason::Lost(error.to_string()))
}

/// Answers the handshake; a WAMP v1 client is greeted in the same write.
async fn greet(
    context: Arc<Context>,
    stream: ClientStream,
    asked: UpgradeRequest<'_>,
    admitted: Admitted,
    place: UserPlace,
    mut admittance: Option<Box<Admittance>>,
) -> Result<Box<Connection>, DisconnectReason> {
    let UpgradeRequest { upgrade, listener, peer, opened_by, .. } = asked;
    let Admitted { proven, must_prove } = admitted;
    let client = context.admission.client(&upgrade.visitor.forwarded, peer).unwrap_or(peer);
    let settings = context.settings.current();
    let (limits, times) = (&settings.limits, settings.keepalive);
    let mut dialogue = wamp::Protocol::with_depth(upgrade.dialect, limits.depth);
    let wire = ClientTransport::new(
        stream,
        upgrade.dialect,
        upgrade.form(),
        upgrade.is_compressed(),
        limits.outbox,
        &context.totals,
    );
    wire.probe_when_silent_for(times.interval, times.timeout);
    let (mut member, mut expiry) = (None, Expiry::default());
    let mut greeting = Vec::new();
    let is_echo = upgrade.is_echo();
    if upgrade.dialect == Dialect::V1 && !is_echo {
        let dispatch = context.realms.default_realm();
        let features = Features::default();
        let proven = proven.as_ref();
        let id = ids::session().map_err(|error| DisconnectReason::Refused(error.to_string()))?;
        let joining = Member::new(id, &wire, upgrade.dialect, features, dispatch, proven, client);
        let welcome = dialogue.welcome(&joining.welcome(None, None, None));
        greeting.extend_from_slice(&frame::message(upgrade.dialect, &welcome));
        expiry = Expiry::of(proven);
        member = Some(joining);
    }
    let response = upgrade.response(&greeting, limits.message_bytes);
    wire.greet(&response).await.map_err(|error| DisconnectReason::Lost(error.to_string()))?;
    if let Some(member) = &mut member {
        member.join(&context.shutdown);
        member.keep(&context.admission, admittance.take(), proven.as_ref());
    }
    let reader =
        Reader::new(Arc::clone(&wire), upgrade.dialect, upgrade.early, limits.message_bytes);
    let keepalive = Keepalive::new(times.interval, times.timeout);
    let batch = PendingFlushes::default();
    let mut rate = MessageRate::new(limits, Instant::now());
    if member.as_ref().is_some_and(Member::is_backend) {
        rate.exempt();
    }
    let proven = proven.filter(|_| member.is_none()).map(Box::new);
    let connection = Connection {
        context,
        listener,
        settings,
        wire,
        reader,
        client,
        dialogue,
        proven,
        must_prove,
        is_echo,
        admittance,
        asked: None,
        expiry,
        member,
        place,
        opened_by,
        batch,
        keepalive,
        rate,
    };
    Ok(Box::new(connection))
}

#[expect(clippy::needless_pass_by_value, reason = "passed to `map_err`")]
fn lost(error: io::Error) -> DisconnectReason {
    DisconnectReason::Lost(error.to_string())
}
