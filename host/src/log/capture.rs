//! Capture of the log in memory, for a command that shows the lines of single actions.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::{PLUGIN, format};

/// The maximum number of lines between two [`Capture::take`].
const MAX_LINES: usize = 1_000;

/// The lines since the last [`Capture::take`].
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    kept: Vec<LogLine>,
    left_out: usize,
}

/// A line of the log. Its values are escaped and cut.
pub(crate) struct LogLine {
    pub(crate) level: Level,
    /// The part of the server, or of a plugin.
    pub(crate) target: &'static str,
    /// The message and all other values.
    pub(crate) fields: Map<String, Value>,
}

/// Starts a log in memory: warnings, every line of plugins, and the refusals of requests.
///
/// # Errors
/// When the process has a log already.
pub(crate) fn start() -> Result<Capture, TryInitError> {
    let capture = Capture::default();
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(PLUGIN, LevelFilter::TRACE)
        .with_target("jackfield::dispatch", LevelFilter::DEBUG);
    tracing_subscriber::registry().with(capture.clone().with_filter(filter)).try_init()?;
    Ok(capture)
}

impl Capture {
    /// Takes the lines, and the number of those that are left out.
    pub(crate) fn take(&self) -> (Vec<LogLine>, usize) {
        let Lines { kept, left_out } = std::mem::take(&mut *self.lock());
        (kept, left_out)
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A panic under the lock cannot leave the lines inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let line = LogLine { level, target, fields: format::fields(event) };
        let mut lines = self.lock();
        if lines.kept.len() < MAX_LINES {
            lines.kept.push(line);
        } else {
            lines.left_out += 1;
        }
    }
}
