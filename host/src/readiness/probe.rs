//! Probe: a client in the server, which goes the whole way of a client's call over the real listener:
//! connection, WebSocket handshake, session, route, handler, and back through the socket.
//!
//! A path with a secret of this process admits it, whatever the access rules are. The listener knows it
//! by its address, so that it takes no place of a client. It has a realm of its own that no other client
//! can join.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use jackfield_config::ProbeTimes;
use jackfield_wamp::dialect::{Codec, Dialect};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::results::{ProbeError, ProbeResults, ProbeStatus, ProbeStep};
use crate::dispatch::{PROBE_PROCEDURE, PROBE_REALM};
use crate::shutdown::Shutdown;

/// The server's own probe: the secret that admits it, its schedule and its results.
pub(crate) struct Probe {
    key: ProbeKey,
    times: ProbeTimes,
    results: ProbeResults,
    /// The address that it connects from at present.
    source: Mutex<Option<SocketAddr>>,
}

/// The secret that admits the probe of this process.
struct ProbeKey(String);

/// The dialect of the probe.
pub(crate) const PROBE_DIALECT: Dialect = Dialect::V2(Codec::Json);

/// The way into the server.
pub(crate) enum ProbeEntrance {
    /// A listener at an address.
    Address(SocketAddr),
    /// The inside of the server: it serves the other end of a pair of sockets as it serves a client. For
    /// a server without a listener that the probe can use.
    Inside(Box<dyn Fn(UnixStream) + Send + Sync>),
}

/// The host in requests of the probe that come from the inside.
const INSIDE: &str = "localhost";

impl ProbeKey {
    /// Draws a secret.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes.
    fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let mut path = String::from("/jackfield-probe/");
        for byte in bytes {
            // Writing to a string cannot fail.
            let _written = write!(path, "{byte:02x}");
        }
        Ok(Self(path))
    }

    fn admits(&self, path: &str) -> bool {
        self.0.as_bytes().ct_eq(path.as_bytes()).into()
    }
}

impl Probe {
    /// A probe with a secret of its own, and no result yet.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes.
    pub(crate) fn new(times: ProbeTimes) -> Result<Self, getrandom::Error> {
        let results = ProbeResults::new(times.interval + times.timeout);
        Ok(Self { key: ProbeKey::new()?, times, results, source: Mutex::default() })
    }

    /// Whether a request for this path is the probe's.
    pub(crate) fn admits(&self, path: &str) -> bool {
        self.key.admits(path)
    }

    /// Whether a connection from this address is the probe's.
    pub(crate) fn connects_from(&self, peer: SocketAddr) -> bool {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) == Some(peer)
    }

    /// The state of the probe.
    pub(crate) fn status(&self, now: Instant) -> ProbeStatus {
        self.results.status(now)
    }

    /// Probes the listener until the server stops: at once, and then in the interval.
    pub(crate) async fn run(self: Arc<Self>, entrance: ProbeEntrance, shutdown: Arc<Shutdown>) {
        let ProbeTimes { interval, timeout } = self.times;
        self.results.begin(Instant::now());
        let probing = async {
            loop {
                let began = Instant::now();
                let result = self.probe(&entrance, timeout).await;
                self.results.add(Instant::now(), began.elapsed(), result);
                sleep(interval).await;
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = probing => {}
        }
    }

    /// One probe, which ends within `limit`.
    async fn probe(&self, entrance: &ProbeEntrance, limit: Duration) -> Result<(), ProbeError> {
        let mut step = ProbeStep::Connect;
        let went = timeout(limit, self.enter(entrance, &mut step)).await;
        let went = went.unwrap_or_else(|_elapsed| Err(format!("no answer within {limit:?}")));
        went.map_err(|reason| ProbeError { step, reason })
    }

    /// Goes the way of a client. `step` is the one that is under way.
    async fn enter(&self, entrance: &ProbeEntrance, step: &mut ProbeStep) -> Result<(), String> {
        match entrance {
            ProbeEntrance::Address(listen) => {
                let address = reachable(*listen);
                let stream = self.connect(address).await.map_err(|error| error.to_string())?;
                self.walk(stream, &address.to_string(), step).await
            }
            ProbeEntrance::Inside(serve) => {
                let (own, other) = UnixStream::pair().map_err(|error| error.to_string())?;
                serve(other);
                self.walk(own, INSIDE, step).await
            }
        }
    }

    /// Goes the way of a client over a connection.
    async fn walk<S>(&self, stream: S, host: &str, step: &mut ProbeStep) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        *step = ProbeStep::Handshake;
        let mut request = format!("ws://{host}{}", self.key.0)
            .into_client_request()
            .map_err(|error| error.to_string())?;
        let subprotocol = HeaderValue::from_static(PROBE_DIALECT.subprotocol());
        request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol);
        let (mut socket, _) =
            client_async(request, stream).await.map_err(|error| error.to_string())?;
        *step = ProbeStep::Session;
        let hello = json!([1, PROBE_REALM, { "roles": { "caller": {} } }]);
        let welcome = exchange(&mut socket, &hello).await?;
        if welcome.get(0) != Some(&json!(2)) {
            return Err("HELLO was not answered by WELCOME".to_owned());
        }
        *step = ProbeStep::Call;
        let number = fastrand::u32(..);
        let call = json!([48, 1, {}, PROBE_PROCEDURE, [number]]);
        let result = exchange(&mut socket, &call).await?;
        if result != json!([50, 1, {}, [number]]) {
            return Err("CALL was not answered by the RESULT of the handler".to_owned());
        }
        // The way has been gone; the server notices the end by itself as well.
        let _closed = socket.close(None).await;
        Ok(())
    }

    /// Connects from an address that the listener knows before it accepts the connection.
    async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // An address of this machine is reached from itself.
        socket.bind(SocketAddr::new(address.ip(), 0))?;
        let source = socket.local_addr()?;
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        socket.connect(address).await
    }
}

/// The address at which this machine reaches the listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(it) if it.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(it) if it.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Sends a message, and returns the next one.
async fn exchange<S>(socket: &mut WebSocketStream<S>, message: &Value) -> Result<Value, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket
        .send(Message::Text(message.to_string().into()))
        .await
        .map_err(|error| error.to_string())?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(answer))) => {
                return serde_json::from_str(&answer).map_err(|error| error.to_string());
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) | None => return Err("the server ended the connection".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

    const MAX_PROBE_TIME: Duration = Duration::from_millis(200);

    /// Probes a listener that behaves like this for each connection.
    async fn probed<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<(), ProbeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream));
            }
        });
        let probe = Probe::new(ProbeTimes::default()).unwrap();
        let entrance = ProbeEntrance::Address(address);
        let result = probe.probe(&entrance, MAX_PROBE_TIME).await;
        serving.abort();
        result
    }

    /// A server that answers HELLO, and each CALL by `result`; none is no answer.
    async fn answer_calls(stream: TcpStream, result: impl Fn(&Value) -> Option<Value>) {
        #[expect(clippy::result_large_err, reason = "the signature of tungstenite")]
        let accept = |_: &Request, mut response: Response| {
            let subprotocol = HeaderValue::from_static(PROBE_DIALECT.subprotocol());
            response.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol);
            Ok(response)
        };
        let mut socket = accept_hdr_async(stream, accept).await.unwrap();
        while let Some(Ok(Message::Text(message))) = socket.next().await {
            let message: Value = serde_json::from_str(&message).unwrap();
            let answer = if message[0] == 1 { Some(json!([2, 7, {}])) } else { result(&message) };
            if let Some(answer) = answer {
                socket.send(Message::Text(answer.to_string().into())).await.unwrap();
            }
        }
    }

    #[track_caller]
    fn fails(result: Result<(), ProbeError>, step: ProbeStep, reason: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.step, step, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }

    #[tokio::test]
    async fn succeeds_when_the_handler_answers() {
        let echo = |message: &Value| Some(json!([50, 1, {}, message[4]]));
        probed(move |stream| answer_calls(stream, echo)).await.unwrap();
    }

    #[tokio::test]
    async fn notices_a_handler_that_is_stuck() {
        let result = probed(|stream| answer_calls(stream, |_| None)).await;
        fails(result, ProbeStep::Call, "no answer within 200ms");
    }

    #[tokio::test]
    async fn notices_an_answer_of_another() {
        let result = probed(|stream| answer_calls(stream, |_| Some(json!([50, 1, {}, [0, 0]]))));
        fails(result.await, ProbeStep::Call, "not answered by the RESULT");
    }

    #[tokio::test]
    async fn notices_a_listener_that_does_not_answer() {
        let result = probed(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        });
        fails(result.await, ProbeStep::Handshake, "no answer within");
        let result = probed(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap();
        });
        fails(result.await, ProbeStep::Handshake, "503");
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let probe = Probe::new(ProbeTimes::default()).unwrap();
        let entrance = ProbeEntrance::Address(closed);
        let result = probe.probe(&entrance, MAX_PROBE_TIME).await;
        fails(result, ProbeStep::Connect, "refused");
    }

    #[tokio::test]
    async fn goes_in_from_the_inside() {
        let probe = Probe::new(ProbeTimes::default()).unwrap();
        let entrance = ProbeEntrance::Inside(Box::new(drop));
        let result = probe.probe(&entrance, MAX_PROBE_TIME).await;
        fails(result, ProbeStep::Handshake, "");
    }

    #[test]
    fn reaches_listeners_of_all_addresses_by_loopback() {
        let reached = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reached("[::]:80"), "[::1]:80");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }

    #[tokio::test]
    async fn is_known_by_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = Probe::new(ProbeTimes::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(probe.connect(address), listener.accept());
        let (_client, (_stream, peer)) = (connected.unwrap(), accepted.unwrap());
        assert!(probe.connects_from(peer));
        let (other, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert!(!probe.connects_from(accepted.unwrap().1));
        drop(other);
    }

    #[test]
    fn admits_its_own_path_alone() {
        let (key, other) = (ProbeKey::new().unwrap(), ProbeKey::new().unwrap());
        assert!(key.admits(&key.0) && !key.admits(&other.0));
        for path in ["", "/", "/jackfield-probe/"] {
            assert!(!key.admits(path), "{path}");
        }
    }
}
