//! Testaments: events that a session leaves, and the router publishes at the session's end. WAMP v2
//! specification, section "Session Testament".
//!
//! They are published with the rights of the session, however it ends; not if its credential was
//! revoked. Without resumption of sessions, both scopes end together: `detached` first.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_broker::{CloseCause, PendingFlushes, Session};
use jackfield_wamp::dialect::Codec;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::{Message, Publish};
use serde_json::{Value, json};

use super::Answer;
use super::arguments::{Arguments, wrong};
use crate::dispatch::{Dispatch, Refusal};
use crate::generation::Generation;

/// Most testaments of a session, of both scopes.
const MAX_TESTAMENTS: usize = 100;
/// Most bytes of a session's testaments.
const MAX_BYTES: usize = 64 << 10;
/// Most bytes of the testaments of a realm.
const MAX_REALM_BYTES: usize = 16 << 20;

/// The testaments of a realm's sessions.
#[derive(Default)]
pub(in crate::dispatch) struct Testaments {
    /// A std mutex: a leaf, held for one operation.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_session: HashMap<SessionId, Buckets>,
    bytes: usize,
}

/// The testaments of a session by scope, in their order, with their sizes.
#[derive(Default)]
struct Buckets {
    detached: Vec<(Publish, usize)>,
    destroyed: Vec<(Publish, usize)>,
}

#[derive(Clone, Copy)]
enum Scope {
    Detached,
    Destroyed,
}

impl Buckets {
    fn of(&mut self, scope: Scope) -> &mut Vec<(Publish, usize)> {
        match scope {
            Scope::Detached => &mut self.detached,
            Scope::Destroyed => &mut self.destroyed,
        }
    }

    fn all(&self) -> impl Iterator<Item = &(Publish, usize)> {
        self.detached.iter().chain(&self.destroyed)
    }
}

impl Testaments {
    fn add(
        &self,
        session: SessionId,
        scope: Scope,
        publish: Publish,
        bytes: usize,
    ) -> Result<(), String> {
        let mut state = self.lock();
        if state.bytes + bytes > MAX_REALM_BYTES {
            return Err(format!(
                "maximum bytes of the realm's testaments reached ({MAX_REALM_BYTES})"
            ));
        }
        let buckets = state.by_session.entry(session).or_default();
        if buckets.all().count() >= MAX_TESTAMENTS {
            return Err(format!("maximum testaments of the session reached ({MAX_TESTAMENTS})"));
        }
        let used: usize = buckets.all().map(|(_, bytes)| bytes).sum();
        if used + bytes > MAX_BYTES {
            return Err(format!("maximum bytes of the session's testaments reached ({MAX_BYTES})"));
        }
        buckets.of(scope).push((publish, bytes));
        state.bytes += bytes;
        Ok(())
    }

    fn flush(&self, session: SessionId, scope: Scope) {
        let mut state = self.lock();
        let Some(buckets) = state.by_session.get_mut(&session) else { return };
        let removed = mem::take(buckets.of(scope));
        state.bytes -= removed.iter().map(|(_, bytes)| bytes).sum::<usize>();
    }

    /// Takes the testaments of a session that has ended, in the order of their publication.
    fn take(&self, session: SessionId) -> Vec<Publish> {
        let mut state = self.lock();
        let Some(buckets) = state.by_session.remove(&session) else { return Vec::new() };
        state.bytes -= buckets.all().map(|(_, bytes)| bytes).sum::<usize>();
        let Buckets { detached, destroyed } = buckets;
        detached.into_iter().chain(destroyed).map(|(publish, _)| publish).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete before the next statement that could fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatch {
    pub(super) fn add_testament(
        &self,
        from: &Session,
        generation: &Generation,
        arguments: &Arguments,
    ) -> Result<Answer, Refusal> {
        if self.realm.session(from.id).is_none() {
            let message = "a testament needs a session of the realm".to_owned();
            return Err(Refusal::invalid_argument(message));
        }
        let (topic, scope) = (arguments.text("the topic")?, scope(arguments)?);
        let [args, kwargs] = match arguments.rest() {
            [] => [json!([]), json!({})],
            [args] => [args.clone(), json!({})],
            [args, kwargs, ..] => [args.clone(), kwargs.clone()],
        };
        let options = arguments.keyword("publish_options").cloned().unwrap_or_else(|| json!({}));
        // A testament is checked as the message that it stands for.
        let text = json!([16, 1, options, topic, args, kwargs]).to_string();
        let bytes = text.len();
        let message = Message::decode(Codec::Json, &text.into());
        let publish = match message.map_err(|it| Refusal::invalid_argument(it.to_string()))? {
            Message::Publish(publish) if publish.payload.passthru().is_none() => publish,
            _ => {
                let message = "a testament cannot be packed (`ppt_scheme`)".to_owned();
                return Err(Refusal::invalid_argument(message));
            }
        };
        self.check_publish(generation, from, &publish.topic)?;
        let added = self.testaments.add(from.id, scope, publish, bytes);
        added.map_err(Refusal::too_many_testaments)?;
        Ok(Value::Null.into())
    }

    pub(super) fn flush_testaments(
        &self,
        from: &Session,
        arguments: &Arguments,
    ) -> Result<Answer, Refusal> {
        self.testaments.flush(from.id, scope(arguments)?);
        Ok(Value::Null.into())
    }

    /// Publishes the testaments of a session that has left.
    pub(in crate::dispatch) async fn publish_testaments(
        &self,
        session: &Arc<Session>,
        batch: &mut PendingFlushes,
    ) {
        let closing = session.outbox().closing();
        let is_revoked = closing.is_some_and(|closing| closing.cause == CloseCause::Revoked);
        for publish in self.testaments.take(session.id) {
            if !is_revoked {
                // A refusal is logged and counted; no client waits for it.
                let _refused = self.publish(session, &publish, batch).await;
            }
        }
    }
}

fn scope(arguments: &Arguments) -> Result<Scope, Refusal> {
    match arguments.keyword("scope") {
        None => Ok(Scope::Destroyed),
        Some(Value::String(scope)) if scope == "destroyed" => Ok(Scope::Destroyed),
        Some(Value::String(scope)) if scope == "detached" => Ok(Scope::Detached),
        value => {
            let expected = "\"destroyed\" or \"detached\"";
            Err(wrong("the keyword argument `scope`", expected, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(topic: &str) -> Publish {
        let text = json!([16, 1, {}, topic]).to_string();
        match Message::decode(Codec::Json, &text.into()).unwrap() {
            Message::Publish(publish) => publish,
            message => panic!("{message:?}"),
        }
    }

    fn session(id: u64) -> SessionId {
        SessionId::new(id).unwrap()
    }

    #[test]
    fn keeps_testaments_in_order_and_within_bounds() {
        let all = Testaments::default();
        all.add(session(1), Scope::Destroyed, publish("b"), 10).unwrap();
        all.add(session(1), Scope::Detached, publish("a"), 10).unwrap();
        all.add(session(1), Scope::Destroyed, publish("c"), 10).unwrap();
        let topics: Vec<_> = all.take(session(1)).into_iter().map(|it| it.topic).collect();
        assert_eq!(topics, ["a", "b", "c"]);
        assert!(all.take(session(1)).is_empty());
        for _ in 0..MAX_TESTAMENTS {
            all.add(session(2), Scope::Destroyed, publish("a"), 1).unwrap();
        }
        let refused = all.add(session(2), Scope::Detached, publish("a"), 1).unwrap_err();
        assert_eq!(refused, "maximum testaments of the session reached (100)");
        all.flush(session(2), Scope::Destroyed);
        let refused = all.add(session(2), Scope::Detached, publish("a"), MAX_BYTES + 1);
        assert!(refused.unwrap_err().contains("(65536)"));
        for id in 3..3 + (MAX_REALM_BYTES / MAX_BYTES) as u64 {
            all.add(session(id), Scope::Destroyed, publish("a"), MAX_BYTES).unwrap();
        }
        assert!(all.add(session(2), Scope::Destroyed, publish("a"), 1).is_err());
        for id in 1..1_000 {
            drop(all.take(session(id)));
        }
        let state = all.lock();
        assert!(state.by_session.is_empty() && state.bytes == 0);
    }
}
