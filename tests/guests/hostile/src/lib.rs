//! A plugin with handlers that each misbehave in one way, and one that behaves.
//!
//! A handler's name says what it does in `on-publish`; the list is in `describe`. Every handler but
//! `refuse_configure` can be configured, and the plugin counts the calls of `configure`, so that a
//! test recognizes a fresh instance.

wit_bindgen::generate!({ path: "../../../plugin-sdk/wit/0.2", world: "plugin" });

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use exports::jackfield::plugin::handler::{
    Guest, HandlerDescription, Hooks, Manifest, PublishVerdict, Refusal, Route, SubscribeVerdict,
};
use jackfield::plugin::types::Event;
use jackfield::plugin::{log, request, sessions, store, topics};

thread_local! {
    /// Routes configured in this instance.
    static CONFIGURED: Cell<u32> = const { Cell::new(0) };
    /// Hooks that this instance has begun.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

const HANDLERS: &[(&str, &str)] = &[
    ("allocate", "takes memory until it gets no more"),
    ("counts", "behaves: counts each event in the store, and delivers or answers the count"),
    ("echo", "behaves: publishes what it received, and what its instance has seen so far"),
    ("effects", "one effect of each kind, then traps if the event says so"),
    ("exit", "ends the process"),
    ("flood_log", "writes a hundred thousand log lines"),
    ("forge", "writes and answers what forges log lines and drives terminals"),
    ("grow", "keeps 256 KiB for each event, and publishes the number of the instance's calls"),
    ("hookless", "wants no hook, and panics if it is asked all the same"),
    ("long_log", "writes one log line of a megabyte"),
    ("nonsense", "delivers the event's second argument as the text of args"),
    ("nonsense_publish", "publishes the event's second argument as the text of args"),
    ("print", "prints a line to stdout and one to stderr"),
    ("publish_storm", "publishes ten thousand events from one hook"),
    ("read", "delivers what the store holds under `key` and `count`"),
    ("recurse", "calls itself until the stack is used up"),
    ("refuse", "behaves: rejects every event, and says whose it was"),
    ("refuse_configure", "refuses every route"),
    ("shout", "delivers an event of two megabytes"),
    ("sleep", "sleeps for a minute"),
    ("delayed", "behaves: takes 20 milliseconds for each event and call, and broadcasts"),
    ("spin", "never returns"),
    ("tell", "behaves: tells every subscriber what its instance has seen and what is stored"),
    ("trap", "panics"),
    ("writes", "writes to the store, under `key` and `count`"),
    ("writes_then_spins", "writes to the store, and never returns"),
    ("writes_then_traps", "writes to the store, publishes, and panics"),
    ("zero", "sends to the session with the id 0"),
];

/// A text that would look like a log line, and control characters.
const FORGED: &str = "\u{1b}[31mx\n2026-01-01T00:00:00.000000Z ERROR jackfield: forged\r\n\
                      site/x.yml:1:1: error: forged\u{0}\u{9b}2J\u{202e}\u{2066}\u{2028}";

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Manifest {
        Manifest {
            name: "hostile".to_owned(),
            version: "1.0.0".to_owned(),
            handlers: HANDLERS
                .iter()
                .map(|(name, summary)| HandlerDescription {
                    name: (*name).to_owned(),
                    hooks: if *name == "hookless" { Hooks::empty() } else { every_hook() },
                    timer: None,
                    summary: (*summary).to_owned(),
                })
                .collect(),
            stateless: false,
            schema: 0,
        }
    }

    fn configure(route: Route) -> Result<(), String> {
        if route.handler == "refuse_configure" {
            return Err(format!("the args {} are not to my liking", route.args));
        }
        CONFIGURED.set(CONFIGURED.get() + 1);
        Ok(())
    }

    fn on_subscribe(_route: u32) -> SubscribeVerdict {
        match request::handler().as_str() {
            "echo" => SubscribeVerdict::Deny(Refusal {
                uri: "com.example.error.denied".to_owned(),
                message: describe_request(),
            }),
            "trap" | "hookless" => panic!("no subscribers here"),
            _ => SubscribeVerdict::Allow,
        }
    }

    fn on_unsubscribe(_route: u32) {
        if request::handler() == "echo" {
            topics::publish("left", &json(&describe_request()), &[], None);
        }
    }

    fn on_publish(_route: u32) -> PublishVerdict {
        let (topic, event) = (request::topic(), event());
        CALLS.set(CALLS.get() + 1);
        match request::handler().as_str() {
            "allocate" => loop {
                black_box(vec![1_u8; 1 << 20].leak());
            },
            "echo" => {
                topics::publish(&topic, &event, &[7], Some(&[8, 9]));
                let subscribers = topics::subscribers(&topic);
                return deliver(&format!(
                    "configured {}, calls {}, subscribers {subscribers:?} of {}",
                    CONFIGURED.get(),
                    CALLS.get(),
                    topics::count(&topic),
                ));
            }
            "effects" => {
                topics::publish("elsewhere", &event, &[], None);
                sessions::send(3, &topic, &event);
                sessions::unsubscribe(4, &topic);
                sessions::close(5, "com.example.error.enough", "enough");
                assert!(!event.args.contains("trap"), "after four effects");
            }
            "exit" => std::process::exit(3),
            "flood_log" => {
                for line in 0..100_000 {
                    log::log(log::Level::Info, &format!("line {line}"));
                }
            }
            "forge" => {
                log::log(log::Level::Warn, FORGED);
                println!("{FORGED}");
                eprintln!("{FORGED}");
                assert!(!event.args.contains("panic"), "{FORGED}");
                return PublishVerdict::Reject(Refusal {
                    uri: "com.example.error.forged".to_owned(),
                    message: FORGED.repeat(5_000),
                });
            }
            "grow" => {
                black_box(vec![1_u8; 256 << 10].leak());
                return deliver(&CALLS.get().to_string());
            }
            "long_log" => log::log(log::Level::Warn, &"long ".repeat(200_000)),
            "nonsense" => {
                let (args, kwargs) = event.kwargs.split_once('|').unwrap_or((&event.kwargs, "{}"));
                return PublishVerdict::Deliver(exports::jackfield::plugin::handler::Delivery {
                    event: Some(Event { args: args.to_owned(), kwargs: kwargs.to_owned() }),
                    exclude: vec![],
                    eligible: None,
                });
            }
            "nonsense_publish" => {
                let args = event.kwargs.clone();
                topics::publish("t", &Event { args, kwargs: "{}".to_owned() }, &[], None);
            }
            "print" => {
                println!("to stdout");
                eprintln!("to stderr");
            }
            "publish_storm" => {
                for _ in 0..10_000 {
                    topics::publish(&topic, &event, &[], None);
                }
            }
            "read" => {
                let text = |key| {
                    store::get(key)
                        .map_or("none".to_owned(), |v| String::from_utf8_lossy(&v).into())
                };
                return deliver(&format!("key {}, count {}", text("key"), text("count")));
            }
            "recurse" => {
                black_box(recurse(black_box(1)));
            }
            "refuse" => {
                return PublishVerdict::Reject(Refusal {
                    uri: "com.example.error.refused".to_owned(),
                    message: describe_request(),
                });
            }
            "shout" => return deliver(&"a".repeat(2 << 20)),
            "sleep" => std::thread::sleep(Duration::from_secs(60)),
            "delayed" => std::thread::sleep(Duration::from_millis(20)),
            "spin" => loop {
                black_box(());
            },
            "tell" => {
                let key =
                    store::get("key").map(|value| String::from_utf8_lossy(&value).into_owned());
                let text =
                    format!("calls {}, key {}", CALLS.get(), key.as_deref().unwrap_or("none"));
                return PublishVerdict::Deliver(exports::jackfield::plugin::handler::Delivery {
                    event: Some(json(&text)),
                    exclude: vec![],
                    eligible: None,
                });
            }
            "trap" | "hookless" => panic!("this is what I do"),
            "counts" => {
                let count = store::increment("counted", 1).unwrap_or(-1);
                return deliver_to_all(&count.to_string());
            }
            "writes" => write_store(&event.args),
            "writes_then_spins" => {
                write_store(&event.args);
                loop {
                    black_box(());
                }
            }
            "writes_then_traps" => {
                write_store(&event.args);
                topics::publish(&topic, &event, &[], None);
                panic!("after the writes");
            }
            "zero" => sessions::send(0, &topic, &event),
            _ => {}
        }
        PublishVerdict::Broadcast
    }

    fn on_call(_route: u32) -> Result<Event, Refusal> {
        let event = event();
        match request::handler().as_str() {
            "echo" => Ok(event),
            "counts" => {
                let count = store::get("counted").unwrap_or_else(|| b"0".to_vec());
                Ok(json(&String::from_utf8_lossy(&count)))
            }
            "delayed" => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(event)
            }
            _ => Err(Refusal {
                uri: "com.example.error.unwilling".to_owned(),
                message: describe_request(),
            }),
        }
    }

    fn on_timer(_route: u32) {
        topics::publish("timer", &json(&describe_request()), &[], None);
    }
}

fn every_hook() -> Hooks {
    Hooks::SUBSCRIBE | Hooks::UNSUBSCRIBE | Hooks::PUBLISH | Hooks::CALL | Hooks::TIMER
}

/// The event of the call.
fn event() -> Event {
    Event { args: request::args(), kwargs: request::kwargs() }
}

/// Everything that the request says, so that a test sees that it all arrived.
fn describe_request() -> String {
    let session = request::session().map_or("nobody".to_owned(), |id| {
        format!(
            "{id} {} {} {:?} {} {}",
            request::authid(),
            request::authrole(),
            request::roles(),
            request::authmethod(),
            request::claims()
        )
    });
    format!(
        "{} {} {} {:?} {session} {}",
        request::handler(),
        request::route(),
        request::topic(),
        request::attributes(),
        request::subscribers()
    )
}

fn write_store(value: &str) {
    let _ = store::set("key", value.as_bytes(), None);
    let _ = store::increment("count", 2);
}

fn deliver(text: &str) -> PublishVerdict {
    PublishVerdict::Deliver(exports::jackfield::plugin::handler::Delivery {
        event: Some(json(text)),
        exclude: vec![1],
        eligible: Some(vec![2, 3]),
    })
}

fn deliver_to_all(text: &str) -> PublishVerdict {
    PublishVerdict::Deliver(exports::jackfield::plugin::handler::Delivery {
        event: Some(json(text)),
        exclude: vec![],
        eligible: None,
    })
}

/// An event of one string.
fn json(text: &str) -> Event {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    Event { args: format!("[\"{escaped}\"]"), kwargs: "{}".to_owned() }
}

#[expect(unconditional_recursion, reason = "that is the misbehaviour")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    black_box(depth) + recurse(black_box(depth + 1))
}

export!(Hostile);
