//! Requests of HTTP, to the servers that the operator lists in `http.allow`.
//!
//! A request is an effect: it is sent when the hook has returned and its writes to the store are
//! saved, and not at all if the hook traps. No hook waits for the answer: it comes to
//! [`Handler::on_response`](crate::Handler::on_response), with the context that the request carried,
//! also after a reload.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, http, testing::{Harness, User}, topics};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme", "1.0.0").handler(
//!         Handler::new("acme.rates")
//!             .on_publish(|_state, request, event| {
//!                 let currency: String = event.single()?;
//!                 let url = format!("https://rates.example.com/{currency}");
//!                 http::Request::get(url).send(request.topic())?;
//!                 Ok(jackfield_plugin::Publish::drop())
//!             })
//!             .on_response(|_state, _request, answer| {
//!                 let topic: String = answer.context()?;
//!                 let rate: f64 = answer.response()?.json()?;
//!                 topics::publish(&topic, Event::new(rate));
//!                 Ok(())
//!             }),
//!     )
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme/rates", "acme.rates");
//! let ann = site.join(User::named("ann"));
//! site.subscribe(ann, "acme/rates")?;
//! site.publish(ann, "acme/rates", Event::new("eur"))?;
//! let sent = site.requests().remove(0);
//! assert_eq!(sent.request.url(), "https://rates.example.com/eur");
//! site.respond(sent, Ok(http::Response::new(200, "1.25")))?;
//! assert_eq!(site.received(ann), [("acme/rates", Event::new(1.25))]);
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```

use serde::Serialize;

pub use message::{Answer, Error, Request, Response};

use crate::host;

pub(crate) mod message;

impl Request {
    /// Sends the request when the hook has returned. The answer comes with the context.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`], [`Error::Invalid`] or [`Error::Busy`]: nothing is sent, and no answer
    /// comes. In a test, everything is allowed.
    pub fn send<C: Serialize + ?Sized>(self, context: &C) -> Result<(), Error> {
        let context = message::encode(context)?;
        host::http_send(self, context)
    }

    /// Sends the request at once, and waits for the answer: in `on_subscribe` alone, whose verdict
    /// may depend on it. The lane of the topic waits as well, and the writes of the hook are not
    /// saved yet. The operator grants it with `http.blocking`.
    ///
    /// ```
    /// use jackfield_plugin::{Handler, Plugin, Refusal, Subscribe, http, testing::{Harness, User}};
    ///
    /// fn plugin() -> Plugin {
    ///     Plugin::new("acme", "1.0.0").handler(Handler::new("acme.members").on_subscribe(
    ///         |_state, request| {
    ///             let user = request.caller()?.authid();
    ///             let url = format!("https://members.example.com/{user}");
    ///             let answer = http::Request::get(url).fetch()?;
    ///             Ok(if answer.is_success() { Subscribe::Allow } else { Subscribe::deny("Not a member.") })
    ///         },
    ///     ))
    /// }
    ///
    /// let mut site = Harness::new(plugin);
    /// site.route("acme/members", "acme.members");
    /// site.answer_fetches(|request| {
    ///     Ok(http::Response::new(if request.url().ends_with("/ann") { 200 } else { 404 }, ""))
    /// });
    /// let (ann, bob) = (site.join(User::named("ann")), site.join(User::named("bob")));
    /// site.subscribe(ann, "acme/members")?;
    /// assert_eq!(site.subscribe(bob, "acme/members").unwrap_err().uri(), Some(Refusal::NOT_AUTHORIZED));
    /// # Ok::<(), jackfield_plugin::testing::Failure>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The reason why there is no answer; [`Error::Denied`] in other hooks. In a test, those of
    /// [`Harness::answer_fetches`](crate::testing::Harness::answer_fetches).
    pub fn fetch(self) -> Result<Response, Error> {
        host::fetch(self)
    }
}
