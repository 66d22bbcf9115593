//! Native imports: each acts on the world of the calling thread. `Harness` sets its own world for
//! the time of a hook.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime},
};

use super::sent::{MadeCall, SentRequest};
use super::world::{Effect, Fetches, World};
use crate::http::message as http;
use crate::{Event, Refusal, SessionId, level::Level, store_error::StoreError};

thread_local! {
    // Tests run in several threads; each has its own dialogue.
    static WORLD: RefCell<World> = RefCell::default();
}

/// Puts another world in place of the thread's, and returns that one.
pub(crate) fn exchange(world: World) -> World {
    WORLD.replace(world)
}

pub(crate) fn now() -> SystemTime {
    WORLD.with_borrow(World::time)
}

pub(crate) fn realm() -> String {
    WORLD.with_borrow(|world| world.realm.clone())
}

pub(crate) fn publish(
    topic: &str,
    event: Event,
    exclude: &[SessionId],
    eligible: Option<&[SessionId]>,
) {
    effect(Effect::Publish {
        topic: topic.to_owned(),
        event,
        exclude: exclude.to_vec(),
        eligible: eligible.map(<[_]>::to_vec),
    });
}

pub(crate) fn subscribers(topic: &str) -> Vec<SessionId> {
    WORLD.with_borrow(|world| world.subscribers(topic))
}

pub(crate) fn count(topic: &str) -> u32 {
    u32::try_from(subscribers(topic).len()).unwrap_or(u32::MAX)
}

pub(crate) fn send(session: SessionId, topic: &str, event: Event) {
    effect(Effect::Send { session, topic: topic.to_owned(), event });
}

pub(crate) fn unsubscribe(session: SessionId, topic: &str) {
    effect(Effect::Unsubscribe { session, topic: topic.to_owned() });
}

pub(crate) fn close(session: SessionId, reason: &str, message: &str) {
    effect(Effect::Close { session, reason: reason.to_owned(), message: message.to_owned() });
}

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    WORLD.with_borrow(|world| world.get(key))
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl: Option<u64>) -> Result<(), StoreError> {
    WORLD.with_borrow_mut(|world| world.set(key, value, ttl))
}

pub(crate) fn store_delete(key: &str) -> bool {
    WORLD.with_borrow_mut(|world| world.delete(key))
}

pub(crate) fn store_increment(key: &str, by: i64) -> Result<i64, StoreError> {
    WORLD.with_borrow_mut(|world| world.increment(key, by))
}

pub(crate) fn store_compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<u64>,
) -> Result<bool, StoreError> {
    WORLD.with_borrow_mut(|world| world.compare_and_set(key, expected, value, ttl))
}

pub(crate) fn store_entries(prefix: &str, limit: u32) -> Vec<(String, Vec<u8>)> {
    WORLD.with_borrow(|world| world.entries(prefix, limit))
}

pub(crate) fn log(level: Level, message: String) {
    WORLD.with_borrow_mut(|world| world.lines.push((level, message)));
}

#[expect(clippy::unnecessary_wraps, reason = "the host refuses some")]
pub(crate) fn http_send(request: http::Request, context: Vec<u8>) -> Result<(), http::Error> {
    let (topic, realm) = place();
    effect(Effect::Request(SentRequest { request, topic, realm, context }));
    Ok(())
}

pub(crate) fn fetch(request: http::Request) -> Result<http::Response, http::Error> {
    let answers = WORLD.with_borrow(|world| world.may_wait.then(|| world.fetches.clone()));
    match answers {
        None => Err(http::Error::Denied("only `on_subscribe` may wait for an answer".to_owned())),
        Some(None) => Err(http::Error::Unreachable("the test has no `answer_fetches`".to_owned())),
        Some(Some(Fetches(answer))) => answer(request),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the host refuses some")]
pub(crate) fn call(
    procedure: &str,
    event: Event,
    _: Option<Duration>,
    context: Vec<u8>,
) -> Result<(), Refusal> {
    let ((topic, realm), procedure) = (place(), procedure.to_owned());
    effect(Effect::Call(MadeCall { procedure, event, topic, realm, context }));
    Ok(())
}

pub(crate) fn defer() -> Result<u64, Refusal> {
    WORLD.with_borrow_mut(|world| {
        assert!(world.deferred.is_none(), "the result of this call is deferred already");
        world.last_deferred += 1;
        let number = world.last_deferred;
        world.awaited.insert(number);
        world.deferred = Some(number);
        Ok(number)
    })
}

pub(crate) fn complete(number: u64, answer: Result<Event, Refusal>) -> bool {
    effect(Effect::Complete(number, answer));
    WORLD.with_borrow(|world| world.awaited.contains(&number))
}

/// The topic and the realm of the hook.
fn place() -> (String, String) {
    WORLD.with_borrow(|world| (world.topic.clone(), world.realm.clone()))
}

fn effect(effect: Effect) {
    WORLD.with_borrow_mut(|world| world.effects.push(effect));
}
