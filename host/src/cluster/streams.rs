//! Streams of JetStream that a node uses.

use std::sync::Arc;
use std::time::Duration;

use jackfield_cluster::{Pipe, Stream, StreamKind};

use super::lease::TIMES;

/// The streams, and the connection.
pub(crate) struct Streams {
    pub(crate) pipe: Arc<Pipe>,
    /// The leases of homes.
    pub(crate) homes: Stream,
    /// The logs of stores.
    pub(crate) stores: Stream,
}

impl Streams {
    /// The streams of a connection.
    pub(super) fn of(pipe: &Arc<Pipe>) -> Self {
        Self {
            homes: pipe.stream(StreamKind::Homes, TIMES.ttl),
            stores: pipe.stream(StreamKind::Stores, Duration::ZERO),
            pipe: Arc::clone(pipe),
        }
    }
}
