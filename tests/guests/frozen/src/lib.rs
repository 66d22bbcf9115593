//! A plugin for version 0.1 of the contract, generated from its frozen files: it uses every hook and
//! every import, and shows what it received.
//!
//! The handler `frozen` behaves. `frozen.trap` panics after a write to the store, `frozen.spin` never
//! returns, and `frozen.nonsense` delivers what is no JSON.

wit_bindgen::generate!({ path: "../../../plugin-sdk/wit/0.1", world: "plugin" });

use std::hint::black_box;

use exports::jackfield::plugin::handler::{
    Delivery, Guest, HandlerDescription, Hooks, Manifest, PublishVerdict, Refusal, Request, Route,
    SubscribeVerdict,
};
use jackfield::plugin::types::Event;
use jackfield::plugin::{log, sessions, store, topics};

const HANDLERS: [&str; 4] = ["frozen", "frozen.trap", "frozen.spin", "frozen.nonsense"];

struct Frozen;

impl Guest for Frozen {
    fn describe() -> Manifest {
        let hooks =
            Hooks::SUBSCRIBE | Hooks::UNSUBSCRIBE | Hooks::PUBLISH | Hooks::CALL | Hooks::TIMER;
        let description = |name: &str| HandlerDescription {
            name: name.to_owned(),
            hooks,
            timer: Some(60_000),
            summary: "speaks version 0.1 of the contract".to_owned(),
        };
        Manifest {
            name: "frozen".to_owned(),
            version: "0.1.0".to_owned(),
            handlers: HANDLERS.map(description).into(),
        }
    }

    fn configure(route: Route) -> Result<(), String> {
        if route.args.contains("refuse") {
            return Err(format!("no room for {} at {}", route.channel, route.args));
        }
        Ok(())
    }

    /// Every session may subscribe, except to the room `closed`.
    fn on_subscribe(request: Request) -> SubscribeVerdict {
        let attribute = request.attributes.first().map(|(_, value)| value.as_str());
        if attribute == Some("closed") {
            return SubscribeVerdict::Deny(refusal(&describe(&request)));
        }
        SubscribeVerdict::Allow
    }

    fn on_unsubscribe(request: Request) {
        topics::publish("left", &text(&request.topic), &[], None);
    }

    fn on_publish(request: Request, event: Event) -> PublishVerdict {
        let count = store::increment("published", 1).unwrap_or(-1);
        match request.handler.as_str() {
            "frozen.trap" => panic!("the old way"),
            "frozen.spin" => loop {
                black_box(());
            },
            "frozen.nonsense" => return deliver("no JSON".to_owned()),
            _ => {}
        }
        log::log(log::Level::Info, "published");
        store::set("last", event.args.as_bytes(), None).ok();
        let last = String::from_utf8_lossy(&store::get("last").unwrap_or_default()).into_owned();
        sessions::send(request.session.map_or(1, |it| it.id), &request.topic, &text("thanks"));
        let listeners = topics::count(&request.topic);
        deliver(format!("[{count},{listeners},{last},{}]", event.kwargs))
    }

    fn on_call(request: Request, event: Event) -> Result<Event, Refusal> {
        if event.args == "[]" {
            return Err(refusal(&describe(&request)));
        }
        Ok(Event { args: event.args, kwargs: format!("{{\"by\":{:?}}}", request.handler) })
    }

    fn on_timer(request: Request) {
        topics::publish(&request.topic, &text(&describe(&request)), &[], None);
    }
}

/// Everything that the request says.
fn describe(request: &Request) -> String {
    let session = request.session.as_ref().map_or("nobody".to_owned(), |s| {
        format!("{} {} {} {:?} {} {}", s.id, s.authid, s.authrole, s.roles, s.authmethod, s.claims)
    });
    format!(
        "{} {} {} {:?} {session} {}",
        request.handler, request.route, request.topic, request.attributes, request.subscribers
    )
}

fn refusal(message: &str) -> Refusal {
    Refusal { uri: "com.example.error.frozen".to_owned(), message: message.to_owned() }
}

fn deliver(args: String) -> PublishVerdict {
    let event = Some(Event { args, kwargs: "{}".to_owned() });
    PublishVerdict::Deliver(Delivery { event, exclude: vec![], eligible: None })
}

/// An event of one string.
fn text(text: &str) -> Event {
    Event { args: format!("[{text:?}]"), kwargs: "{}".to_owned() }
}

export!(Frozen);
