//! A plugin: its name, its version and its handlers.
//!
//! It is built once per instance. [`crate::export!`] hands it to the host; the test double
//! (`testing::Harness`) drives it natively.

use std::fmt;

use crate::{
    Error, Event, Handler, Publish, Refusal, Request, Route, Subscribe,
    access::{Attempt, Authorize, Login, Principal},
    calls,
    handler::{Configured, Routes},
    http,
};

/// A plugin, as its function for [`crate::export!`] returns it.
///
/// ```
/// use jackfield_plugin::{Event, Handler, Plugin, Publish, export};
///
/// fn plugin() -> Plugin {
///     Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
///         Handler::new("acme.shout").on_publish(|_state, _request, event| {
///             let text: String = event.single()?;
///             Ok(Publish::deliver(Event::new(text.to_uppercase())))
///         }),
///     )
/// }
///
/// export!(plugin);
/// ```
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) schema: u32,
    pub(crate) handlers: Vec<Box<dyn Configured>>,
}

impl Plugin {
    /// Creates a plugin without handlers. `name` also names the plugin's store, which its next
    /// version inherits, so two plugins of a site should not share a name.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), schema: 0, handlers: Vec::new() }
    }

    /// Adds a handler. Its name must be unique in the site.
    #[must_use]
    pub fn handler<S: 'static>(mut self, handler: Handler<S>) -> Self {
        self.handlers.push(Box::new(Routes::new(handler)));
        self
    }

    /// Sets the number of the layout of the plugin's store, 0 by default. Change it in a version that
    /// cannot read what an older one has stored, or the other way around.
    #[must_use]
    pub fn schema(mut self, number: u32) -> Self {
        self.schema = number;
        self
    }

    /// Whether every handler declares that it is stateless.
    pub(crate) fn is_stateless(&self) -> bool {
        !self.handlers.is_empty() && self.handlers.iter().all(|handler| handler.is_stateless())
    }

    pub(crate) fn configure(&mut self, route: &Route) -> Result<(), Error> {
        let Some(handler) = self.find(&route.handler) else {
            return Err(Error::Route(format!("the plugin has no handler `{}`", route.handler)));
        };
        handler.configure(route)
    }

    /// Configures the handlers of all routes; the error begins with the name of its route.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn configure_all(&mut self, routes: &[Route]) -> Result<(), String> {
        routes.iter().try_for_each(|route| {
            self.configure(route).map_err(|error| format!("{}: {error}", route.name))
        })
    }

    pub(crate) fn on_subscribe(&mut self, request: &Request) -> Subscribe {
        match self.find(request.handler()) {
            Some(handler) => handler.on_subscribe(request),
            None => Subscribe::Deny(no_handler(request)),
        }
    }

    pub(crate) fn on_unsubscribe(&mut self, request: &Request) {
        if let Some(handler) = self.find(request.handler()) {
            handler.on_unsubscribe(request);
        }
    }

    pub(crate) fn on_publish(&mut self, request: &Request, event: &Event) -> Publish {
        match self.find(request.handler()) {
            Some(handler) => handler.on_publish(request, event),
            None => Publish::Reject(no_handler(request)),
        }
    }

    pub(crate) fn on_call(&mut self, request: &Request, event: &Event) -> Result<Event, Refusal> {
        match self.find(request.handler()) {
            Some(handler) => handler.on_call(request, event),
            None => Err(no_handler(request)),
        }
    }

    pub(crate) fn on_timer(&mut self, request: &Request) {
        if let Some(handler) = self.find(request.handler()) {
            handler.on_timer(request);
        }
    }

    pub(crate) fn on_response(&mut self, request: &Request, answer: &http::Answer) {
        if let Some(handler) = self.find(request.handler()) {
            handler.on_response(request, answer);
        }
    }

    pub(crate) fn on_result(&mut self, request: &Request, answer: &calls::Answer) {
        if let Some(handler) = self.find(request.handler()) {
            handler.on_result(request, answer);
        }
    }

    pub(crate) fn on_authorize(&mut self, request: &Request, attempt: Attempt) -> Authorize {
        match self.find(request.handler()) {
            Some(handler) => handler.on_authorize(request, attempt),
            None => no_handler(request).into(),
        }
    }

    pub(crate) fn on_find(
        &mut self,
        request: &Request,
        login: &Login,
    ) -> Result<Option<Principal>, Refusal> {
        let handler = self.find(request.handler());
        handler.map_or(Ok(None), |handler| handler.on_find(request, login))
    }

    pub(crate) fn on_ticket(
        &mut self,
        request: &Request,
        login: &Login,
        ticket: &str,
    ) -> Result<Option<Principal>, Refusal> {
        let handler = self.find(request.handler());
        handler.map_or(Ok(None), |handler| handler.on_ticket(request, login, ticket))
    }

    /// The name of a handler that decides about access, if there is one.
    #[cfg(target_family = "wasm")]
    pub(crate) fn access_handler(&self) -> Option<&str> {
        let mut handlers = self.handlers.iter();
        handlers.find(|it| it.hooks().is_of_access()).map(|handler| handler.name())
    }

    fn find(&mut self, name: &str) -> Option<&mut Box<dyn Configured>> {
        self.handlers.iter_mut().find(|handler| handler.name() == name)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers: Vec<_> = self.handlers.iter().map(|handler| handler.name()).collect();
        formatter
            .debug_struct("Plugin")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("schema", &self.schema)
            .field("handlers", &handlers)
            .finish()
    }
}

/// The host only names handlers that `describe` listed; anything else is refused.
fn no_handler(request: &Request) -> Refusal {
    let message = format!("The plugin has no handler {}.", request.handler());
    Refusal::new(Refusal::RUNTIME_ERROR, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn request(handler: &str, route: &str) -> Request {
        let (handler, name) = (handler.to_owned(), route.to_owned());
        let (channel, args) = ("t".to_owned(), "null".to_owned());
        Request {
            route: Arc::new(Route { handler, name, channel, args }),
            topic: "t".to_owned().into(),
            attributes: Vec::new().into(),
            session: None.into(),
            subscribers: 0.into(),
        }
    }

    /// What `on_publish` and `on_subscribe` say of the request: the URI of the refusal, if any.
    #[track_caller]
    fn check(handler: &str, route: &str, expect: Option<&str>) {
        let mut plugin = Plugin::new("t", "1").handler(Handler::new("bare")).handler(
            Handler::new("full")
                .on_subscribe(|_state, _request| Subscribe::allow())
                .on_publish(|_state, _request, _event| Publish::broadcast()),
        );
        for handler in ["bare", "full"] {
            let route = Route {
                handler: handler.to_owned(),
                name: "known".to_owned(),
                channel: "t".to_owned(),
                args: "null".to_owned(),
            };
            plugin.configure(&route).unwrap();
        }
        let request = request(handler, route);
        let published = match plugin.on_publish(&request, &Event::empty()) {
            Publish::Broadcast => None,
            Publish::Reject(refusal) => Some(refusal.uri),
            other => panic!("{other:?}"),
        };
        let subscribed = match plugin.on_subscribe(&request) {
            Subscribe::Allow => None,
            Subscribe::Deny(refusal) => Some(refusal.uri),
        };
        assert_eq!((published.as_deref(), subscribed.as_deref()), (expect, expect));
    }

    #[test]
    fn refuses_unknown_handlers_and_hooks() {
        check("full", "known", None);
        check("bare", "known", None);
        check("full", "unknown", Some("wamp.error.runtime_error"));
        check("nobody", "known", Some("wamp.error.runtime_error"));
    }

    #[test]
    fn a_handler_without_calls_has_no_procedure() {
        let mut plugin = Plugin::new("t", "1").handler(Handler::new("bare"));
        let refusal = plugin.on_call(&request("bare", "r"), &Event::empty()).unwrap_err();
        assert_eq!(refusal.uri(), "wamp.error.no_such_procedure");
    }
}
