//! Handler `demo.ticker`: a random walk, published every second while it has subscribers. Called,
//! it returns the last values, so that a page can draw them at once.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use jackfield_plugin::{Error, Event, Handler, Publish, log, store, topics};
use serde::Serialize;

/// Number of values in the store.
const KEPT: usize = 60;

/// The initial value, and its range.
const MIDDLE: i64 = 500;
const REACH: i64 = 400;

/// Maximum step in one second.
const STEP: i64 = 25;

/// The published event.
#[derive(Serialize)]
struct Tick {
    value: i64,
}

pub(crate) fn handler() -> Handler {
    Handler::new("demo.ticker")
        .summary("publishes a value that wanders")
        .every(Duration::from_secs(1))
        // Only the handler publishes here; publications of clients are refused.
        .on_publish(|_state, request, _event| match request.session() {
            None => Publish::broadcast(),
            Some(_) => Publish::reject("Only the handler itself says something here."),
        })
        .on_call(|_state, _request, _event| Ok(Event::of(&values()?)?))
        .on_timer(|_state, request| match tick() {
            Ok(event) => topics::publish(request.topic(), event),
            Err(error) => log::error!("{error}"),
        })
}

/// Returns the last values. The first call generates them, so that a page does not begin empty.
fn values() -> Result<Vec<i64>, Error> {
    if let Some(values) = store::get("ticker")? {
        return Ok(values);
    }
    let mut values = vec![MIDDLE];
    while values.len() < KEPT {
        values.push(after(&values));
    }
    store::set("ticker", &values)?;
    Ok(values)
}

fn tick() -> Result<Event, Error> {
    let mut values = values()?;
    let value = after(&values);
    values.push(value);
    values.drain(..values.len().saturating_sub(KEPT));
    store::set("ticker", &values)?;
    Event::of(&Tick { value })
}

/// Returns the next value. It tends back to the middle, the more the farther the last one is from
/// it.
fn after(values: &[i64]) -> i64 {
    let last = values.last().copied().unwrap_or(MIDDLE);
    let step = chance(2 * STEP + 1) - STEP - (last - MIDDLE) / 40;
    (last + step).clamp(MIDDLE - REACH, MIDDLE + REACH)
}

/// Returns a random number below `below`: every `RandomState` has random keys.
fn chance(below: i64) -> i64 {
    let number = RandomState::new().build_hasher().finish();
    i64::try_from(number % below.unsigned_abs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        Value,
        testing::{Harness, User},
    };

    use crate::plugin;

    use super::*;

    #[test]
    fn refuses_publications_of_clients() {
        let mut site = Harness::new(plugin);
        site.route("demo/ticker", "demo.ticker");
        let (ann, eve) = (site.join(User::anonymous()), site.join(User::anonymous()));
        site.subscribe(ann, "demo/ticker").unwrap();
        let event = Event::of(&Tick { value: 7 }).unwrap();
        let failure = site.publish(eve, "demo/ticker", event.clone()).unwrap_err();
        assert!(failure.message().contains("Only the handler itself"), "{failure}");
        assert_eq!(site.received(ann), []);
        site.publish_as_host("demo/ticker", event.clone()).unwrap();
        assert_eq!(site.received(ann), [("demo/ticker", event)]);
    }

    #[test]
    fn the_value_stays_in_range_and_survives_a_reload() {
        let mut site = Harness::new(plugin);
        site.route("demo/ticker", "demo.ticker");
        let visitor = site.join(User::anonymous());
        let first: Vec<i64> =
            site.call(visitor, "demo/ticker", Event::empty()).unwrap().single().unwrap();
        assert_eq!(first.len(), KEPT);
        site.subscribe(visitor, "demo/ticker").unwrap();
        for _ in 0..KEPT + 5 {
            site.timer("demo/ticker").unwrap();
        }
        let values: Vec<i64> = site
            .received(visitor)
            .iter()
            .map(|heard| heard.event.single::<Value>().unwrap()["value"].as_i64().unwrap())
            .collect();
        assert!(values.iter().all(|value| (100..=900).contains(value)), "{values:?}");
        let kept: Vec<i64> =
            site.call(visitor, "demo/ticker", Event::empty()).unwrap().single().unwrap();
        assert_eq!(kept, values[5..]);
        site.reload(plugin).unwrap();
        let again: Vec<i64> =
            site.call(visitor, "demo/ticker", Event::empty()).unwrap().single().unwrap();
        assert_eq!(again, kept);
    }
}
