//! A handler: its name and its hooks. A hook is used if it was registered.
//!
//! Each route that names a handler has a state of its own: [`Handler::configure`] creates it, and
//! the hooks of that route receive it. It lives as long as the plugin's instance. State that
//! survives a reload or a fault belongs in [`crate::store`].

use std::{collections::BTreeMap, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    Answer, Error, Event, Publish, Refusal, Request, Route, Subscribe,
    access::{Attempt, Authorize, Login, Principal},
    calls, http, log,
};

mod access;

use access::{AuthorizeHook, FindHook, TicketHook};

/// A builder of a handler. A hook that is not registered is never called: without `on_subscribe`
/// every client may subscribe, and without `on_publish` events are broadcast without entering the
/// plugin.
///
/// ```
/// use jackfield_plugin::{Handler, Publish};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Args {
///     longest: usize,
/// }
///
/// Handler::new("acme.short")
///     .summary("refuses long texts")
///     .args::<Args>()
///     .on_publish(|args, _request, event| {
///         let text: String = event.single()?;
///         if text.len() > args.longest {
///             return Ok(Publish::reject("Too long."));
///         }
///         Ok(Publish::broadcast())
///     });
/// ```
pub struct Handler<S = ()> {
    name: String,
    summary: String,
    configure: Configure<S>,
    subscribe: Option<Hook<S, Subscribe>>,
    unsubscribe: Option<Silent<S>>,
    publish: Option<EventHook<S, Publish>>,
    call: Option<EventHook<S, Event>>,
    timer: Option<Silent<S>>,
    response: Option<AnswerHook<S, http::Answer>>,
    result: Option<AnswerHook<S, calls::Answer>>,
    authorize: Option<AuthorizeHook<S>>,
    find: Option<(Vec<Principal>, FindHook<S>)>,
    ticket: Option<TicketHook<S>>,
    every: Option<Duration>,
    stateless: bool,
}

type Configure<S> = Box<dyn Fn(&Route) -> Result<S, Error>>;
type Hook<S, T> = Box<dyn FnMut(&mut S, &Request) -> Result<T, Refusal>>;
type Silent<S> = Box<dyn FnMut(&mut S, &Request)>;
type AnswerHook<S, T> = Box<dyn FnMut(&mut S, &Request, &T)>;
type EventHook<S, T> = Box<dyn FnMut(&mut S, &Request, &Event) -> Result<T, Refusal>>;

/// The registered hooks, as `describe` reports them to the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent flags of the contract")]
pub(crate) struct Hooks {
    pub(crate) subscribe: bool,
    pub(crate) unsubscribe: bool,
    pub(crate) publish: bool,
    pub(crate) call: bool,
    pub(crate) timer: bool,
    /// Not among those of `describe`: the export for decisions about access has them.
    pub(crate) authorize: bool,
    pub(crate) find: bool,
    pub(crate) ticket: bool,
}

/// A handler and the states of its routes, without the type of the state.
pub(crate) trait Configured {
    fn name(&self) -> &str;
    fn summary(&self) -> &str;
    fn hooks(&self) -> Hooks;
    fn every(&self) -> Option<Duration>;
    fn is_stateless(&self) -> bool;
    fn configure(&mut self, route: &Route) -> Result<(), Error>;
    fn on_subscribe(&mut self, request: &Request) -> Subscribe;
    fn on_unsubscribe(&mut self, request: &Request);
    fn on_publish(&mut self, request: &Request, event: &Event) -> Publish;
    fn on_call(&mut self, request: &Request, event: &Event) -> Result<Event, Refusal>;
    fn on_timer(&mut self, request: &Request);
    fn on_response(&mut self, request: &Request, answer: &http::Answer);
    fn on_result(&mut self, request: &Request, answer: &calls::Answer);
    fn on_authorize(&mut self, request: &Request, attempt: Attempt) -> Authorize;
    fn models(&self) -> &[Principal];
    fn on_find(&mut self, request: &Request, login: &Login) -> Result<Option<Principal>, Refusal>;
    fn on_ticket(
        &mut self,
        request: &Request,
        login: &Login,
        ticket: &str,
    ) -> Result<Option<Principal>, Refusal>;
}

/// The implementation of [`Configured`].
pub(crate) struct Routes<S> {
    handler: Handler<S>,
    states: BTreeMap<String, S>,
}

impl Handler {
    /// Creates a handler without hooks and without state, which broadcasts. Routes refer to `name`
    /// in `handler.callback`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            summary: String::new(),
            configure: Box::new(|_| Ok(())),
            subscribe: None,
            unsubscribe: None,
            publish: None,
            call: None,
            timer: None,
            response: None,
            result: None,
            authorize: None,
            find: None,
            ticket: None,
            every: None,
            stateless: false,
        }
    }

    /// Sets the function that creates the state of a route. Call it before registering hooks. An
    /// error refuses the route and with it the whole reload; the operator sees its text. Routes can
    /// share state in an `Rc` that the closure captures.
    pub fn configure<S: 'static>(
        self,
        configure: impl Fn(&Route) -> Result<S, Error> + 'static,
    ) -> Handler<S> {
        Handler {
            name: self.name,
            summary: self.summary,
            configure: Box::new(configure),
            subscribe: None,
            unsubscribe: None,
            publish: None,
            call: None,
            timer: None,
            response: None,
            result: None,
            authorize: None,
            find: None,
            ticket: None,
            every: None,
            stateless: self.stateless,
        }
    }

    /// Uses the route's `handler.args`, deserialized as an `A`, as its state. Call it before
    /// registering hooks.
    pub fn args<A: DeserializeOwned + 'static>(self) -> Handler<A> {
        self.configure(Route::args)
    }
}

impl<S: 'static> Handler<S> {
    /// Sets a one-line description for the operator.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Registers the hook that runs before a session subscribes and decides whether it may.
    #[must_use]
    pub fn on_subscribe<R: Answer<Subscribe>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request) -> R + 'static,
    ) -> Self {
        self.subscribe = Some(Box::new(move |state, request| hook(state, request).into_answer()));
        self
    }

    /// Registers the hook that runs after a session has unsubscribed or left. It runs once, and
    /// only for topics that the session was subscribed to. An error is logged.
    #[must_use]
    pub fn on_unsubscribe<R: Answer<()>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request) -> R + 'static,
    ) -> Self {
        // Here rather than where it is called, so that only plugins with this hook import the log.
        self.unsubscribe = Some(Box::new(move |state, request| {
            if let Err(refusal) = hook(state, request).into_answer() {
                log::warn!("on_unsubscribe: {refusal}");
            }
        }));
        self
    }

    /// Registers the hook that decides about a published event.
    #[must_use]
    pub fn on_publish<R: Answer<Publish>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, &Event) -> R + 'static,
    ) -> Self {
        self.publish =
            Some(Box::new(move |state, request, event| hook(state, request, event).into_answer()));
        self
    }

    /// Registers the hook that answers a call of the topic as a procedure. With `{method}` in the
    /// channel, the attribute `method` names the procedure.
    ///
    /// ```
    /// use jackfield_plugin::{Event, Handler, Refusal};
    ///
    /// Handler::new("acme.sample").on_call(|_state, request, event| {
    ///     match request.attribute_text("method") {
    ///         Some("sum") => Ok(Event::new(event.args::<Vec<i64>>()?.iter().sum::<i64>())),
    ///         _ => Err(Refusal::no_such_procedure(request.topic())),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn on_call<R: Answer<Event>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, &Event) -> R + 'static,
    ) -> Self {
        self.call =
            Some(Box::new(move |state, request, event| hook(state, request, event).into_answer()));
        self
    }

    /// Registers the hook that gets the answers to the requests of [`http`]. Its request has the
    /// topic of the hook that sent the request, and no session. An error is logged.
    #[must_use]
    pub fn on_response<R: Answer<()>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, &http::Answer) -> R + 'static,
    ) -> Self {
        self.response = Some(Box::new(move |state, request, answer| {
            if let Err(refusal) = hook(state, request, answer).into_answer() {
                log::warn!("on_response: {refusal}");
            }
        }));
        self
    }

    /// Registers the hook that gets the results of [`calls`]. Its request has the topic of the hook
    /// that made the call, and no session. An error is logged.
    #[must_use]
    pub fn on_result<R: Answer<()>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request, &calls::Answer) -> R + 'static,
    ) -> Self {
        self.result = Some(Box::new(move |state, request, answer| {
            if let Err(refusal) = hook(state, request, answer).into_answer() {
                log::warn!("on_result: {refusal}");
            }
        }));
        self
    }

    /// Registers the hook that runs periodically for each topic with subscribers. The interval is
    /// the route's `timer`, or else [`Handler::every`]. An error is logged.
    #[must_use]
    pub fn on_timer<R: Answer<()>>(
        mut self,
        mut hook: impl FnMut(&mut S, &Request) -> R + 'static,
    ) -> Self {
        // Here rather than where it is called, so that only plugins with this hook import the log.
        self.timer = Some(Box::new(move |state, request| {
            if let Err(refusal) = hook(state, request).into_answer() {
                log::warn!("on_timer: {refusal}");
            }
        }));
        self
    }

    /// Sets the interval of `on_timer` for routes without a `timer`, from ten milliseconds to a
    /// year.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval);
        self
    }
}

impl<S> Handler<S> {
    /// Declares that the handler keeps nothing in memory from one call to the next that it needs:
    /// everything is in the event, the settings and the store. If all handlers of a plugin declare
    /// it, the host replaces an instance whose memory has grown close to its limit between two calls.
    /// In a test, the harness replaces it before each call.
    ///
    /// ```
    /// use jackfield_plugin::{Event, Handler, Publish};
    ///
    /// Handler::new("acme.shout").stateless().on_publish(|_state, _request, event| {
    ///     let text: String = event.single()?;
    ///     Ok(Publish::deliver(Event::new(text.to_uppercase())))
    /// });
    /// ```
    #[must_use]
    pub fn stateless(mut self) -> Self {
        self.stateless = true;
        self
    }
}

impl<S> Routes<S> {
    pub(crate) const fn new(handler: Handler<S>) -> Self {
        Self { handler, states: BTreeMap::new() }
    }
}

impl<S: 'static> Configured for Routes<S> {
    fn name(&self) -> &str {
        &self.handler.name
    }

    fn summary(&self) -> &str {
        &self.handler.summary
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            subscribe: self.handler.subscribe.is_some(),
            unsubscribe: self.handler.unsubscribe.is_some(),
            publish: self.handler.publish.is_some(),
            call: self.handler.call.is_some(),
            timer: self.handler.timer.is_some(),
            authorize: self.handler.authorize.is_some(),
            find: self.handler.find.is_some(),
            ticket: self.handler.ticket.is_some(),
        }
    }

    fn every(&self) -> Option<Duration> {
        self.handler.every
    }

    fn is_stateless(&self) -> bool {
        self.handler.stateless
    }

    fn configure(&mut self, route: &Route) -> Result<(), Error> {
        let state = (self.handler.configure)(route)?;
        self.states.insert(route.name.clone(), state);
        Ok(())
    }

    fn on_subscribe(&mut self, request: &Request) -> Subscribe {
        let Some(hook) = &mut self.handler.subscribe else { return Subscribe::Allow };
        let answer = state_of(&mut self.states, request).and_then(|state| hook(state, request));
        answer.unwrap_or_else(Subscribe::Deny)
    }

    fn on_unsubscribe(&mut self, request: &Request) {
        let Some(hook) = &mut self.handler.unsubscribe else { return };
        if let Ok(state) = state_of(&mut self.states, request) {
            hook(state, request);
        }
    }

    fn on_publish(&mut self, request: &Request, event: &Event) -> Publish {
        let Some(hook) = &mut self.handler.publish else { return Publish::Broadcast };
        let answer =
            state_of(&mut self.states, request).and_then(|state| hook(state, request, event));
        answer.unwrap_or_else(Publish::Reject)
    }

    fn on_call(&mut self, request: &Request, event: &Event) -> Result<Event, Refusal> {
        let Some(hook) = &mut self.handler.call else {
            return Err(Refusal::no_such_procedure(request.topic()));
        };
        state_of(&mut self.states, request).and_then(|state| hook(state, request, event))
    }

    fn on_timer(&mut self, request: &Request) {
        let Some(hook) = &mut self.handler.timer else { return };
        if let Ok(state) = state_of(&mut self.states, request) {
            hook(state, request);
        }
    }

    fn on_response(&mut self, request: &Request, answer: &http::Answer) {
        let Some(hook) = &mut self.handler.response else { return };
        if let Ok(state) = state_of(&mut self.states, request) {
            hook(state, request, answer);
        }
    }

    fn on_result(&mut self, request: &Request, answer: &calls::Answer) {
        let Some(hook) = &mut self.handler.result else { return };
        if let Ok(state) = state_of(&mut self.states, request) {
            hook(state, request, answer);
        }
    }

    fn on_authorize(&mut self, request: &Request, attempt: Attempt) -> Authorize {
        let Some(hook) = &mut self.handler.authorize else {
            let message = format!("The handler {} does not authorize.", request.handler());
            return Refusal::new(Refusal::RUNTIME_ERROR, message).into();
        };
        let answer =
            state_of(&mut self.states, request).and_then(|state| hook(state, request, attempt));
        answer.unwrap_or_else(Authorize::from)
    }

    fn models(&self) -> &[Principal] {
        self.handler.find.as_ref().map_or(&[], |(models, _)| models)
    }

    fn on_find(&mut self, request: &Request, login: &Login) -> Result<Option<Principal>, Refusal> {
        let Some((_, hook)) = &mut self.handler.find else { return Ok(None) };
        state_of(&mut self.states, request).and_then(|state| hook(state, request, login))
    }

    fn on_ticket(
        &mut self,
        request: &Request,
        login: &Login,
        ticket: &str,
    ) -> Result<Option<Principal>, Refusal> {
        let Some(hook) = &mut self.handler.ticket else { return Ok(None) };
        state_of(&mut self.states, request).and_then(|state| hook(state, request, login, ticket))
    }
}

/// The state of the request's route. A request for an unconfigured route breaks the contract and
/// is refused.
fn state_of<'a, S>(
    states: &'a mut BTreeMap<String, S>,
    request: &Request,
) -> Result<&'a mut S, Refusal> {
    states.get_mut(request.route()).ok_or_else(|| {
        let message = format!("The route {} is not configured.", request.route());
        Refusal::new(Refusal::RUNTIME_ERROR, message)
    })
}
