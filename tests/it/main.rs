//! Integration tests: real clients against a real server, over real sockets. One binary, because
//! every further one would be linked again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops here and says where"
)]

mod abuse;
mod access;
mod api;
mod assets;
mod authenticator;
mod author;
mod authorizer;
mod backpressure;
mod bench;
mod bench_figures;
mod browser;
mod canary;
mod churn;
mod circuit_breaker;
mod cluster;
mod commands;
mod compiler_process;
mod compiling;
mod compression;
mod conformance;
mod console;
mod control;
mod convert;
mod dialogue;
mod doctor;
mod durable_store;
mod echo;
mod faults;
mod handshake;
mod haproxy;
mod history;
mod http;
mod interop;
mod invariants;
mod keepalive;
mod kubernetes;
mod languages;
mod limits;
mod listeners;
mod log_events;
mod log_injection;
mod memory_totals;
mod message_rates;
mod meta;
mod metrics;
mod migration_guide;
mod nginx;
mod open_mode;
mod outgoing;
mod package;
mod php;
mod plugin_versions;
mod presence;
mod principals;
mod process;
mod publishing_guide;
mod rawsocket;
mod readiness;
mod reconnect;
mod record;
mod reload;
mod remote;
mod rollout;
mod rooms;
mod rpc;
mod rules;
mod schemas;
mod settings_reload;
mod shadow;
mod shares;
mod shutdown;
mod signing;
mod slow_subscribers;
mod startup;
mod store_commands;
mod systemd;
mod tidy;
mod timers;
mod tls;
mod traces;
mod trust_levels;
mod v1;
mod v2;
mod values;
mod waiting;
