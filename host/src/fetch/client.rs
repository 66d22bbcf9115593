//! The client: resolves, checks, connects, sends, and reads within the limits of the request.

use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use jackfield_sandbox::{
    Host, HttpError, HttpOrigin, HttpRequest, HttpResponse, HttpSender, PendingResponse, Scheme,
};
use jackfield_tls::{Authorities, ClientConfig, HandshakeError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::{Reach, reach};
use super::resolver::Resolver;

/// The maximum size of the head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// The maximum number of headers of an answer.
const MAX_HEADERS: usize = 100;
/// The maximum number of addresses that are tried, each for its share of the time.
const MAX_ATTEMPTS: u32 = 4;

/// Sends the requests of plugins.
pub(crate) struct HttpClient {
    resolver: Resolver,
    /// The authorities of the operating system, read at the first request that needs them.
    tls: OnceCell<TlsConnector>,
}

impl HttpClient {
    /// Creates a client that looks names up as the operating system does.
    pub(crate) fn new() -> Self {
        Self::with_resolver(Resolver::of_system())
    }

    fn with_resolver(resolver: Resolver) -> Self {
        Self { resolver, tls: OnceCell::new() }
    }

    /// Sends a request of a plugin, and returns its whole answer. Dropping the future ends the connection.
    ///
    /// # Errors
    /// When there is no complete answer within the limits of the request.
    pub(crate) async fn send(
        &self,
        plugin: &str,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let limit = request.timeout;
        timeout(limit, self.exchange(plugin, request)).await.unwrap_or(Err(HttpError::Timeout))
    }

    async fn exchange(
        &self,
        plugin: &str,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let origin = &request.origin;
        let addresses = self.checked_addresses(plugin, origin, request.may_be_private).await?;
        let stream = connect(&addresses, request.timeout / MAX_ATTEMPTS).await?;
        match origin.scheme {
            Scheme::Http => exchange_on(stream, request).await,
            Scheme::Https => {
                let name = match &origin.host {
                    Host::Name(name) => ServerName::try_from(name.clone()),
                    Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
                };
                let name = name.map_err(|_| HttpError::Invalid("the host is no name".into()))?;
                let stream = self.tls().await?.connect(name, stream).await;
                exchange_on(stream.map_err(|error| tls_error(&error))?, request).await
            }
        }
    }

    /// Returns the addresses to connect to. A name is looked up once, and the connection goes to an
    /// address that was checked here.
    async fn checked_addresses(
        &self,
        plugin: &str,
        origin: &HttpOrigin,
        may_be_private: bool,
    ) -> Result<Vec<SocketAddr>, HttpError> {
        let name = match &origin.host {
            // The operator has listed this very address.
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, origin.port)]),
            Host::Name(name) => name,
        };
        let found = self.resolver.addresses(plugin, name, origin.port).await;
        let found = found.unwrap_or_default();
        if found.is_empty() {
            return Err(HttpError::Unreachable("the name has no address".to_owned()));
        }
        let limit = if may_be_private { Reach::Private } else { Reach::Public };
        let is_reached = |address: &IpAddr| reach(*address) <= limit;
        let allowed: Vec<SocketAddr> =
            found.into_iter().filter(|address| is_reached(&address.ip())).collect();
        if allowed.is_empty() {
            let help = if may_be_private {
                "to allow it, list the address instead of the name in `http.allow`"
            } else {
                "to allow private networks, set `http.private: true` for the plugin"
            };
            let text = format!("{origin} leads to an address that is not public; {help}");
            return Err(HttpError::Denied(text));
        }
        Ok(allowed)
    }

    async fn tls(&self) -> Result<&TlsConnector, HttpError> {
        let no_tls = |error: String| HttpError::Unreachable(format!("no TLS here: {error}"));
        let make = || async {
            let read = || -> Result<ClientConfig, String> {
                let authorities = Authorities::of_system().map_err(|error| error.to_string())?;
                Authorities::client_config(Some(authorities)).map_err(|error| error.to_string())
            };
            let config = tokio::task::spawn_blocking(read).await;
            let config = config.map_err(|error| no_tls(error.to_string()))?.map_err(no_tls)?;
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.tls.get_or_try_init(make).await
    }
}

/// For hooks that wait.
impl HttpSender for HttpClient {
    fn send<'a>(&'a self, plugin: &'a str, request: HttpRequest) -> PendingResponse<'a> {
        Box::pin(Self::send(self, plugin, request))
    }
}

/// Connects to the first address that accepts.
async fn connect(addresses: &[SocketAddr], each: Duration) -> Result<TcpStream, HttpError> {
    let mut last = HttpError::Timeout;
    for address in addresses.iter().take(MAX_ATTEMPTS as usize) {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is written at once; a failure costs a delay.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = HttpError::Unreachable(error.kind().to_string()),
            Err(_elapsed) => last = HttpError::Timeout,
        }
    }
    Err(last)
}

/// Sends the request on a connection, and reads the answer.
async fn exchange_on<S>(stream: S, request: HttpRequest) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = request.max_response_bytes;
    let request = message(request)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let connected = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|error| broken(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        read(response, limit).await
    };
    // The exchange itself learns of a connection that ends.
    let drive = async {
        let _ended = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        answer = exchange => answer,
        never = drive => match never {},
    }
}

/// Builds the message with the headers that are the host's.
fn message(request: HttpRequest) -> Result<Request<Full<Bytes>>, HttpError> {
    let HttpRequest { origin, path, method, headers, body, .. } = request;
    let invalid = |_| HttpError::Invalid("the URL cannot be sent".to_owned());
    let path: Uri = path.parse().map_err(|_| HttpError::Invalid("the path is malformed".into()))?;
    let origin = origin.to_string();
    let (_, authority) = origin.split_once("://").unwrap_or_default();
    let authority = HeaderValue::from_str(authority)
        .map_err(|_| HttpError::Invalid("the host cannot be sent".to_owned()))?;
    let mut message = Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(Bytes::from(body)))
        .map_err(invalid)?;
    *message.headers_mut() = headers;
    message.headers_mut().insert(HOST, authority);
    let agent = message.headers_mut().entry(USER_AGENT);
    agent.or_insert(HeaderValue::from_static(crate::AGENT));
    Ok(message)
}

/// Reads an answer. Its parts are copied together, so that many small ones cost no more memory.
async fn read(response: Response<Incoming>, limit: usize) -> Result<HttpResponse, HttpError> {
    let (head, mut body) = response.into_parts();
    let shown = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    let headers = head.headers.iter().map(shown).collect();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers are ignored.
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(HttpError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(HttpResponse { status: head.status.as_u16(), headers, body: whole })
}

fn broken(error: &hyper::Error) -> HttpError {
    if error.is_parse_too_large() {
        return HttpError::TooLarge;
    }
    let text = if error.is_parse() {
        "the answer is not HTTP"
    } else if error.is_incomplete_message() || error.is_closed() || is_cut(error) {
        "the server ended the connection"
    } else {
        "the connection failed"
    };
    HttpError::Broken(text.to_owned())
}

/// Whether the body has ended too early.
fn is_cut(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::UnexpectedEof)
}

fn tls_error(error: &io::Error) -> HttpError {
    let text = match HandshakeError::among(error) {
        Some(error) => error.to_string(),
        None => format!("TLS failed: {}", error.kind()),
    };
    HttpError::Unreachable(text)
}

#[cfg(test)]
mod tests;
