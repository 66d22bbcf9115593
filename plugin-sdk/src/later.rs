//! Results of `on_call` that a later hook gives, such as one with the answer to a request.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, http, later::Later, testing::{Harness, User}};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme", "1.0.0").handler(
//!         Handler::new("acme.weather")
//!             .on_call(|_state, _request, _event| {
//!                 let later = Later::begin()?;
//!                 http::Request::get("https://weather.example.com/").send(&later)?;
//!                 Ok(later.event())
//!             })
//!             .on_response(|_state, _request, answer| {
//!                 let later: Later = answer.context()?;
//!                 later.complete(match answer.response() {
//!                     Ok(response) => Ok(Event::new(response.text())),
//!                     Err(error) => Err(error.into()),
//!                 });
//!                 Ok(())
//!             }),
//!     )
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme.weather", "acme.weather");
//! let ann = site.join(User::named("ann"));
//! let later = site.call_later(ann, "acme.weather", Event::empty())?;
//! let sent = site.requests().remove(0);
//! site.respond(sent, Ok(http::Response::new(200, "sunny")))?;
//! assert_eq!(site.completed(later), Some(Ok(Event::new("sunny"))));
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```

use serde::{Deserialize, Serialize};

use crate::{Event, Refusal, host};

/// A call whose result comes later. It fits into the context of a request or call, and into the
/// store. The caller receives an error if the operator's time is over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Later(pub(crate) u64);

impl Later {
    /// Defers the result of the current `on_call`: the event that it returns is then ignored. If it
    /// returns a refusal, the caller receives that, and nothing is deferred. A second time in one
    /// call, or in another hook, it traps.
    ///
    /// # Errors
    ///
    /// A refusal, if too many calls wait for later results.
    pub fn begin() -> Result<Self, Refusal> {
        host::defer().map(Self)
    }

    /// A value for `on_call` to return; the host ignores it.
    pub fn event(self) -> Event {
        Event::empty()
    }

    /// Completes the call when the hook has returned. Returns whether the caller still waits: it may
    /// have cancelled the call, or left.
    pub fn complete(self, answer: Result<Event, Refusal>) -> bool {
        host::complete(self.0, answer)
    }
}
