//! The clients that the tests are written with: WAMP v1 as AutobahnJS speaks it, WAMP v2, and the
//! raw socket of a PHP publisher. None of them uses a crate of ours, so that a mistake of ours
//! cannot cancel itself out. Clients of others are started by `peer`.

pub mod codec;
pub mod counted;
pub mod http;
pub mod php;
pub mod socket;
#[cfg(test)]
pub(crate) mod standin;
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
        waited.unwrap_or_else(|_| panic!("{caller}: waited {PATIENCE:?} in vain for {what}"))
    }
}
