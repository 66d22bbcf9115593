//! Recordings of hook calls: newline-delimited JSON with a versioned header.
//!
//! A [`Recorder`] observes the calls of a running server, and [`line`](mod@line) is one line of the
//! file; [`redact`] replaces what is a user's. [`reader`] reads files that may be anything, and
//! [`replay`] runs their calls against another version of the plugin. `docs/record-replay.md`
//! describes the format. See decision 39.

pub(crate) mod line;
pub(crate) mod reader;
mod recorder;
pub(crate) mod redact;
pub(crate) mod replay;

pub(crate) use recorder::{Filter, Recorder, Recording};

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;
/// The maximum size of a line, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 32 << 20;
