//! A plugin that answers calls and runs on timers, written with the SDK. Unlike the other guests it
//! behaves, except for the methods that fail on purpose.
//!
//! `presence` has members without information. It sends no list to those of the role `quiet`.
//!
//! `blind` and `reader` broadcast each event, which the first does not read and the second does.
//!
//! Clocks count their ticks in the store, by topic, and publish the count to their topic; as
//! procedures they return it.

use std::thread::sleep;
use std::time::Duration;

use jackfield_plugin::{
    Error, Event, Handler, Plugin, Presence, Publish, Refusal, Request, SessionId, Subscribe,
    export, json, sessions, store, topics,
};

const HERE: Presence<()> = Presence::new("here");
const QUIET: Presence<()> = Presence::new("here").without_list();

fn plugin() -> Plugin {
    let clock = || clock("clock", |_request| {}).every(Duration::from_millis(100));
    Plugin::new("methods", "1.0.0")
        .handler(Handler::new("methods").on_call(|_state, request, event| call(request, event)))
        .handler(clock())
        .handler(self::clock("unhurried", |_request| {}))
        .handler(self::clock("slow", |_request| sleep(Duration::from_millis(120))))
        .handler(self::clock("faulty", |_request| panic!("this clock is broken")))
        .handler(Handler::new("blind").on_publish(|_state, _request, _event| Publish::broadcast()))
        .handler(Handler::new("reader").on_publish(|_state, _request, event| {
            if event.args_json().is_empty() { Publish::drop() } else { Publish::broadcast() }
        }))
        .handler(
            Handler::new("presence")
                .on_subscribe(|_state, request| {
                    let is_quiet = request.caller()?.authrole() == "quiet";
                    let here = if is_quiet { QUIET } else { HERE };
                    here.join(request, &())?;
                    Ok(Subscribe::allow())
                })
                .on_unsubscribe(|_state, request| HERE.leave(request))
                .on_call(|_state, request, _event| Ok(Event::of(&HERE.members(request)?)?)),
        )
        .handler(Handler::new("mute").on_subscribe(|_state, _request| Subscribe::allow()))
}

export!(plugin);

fn call(request: &Request, event: &Event) -> Result<Event, Refusal> {
    Ok(match request.attribute_text("method") {
        Some("echo") => event.clone(),
        Some("sum") => Event::new(event.args::<Vec<i64>>()?.iter().sum::<i64>()),
        Some("add") => {
            let terms: std::collections::BTreeMap<String, i64> = event.kwargs()?;
            Event::new(json!({ "result": terms.values().sum::<i64>() }))
        }
        Some("who") => {
            let caller = request.caller()?;
            let attributes: Vec<_> = request.attributes().collect();
            Event::from_args(&(caller.authrole(), request.topic(), attributes))?
        }
        Some("refuse") => return Err(Refusal::new("acme.error.busy", "Not now.")),
        // The result and further effects: the caller gets its result first.
        Some("announce") => {
            topics::publish("open/news", event.clone());
            Event::new("announced")
        }
        Some("leave") => {
            sessions::close(request.caller()?.id(), "acme.close.asked", "as you wished");
            Event::new("goodbye")
        }
        // Closes the session of the caller with the URI of the argument.
        Some("close_with") => {
            let (uri,) = event.args::<(String,)>()?;
            sessions::close(request.caller()?.id(), &uri, "as you wished");
            Event::new("goodbye")
        }
        // Ends the subscription, the session, or sends a message: of a session with an id.
        Some("reach") => {
            let (what, session, topic) = event.args::<(String, SessionId, String)>()?;
            match what.as_str() {
                "send" => sessions::send(session, &topic, Event::new("for you alone")),
                "unsubscribe" => sessions::unsubscribe(session, &topic),
                _ => sessions::close(session, "acme.close.asked", "as somebody wished"),
            }
            Event::new("done")
        }
        Some("count") => Event::new(store::increment("count", 1)?),
        Some("count_and_trap") => {
            topics::publish("open/news", Event::new("never heard"));
            store::increment("count", 100)?;
            panic!("after the count");
        }
        Some("nonsense") => Event::from_json("no JSON", "{}"),
        // Runs until another call has let it go, and counts the calls that came to their end.
        Some("wait") => {
            while store::get::<bool>("released")?.is_none() {
                sleep(Duration::from_millis(5));
            }
            Event::new(store::increment("waited", 1)?)
        }
        Some("release") => {
            store::set("released", &true)?;
            Event::new("released")
        }
        Some("forget") => Event::new(store::delete("released")),
        Some("waited") => Event::new(store::increment("waited", 0)?),
        Some("sleep") => {
            sleep(Duration::from_millis(100));
            Event::new("awake")
        }
        _ => return Err(Refusal::no_such_procedure(request.topic())),
    })
}

fn clock(name: &str, before: impl Fn(&Request) + 'static) -> Handler {
    Handler::new(name)
        .on_timer(move |_state, request| -> Result<(), Refusal> {
            before(request);
            let count = store::increment(request.topic(), 1)?;
            let host = request.session().is_none();
            let attributes: Vec<_> = request.attributes().collect();
            let event = json!([count, request.subscribers(), host, attributes]);
            topics::publish(request.topic(), Event::new(event));
            Ok(())
        })
        .on_call(|_state, request, _event| {
            let count: Result<i64, Error> = store::increment(request.topic(), 0);
            Ok(Event::new(count?))
        })
}
