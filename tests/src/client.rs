//! The tests' own clients: WAMP v1 as AutobahnJS speaks it, WAMP v2, HTTP, and the raw socket of a
//! PHP publisher. None of them uses a crate of the product, so that the same error on both sides
//! cannot go unnoticed. Third-party clients are in `peer`.

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

/// How long a test waits for what must come. Far above what any machine needs, because running out
/// is a failure, not a measurement.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Awaits `future`, and fails the test at the caller's line, saying what it waited for.
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
