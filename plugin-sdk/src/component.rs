//! The component: the generated bindings, the exports that drive the [`Plugin`], and the imports in
//! this crate's types.
//!
//! Public for [`crate::export!`] only.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    Event, Plugin, Publish, Refusal, Request, Route, Session, SessionId, Subscribe, calls,
    handler::Hooks, http, lazy::Lazy,
};
use bindings::{
    exports::jackfield::plugin::{answers, handler as wit},
    jackfield::plugin::{http_types, request, types},
};

mod access;
pub mod access_bindings;
pub mod bindings;
pub(crate) mod imports;

/// The plugin's function as a type, because the exports need it at compile time.
pub trait Source {
    /// Whether the exports for decisions about access are exported.
    const EXPORTS_ACCESS: bool;

    /// Builds the plugin.
    fn plugin() -> Plugin;
}

thread_local! {
    // A component has one thread, and calls do not nest.
    static INSTANCE: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// The plugin of this instance, and its routes by their numbers.
struct Instance {
    plugin: Plugin,
    routes: BTreeMap<u32, Arc<Route>>,
}

impl<T: Source> wit::Guest for T {
    fn describe() -> wit::Manifest {
        with::<T, _>(|Instance { plugin, .. }| {
            if let Some(name) = plugin.access_handler().filter(|_| !T::EXPORTS_ACCESS) {
                // The host would never call the hook, and refuse everything that it decides.
                panic!("the handler {name} decides about access: use export_access! for export!");
            }
            describe(plugin)
        })
    }

    fn configure(route: wit::Route) -> Result<(), String> {
        let wit::Route { id, handler, name, channel, args } = route;
        let route = Route { handler, name, channel, args };
        with::<T, _>(|Instance { plugin, routes }| {
            plugin.configure(&route).map_err(|error| error.to_string())?;
            routes.insert(id, Arc::new(route));
            Ok(())
        })
    }

    fn on_subscribe(route: u32) -> wit::SubscribeVerdict {
        match call::<T, _>(route, |plugin, request| plugin.on_subscribe(request)) {
            Subscribe::Allow => wit::SubscribeVerdict::Allow,
            Subscribe::Deny(refusal) => wit::SubscribeVerdict::Deny(refusal.into()),
        }
    }

    fn on_unsubscribe(route: u32) {
        call::<T, _>(route, |plugin, request| plugin.on_unsubscribe(request));
    }

    fn on_publish(route: u32) -> wit::PublishVerdict {
        match call::<T, _>(route, |plugin, request| plugin.on_publish(request, &event())) {
            Publish::Broadcast => wit::PublishVerdict::Broadcast,
            Publish::Deliver(delivery) => wit::PublishVerdict::Deliver(wit::Delivery {
                event: delivery.event.map(Into::into),
                exclude: delivery.exclude.into_iter().map(Into::into).collect(),
                eligible: delivery.eligible.map(|ids| ids.into_iter().map(Into::into).collect()),
            }),
            Publish::Drop => wit::PublishVerdict::Drop,
            Publish::Reject(refusal) => wit::PublishVerdict::Reject(refusal.into()),
        }
    }

    fn on_call(route: u32) -> Result<types::Event, types::Refusal> {
        call::<T, _>(route, |plugin, request| plugin.on_call(request, &event()))
            .map(Into::into)
            .map_err(Into::into)
    }

    fn on_timer(route: u32) {
        call::<T, _>(route, |plugin, request| plugin.on_timer(request));
    }
}

impl<T: Source> answers::Guest for T {
    fn on_response(
        route: u32,
        context: Vec<u8>,
        result: Result<http_types::Response, http_types::Error>,
    ) {
        let result = result.map(Into::into).map_err(Into::into);
        let answer = http::Answer { context, result };
        call::<T, _>(route, |plugin, request| plugin.on_response(request, &answer));
    }

    fn on_result(route: u32, context: Vec<u8>, result: Result<types::Event, types::Refusal>) {
        let result = result
            .map(|types::Event { args, kwargs }| Event::from_json(args, kwargs))
            .map_err(|types::Refusal { uri, message }| Refusal { uri, message });
        let answer = calls::Answer { context, result };
        call::<T, _>(route, |plugin, request| plugin.on_result(request, &answer));
    }
}

fn describe(plugin: &Plugin) -> wit::Manifest {
    wit::Manifest {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        handlers: plugin
            .handlers
            .iter()
            .map(|handler| wit::HandlerDescription {
                name: handler.name().to_owned(),
                hooks: handler.hooks().into(),
                timer: handler.every().map(milliseconds),
                summary: handler.summary().to_owned(),
            })
            .collect(),
        stateless: plugin.is_stateless(),
        schema: plugin.schema,
    }
}

/// The event of the current call.
fn event() -> Event {
    Event { args: Lazy::new(request::args), kwargs: Lazy::new(request::kwargs) }
}

/// The session of the current call.
fn session() -> Option<Session> {
    request::session().map(|id| Session {
        id: SessionId::from(id),
        authid: Lazy::new(request::authid),
        authrole: Lazy::new(request::authrole),
        roles: Lazy::new(request::roles),
        authmethod: Lazy::new(request::authmethod),
        claims: Lazy::new(request::claims),
    })
}

/// Runs a hook of the route. The host calls hooks of configured routes only.
fn call<T: Source, R>(route: u32, hook: impl FnOnce(&mut Plugin, &Request) -> R) -> R {
    with::<T, _>(|Instance { plugin, routes }| {
        let route = routes.get(&route).cloned().unwrap_or_else(|| {
            let (handler, name) = (request::handler(), request::route());
            Arc::new(Route { handler, name, channel: String::new(), args: "null".to_owned() })
        });
        let request = Request {
            route,
            topic: Lazy::new(request::topic),
            attributes: Lazy::new(request::attributes),
            session: Lazy::new(session),
            subscribers: Lazy::new(request::subscribers),
        };
        hook(plugin, &request)
    })
}

impl From<Event> for types::Event {
    fn from(event: Event) -> Self {
        Self { args: event.args.into_inner(), kwargs: event.kwargs.into_inner() }
    }
}

impl From<Refusal> for types::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self { uri: refusal.uri, message: refusal.message }
    }
}

impl From<http_types::Response> for http::Response {
    fn from(response: http_types::Response) -> Self {
        let http_types::Response { status, headers, body } = response;
        Self { status, headers, body }
    }
}

impl From<http_types::Error> for http::Error {
    fn from(error: http_types::Error) -> Self {
        match error {
            http_types::Error::Denied(text) => Self::Denied(text),
            http_types::Error::Invalid(text) => Self::Invalid(text),
            http_types::Error::Busy => Self::Busy,
            http_types::Error::Unreachable(text) => Self::Unreachable(text),
            http_types::Error::Timeout => Self::Timeout,
            http_types::Error::TooLarge => Self::TooLarge,
            http_types::Error::Broken(text) => Self::Broken(text),
        }
    }
}

impl From<Hooks> for wit::Hooks {
    fn from(hooks: Hooks) -> Self {
        let mut flags = Self::empty();
        for (wanted, flag) in [
            (hooks.subscribe, Self::SUBSCRIBE),
            (hooks.unsubscribe, Self::UNSUBSCRIBE),
            (hooks.publish, Self::PUBLISH),
            (hooks.call, Self::CALL),
            (hooks.timer, Self::TIMER),
        ] {
            if wanted {
                flags = flags | flag;
            }
        }
        flags
    }
}

/// Milliseconds for the contract; the host refuses durations that are too long.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a function on this instance; the first call builds the plugin.
fn with<T: Source, R>(run: impl FnOnce(&mut Instance) -> R) -> R {
    INSTANCE.with_borrow_mut(|instance| {
        run(instance
            .get_or_insert_with(|| Instance { plugin: T::plugin(), routes: BTreeMap::new() }))
    })
}
