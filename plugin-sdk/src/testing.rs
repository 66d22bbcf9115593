//! A test double of the broker: it drives a plugin natively, without building a component, and
//! implements everything that the plugin imports.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, Publish, testing::{Harness, User}};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme", "1.0.0").handler(Handler::new("acme.shout").on_publish(
//!         |_state, _request, event| {
//!             let text: String = event.single()?;
//!             Ok(Publish::deliver(Event::new(text.to_uppercase())))
//!         },
//!     ))
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme/shout/{room}", "acme.shout");
//! let alice = site.join(User::named("alice"));
//! let bob = site.join(User::named("bob"));
//! site.subscribe(alice, "acme/shout/kitchen")?;
//! site.publish(bob, "acme/shout/kitchen", Event::new("hello"))?;
//! assert_eq!(site.received(alice), [("acme/shout/kitchen", Event::new("HELLO"))]);
//!
//! let refused = site.publish(bob, "acme/shout/kitchen", Event::new(7)).unwrap_err();
//! assert_eq!(refused.uri(), Some("wamp.error.invalid_argument"));
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```
//!
//! Differences from the broker: channels ignore requirements, and there are no limits of time and
//! memory. Functions of the SDK that are called outside of a [`Harness`] act on an empty world of
//! the thread.

mod failure;
mod harness;
pub(crate) mod imports;
mod pattern;
pub(crate) mod sent;
mod user;
mod world;

#[cfg(test)]
mod tests;

pub use failure::Failure;
pub use harness::{Harness, Received};
pub use sent::{MadeCall, SentRequest};
pub use user::User;
