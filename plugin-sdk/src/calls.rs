//! Calls of WAMP procedures, of handlers and of clients, that the operator lists in `calls.allow`.
//!
//! A call is an effect, as a request of [`http`](crate::http) is: no hook waits for its result,
//! which comes to [`Handler::on_result`](crate::Handler::on_result). A call may come back to the
//! handler that made it; calls that lead to each other end after eight.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, calls, testing::{Harness, User}, topics};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme", "1.0.0").handler(
//!         Handler::new("acme.orders")
//!             .on_publish(|_state, request, event| {
//!                 calls::call("acme.stock.reserve", event.clone(), request.topic())?;
//!                 Ok(jackfield_plugin::Publish::drop())
//!             })
//!             .on_result(|_state, _request, answer| {
//!                 let topic: String = answer.context()?;
//!                 topics::publish(&topic, answer.result()?.clone());
//!                 Ok(())
//!             }),
//!     )
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme/orders", "acme.orders");
//! let ann = site.join(User::named("ann"));
//! site.subscribe(ann, "acme/orders")?;
//! site.publish(ann, "acme/orders", Event::new("tea"))?;
//! let made = site.calls().remove(0);
//! assert_eq!((made.procedure.as_str(), &made.event), ("acme.stock.reserve", &Event::new("tea")));
//! site.give_result(made, Ok(Event::new("reserved")))?;
//! assert_eq!(site.received(ann), [("acme/orders", Event::new("reserved"))]);
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Event, Refusal, error::reason, host};

/// The result of a call, as [`Handler::on_result`](crate::Handler::on_result) gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) context: Vec<u8>,
    pub(crate) result: Result<Event, Refusal>,
}

/// Calls a procedure when the hook has returned. The result comes with the context.
///
/// # Errors
///
/// A refusal, if the operator does not allow it or too many calls wait: no result comes. In a test,
/// everything is allowed.
pub fn call<C: Serialize + ?Sized>(
    procedure: &str,
    event: Event,
    context: &C,
) -> Result<(), Refusal> {
    host::call(procedure, event, None, encode(context)?)
}

/// As [`call`], with a time for the result; the operator's limit applies if it is shorter.
///
/// # Errors
///
/// Those of [`call`].
pub fn call_within<C: Serialize + ?Sized>(
    time: Duration,
    procedure: &str,
    event: Event,
    context: &C,
) -> Result<(), Refusal> {
    host::call(procedure, event, Some(time), encode(context)?)
}

impl Answer {
    /// The context that the call carried.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], if it has another shape: a version with another type may have made the
    /// call.
    pub fn context<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.context).map_err(|error| Error::Encode(reason(&error)))
    }

    /// The result.
    ///
    /// # Errors
    ///
    /// The error of the callee, or of the server if there is no result.
    pub fn result(&self) -> Result<&Event, Refusal> {
        self.result.as_ref().map_err(Clone::clone)
    }
}

fn encode<C: Serialize + ?Sized>(context: &C) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(context).map_err(|error| Error::Encode(reason(&error)))
}
