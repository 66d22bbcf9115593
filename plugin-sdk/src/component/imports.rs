//! The component's imports, in this crate's types. `topics`, `sessions`, `store` and `log` call
//! them through [`crate::host`].

use std::time::Duration;

use super::bindings::jackfield::plugin::{
    calls, fetch as wit_fetch, http as wit_http, http_types, later, log as wit_log, request,
    sessions, store, topics, types,
};
use crate::http::message as http;
use crate::{Event, Refusal, SessionId, level::Level, store_error::StoreError};

pub(crate) fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

pub(crate) fn realm() -> String {
    request::realm()
}

pub(crate) fn publish(
    topic: &str,
    event: Event,
    exclude: &[SessionId],
    eligible: Option<&[SessionId]>,
) {
    topics::publish(topic, &event.into(), &numbers(exclude), eligible.map(numbers).as_deref());
}

pub(crate) fn subscribers(topic: &str) -> Vec<SessionId> {
    topics::subscribers(topic).into_iter().map(SessionId::from).collect()
}

pub(crate) fn count(topic: &str) -> u32 {
    topics::count(topic)
}

pub(crate) fn send(session: SessionId, topic: &str, event: Event) {
    sessions::send(session.get(), topic, &event.into());
}

pub(crate) fn unsubscribe(session: SessionId, topic: &str) {
    sessions::unsubscribe(session.get(), topic);
}

pub(crate) fn close(session: SessionId, reason: &str, message: &str) {
    sessions::close(session.get(), reason, message);
}

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    store::get(key)
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl: Option<u64>) -> Result<(), StoreError> {
    Ok(store::set(key, value, ttl)?)
}

pub(crate) fn store_delete(key: &str) -> bool {
    store::delete(key)
}

pub(crate) fn store_increment(key: &str, by: i64) -> Result<i64, StoreError> {
    Ok(store::increment(key, by)?)
}

pub(crate) fn store_compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<u64>,
) -> Result<bool, StoreError> {
    Ok(store::compare_and_set(key, expected, value, ttl)?)
}

pub(crate) fn store_entries(prefix: &str, limit: u32) -> Vec<(String, Vec<u8>)> {
    store::entries(prefix, limit)
}

pub(crate) fn http_send(request: http::Request, context: Vec<u8>) -> Result<(), http::Error> {
    Ok(wit_http::send(&request.into(), &context)?)
}

pub(crate) fn fetch(request: http::Request) -> Result<http::Response, http::Error> {
    Ok(wit_fetch::send(&request.into())?.into())
}

pub(crate) fn call(
    procedure: &str,
    event: Event,
    timeout: Option<Duration>,
    context: Vec<u8>,
) -> Result<(), Refusal> {
    calls::call(procedure, &event.into(), timeout.map(milliseconds), &context).map_err(refusal)
}

pub(crate) fn defer() -> Result<u64, Refusal> {
    later::defer().map_err(refusal)
}

pub(crate) fn complete(number: u64, answer: Result<Event, Refusal>) -> bool {
    let answer = answer.map(types::Event::from).map_err(types::Refusal::from);
    later::complete(number, answer.as_ref())
}

impl From<http::Request> for http_types::Request {
    fn from(request: http::Request) -> Self {
        let http::Request { method, url, headers, body, timeout } = request;
        Self { method, url, headers, body, timeout: timeout.map(milliseconds) }
    }
}

fn refusal(types::Refusal { uri, message }: types::Refusal) -> Refusal {
    Refusal { uri, message }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

pub(crate) fn log(level: Level, message: String) {
    let level = match level {
        Level::Trace => wit_log::Level::Trace,
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
        Level::Error => wit_log::Level::Error,
    };
    wit_log::log(level, &message);
}

impl From<store::Error> for StoreError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::Full,
            store::Error::NotANumber => Self::NotANumber,
        }
    }
}

fn numbers(sessions: &[SessionId]) -> Vec<u64> {
    sessions.iter().copied().map(SessionId::get).collect()
}
