//! Plugins: WebAssembly components, each in a sandbox of its own.
//!
//! The only crate that names wasmtime. It knows nothing of sockets, of WAMP messages, of who is
//! subscribed to what, or of routing files: the host says what happened, a plugin's hook answers,
//! and what the hook wants done comes back as a list of [`Effect`]s.
//!
//! In reading order:
//!
//! - [`Sandbox`] is made once: the engine, what plugins may import, the stores. [`Sandbox::load`]
//!   turns bytes into a [`Plugin`], or into an [`Error`] that says what is wrong with the file; a
//!   process of its own compiles them, as [`CompileCommand`] says;
//! - [`Plugin::start`] makes [`Lanes`]: instances that are configured for their routes, each in a
//!   [`Lane`], the serial place where it runs;
//! - a [`Lane`]'s hooks take a [`Request`] and give an [`Outcome`], or a [`Fault`], after which the
//!   lane has a fresh instance;
//! - [`PluginPolicy`] is what the operator allows; [`Audience`] is what a hook may ask the broker.
//!
//! Inside: `compile` turns components into code within limits, `engine` is what both sides of it
//! agree on, `instance` runs calls and names what goes wrong, `guest` is the host's side of one
//! instance, `imports` and `wasi` are what plugins can call, `denied` what they can only name,
//! `store` keeps their state, `ticker` interrupts them, `cpu` has slow calls take turns,
//! `circuit_breaker` refuses calls that keep failing, and `throttle` bounds their log.

mod audience;
mod backtrace;
mod circuit_breaker;
mod compile;
mod component;
mod console;
mod contract;
mod cpu;
mod denied;
mod effect;
mod engine;
mod error;
mod event;
mod fault;
mod host_state;
mod imports;
mod instance;
mod lane;
mod last_words;
mod manifest;
mod memory;
mod plugin;
mod policy;
mod request;
mod sandbox;
mod spin_mutex;
mod store;
mod throttle;
mod ticker;
mod verdict;
mod wasi;

pub use audience::{Audience, Realm};
pub use circuit_breaker::{CircuitState, CircuitStatus};
pub use compile::{CompileCommand, CompileLimits, CompileTask, Compiling, run_compile_task};
pub use effect::{Effect, Outcome};
pub use error::Error;
pub use event::Event;
pub use fault::{CallSite, Fault, FaultKind, HoldScope};
pub use lane::{Lane, Lanes};
pub use manifest::{HandlerDescription, Hook, Hooks, Manifest};
pub use memory::InstanceMemory;
pub use plugin::{Plugin, RouteConfig};
pub use policy::{BreakerPolicy, Grant, Limits, LogRate, PluginPolicy};
pub use request::{Caller, Request};
pub use sandbox::{Sandbox, SandboxSettings};
pub use verdict::{Delivery, PublishVerdict, Refusal, SubscribeVerdict};
