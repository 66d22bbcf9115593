//! Version 0.1 of the contract, frozen, and its conversion to the newest version. Hooks get the
//! request and the event as records.
//!
//! Parameters of hooks borrow (`Request<'_>`, `EventParam<'_>`), so that a call copies each string
//! once, into the guest.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit/0.1",
    world: "plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    exports: { default: async },
});

use super::{handler, log, store, types};

pub(crate) use self::exports::jackfield::plugin::handler as old_handler;
pub(crate) use self::jackfield::plugin as old;

impl From<old::types::EventResult> for types::Event {
    fn from(event: old::types::EventResult) -> Self {
        let old::types::EventResult { args, kwargs } = event;
        Self { args, kwargs }
    }
}

impl From<old::types::Refusal> for types::Refusal {
    fn from(refusal: old::types::Refusal) -> Self {
        let old::types::Refusal { uri, message } = refusal;
        Self { uri, message }
    }
}

impl From<old_handler::SubscribeVerdict> for handler::SubscribeVerdict {
    fn from(verdict: old_handler::SubscribeVerdict) -> Self {
        match verdict {
            old_handler::SubscribeVerdict::Allow => Self::Allow,
            old_handler::SubscribeVerdict::Deny(refusal) => Self::Deny(refusal.into()),
        }
    }
}

impl From<old_handler::PublishVerdict> for handler::PublishVerdict {
    fn from(verdict: old_handler::PublishVerdict) -> Self {
        match verdict {
            old_handler::PublishVerdict::Broadcast => Self::Broadcast,
            old_handler::PublishVerdict::Deliver(delivery) => {
                let old_handler::Delivery { event, exclude, eligible } = delivery;
                Self::Deliver(handler::Delivery { event: event.map(Into::into), exclude, eligible })
            }
            old_handler::PublishVerdict::Drop => Self::Drop,
            old_handler::PublishVerdict::Reject(refusal) => Self::Reject(refusal.into()),
        }
    }
}

/// A plugin of this version keeps state in memory, and knows no layouts of its store.
impl From<old_handler::Manifest> for handler::Manifest {
    fn from(manifest: old_handler::Manifest) -> Self {
        let old_handler::Manifest { name, version, handlers } = manifest;
        let handlers = handlers.into_iter().map(Into::into).collect();
        Self { name, version, handlers, stateless: false, schema: 0 }
    }
}

impl From<old_handler::HandlerDescription> for handler::HandlerDescription {
    fn from(description: old_handler::HandlerDescription) -> Self {
        let old_handler::HandlerDescription { name, hooks, timer, summary } = description;
        Self { name, hooks: hooks.into(), timer, summary }
    }
}

impl From<old_handler::Hooks> for handler::Hooks {
    fn from(hooks: old_handler::Hooks) -> Self {
        [
            (old_handler::Hooks::SUBSCRIBE, Self::SUBSCRIBE),
            (old_handler::Hooks::UNSUBSCRIBE, Self::UNSUBSCRIBE),
            (old_handler::Hooks::PUBLISH, Self::PUBLISH),
            (old_handler::Hooks::CALL, Self::CALL),
            (old_handler::Hooks::TIMER, Self::TIMER),
        ]
        .into_iter()
        .filter(|(old, _)| hooks.contains(*old))
        .fold(Self::empty(), |set, (_, hook)| set | hook)
    }
}

impl From<old::log::Level> for log::Level {
    fn from(level: old::log::Level) -> Self {
        match level {
            old::log::Level::Trace => Self::Trace,
            old::log::Level::Debug => Self::Debug,
            old::log::Level::Info => Self::Info,
            old::log::Level::Warn => Self::Warn,
            old::log::Level::Error => Self::Error,
        }
    }
}

impl From<store::Error> for old::store::Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::Full,
            store::Error::NotANumber => Self::NotANumber,
        }
    }
}
