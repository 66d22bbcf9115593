//! Testaments: events that a session leaves, and the router publishes at the session's end. WAMP v2
//! specification, section "Session Testament".
//!
//! They are published with the rights of the session, however it ends; not if its credential was
//! revoked. Without resumption of sessions, both scopes end together: `detached` first.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_broker::{ClientKey, CloseCause, PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_wamp::dialect::Codec;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::{Message, Publish};
use serde_json::{Value, json};

use super::Answer;
use super::arguments::{Arguments, wrong};
use crate::dispatch::{Dispatch, Refusal};
use crate::generation::Generation;
use crate::metrics::RefusalReason;

/// The maximum number of testaments of a session, of both scopes.
const MAX_TESTAMENTS: usize = 100;
/// The maximum size of a session's testaments.
const MAX_BYTES: usize = 64 << 10;
/// The maximum size of the testaments of a realm.
const MAX_REALM_BYTES: usize = 16 << 20;
/// The size of a testament in memory beside its text.
const OVERHEAD: usize = 512;

/// The testaments of a realm's sessions.
#[derive(Default)]
pub(in crate::dispatch) struct Testaments {
    /// A std mutex: a leaf, held for one operation.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_session: HashMap<SessionId, Buckets>,
    by_client: HashMap<ClientKey, usize>,
    bytes: usize,
}

/// A limit that a further testament would exceed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TestamentLimit {
    #[error("maximum testaments of the session reached ({MAX_TESTAMENTS})")]
    Count,
    #[error("maximum bytes of the session's testaments reached ({MAX_BYTES})")]
    Session,
    #[error("the client's share of the bytes of all testaments is reached ({0})")]
    Client(usize),
    #[error("maximum bytes of the realm's testaments reached ({MAX_REALM_BYTES})")]
    Realm,
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

impl From<TestamentLimit> for Refusal {
    fn from(limit: TestamentLimit) -> Self {
        let reason = match limit {
            TestamentLimit::Count | TestamentLimit::Session => RefusalReason::SessionLimit,
            TestamentLimit::Client(_) => RefusalReason::ClientShare,
            TestamentLimit::Realm => RefusalReason::RealmLimit,
        };
        Self::at_limit(reason, limit.to_string())
    }
}

impl State {
    /// Gives the bytes of testaments back.
    fn release(&mut self, client: ClientKey, removed: &[(Publish, usize)]) {
        let bytes: usize = removed.iter().map(|(_, bytes)| bytes).sum();
        self.bytes -= bytes;
        if let Some(used) = self.by_client.get_mut(&client) {
            *used -= bytes;
            if *used == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Testaments {
    /// Adds a testament. `share` is the part of the realm's bytes that one client may use, in per cent.
    fn add(
        &self,
        (session, client): (SessionId, ClientKey),
        scope: Scope,
        publish: Publish,
        bytes: usize,
        share: usize,
    ) -> Result<(), TestamentLimit> {
        let mut state = self.lock();
        let State { by_session, by_client, bytes: all } = &mut *state;
        let bytes = bytes + OVERHEAD;
        let (mut count, mut used) = (0, 0);
        for (_, bytes) in by_session.get(&session).into_iter().flat_map(Buckets::all) {
            count += 1;
            used += bytes;
        }
        if count >= MAX_TESTAMENTS {
            return Err(TestamentLimit::Count);
        }
        if used + bytes > MAX_BYTES {
            return Err(TestamentLimit::Session);
        }
        let of_client = by_client.get(&client).copied().unwrap_or_default();
        let max_of_client = MAX_REALM_BYTES * share / 100;
        if of_client + bytes > max_of_client {
            return Err(TestamentLimit::Client(max_of_client));
        }
        if *all + bytes > MAX_REALM_BYTES {
            return Err(TestamentLimit::Realm);
        }
        by_session.entry(session).or_default().of(scope).push((publish, bytes));
        *by_client.entry(client).or_default() += bytes;
        *all += bytes;
        Ok(())
    }

    fn flush(&self, (session, client): (SessionId, ClientKey), scope: Scope) {
        let mut state = self.lock();
        let Some(buckets) = state.by_session.get_mut(&session) else { return };
        let removed = mem::take(buckets.of(scope));
        state.release(client, &removed);
    }

    /// Takes the testaments of a session that has ended, in the order of their publication.
    fn take(&self, (session, client): (SessionId, ClientKey)) -> Vec<Publish> {
        let mut state = self.lock();
        let Some(buckets) = state.by_session.remove(&session) else { return Vec::new() };
        let Buckets { detached: mut all, destroyed } = buckets;
        all.extend(destroyed);
        state.release(client, &all);
        all.into_iter().map(|(publish, _)| publish).collect()
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
        let (routed, _rule) = self.check_publish(generation, from, &publish.topic)?;
        self.check_schema(routed.as_ref(), Action::Publish, &publish.payload)?;
        let share = self.realm.limits().client_percent as usize;
        self.testaments.add((from.id, from.client), scope, publish, bytes, share)?;
        Ok(Value::Null.into())
    }

    pub(super) fn flush_testaments(
        &self,
        from: &Session,
        arguments: &Arguments,
    ) -> Result<Answer, Refusal> {
        self.testaments.flush((from.id, from.client), scope(arguments)?);
        Ok(Value::Null.into())
    }

    /// Takes the testaments of a session that has left. Those of a revoked credential are dropped.
    pub(in crate::dispatch) fn take_testaments(&self, session: &Session) -> Vec<Publish> {
        let testaments = self.testaments.take((session.id, session.client));
        let closing = session.outbox().closing();
        let is_revoked = closing.is_some_and(|closing| closing.cause == CloseCause::Revoked);
        if is_revoked { Vec::new() } else { testaments }
    }

    /// Publishes testaments of a session.
    pub(in crate::dispatch) async fn publish_testaments(
        &self,
        session: &Arc<Session>,
        testaments: Vec<Publish>,
        batch: &mut PendingFlushes,
    ) {
        for publish in testaments {
            // A refusal is logged and counted; no client waits for it.
            let _refused = self.publish(session, &publish, batch).await;
            // Many at once would be more than the outbox of a reader holds.
            batch.flush();
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
    use jackfield_broker::Identity;

    use super::*;

    fn publish(topic: &str) -> Publish {
        let text = json!([16, 1, {}, topic]).to_string();
        match Message::decode(Codec::Json, &text.into()).unwrap() {
            Message::Publish(publish) => publish,
            message => panic!("{message:?}"),
        }
    }

    /// A session of one of two clients.
    fn session(id: u64) -> (SessionId, ClientKey) {
        let address = std::net::Ipv4Addr::from(u32::from(id.is_multiple_of(2))).into();
        let identity = Identity::anonymous(String::new(), address);
        (SessionId::new(id).unwrap(), ClientKey::of(&identity))
    }

    #[test]
    fn keeps_testaments_in_order_and_within_bounds() {
        let all = Testaments::default();
        let add = |id, scope, topic, bytes| {
            let publish = publish(topic);
            all.add(session(id), scope, publish, bytes, 25)
        };
        add(1, Scope::Destroyed, "b", 10).unwrap();
        add(1, Scope::Detached, "a", 10).unwrap();
        add(1, Scope::Destroyed, "c", 10).unwrap();
        let topics: Vec<_> = all.take(session(1)).into_iter().map(|it| it.topic).collect();
        assert_eq!(topics, ["a", "b", "c"]);
        assert!(all.take(session(1)).is_empty());
        for _ in 0..MAX_TESTAMENTS {
            add(2, Scope::Destroyed, "a", 1).unwrap();
        }
        assert_eq!(add(2, Scope::Detached, "a", 1), Err(TestamentLimit::Count));
        all.flush(session(2), Scope::Destroyed);
        let full = MAX_BYTES - OVERHEAD;
        assert_eq!(add(2, Scope::Detached, "a", full + 1), Err(TestamentLimit::Session));
        // The share of one client: a quarter.
        let share = (MAX_REALM_BYTES / 4 / MAX_BYTES) as u64;
        for number in 0..share {
            add(2 * number + 2, Scope::Destroyed, "a", full).unwrap();
        }
        let refused = Err(TestamentLimit::Client(MAX_REALM_BYTES / 4));
        assert_eq!(add(2 * share + 2, Scope::Destroyed, "a", 1), refused);
        add(1, Scope::Destroyed, "a", 1).unwrap();
        for id in 1..1_000 {
            drop(all.take(session(id)));
        }
        let state = all.lock();
        assert!(state.by_session.is_empty() && state.by_client.is_empty() && state.bytes == 0);
    }
}
