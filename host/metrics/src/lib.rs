//! Metrics: counters and histograms for the hot path, and the Prometheus text format for a scrape.
//!
//! There is no registry. A part of the server owns its counters as plain fields, and a scrape reads
//! them. Counting is one addition to an atomic integer:
//! - [`Sharded`] has one copy per thread for numbers that all threads count;
//! - [`Histogram`] counts durations in fixed buckets;
//! - [`label!`] defines an enum whose values are indexes of counters, [`Grid`] counts by two of them;
//! - [`TokenBucket`] bounds what is logged or shown a second;
//! - [`Page`] writes the text format.
//!
//! The crate does no I/O and reads no clock.

#![forbid(unsafe_code)]

mod histogram;
mod label;
mod page;
mod sharded;
mod token_bucket;

pub use histogram::{BUCKETS, Durations, Histogram};
pub use label::{Grid, Label};
pub use page::{Kind, Metric, Page};
pub use sharded::{Counters, Sharded};
pub use token_bucket::TokenBucket;
