//! Export of spans to an OpenTelemetry collector: OTLP over HTTP, in Protobuf.
//!
//! This crate knows no messages and no plugins: a [`Span`] is a name, a time, attributes, and the
//! spans within it. `jackfield` makes one of each sampled message.
//!
//! The feature `export` brings the OpenTelemetry SDK. Without it, [`SpanExport::open`] is an error, so
//! that its users need no features of their own.
//!
//! | module | content |
//! |---|---|
//! | `span` | spans, and the parent that a caller names (W3C Trace Context) |
//! | `export` | the queue, and the counts of its spans |
//! | `collector` | the HTTP client |

#![forbid(unsafe_code)]

#[cfg(feature = "export")]
mod collector;
#[cfg(feature = "export")]
mod export;
#[cfg(not(feature = "export"))]
mod not_built;
mod span;

#[cfg(feature = "export")]
pub use export::SpanExport;
#[cfg(not(feature = "export"))]
pub use not_built::SpanExport;
pub use span::{Parent, Span};

/// Whether this build can send spans.
pub const IS_BUILT: bool = cfg!(feature = "export");

/// A collector, and the server as it sees it.
#[derive(Debug)]
pub struct Collector {
    /// The URL of the collector, with its path, such as `http://localhost:4318/v1/traces`.
    pub endpoint: String,
    /// Names and values of headers, for a collector that authenticates.
    pub headers: Vec<(String, String)>,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: &'static str,
}

/// An export cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The feature is not built.
    #[error("this build of jackfield sends no spans")]
    NotBuilt,
    /// A setting cannot be used.
    #[error("the export of spans cannot be used: {0}")]
    Invalid(String),
    /// The operating system has no certificates.
    #[error("an https:// endpoint needs certificates: {0}")]
    NoCertificates(String),
}

/// Counts of spans since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Accepted by the collector.
    pub sent: u64,
    /// Not accepted by the collector.
    pub failed: u64,
    /// Dropped, because too many waited.
    pub dropped: u64,
}
