//! Metrics: the counters of connections, requests and HTTP, each owned by the part that counts.
//!
//! A label is an enum whose number is the index of a counter ([`jackfield_metrics::label!`]), so
//! counting needs neither a registry nor a look-up. Numbers that exist anyway, such as those of plugins and generations, are read at a
//! scrape ([`crate::scrape`]). See decision 44.

mod connections;
mod http;
mod requests;

pub(crate) use connections::{
    CodecLabel, ConnectionMetrics, ConnectionOutcome, ReceivedKind, Throttle,
};
pub(crate) use http::{Endpoint, HttpMetrics};
pub(crate) use requests::{RefusalReason, RequestKind, RequestMetrics};
