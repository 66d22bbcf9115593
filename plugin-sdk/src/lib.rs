//! SDK for topic handlers of Jackfield, a WAMP message broker.
//!
//! A handler decides about subscriptions to a topic and about events published to it. A plugin is a
//! set of handlers. Built with `cargo build --release --target wasm32-wasip2`, it is one component,
//! which the broker loads, and reloads when the file changes.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, Publish, export};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
//!         Handler::new("acme.shout").summary("publishes texts in capitals").on_publish(
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
//! * [`Plugin`], [`Handler`], [`export!`]: the plugin and its hooks
//! * [`Request`], [`Session`], [`Event`], [`Route`]: arguments of hooks
//! * [`Subscribe`], [`Publish`], [`Refusal`], [`Error`]: return values of hooks
//! * [`presence`], [`rate_limit`]: the members of a topic; limits for sessions, users and topics
//! * [`topics`], [`sessions`], [`store`], [`log`], [`now`]: functions that hooks may call
//! * [`http`], [`calls`], [`later`]: requests and calls whose answers are hooks
//! * [`access`], [`export_access!`]: decisions about what sessions may do
//! * `testing` (natively only): a broker for tests, without building a component

mod error;
mod event;
mod export;
mod handler;
mod host;
mod lazy;
mod level;
mod plugin;
mod refusal;
mod request;
mod route;
mod session;
mod store_error;
mod verdict;

pub mod access;
pub mod calls;
pub mod http;
pub mod later;
pub mod log;
pub mod presence;
pub mod rate_limit;
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
pub use presence::Presence;
pub use rate_limit::RateLimit;
pub use refusal::Refusal;
pub use request::Request;
pub use route::Route;
pub use serde_json::{Value, json};
pub use session::{Session, SessionId};
pub use verdict::{Answer, Delivery, Publish, Subscribe};

/// The time of the host's clock; in a test, of the harness's clock, which `advance` moves. Use it
/// instead of `std::time::SystemTime::now()`, which in a test is the machine's clock.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
///
/// use jackfield_plugin::{Event, Handler, Plugin, now, testing::{Harness, User}};
///
/// fn plugin() -> Plugin {
///     Plugin::new("acme", "1.0.0").handler(Handler::new("acme.day").stateless().on_call(
///         |_state, _request, _event| {
///             let time = now().duration_since(UNIX_EPOCH).unwrap_or_default();
///             Ok(Event::new(time.as_secs() / 86_400))
///         },
///     ))
/// }
///
/// let mut site = Harness::new(plugin);
/// site.route("acme/day", "acme.day");
/// let ann = site.join(User::named("ann"));
/// assert_eq!(site.call(ann, "acme/day", Event::empty())?, Event::new(20_454));
/// site.advance(Duration::from_secs(86_400));
/// assert_eq!(site.call(ann, "acme/day", Event::empty())?, Event::new(20_455));
/// # Ok::<(), jackfield_plugin::testing::Failure>(())
/// ```
pub fn now() -> std::time::SystemTime {
    host::now()
}

/// Compiles the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugins.md")]
struct Guide;

/// Compiles the examples of the page about decisions about access.
#[cfg(doctest)]
#[doc = include_str!("../../docs/access-plugins.md")]
struct AccessGuide;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FirstPage;
