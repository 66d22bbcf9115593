//! Plain HTTP on the WebSocket port: a page for people who open it in a browser, a health check,
//! the page client and the demo, and the way to [`crate::api`].
//!
//! [`crate::handshake`] reads the head of a connection's first request, as a WebSocket's has to be
//! answered by hand; what asks for no WebSocket is put back and served here by hyper, with
//! keep-alive. A proxy may reuse such a connection for a WebSocket later on: its head is then
//! handed back to the handshake.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tracing::warn;

use crate::admission::{Admission, Rejection};
use crate::api::{self, Api};
use crate::client_listener::ClientListener;
use crate::client_stream::ClientStream;
use crate::handshake::{Forwarded, Refusal, repeated};
use crate::linger::Linger;
use crate::metrics::{Endpoint, HttpMetrics};
use crate::shutdown::Shutdown;
use crate::wall_clock;

pub(crate) mod assets;
mod demo;
mod health;
pub(crate) mod metrics;
pub(crate) mod response;
mod rewind;

pub(crate) use assets::Demo;
pub(crate) use health::Health;
pub(crate) use metrics::MetricsPage;
use response::{Answer, CONTENT_POLICY};
use rewind::Rewind;

/// The least that hyper can read heads with.
const MIN_BUFFER: usize = 8 * 1024;

/// The time for a client to read the last answer and to end its side.
const LINGER: Linger =
    Linger { max_pause: Duration::from_secs(1), max_time: Duration::from_secs(1) };

/// What a person sees who opens the port in a browser.
const PAGE: &str = "\
This is Jackfield, a WebSocket server that speaks WAMP. It is working.

A browser's address bar is not a WebSocket client. Connect to this address with ws:// (or wss://
where a proxy encrypts), at any path unless the server is configured for one, and with one of these
subprotocols:

    wamp             WAMP v1, as AutobahnJS 0.8 and PHP clients speak it
    wamp.2.json      WAMP v2 in JSON
    wamp.2.msgpack   WAMP v2 in MessagePack
    wamp.2.cbor      WAMP v2 in CBOR

GET /sync.js is a client for pages. GET /health tells whether the server is well. POST /api/publish
and /api/call publish and call without a WebSocket, if the server is configured for it.
`jackfield help` lists what the command can do, and the documentation is in the folder docs of
Jackfield's source: browser.md, configuration.md, publishing.md and more.
";

/// What an HTTP request may reach.
pub(crate) struct Http {
    /// Who may ask.
    pub(crate) admission: Arc<Admission>,
    /// Whether the demo's page is served.
    pub(crate) demo: Demo,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<HttpMetrics>,
    pub(crate) shutdown: Arc<Shutdown>,
    /// The parts that change with the settings.
    pub(crate) live: ArcSwap<LiveHttp>,
}

/// The parts of HTTP that change while the server runs.
pub(crate) struct LiveHttp {
    /// Publishing and calling, if the configuration names tokens.
    pub(crate) api: Option<Api>,
    /// The page of metrics, if the configuration asks for it.
    pub(crate) metrics_page: Option<MetricsPage>,
    /// Between two requests of a connection.
    pub(crate) idle_timeout: Duration,
    /// Bytes of the longest request head.
    pub(crate) max_head_bytes: usize,
}

impl Http {
    /// Serves requests until the client or the server has had enough. Returns the stream, and what was
    /// read of it, where a request asks for a WebSocket. Without `keep_alive`, one request is answered.
    ///
    /// # Errors
    /// When the connection broke, or was not HTTP.
    pub(crate) async fn serve(
        &self,
        stream: ClientStream,
        head: Vec<u8>,
        keep_alive: bool,
        listener: &ClientListener,
    ) -> io::Result<Option<(ClientStream, Vec<u8>)>> {
        let (hand_back, mut upgrade) = mpsc::channel(1);
        let peer = stream.peer()?;
        let service = service_fn(|request: Request<Incoming>| {
            let hand_back = hand_back.clone();
            Box::pin(async move {
                if wants_websocket(request.headers()) {
                    // The receiver is beside this future, and drops it.
                    let _gone = hand_back.send(head_of(&request)).await;
                    return std::future::pending().await;
                }
                let endpoint = Endpoint::of(request.uri().path());
                let answer = self.answer(request, peer, listener).await;
                self.metrics.answered(endpoint, answer.status());
                Ok::<_, Infallible>(answer.response())
            })
        });
        let (idle, max_head_bytes) = {
            let live = self.live.load();
            (live.idle_timeout, live.max_head_bytes)
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // An idle connection and one whose head does not end cost the same.
            .header_read_timeout(idle)
            // It would panic before 1970.
            .auto_date_header(wall_clock::is_set())
            .max_buf_size(max_head_bytes.max(MIN_BUFFER))
            // A client that closes its side after the request still waits for the response.
            .half_close(true)
            .keep_alive(keep_alive)
            .serve_connection(TokioIo::new(Rewind::new(stream, head, idle)), service);
        let mut stopping = false;
        let served = loop {
            tokio::select! {
                // A request that has arrived is answered, even if the server has stopped already.
                biased;
                served = poll_fn(|context| connection.poll_without_shutdown(context)) => break served,
                // hyper has flushed what it had to say, unless the client asks for a WebSocket while it
                // does not read its last answer, and has itself to blame.
                Some(head) = upgrade.recv() => {
                    let parts = connection.into_parts();
                    let (stream, ahead) = parts.io.into_inner().into_parts();
                    return Ok(Some((stream, [&head, &parts.read_buf[..], &ahead[..]].concat())));
                }
                () = self.shutdown.requested(), if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let (stream, _) = connection.into_parts().io.into_inner().into_parts();
        LINGER.close(stream).await;
        served.map(|()| None).map_err(io::Error::other)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        listener: &ClientListener,
    ) -> Answer {
        // Of a connection's first request, the handshake has looked.
        if let Some(name) = repeated(request.headers().iter().map(|(name, _)| name.as_str())) {
            let message = Refusal::repeated(name).message;
            return Answer::text(StatusCode::BAD_REQUEST, message + "\n");
        }
        if let Err(denial) = self.check(&request, peer, listener) {
            let text = format!("{}\n", denial.refusal.message);
            warn!(name: "http.denied", "request refused: {}", denial.reason);
            return Answer::text(StatusCode::FORBIDDEN, text);
        }
        let asked = (request.method().clone(), request.uri().path().to_owned());
        if asked.1 == "/metrics"
            && is_read(&asked.0)
            && let Some(page) = &self.live.load_full().metrics_page
        {
            return page.answer(request.headers(), peer).await;
        }
        let is_health = is_read(&asked.0) && Endpoint::of(&asked.1) == Endpoint::Health;
        if self.health.is_starting() && !is_health {
            if is_api(&asked.1) {
                return api::starting();
            }
            let text = Refusal::starting().message + "\n";
            return Answer::text(StatusCode::SERVICE_UNAVAILABLE, text).with(RETRY_AFTER, "1");
        }
        if let Some(file) = self.asset(&request) {
            return file;
        }
        if self.demo == Demo::On && asked.1 == demo::PATH && is_read(&asked.0) {
            return demo::answer(&self.health.0);
        }
        match (asked.0, asked.1.as_str()) {
            (_, path) if is_api(path) => self.api(request).await,
            (Method::GET | Method::HEAD, "/health") => self.health.answer(),
            (Method::GET | Method::HEAD, "/livez") => Health::live(),
            (Method::GET | Method::HEAD, "/readyz") => self.health.ready(),
            (Method::GET | Method::HEAD, "/") => Answer::text(StatusCode::OK, PAGE),
            (Method::GET | Method::HEAD, _) => Answer::text(StatusCode::UPGRADE_REQUIRED, PAGE)
                .with(UPGRADE, "websocket")
                .with(CONNECTION, "upgrade"),
            // What a load balancer asks that is told no more than the port.
            (Method::OPTIONS, _) => Answer::empty(StatusCode::OK).allowing("GET, HEAD, OPTIONS"),
            (_, "/" | "/health" | "/livez" | "/readyz") => only_read(),
            (_, "/metrics") if self.live.load().metrics_page.is_some() => only_read(),
            _ => Answer::text(StatusCode::NOT_FOUND, "there are POST /api/publish and /api/call\n"),
        }
    }

    /// Applies the access rules to a request. Only the API receives and returns secrets.
    fn check(
        &self,
        request: &Request<Incoming>,
        peer: IpAddr,
        listener: &ClientListener,
    ) -> Result<(), Rejection> {
        let fields =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let forwarded = Forwarded::of(fields);
        self.admission.check_address(&forwarded, peer)?;
        if is_api(request.uri().path()) {
            self.admission.check_transport(&forwarded, peer, listener)?;
        }
        Ok(())
    }

    async fn api(&self, request: Request<Incoming>) -> Answer {
        match &self.live.load_full().api {
            Some(api) => api.answer(request).await,
            None => api::switched_off(),
        }
    }

    /// One of the files for browsers, if it is asked for.
    fn asset(&self, request: &Request<Incoming>) -> Option<Answer> {
        let file = assets::answer(request.uri(), request.headers(), self.demo)?;
        Some(if is_read(request.method()) { file } else { only_read() })
    }
}

/// Answers a request that was refused before it could be served.
pub(crate) async fn refuse(stream: ClientStream, refusal: &Refusal) {
    let Refusal { status, message, header } = refusal;
    let length = message.len() + 1;
    let response = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: {CONTENT_POLICY}\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{message}\n"
    );
    end(stream, response.as_bytes()).await;
}

/// Writes the last answer to a client, and closes the connection.
pub(crate) async fn end(mut stream: ClientStream, answer: &[u8]) {
    // Fails if the client has closed the connection already.
    let _gone = stream.write_all(answer).await;
    LINGER.close(stream).await;
}

fn is_api(path: &str) -> bool {
    path.starts_with("/api/")
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn only_read() -> Answer {
    Answer::text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n").allowing("GET, HEAD")
}

/// Whether a request is the handshake's affair. One with a body is none: its body would be taken
/// for the beginning of the WebSocket.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let lists = |name, member: &str| {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|it| it.trim().eq_ignore_ascii_case(member))
    };
    lists(UPGRADE, "websocket")
        && lists(CONNECTION, "upgrade")
        && !headers.contains_key(TRANSFER_ENCODING)
        && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0")
}

/// A head that was read, as it may have been written.
fn head_of(request: &Request<Incoming>) -> Vec<u8> {
    let line = format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version());
    let mut head = line.into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Whether a `Host` names the loopback device: by an address, or as `localhost`. A page in a browser can
/// reach this machine by another name, which it chooses (DNS rebinding).
pub(crate) fn is_loopback_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}
