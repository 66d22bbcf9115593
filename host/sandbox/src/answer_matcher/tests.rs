//! Tests of the matcher.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::*;
use crate::call_record::{
    AnswerContent, CallCost, CallInput, CallOutcome, EffectAnswer, HookAnswer, HostAnswers,
    PluginVersion,
};
use crate::manifest::Hook;
use crate::refusal::HookRefusal;
use crate::store_value::StoreValue;

/// A call of a procedure, as a recording has it.
fn call(number: u64, procedure: &str, context: &str) -> Effect {
    let text = format!(
        r#"{{"kind":"call","number":{number},"reply_to":{{"plugin":"p","handler":"h","topic":"t"}},
        "procedure":"{procedure}","event":{{"args":"[]","kwargs":"{{}}"}},"timeout_ms":5,
        "context":"{context}"}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// A request, as a recording has it.
fn request(number: u64, body: &str, context: &str) -> Effect {
    let text = format!(
        r#"{{"kind":"request","number":{number},
        "reply_to":{{"plugin":"p","handler":"h","topic":"t"}},"method":"POST",
        "origin":"https://a.example","path":"/","headers":[],"body":"{body}","timeout_ms":5,
        "context":"{context}"}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// A call of `on-result` with the answer to this effect.
fn answer(number: u64) -> CallRecord {
    let refusal = HookRefusal { uri: "a.b".to_owned(), message: String::new() };
    let received = AnswerContent::Error(refusal);
    let context = StoreValue(b"recorded".to_vec());
    let input = CallInput {
        hook: Hook::Result,
        realm: String::new(),
        handler: String::new(),
        route: String::new(),
        topic: String::new(),
        attributes: Vec::new(),
        session: None,
        subscribers: 0,
        depth: 0,
        args: "[]".to_owned(),
        kwargs: "{}".to_owned(),
        answer: Some(EffectAnswer { number, context, received }),
    };
    let (plugin, digest, version) = ("p".to_owned(), String::new(), String::new());
    CallRecord {
        version: Arc::new(PluginVersion { plugin, digest, version, lanes: 1, routes: Vec::new() }),
        began: UNIX_EPOCH,
        input,
        answers: HostAnswers::default(),
        outcome: CallOutcome { answer: HookAnswer::Done, effects: Vec::new(), writes: Vec::new() },
        cost: CallCost::default(),
        is_whole: true,
    }
}

/// The contexts for the answers to the recorded effects, in their order.
fn check(recorded: &[Effect], own: &[Effect], expected: &[Option<&str>]) {
    let mut matcher = AnswerMatcher::default();
    matcher.replayed(recorded, own, own);
    let numbers = recorded.iter().filter_map(number);
    let found: Vec<_> = numbers
        .map(|number| matcher.context(&answer(number)))
        .map(|context| context.map(|it| String::from_utf8(it).unwrap()))
        .collect();
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, expected);
    assert_eq!((matcher.contexts.len(), matcher.bytes), (0, 0));
}

#[test]
fn equal_effects_get_the_answers_in_their_order() {
    let recorded = [call(7, "a", "one"), request(8, "x", "two"), call(9, "a", "three")];
    let own = [call(0, "a", "own 1"), request(0, "x", "own 2"), call(0, "a", "own 3")];
    check(&recorded, &own, &[Some("own 1"), Some("own 2"), Some("own 3")]);
    // Effects between them, and another order of kinds, change nothing.
    let topic = "t".to_owned();
    let other = Effect::Unsubscribe { session: 1, topic };
    let own = [request(0, "x", "own 2"), other, call(0, "a", "own 1")];
    check(&recorded, &own, &[Some("own 1"), Some("own 2"), None]);
}

#[test]
fn other_effects_get_no_answer() {
    check(&[call(7, "a", "one")], &[call(0, "b", "own")], &[None]);
    check(&[request(7, "x", "one")], &[request(0, "y", "own")], &[None]);
    check(&[call(7, "a", "one")], &[], &[None]);
}

#[test]
fn each_answer_is_given_once() {
    let mut matcher = AnswerMatcher::default();
    let effects = [call(7, "a", "one")];
    matcher.replayed(&effects, &effects, &effects);
    assert_eq!(matcher.context(&answer(7)).as_deref(), Some(&b"one"[..]));
    assert_eq!(matcher.context(&answer(7)), None);
    let mut without = answer(7);
    without.input.answer = None;
    assert_eq!(matcher.context(&without), Some(Vec::new()), "a hook without an answer");
}

#[test]
fn answers_that_never_come_are_forgotten() {
    let mut matcher = AnswerMatcher::default();
    for number in 0..=MAX_WAITING as u64 {
        let effects = [call(number, "a", "one")];
        matcher.replayed(&effects, &effects, &effects);
    }
    assert_eq!(matcher.contexts.len(), MAX_WAITING);
    assert_eq!(matcher.bytes, MAX_WAITING * 3);
    assert_eq!(matcher.context(&answer(0)), None);
    assert!(matcher.context(&answer(1)).is_some());
}
