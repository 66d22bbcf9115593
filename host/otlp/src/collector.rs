//! HTTP client of a collector.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jackfield_tls::{Authorities, ClientConfig};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use super::OpenError;

/// The time of an export.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of an answer, which has at most an error.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Sends requests on the tasks of a runtime: the thread that exports has none of its own.
pub(super) struct CollectorClient {
    runtime: Handle,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl CollectorClient {
    /// Opens the client. Connects at the first request.
    ///
    /// # Errors
    /// When the endpoint needs certificates, and there are none.
    pub(super) fn open(endpoint: &str, runtime: Handle) -> Result<Self, OpenError> {
        let is_tls = endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let authorities = if is_tls {
            let found = Authorities::of_system();
            Some(found.map_err(|error| OpenError::NoCertificates(error.to_string()))?)
        } else {
            None
        };
        let config: ClientConfig = Authorities::client_config(authorities)
            .map_err(|error| OpenError::Invalid(error.to_string()))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config);
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { runtime, client })
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = self.client.request(request.map(Full::new));
        let exchange = async move {
            let (head, mut body) = request.await?.into_parts();
            let mut answer = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame?.into_data() else { continue };
                if answer.len() + data.len() > MAX_ANSWER_BYTES {
                    break;
                }
                answer.extend_from_slice(&data);
            }
            Ok::<_, HttpError>(Response::from_parts(head, answer.freeze()))
        };
        // Timers, too, need the runtime.
        self.runtime.spawn(async { tokio::time::timeout(TIMEOUT, exchange).await }).await??
    }
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectorClient").finish_non_exhaustive()
    }
}
