//! A plugin that reports its version: its only handler, `versioned`, appends the version as one
//! more argument to every event and to the result of every call. A version that begins with
//! `@@SCHEMA` has another layout of the store; those that begin with `@@TRAP`, `@@SPIN` and
//! `@@ALLOCATE` misbehave with every event; one that begins with `@@TIMER` publishes itself to the
//! topic on a timer.
//!
//! The version is a text of sixteen bytes that occurs once in the component, so that a test makes
//! another version by overwriting it, without a compiler.

wit_bindgen::generate!({ path: "../../../plugin-sdk/wit/0.2", world: "plugin" });

use std::hint::black_box;

use exports::jackfield::plugin::handler::{
    Delivery, Guest, HandlerDescription, Hooks, Manifest, PublishVerdict, Refusal, Route,
    SubscribeVerdict,
};
use jackfield::plugin::types::Event;
use jackfield::plugin::{request, topics};

/// Read through a volatile pointer: the compiler is not to spread it over the code.
static VERSION: [u8; 16] = *b"@@VERSION-000001";

struct Versioned;

impl Guest for Versioned {
    fn describe() -> Manifest {
        Manifest {
            name: "versioned".to_owned(),
            version: version(),
            handlers: vec![HandlerDescription {
                name: "versioned".to_owned(),
                hooks: Hooks::PUBLISH
                    | Hooks::CALL
                    | timer().map_or(Hooks::empty(), |_| Hooks::TIMER),
                timer: timer(),
                summary: "adds its version to every event".to_owned(),
            }],
            stateless: false,
            schema: u32::from(version().starts_with("@@SCHEMA")),
        }
    }

    fn configure(_route: Route) -> Result<(), String> {
        Ok(())
    }

    fn on_subscribe(_route: u32) -> SubscribeVerdict {
        SubscribeVerdict::Allow
    }

    fn on_unsubscribe(_route: u32) {}

    fn on_publish(_route: u32) -> PublishVerdict {
        match version().as_str() {
            it if it.starts_with("@@TRAP") => panic!("as its version says"),
            it if it.starts_with("@@SPIN") => loop {
                black_box(());
            },
            it if it.starts_with("@@ALLOCATE") => loop {
                black_box(vec![1_u8; 1 << 20].leak());
            },
            _ => {}
        }
        PublishVerdict::Deliver(Delivery {
            event: Some(labelled()),
            exclude: vec![],
            eligible: None,
        })
    }

    fn on_call(_route: u32) -> Result<Event, Refusal> {
        Ok(labelled())
    }

    fn on_timer(_route: u32) {
        let args = format!("[\"tick\",\"{}\"]", version());
        let event = Event { args, kwargs: "{}".to_owned() };
        topics::publish(&request::topic(), &event, &[], None);
    }
}

/// The event of the request, with the version as one more argument.
fn labelled() -> Event {
    let args = request::args();
    let inside = args.trim().trim_start_matches('[').trim_end().strip_suffix(']');
    let inside = inside.unwrap_or_default().trim();
    let comma = if inside.is_empty() { "" } else { "," };
    let args = format!("[{inside}{comma}\"{}\"]", version());
    Event { args, kwargs: request::kwargs() }
}

/// The interval of the timer, in milliseconds.
fn timer() -> Option<u64> {
    version().starts_with("@@TIMER").then_some(20)
}

fn version() -> String {
    // SAFETY: a pointer made from a reference to a static is valid and aligned.
    let bytes = unsafe { std::ptr::read_volatile(&raw const VERSION) };
    String::from_utf8_lossy(&bytes).into_owned()
}

export!(Versioned);
