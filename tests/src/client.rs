//! Clients of the tests: WAMP v1 like AutobahnJS, WAMP v2, HTTP, and the raw socket of a PHP
//! publisher. None of them uses a crate of the product, so that the same error on both sides cannot
//! go unnoticed. Third-party clients are in `peer`.

pub mod codec;
pub mod counting;
#[cfg(test)]
pub(crate) mod fake_server;
pub mod http;
pub mod php;
pub mod socket;
pub mod tls;
pub mod v1;
pub mod v2;

use std::panic::Location;
use std::time::Duration;

/// Time limit of a wait. Far above the needs of any machine, because exceeding it is a failure, not
/// a measurement.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Awaits `future`, and fails the test at the caller's line, with the name of the awaited event.
#[track_caller]
pub fn within<T>(
    what: impl Into<String>,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let (caller, what) = (Location::caller(), what.into());
    async move {
        let waited = tokio::time::timeout(PATIENCE, future).await;
        waited.unwrap_or_else(|_| {
            panic!("{caller}: timed out after {PATIENCE:?}, waiting for {what}")
        })
    }
}
