//! Recorder: an observer of calls, and the bounded queue to the task that writes them.
//!
//! A call is queued or dropped at once: the lane never waits for a slow reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jackfield_sandbox::{
    CallObserver, CallObservers, CallRecord, Hook, HookRequest, Observation, PluginVersion,
};
use tokio::sync::mpsc;

/// The maximum number of calls that wait to be written.
const MAX_WAITING: usize = 1_024;
/// The maximum size of calls that wait to be written, in bytes.
const MAX_WAITING_BYTES: usize = 32 << 20;

/// The calls that are recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) topic: Option<String>,
    pub(crate) plugin: Option<String>,
}

/// The observer of one recording.
pub(crate) struct Recorder {
    filter: Filter,
    waiting: mpsc::Sender<Arc<CallRecord>>,
    counts: Arc<Counts>,
}

/// The counts that the observer and the task share.
#[derive(Default)]
struct Counts {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// A recording under way; it ends when it is dropped.
pub(crate) struct Recording {
    waiting: mpsc::Receiver<Arc<CallRecord>>,
    counts: Arc<Counts>,
    _observation: Observation,
}

impl Recorder {
    /// Starts a recording.
    pub(crate) fn start(observers: &Arc<CallObservers>, filter: Filter) -> Recording {
        let (waiting, taken) = mpsc::channel(MAX_WAITING);
        let counts = Arc::default();
        let recorder = Self { filter, waiting, counts: Arc::clone(&counts) };
        let observation = observers.observe(Arc::new(recorder));
        Recording { waiting: taken, counts, _observation: observation }
    }
}

impl Recording {
    /// The next call.
    pub(crate) async fn next(&mut self) -> Option<Arc<CallRecord>> {
        let record = self.waiting.recv().await?;
        self.counts.bytes.fetch_sub(record.size(), Ordering::Relaxed);
        Some(record)
    }

    /// The next call, if one waits.
    pub(crate) fn take_waiting(&mut self) -> Option<Arc<CallRecord>> {
        let record = self.waiting.try_recv().ok()?;
        self.counts.bytes.fetch_sub(record.size(), Ordering::Relaxed);
        Some(record)
    }

    /// The calls that were dropped until now.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Counts a call that could not be written.
    pub(crate) fn drop_call(&self) {
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl CallObserver for Recorder {
    fn wants(&self, version: &PluginVersion, _hook: Hook, request: &HookRequest<'_>) -> bool {
        let Filter { topic, plugin } = &self.filter;
        topic.as_ref().is_none_or(|topic| topic == request.topic)
            && plugin.as_ref().is_none_or(|plugin| *plugin == version.plugin)
    }

    fn observe(&self, record: &Arc<CallRecord>) {
        let Counts { bytes, dropped } = &*self.counts;
        let size = record.size();
        let is_small = bytes.fetch_add(size, Ordering::Relaxed) + size <= MAX_WAITING_BYTES;
        if !(is_small && self.waiting.try_send(Arc::clone(record)).is_ok()) {
            bytes.fetch_sub(size, Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
