//! Readiness: whether the server can serve clients now, for `GET /readyz`.
//!
//! The server is not ready while it starts, while it stops, and while its own probe fails
//! ([`probe`]): three times in a row, or because the probe itself does not come to an end. See
//! decision 44.

mod probe;
mod results;

pub(crate) use probe::{PROBE_DIALECT, Probe, ProbeEntrance};
pub(crate) use results::ProbeStatus;
