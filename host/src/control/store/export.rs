//! Export: a store as lines of JSON, a head and one line for each entry, written as they are read.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use jackfield_sandbox::{StoreEntry, StoreRange, StoreValue};
use tokio::sync::OwnedSemaphorePermit;

use super::super::Context;
use super::super::audit::{self, Caller, Subject};
use super::super::problem::Problem;
use super::{Access, Found, Query, failed, find};
use crate::store_lines::{Head, Line, VERSION, put};

/// Bytes of lines that are written at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// The lines of one moment of a store. The values are shared with the store; those that change
/// meanwhile are kept until they are written, so the number of exports is bounded.
#[derive(Debug)]
pub(crate) struct Lines {
    head: Option<Head>,
    entries: std::vec::IntoIter<StoreEntry>,
    /// The moment, in milliseconds since 1970.
    at_ms: u64,
    _place: OwnedSemaphorePermit,
}

/// Exports a store, or the keys that begin with a prefix.
pub(in super::super) async fn export(
    context: &Context,
    caller: &Caller,
    query: Option<&str>,
) -> Result<Lines, Problem> {
    let query = Query::parse(query, &["plugin", "prefix", "here"])?;
    let subject = Subject::plugin(query.plugin())?;
    let place = context.exports.take(&context.state.shutdown)?;
    let Found { store, .. } = find(context, query.plugin(), Access::of(&query)?).await?;
    let prefix = query.get("prefix").unwrap_or_default();
    let range = StoreRange { prefix, after: None, limit: usize::MAX };
    let entries = store.list(range).await.map_err(|fault| failed(&fault))?.entries;
    let head = Head {
        jackfield_store: VERSION,
        plugin: query.plugin().to_owned(),
        schema: store.schema(),
        entries: entries.len(),
    };
    let (entries, at_ms) = (entries.into_iter(), now_ms());
    let generation = context.state.reloader.state().generation;
    audit::record(caller, "store_export", &subject, "begun", generation);
    Ok(Lines { head: Some(head), entries, at_ms, _place: place })
}

/// The time of the machine's clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Lines {
    /// The next lines; none at the end.
    fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = Vec::new();
        if let Some(head) = self.head.take() {
            put(&mut chunk, &head);
        }
        while chunk.len() < CHUNK_BYTES {
            let Some(StoreEntry { key, value, ttl }) = self.entries.next() else { break };
            let until = |ttl: std::time::Duration| {
                self.at_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
            };
            let (key, value) = (key.to_string(), StoreValue(value.to_vec()));
            put(&mut chunk, &Line { key, value, expires_ms: ttl.map(until) });
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().chunk().map(|chunk| Ok(Frame::data(chunk))))
    }
}
