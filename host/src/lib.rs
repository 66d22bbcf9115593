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
//! - [`server`]: the composition root; below it the accept loop, the other tasks and the drain at the
//!   end; [`connection_limit`]: admission control by number, with [`provisional_places`];
//! - [`handshake`]: HTTP heads, and the upgrade to a WebSocket; [`http`]: requests other than
//!   upgrades; [`admission`]: access rules;
//! - [`api`]: the HTTP API; [`bearer`]: tokens of requests;
//! - [`connection`]: one connection, from accept to close; [`client_socket`]: its socket;
//!   [`client_listener`]: the listener that has accepted it; [`listener_tls`]: its certificates;
//!   [`client_certificate`]: users of clients with one;
//!   [`client_stream`]: TLS over it; [`transport`]: its outbox; [`rates`]:
//!   of messages and bytes; [`frame`]: outgoing WebSocket frames; [`close_uri`]: URIs of closes;
//!   [`linger`]: the close after an answer; [`write_timeout`]: the end of clients that do not read;
//!   [`connection_end`]: the reasons of ends; [`ended`]: the last sessions that have ended; [`ids`]:
//!   random ids; [`backpressure`]: waiting for slow subscribers;
//! - [`realms`]: all realms by name; [`saved_histories`]: their histories across a clean stop, [`history_log`]: across a crash, [`history_bytes`]: their form; [`dispatch`]: requests of clients, from the route to the
//!   delivery; [`timers`]: the schedule of timer hooks; [`audience`]: the subscribers that hooks may
//!   query; [`trace`]: the steps of messages, for operators;
//! - [`cluster`]: this server as one node of several;
//! - [`dialogue`]: scripts that test a site in process, without sockets;
//! - [`site`]: the served directory; [`watch`]: its changes; [`generation`]: its routes and
//!   plugins; [`signatures`]: which components may be loaded; [`reload`]: replacing one generation
//!   with the next; [`versions`]: the components that have served, kept in the [`data_folder`];
//!   [`lock_file`]: for one process at a time;
//!   [`rollout`]: changes of the one in service; [`shadow`]: new versions behind its back;
//!   [`compiler`]: the compiler process;
//! - [`bundle`]: folders with the sources of a plugin, and their build; [`dev`]: building them again
//!   as they change;
//! - [`settings`]: changes of the settings while the server runs; [`file_stamp`]: versions of files;
//! - [`control`]: the operator's channel to the running server; [`readiness`]: the server's own
//!   client, for the health check; [`server_state`]: the state for the channel and the health check;
//!   [`user_name`]: names of users; [`timestamp`]: times in answers and traces;
//!   [`wall_clock`]: the time of the system;
//! - [`metrics`]: counters of the hot path; [`scrape`]: the page that a monitoring system reads;
//! - [`log`]: format and rate limit of the log; [`open_files`]: the limit of open files;
//! - [`service_manager`]: notifications of systemd; [`inherited_sockets`]: the listening sockets that
//!   it passes;
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
mod bearer;
mod bundle;
pub mod cli;
mod client_certificate;
mod client_counts;
mod client_listener;
mod client_network;
mod client_socket;
mod client_stream;
mod close_uri;
mod cluster;
mod compiler;
mod connection;
mod connection_end;
mod connection_limit;
mod connection_rate;
mod control;
mod count;
mod crossbar;
mod data_folder;
mod dev;
mod dialogue;
mod dispatch;
mod ended;
mod fetch;
mod file_stamp;
mod frame;
mod generation;
mod handshake;
mod history_bytes;
mod history_log;
mod http;
mod ids;
mod inherited_sockets;
mod linger;
mod listener_tls;
mod lock_file;
mod log;
mod metrics;
mod open_files;
mod plugin_stores;
mod provisional_places;
mod rates;
mod readiness;
mod realms;
mod recording;
mod reload;
mod rollout;
mod saved_histories;
mod scrape;
mod server;
mod server_state;
mod service_manager;
mod settings;
mod shadow;
mod shutdown;
mod signals;
mod signatures;
mod site;
mod store_lines;
mod timers;
mod timestamp;
mod trace;
mod transport;
mod user_name;
mod versions;
mod wall_clock;
mod watch;
mod write_timeout;

/// The name and version that the server sends to clients.
pub(crate) const AGENT: &str = concat!("Jackfield/", env!("CARGO_PKG_VERSION"));
