//! The operating system's limit of open files, of which each connection is one.
//!
//! The soft limit is raised to the hard one at the start: it is 1024 on most systems, for programs
//! that use `select`. Where even that is too little for `limits.connections`, fewer connections are
//! served, so that the rest of the server (health checks, reloads, databases) still has files to
//! open.

use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::connection_limit::MAX_RESERVED;

/// Files that are kept for everything other than connections: the site's files and their watches,
/// databases, the runtime.
const KEPT: usize = 128;

/// Raises the soft limit as far as it may be. Returns it; none where there is no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_refused) => before,
    }
}

/// The number of connections that are served: the configured one, or the one that the limit of open
/// files allows, with a warning.
pub(crate) fn connections(configured: usize, limit: Option<u64>) -> usize {
    let fit = fit(configured, limit);
    if fit < configured {
        let limit = limit.unwrap_or(u64::MAX);
        let needed = configured + MAX_RESERVED + KEPT;
        warn!(
            "the limit of {limit} open files is too low for limits.connections = {configured}: {fit} \
             connections are served; help: allow {needed} files (LimitNOFILE= of systemd, `ulimit \
             -Hn`, --ulimit nofile= of Docker), or lower limits.connections"
        );
    }
    fit
}

fn fit(configured: usize, limit: Option<u64>) -> usize {
    let files = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    configured.min(files.saturating_sub(MAX_RESERVED + KEPT)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_as_many_connections_as_files_allow() {
        assert_eq!(fit(10_000, None), 10_000);
        assert_eq!(fit(10_000, Some(1 << 20)), 10_000);
        assert_eq!(fit(10_000, Some(1_024)), 1_024 - KEPT - MAX_RESERVED);
        assert_eq!(fit(100, Some(1_024)), 100);
        assert_eq!(fit(100, Some(10)), 1);
    }
}
