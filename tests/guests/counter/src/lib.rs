//! The plugin of `docs/contract.md`, which uses the contract without an SDK.

wit_bindgen::generate!({ path: "../../../plugin-sdk/wit/0.2", world: "plugin" });

use exports::jackfield::plugin::handler::{
    Delivery, Guest, HandlerDescription, Hooks, Manifest, PublishVerdict, Route, SubscribeVerdict,
};
use jackfield::plugin::types::{Event, Refusal};
use jackfield::plugin::{request, store};

struct Counter;

impl Guest for Counter {
    fn describe() -> Manifest {
        Manifest {
            name: "acme-counter".to_owned(),
            version: "1.0.0".to_owned(),
            handlers: vec![HandlerDescription {
                name: "acme.counter".to_owned(),
                hooks: Hooks::PUBLISH,
                timer: None,
                summary: "counts the events of a topic".to_owned(),
            }],
            stateless: true,
            schema: 0,
        }
    }

    fn configure(_route: Route) -> Result<(), String> {
        Ok(())
    }

    fn on_publish(_route: u32) -> PublishVerdict {
        // A full store does not stop the publication.
        let Ok(count) = store::increment(&request::topic(), 1) else {
            return PublishVerdict::Broadcast;
        };
        // The published arguments are the text of a JSON array.
        let args = format!("[{count}, {}]", request::args());
        let event = Event { args, kwargs: request::kwargs() };
        PublishVerdict::Deliver(Delivery {
            event: Some(event),
            exclude: Vec::new(),
            eligible: None,
        })
    }

    // Not in the manifest, so the server does not call them.
    fn on_subscribe(_route: u32) -> SubscribeVerdict {
        SubscribeVerdict::Allow
    }
    fn on_unsubscribe(_route: u32) {}
    fn on_call(_route: u32) -> Result<Event, Refusal> {
        Err(Refusal { uri: "wamp.error.no_such_procedure".to_owned(), message: String::new() })
    }
    fn on_timer(_route: u32) {}
}

export!(Counter);
