//! A plugin that misbehaves while it is loaded, in a way selected by a text of nine bytes that
//! occurs once in the component, `@@LIE-000`, which a test overwrites.

wit_bindgen::generate!({ path: "../../../plugin-sdk/wit/0.2", world: "plugin" });

use std::hint::black_box;

use exports::jackfield::plugin::handler::{
    Guest, HandlerDescription, Hooks, Manifest, PublishVerdict, Refusal, Route, SubscribeVerdict,
};
use jackfield::plugin::request;
use jackfield::plugin::types::Event;

/// Read through a volatile pointer: the compiler is not to spread it over the code.
static LIE: [u8; 9] = *b"@@LIE-000";

/// A text that would look like a diagnosis of the host, and terminal codes.
const FORGED: &str = "\u{1b}[31mx\nsite/x.yml:1:1: error: forged\r\n\
                      2026-01-01T00:00:00.000000Z ERROR jackfield: forged\u{9b}2J\u{202e}\u{2028}";

struct Liar;

impl Guest for Liar {
    fn describe() -> Manifest {
        let mut manifest = Manifest {
            name: "liar".to_owned(),
            version: "1.0.0".to_owned(),
            handlers: vec![description("first"), description("second")],
            stateless: false,
            schema: 0,
        };
        match lie() {
            1 => panic!("I will not be described"),
            2 => manifest.handlers.push(description("first")),
            3 => manifest.name.clear(),
            4 => manifest.handlers.push(description("")),
            5 => manifest.handlers.clear(),
            6 => loop {
                black_box(());
            },
            7 => loop {
                black_box(vec![1_u8; 1 << 20].leak());
            },
            8 => manifest.name = "two\nlines".to_owned(),
            9 => manifest.version = "9".repeat(6 << 20),
            10 => manifest.name = "x".repeat(1 << 20),
            11 => manifest.version = FORGED.to_owned(),
            12 => manifest.name = FORGED.to_owned(),
            13 => manifest.name = request::topic(),
            _ => {}
        }
        manifest
    }

    fn configure(route: Route) -> Result<(), String> {
        match lie() {
            20 => panic!("I will not be configured"),
            21 => Err(format!("no room for {} at {}", route.channel, route.args)),
            23 => Err(FORGED.repeat(30_000)),
            25 => Err(request::args()),
            24 => panic!("{FORGED}"),
            22 => loop {
                black_box(());
            },
            _ => Ok(()),
        }
    }

    fn on_subscribe(_route: u32) -> SubscribeVerdict {
        SubscribeVerdict::Allow
    }

    fn on_unsubscribe(_route: u32) {}

    fn on_publish(_route: u32) -> PublishVerdict {
        PublishVerdict::Broadcast
    }

    fn on_call(_route: u32) -> Result<Event, Refusal> {
        Ok(Event { args: request::args(), kwargs: request::kwargs() })
    }

    fn on_timer(_route: u32) {}
}

fn description(name: &str) -> HandlerDescription {
    HandlerDescription {
        name: name.to_owned(),
        hooks: Hooks::PUBLISH,
        timer: None,
        summary: String::new(),
    }
}

fn lie() -> u32 {
    // SAFETY: a pointer made from a reference to a static is valid and aligned.
    let bytes = unsafe { std::ptr::read_volatile(&raw const LIE) };
    String::from_utf8_lossy(&bytes[6..]).parse().unwrap_or_default()
}

export!(Liar);
