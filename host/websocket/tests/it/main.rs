//! Tests of the reader: against the examples and rules of RFC 6455, and against tungstenite.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::decimal_bitwise_operands,
    reason = "tests may be blunt"
)]

mod against_tungstenite;
mod compression;
mod frames;
mod rules;
