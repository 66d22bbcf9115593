//! The host's client of HTTP, for requests that a hook waits for.

use std::pin::Pin;

use super::request::{HttpError, HttpRequest, HttpResponse};

/// The answer to a request, when it comes.
pub type PendingResponse<'a> =
    Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

/// Sends requests of plugins: within their limits, and to addresses that it has checked. Dropping
/// the future ends the request.
pub trait HttpSender: Send + Sync {
    /// Sends a request of the plugin of this name.
    fn send<'a>(&'a self, plugin: &'a str, request: HttpRequest) -> PendingResponse<'a>;
}
