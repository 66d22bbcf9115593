//! Jackfield: a WAMP broker whose topic handlers are sandboxed WebAssembly components, declared
//! in routing files and replaced while it runs.
//!
//! A message takes this road; [`dispatch`] is the page to read first:
//!
//! ```text
//! websocket frame → codec → session → dispatch → route → handler → audience → outbox → websocket frame
//! ```
//!
//! In reading order:
//! - [`cli`]: the commands; [`config`]: what `jackfield.yml` says;
//! - [`app`]: the composition root, which builds every part on one page;
//! - [`listener`] accepts; [`handshake`] answers the HTTP head, and [`http`] what is not an upgrade;
//! - [`api`]: publishing over HTTP;
//! - [`connection`]: one connection from its first byte to its last; [`wire`]: its socket;
//!   [`frame`]: WebSocket frames as they are written; [`ids`]: random ids;
//! - [`backpressure`]: who sends faster than others read;
//! - [`dispatch`]: from what a client asked for to who is delivered to; [`timers`]: whose timer is
//!   due when;
//! - [`compiler`]: the process that compiles a component;
//! - [`site`] reads the directory; [`generation`] makes routes and handlers of it; [`watch`]
//!   notices changes; [`reload`] swaps generations;
//! - [`log`]: the log's form, and how much of a kind it takes; [`recurring`]: how often it says the
//!   same; [`open_files`]: the limit of open files;
//! - [`shutdown`]: the end, in order.
//!
//! Protocol, routing, subscriptions and the sandbox are crates of their own, which know nothing of
//! sockets.

#![forbid(unsafe_code)]

mod admission;
mod api;
pub mod app;
mod backpressure;
pub mod cli;
mod compiler;
pub mod config;
mod connection;
mod dispatch;
mod frame;
pub mod generation;
mod handshake;
pub mod http;
mod ids;
mod listener;
mod log;
mod open_files;
pub mod reload;
mod shutdown;
pub mod site;
mod timers;
mod transport;
pub mod watch;

pub use dispatch::Unrouted;

/// How the server calls itself to clients.
pub const AGENT: &str = concat!("Jackfield/", env!("CARGO_PKG_VERSION"));
