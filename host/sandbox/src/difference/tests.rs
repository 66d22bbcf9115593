//! Comparison of outcomes: equal ones, and each kind of difference.

use super::*;
use crate::call_record::{FaultRecord, StoreWrite};
use crate::effect::Effect;
use crate::event::PluginEvent;
use crate::refusal::HookRefusal;
use crate::store_value::StoreValue;
use crate::verdict::Delivery;

fn event(args: &str, kwargs: &str) -> PluginEvent {
    PluginEvent::from_texts(args.to_owned(), kwargs.to_owned()).unwrap()
}

fn publish(topic: &str, args: &str) -> Effect {
    let (exclude, eligible) = (vec![], None);
    Effect::Publish { topic: topic.to_owned(), event: event(args, "{}"), exclude, eligible }
}

fn outcome(answer: HookAnswer, effects: Vec<Effect>) -> CallOutcome {
    CallOutcome { answer, effects, writes: Vec::new() }
}

fn write(key: &str, value: Option<&str>) -> StoreWrite {
    let value = value.map(|value| StoreValue(value.into()));
    StoreWrite { key: key.to_owned(), value, ttl_ms: None }
}

fn shown(old: &CallOutcome, new: &CallOutcome) -> String {
    Differences::between(old, new).to_string()
}

#[test]
fn finds_none_between_equal_outcomes() {
    let of = || outcome(HookAnswer::Broadcast, vec![publish("a", "[1]")]);
    assert!(Differences::between(&of(), &of()).is_empty());
    assert_eq!(shown(&of(), &of()), "");
}

#[test]
fn compares_events_as_values_and_receivers_as_sets() {
    let deliver = |args: &str, kwargs: &str, exclude: &[u64]| {
        let (event, exclude) = (Some(event(args, kwargs)), exclude.to_vec());
        outcome(HookAnswer::Deliver(Delivery { event, exclude, eligible: None }), vec![])
    };
    let old = deliver("[1, 2]", r#"{"a":1,"b":{"x":1,"y":2}}"#, &[1, 2]);
    let same = deliver("[1,2]", r#"{"b": {"y":2,"x":1}, "a":1}"#, &[2, 1, 1]);
    assert_eq!(shown(&old, &same), "");
    assert_eq!(
        shown(&old, &deliver("[2,1]", r#"{"a":1,"b":{"x":1,"y":2}}"#, &[1])),
        "answer\n  - deliver args=[1,2] kwargs={\"a\":1,\"b\":{\"x\":1,\"y\":2}} exclude=[1, 2]\n  \
         + deliver args=[2,1] kwargs={\"a\":1,\"b\":{\"x\":1,\"y\":2}} exclude=[1]\n"
    );
    // An empty list of eligible sessions is nobody, and none is everybody.
    let eligible = |eligible| {
        let answer = Delivery { event: None, exclude: vec![], eligible };
        outcome(HookAnswer::Deliver(answer), vec![])
    };
    assert_ne!(shown(&eligible(None), &eligible(Some(vec![]))), "");
}

#[test]
fn aligns_effects() {
    let all = ["a", "b", "c"].map(|topic| publish(topic, "[]")).to_vec();
    let fewer = vec![publish("a", "[]"), publish("c", "[]")];
    let old = outcome(HookAnswer::Done, all);
    assert_eq!(
        shown(&old, &outcome(HookAnswer::Done, fewer)),
        "effect 2\n  - publish topic=\"b\" args=[] kwargs={}\n"
    );
    let changed = outcome(
        HookAnswer::Done,
        vec![publish("a", "[]"), publish("x", "[]"), publish("c", "[]"), publish("d", "[]")],
    );
    assert_eq!(
        shown(&old, &changed),
        "effect 2\n  - publish topic=\"b\" args=[] kwargs={}\n  + publish topic=\"x\" args=[] \
         kwargs={}\neffect 4\n  + publish topic=\"d\" args=[] kwargs={}\n"
    );
}

#[test]
fn names_changed_keys_of_the_store() {
    let with = |writes| CallOutcome { writes, ..outcome(HookAnswer::Done, vec![]) };
    let old = with(vec![write("a", Some("1")), write("b", Some("1")), write("d", None)]);
    let new = with(vec![write("a", Some("1")), write("c", Some("1")), write("d", Some("2"))]);
    assert_eq!(
        shown(&old, &new),
        "store key b\n  - 1\nstore key c\n  + 1\nstore key d\n  - deleted\n  + 2\n"
    );
}

#[test]
fn compares_faults_by_kind() {
    let fault = |kind: &str, text: &str| {
        let (fault, message) = (kind.to_owned(), text.to_owned());
        outcome(HookAnswer::Fault(FaultRecord { fault, message }), vec![])
    };
    assert_eq!(shown(&fault("trap", "at line 1"), &fault("trap", "at line 2")), "");
    assert_ne!(shown(&fault("trap", "x"), &fault("deadline", "x")), "");
    assert_ne!(shown(&fault("trap", "x"), &outcome(HookAnswer::Allow, vec![])), "");
}

#[test]
fn escapes_and_bounds_what_it_prints() {
    let deny = |message: String| {
        outcome(HookAnswer::Deny(HookRefusal { uri: "a.b".to_owned(), message }), vec![])
    };
    let long = |end: &str| deny(format!("{}{end}", "x".repeat(1_000_000)));
    let text = shown(&long("\u{1b}[31m1"), &long("\n2"));
    assert!(text.len() < 4_000, "{} bytes", text.len());
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(text.lines().count(), 3, "{text}");
    // The place of the difference is shown, however far it is.
    assert!(text.contains("31m1") && text.contains("n2"), "{text}");

    let many = |topic: &str| {
        let effects = (0..1_000).map(|n| publish(&format!("{topic}{n}"), "[]")).collect();
        outcome(HookAnswer::Done, effects)
    };
    let found = Differences::between(&many("a"), &many("b"));
    assert_eq!((found.iter().count(), found.more()), (MAX_DIFFERENCES, 1_000 - MAX_DIFFERENCES));
}
