//! Jackfield: a WAMP broker whose topic handlers are sandboxed WebAssembly components, declared
//! in routing files and replaced while it runs.
//!
//! The path of a message; read [`dispatch`] first:
//!
//! ```text
//! websocket frame → codec → session → dispatch → route → handler → audience → outbox → websocket frame
//! ```
//!
//! In reading order:
//! - [`cli`]: the commands; the settings are `jackfield-config`;
//! - [`server`]: the composition root, which builds every part on one page; below it the accept
//!   loop and the drain at the end; [`connection_limit`]: admission control by number;
//! - [`handshake`]: HTTP heads, and the upgrade to a WebSocket; [`http`]: requests other than
//!   upgrades; [`admission`]: access rules;
//! - [`api`]: the HTTP API;
//! - [`connection`]: one connection, from accept to close; [`transport`]: its socket; [`frame`]:
//!   outgoing WebSocket frames; [`ids`]: random ids; [`backpressure`]: waiting for slow
//!   subscribers;
//! - [`realms`]: all realms by name; [`dispatch`]: requests of clients, from the route to the
//!   delivery; [`timers`]: the schedule of timer hooks; [`audience`]: the subscribers that hooks may
//!   query;
//! - [`dialogue`]: scripts that test a site in process, without sockets;
//! - [`site`]: the served directory; [`watch`]: its changes; [`generation`]: its routes and
//!   plugins; [`signatures`]: which components may be loaded; [`reload`]: replacing one generation
//!   with the next; [`versions`]: the components that have served, kept in the [`data_folder`];
//!   [`rollout`]: changes of the one in service; [`shadow`]: new versions behind its back;
//!   [`compiler`]: the compiler process;
//! - [`bundle`]: folders with the sources of a plugin, and their build; [`dev`]: building them again
//!   as they change;
//! - [`control`]: the operator's channel to the running server; [`server_state`]: the state for the
//!   channel and the health check; [`user_name`]: names of users;
//! - [`log`]: format and rate limit of the log; [`open_files`]: the limit of open files;
//! - [`signals`]: requests to stop or reload from outside; [`shutdown`]: the request to stop, for
//!   all tasks.
//!
//! Protocol, routing, subscriptions and the sandbox are crates of their own, independent of
//! sockets.

#![forbid(unsafe_code)]

mod admission;
mod api;
mod audience;
mod backpressure;
mod bundle;
pub mod cli;
mod compiler;
mod connection;
mod connection_limit;
mod control;
mod data_folder;
mod dev;
mod dialogue;
mod dispatch;
mod fetch;
mod frame;
mod generation;
mod handshake;
mod http;
mod ids;
mod log;
mod open_files;
mod plugin_stores;
mod realms;
mod recording;
mod reload;
mod rollout;
mod server;
mod server_state;
mod shadow;
mod shutdown;
mod signals;
mod signatures;
mod site;
mod timers;
mod transport;
mod user_name;
mod versions;
mod watch;

/// The name and version that the server sends to clients.
pub(crate) const AGENT: &str = concat!("Jackfield/", env!("CARGO_PKG_VERSION"));
