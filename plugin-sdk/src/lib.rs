//! Write topic handlers for Jackfield, a WAMP message broker.
//!
//! A handler decides who may subscribe to a topic and what becomes of events that are published to
//! it. A plugin offers handlers; built with `cargo build --release --target wasm32-wasip2` it is
//! one component, which the broker loads, and reloads when the file changes.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, Publish, export};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
//!         Handler::new("acme.shout").summary("passes texts on in capitals").on_publish(
//!             |_state, _request, event| {
//!                 let text: String = event.single()?;
//!                 Ok(Publish::deliver(Event::new(text.to_uppercase())))
//!             },
//!         ),
//!     )
//! }
//!
//! export!(plugin);
//! ```
//!
//! # Layout
//!
//! * [`Plugin`], [`Handler`], [`export!`]: what is offered
//! * [`Request`], [`Session`], [`Event`], [`Route`]: what a hook is given
//! * [`Subscribe`], [`Publish`], [`Refusal`], [`Error`]: what it answers
//! * [`topics`], [`sessions`], [`store`], [`log`]: what it may do besides; [`now`]: the time
//! * `testing` (natively only): a broker in a test, to talk to the plugin without building it

mod error;
mod event;
mod export;
mod handler;
mod host;
mod plugin;
mod refusal;
mod request;
mod route;
mod session;
mod verdict;

pub mod log;
pub mod sessions;
pub mod store;
pub mod topics;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use error::Error;
pub use event::Event;
pub use handler::Handler;
pub use plugin::Plugin;
pub use refusal::Refusal;
pub use request::Request;
pub use route::Route;
pub use serde_json::{Value, json};
pub use session::{Session, SessionId};
pub use verdict::{Answer, Delivery, Publish, Subscribe};

/// The time by the host's clock; in a test, by the harness's, which `advance` moves. A hook that
/// reads the time here can be tested; `std::time::SystemTime::now()` in a test is the machine's.
pub fn now() -> std::time::SystemTime {
    host::now()
}

/// Holds the examples of the guide against the compiler.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugins.md")]
struct Guide;

/// And the one of the first page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FirstPage;
