//! The component: the generated bindings, the exports that drive the [`Plugin`], and the imports in
//! this crate's types.
//!
//! Public for [`crate::export!`] only.

use std::{cell::RefCell, time::Duration};

use crate::{Event, Plugin, Publish, Refusal, Request, Route, Session, Subscribe, handler::Hooks};
use bindings::{exports::jackfield::plugin::handler as wit, jackfield::plugin::types};

pub mod bindings;
pub(crate) mod imports;

/// The plugin's function as a type, because the exports need it at compile time.
pub trait Source {
    /// Builds the plugin.
    fn plugin() -> Plugin;
}

thread_local! {
    // A component has one thread, and calls do not nest.
    static PLUGIN: RefCell<Option<Plugin>> = const { RefCell::new(None) };
}

impl<T: Source> wit::Guest for T {
    fn describe() -> wit::Manifest {
        with::<T, _>(|plugin| wit::Manifest {
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
        })
    }

    fn configure(route: wit::Route) -> Result<(), String> {
        let wit::Route { handler, name, channel, args } = route;
        let route = Route { handler, name, channel, args };
        with::<T, _>(|plugin| plugin.configure(&route)).map_err(|error| error.to_string())
    }

    fn on_subscribe(request: types::Request) -> wit::SubscribeVerdict {
        let request = request.into();
        match with::<T, _>(|plugin| plugin.on_subscribe(&request)) {
            Subscribe::Allow => wit::SubscribeVerdict::Allow,
            Subscribe::Deny(refusal) => wit::SubscribeVerdict::Deny(refusal.into()),
        }
    }

    fn on_unsubscribe(request: types::Request) {
        let request = request.into();
        with::<T, _>(|plugin| plugin.on_unsubscribe(&request));
    }

    fn on_publish(request: types::Request, event: types::Event) -> wit::PublishVerdict {
        let request = request.into();
        match with::<T, _>(|plugin| plugin.on_publish(&request, &event.into())) {
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

    fn on_call(
        request: types::Request,
        event: types::Event,
    ) -> Result<types::Event, types::Refusal> {
        let request = request.into();
        with::<T, _>(|plugin| plugin.on_call(&request, &event.into()))
            .map(Into::into)
            .map_err(Into::into)
    }

    fn on_timer(request: types::Request) {
        let request = request.into();
        with::<T, _>(|plugin| plugin.on_timer(&request));
    }
}

impl From<types::Request> for Request {
    fn from(request: types::Request) -> Self {
        let types::Request { handler, route, topic, attributes, session, subscribers } = request;
        let session = session.map(Session::from);
        Self { handler, route, topic, attributes, session, subscribers }
    }
}

impl From<types::Session> for Session {
    fn from(session: types::Session) -> Self {
        let types::Session { id, authid, authrole, roles, authmethod, claims } = session;
        Self { id: id.into(), authid, authrole, roles, authmethod, claims }
    }
}

impl From<types::Event> for Event {
    fn from(event: types::Event) -> Self {
        Self { args: event.args, kwargs: event.kwargs }
    }
}

impl From<Event> for types::Event {
    fn from(event: Event) -> Self {
        Self { args: event.args, kwargs: event.kwargs }
    }
}

impl From<Refusal> for types::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self { uri: refusal.uri, message: refusal.message }
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

/// The plugin of this instance, built by the first call.
fn with<T: Source, R>(run: impl FnOnce(&mut Plugin) -> R) -> R {
    PLUGIN.with_borrow_mut(|plugin| run(plugin.get_or_insert_with(T::plugin)))
}
