//! Plugin with the handler `demo.greeting`: publishes the same text every second, until a new
//! version of the plugin has another text. The demo page shows that no client has to reconnect for
//! that.
//!
//! The text is compiled in, so a new text is a new component: `make greeting TEXT=…`. The number of
//! greetings is in the store and continues across versions. Called with the argument `crash`, it
//! panics, so that the page can show the cost of a fault: one refused call.

use std::time::Duration;

use jackfield_plugin::{Error, Event, Handler, Plugin, Publish, export, store, topics};
use serde::Serialize;

const TEXT: &str = match option_env!("JACKFIELD_GREETING") {
    Some(text) if !text.is_empty() => text,
    Some(_) | None => "Good morning",
};

/// The time of the build, if `make greeting` sets it.
const BUILT: Option<&str> = match option_env!("JACKFIELD_GREETING_BUILT") {
    Some(time) if !time.is_empty() => Some(time),
    Some(_) | None => None,
};

/// The published event, and the result of a call.
#[derive(Serialize)]
struct Greeting {
    text: &'static str,
    built: Option<&'static str>,
    /// The number of greetings of all versions.
    number: i64,
}

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
        Handler::new("demo.greeting")
            .summary("says what it was compiled with")
            .every(Duration::from_secs(1))
            // Only the handler publishes here; publications of clients are refused.
            .on_publish(|_state, request, _event| match request.session() {
                None => Publish::broadcast(),
                Some(_) => Publish::reject("Only the handler itself says something here."),
            })
            .on_call(|_state, _request, event| match event.single::<String>().as_deref() {
                Ok("crash") => crash(),
                _ => Ok(next()?),
            })
            .on_timer(|_state, request| match next() {
                Ok(event) => topics::publish(request.topic(), event),
                Err(error) => jackfield_plugin::log::error!("{error}"),
            }),
    )
}

export!(plugin);

#[expect(clippy::panic, reason = "the demo shows the cost of a panic")]
fn crash() -> ! {
    panic!("the demo's page asked for a crash")
}

fn next() -> Result<Event, Error> {
    let number = store::increment("number", 1)?;
    Event::of(&Greeting { text: TEXT, built: BUILT, number })
}

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        Value,
        testing::{Harness, User},
    };

    use super::*;

    const TOPIC: &str = "demo/greeting";

    #[test]
    fn answers_calls_and_ticks_and_keeps_counting() {
        let mut site = Harness::new(plugin);
        site.route(TOPIC, "demo.greeting");
        let visitor = site.join(User::anonymous());
        site.subscribe(visitor, TOPIC).unwrap();
        let answer: Value = site.call(visitor, TOPIC, Event::empty()).unwrap().single().unwrap();
        assert_eq!((&answer["text"], &answer["number"]), (&TEXT.into(), &1.into()));
        site.timer(TOPIC).unwrap();
        site.reload(plugin).unwrap();
        site.timer(TOPIC).unwrap();
        let heard: Vec<Value> =
            site.received(visitor).iter().map(|heard| heard.event.single().unwrap()).collect();
        assert_eq!(heard.iter().map(|it| it["number"].clone()).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(site.every("demo.greeting"), Some(Duration::from_secs(1)));
    }

    #[test]
    fn panics_on_request_and_keeps_counting() {
        let mut site = Harness::new(plugin);
        site.route(TOPIC, "demo.greeting");
        let visitor = site.join(User::anonymous());
        let number = |site: &mut Harness| {
            let answer: Value =
                site.call(visitor, TOPIC, Event::empty()).unwrap().single().unwrap();
            answer["number"].as_i64().unwrap()
        };
        let before = number(&mut site);
        let failure = site.call(visitor, TOPIC, Event::new("crash")).unwrap_err();
        assert_eq!(failure.uri(), None, "{failure}");
        assert_eq!(number(&mut site), before + 1);
    }

    #[test]
    fn refuses_publications_of_clients() {
        let mut site = Harness::new(plugin);
        site.route(TOPIC, "demo.greeting");
        let (ann, eve) = (site.join(User::anonymous()), site.join(User::anonymous()));
        site.subscribe(ann, TOPIC).unwrap();
        let event = Event::new("anything");
        let failure = site.publish(eve, TOPIC, event.clone()).unwrap_err();
        assert!(failure.message().contains("Only the handler itself"), "{failure}");
        assert_eq!(site.received(ann), []);
        site.publish_as_host(TOPIC, event.clone()).unwrap();
        assert_eq!(site.received(ann), [(TOPIC, event)]);
    }
}
