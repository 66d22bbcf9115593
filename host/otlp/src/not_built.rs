//! The export of a build without the feature `export`.

use super::{Collector, OpenError, Parent, Span, SpanCounts};

/// There is none in this build.
#[derive(Debug)]
pub enum SpanExport {}

impl SpanExport {
    /// Refuses to open an export.
    ///
    /// # Errors
    /// [`OpenError::NotBuilt`].
    pub fn open(_collector: Collector) -> Result<Self, OpenError> {
        Err(OpenError::NotBuilt)
    }

    /// Queues a span, or drops it.
    pub fn send(&self, _span: Span, _parent: Option<Parent>) {
        match *self {}
    }

    /// The counts of spans.
    pub fn counts(&self) -> SpanCounts {
        match *self {}
    }

    /// Sends the spans that wait, and ends the export.
    pub fn close(&self) {
        match *self {}
    }
}
