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
//! - [`cli`]: the commands; the settings are `jackfield-config`;
//! - [`server`]: the composition root, which builds every part on one page; below it the accept loop
//!   and the drain at the end; [`connection_limit`]: admission control by number;
//! - [`handshake`] answers the HTTP head, and [`http`] every request that asks for no WebSocket;
//!   [`admission`]: who may connect;
//! - [`api`]: publishing and calling over HTTP;
//! - [`connection`]: one connection from its first byte to its last; [`transport`]: its socket;
//!   [`frame`]: WebSocket frames as they are written; [`ids`]: random ids;
//! - [`backpressure`]: publishers wait for slow subscribers;
//! - [`realms`]: all realms by name; [`dispatch`]: from a request to its receivers; [`timers`]: when
//!   the timer of each topic is due;
//! - [`compiler`]: the process that compiles a component;
//! - [`site`] reads the directory; [`generation`] makes routes and handlers of it; [`watch`]
//!   notices changes; [`reload`] swaps generations;
//! - [`log`]: the log's form, rate limit and backoff; [`open_files`]: the limit of open files;
//! - [`signals`] ask for the end or a reload; [`shutdown`]: the request to end, as tasks see it.
//!
//! Protocol, routing, subscriptions and the sandbox are crates of their own, which know nothing of
//! sockets.

#![forbid(unsafe_code)]

mod admission;
mod api;
mod backpressure;
pub mod cli;
mod compiler;
mod connection;
mod connection_limit;
mod dispatch;
mod frame;
pub mod generation;
mod handshake;
pub mod http;
mod ids;
mod log;
mod open_files;
mod realms;
pub mod reload;
mod server;
mod shutdown;
mod signals;
pub mod site;
mod timers;
mod transport;
pub mod watch;

/// How the server calls itself to clients.
pub const AGENT: &str = concat!("Jackfield/", env!("CARGO_PKG_VERSION"));
