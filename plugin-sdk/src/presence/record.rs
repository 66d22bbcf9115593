//! The record of the members of one topic, in the store.
//!
//! One key for each member and one for each session, so that a hook writes a few small values,
//! however many members there are; only the list of members reads all. Two counters tell whether the
//! record has more sessions than the topic has subscribers.
//!
//! The keys of a topic begin with `presence/NAME/REALM/TOPIC/`, where each part has its length in
//! front, since topics and names may contain any character.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{MAX_MEMBER_BYTES, Member, MemberId};
use crate::{Error, Refusal, Request, SessionId, host, now, store};

/// The time in which a session that was allowed becomes a subscriber. Younger sessions are never
/// repaired.
const GRACE: Duration = Duration::from_secs(10);
/// The minimum time between two repairs of a topic: each reads all sessions.
const REPAIR_INTERVAL: Duration = Duration::from_secs(10);

/// The record of one topic.
pub(super) struct Record {
    prefix: String,
}

impl Record {
    pub(super) fn new(name: &str, request: &Request) -> Self {
        let [name, realm, topic] =
            [name, &request.realm(), request.topic()].map(|part| format!("{}:{part}", part.len()));
        Self { prefix: format!("presence/{name}/{realm}/{topic}/") }
    }

    /// Whether any session of the member is recorded.
    pub(super) fn has_sessions(&self, id: &MemberId) -> bool {
        !host::store_entries(&self.sessions_of(id), 1).is_empty()
    }

    pub(super) fn has_session(&self, id: &MemberId, session: SessionId) -> bool {
        host::store_get(&self.session(id, session)).is_some()
    }

    /// Records a session, and that it is new: an older record of it was not removed.
    pub(super) fn add_session(&self, id: &MemberId, session: SessionId) -> Result<(), Error> {
        let key = self.session(id, session);
        if host::store_get(&key).is_none() {
            store::increment(&self.session_counter(), 1)?;
        }
        store::set(&key, &milliseconds(now()))
    }

    /// Removes a session. Returns its member, if this was the last session of it.
    pub(super) fn remove_session<T: DeserializeOwned>(
        &self,
        id: &MemberId,
        session: SessionId,
    ) -> Result<Option<Member<T>>, Error> {
        if !store::delete(&self.session(id, session)) {
            return Ok(None);
        }
        count_down(&self.session_counter())?;
        if self.has_sessions(id) {
            return Ok(None);
        }
        let member = self.member(id)?;
        if store::delete(&self.member_key(id)) {
            count_down(&self.member_counter())?;
        }
        Ok(member)
    }

    /// Records the information about a member. Returns whether it is another one than before.
    pub(super) fn set_member<T: Serialize>(
        &self,
        id: &MemberId,
        info: &T,
    ) -> Result<bool, Refusal> {
        let member = Member { id: id.clone(), info };
        let bytes = store::encode(&member)?;
        if bytes.len() > MAX_MEMBER_BYTES {
            let bytes = bytes.len();
            let message = format!(
                "Failed to record the member: {bytes} bytes of JSON, and {MAX_MEMBER_BYTES} are allowed."
            );
            return Err(Refusal::new(Refusal::RUNTIME_ERROR, message));
        }
        let key = self.member_key(id);
        let before = store::get_bytes(&key);
        if before.as_ref() == Some(&bytes) {
            return Ok(false);
        }
        if before.is_none() {
            store::increment(&self.member_counter(), 1)?;
        }
        store::set_bytes(&key, bytes, None)?;
        Ok(true)
    }

    pub(super) fn member<T: DeserializeOwned>(
        &self,
        id: &MemberId,
    ) -> Result<Option<Member<T>>, Error> {
        store::get(&self.member_key(id))
    }

    /// The first members, `limit` and `max_bytes` at most.
    pub(super) fn members<T: DeserializeOwned>(
        &self,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Vec<Member<T>>, Error> {
        let entries = host::store_entries(&format!("{}m", self.prefix), limit).into_iter();
        let fitting = entries.scan(0, |bytes: &mut usize, (key, value)| {
            *bytes += value.len();
            (*bytes <= max_bytes).then_some((key, value))
        });
        fitting.map(|(key, value)| store::decode(&key, &value)).collect()
    }

    /// The number of members.
    pub(super) fn count(&self) -> Result<u32, Error> {
        counter(&self.member_counter())
    }

    /// The number of sessions.
    pub(super) fn session_count(&self) -> Result<u32, Error> {
        counter(&self.session_counter())
    }

    /// The sessions that are not present, `most` at most. A session that has just been recorded
    /// may not be subscribed yet.
    pub(super) fn gone(
        &self,
        present: &BTreeSet<SessionId>,
        most: usize,
    ) -> Result<Vec<(MemberId, SessionId)>, Error> {
        let now = milliseconds(now());
        // From a time after now, if the clock was set back.
        let is_young =
            |since: u128| now.checked_sub(since).is_some_and(|age| age < GRACE.as_millis());
        let prefix = format!("{}s", self.prefix);
        let entries = store::entries::<u128>(&prefix, u32::MAX)?.into_iter();
        let gone = entries.filter_map(|(key, since)| {
            let (_, key) = key.strip_prefix(&prefix)?.split_once(':')?;
            let (id, session) = key.rsplit_once('/')?;
            let session = SessionId::from(session.parse::<u64>().ok()?);
            let is_gone = !present.contains(&session) && !is_young(since);
            if is_gone { MemberId::parse(id).map(|id| (id, session)) } else { None }
        });
        Ok(gone.take(most).collect())
    }

    pub(super) fn was_repaired_recently(&self) -> bool {
        host::store_get(&self.repaired()).is_some()
    }

    pub(super) fn set_repaired(&self) -> Result<(), Error> {
        store::set_bytes(&self.repaired(), "1", Some(REPAIR_INTERVAL))
    }

    fn member_key(&self, id: &MemberId) -> String {
        format!("{}m{}", self.prefix, id.key())
    }

    /// With the length of the id, since another id may begin with this one and `/`.
    fn sessions_of(&self, id: &MemberId) -> String {
        let id = id.key();
        format!("{}s{}:{id}/", self.prefix, id.len())
    }

    fn session(&self, id: &MemberId, session: SessionId) -> String {
        format!("{}{session}", self.sessions_of(id))
    }

    fn session_counter(&self) -> String {
        format!("{}ns", self.prefix)
    }

    fn member_counter(&self) -> String {
        format!("{}nm", self.prefix)
    }

    fn repaired(&self) -> String {
        format!("{}r", self.prefix)
    }
}

fn counter(key: &str) -> Result<u32, Error> {
    Ok(store::get(key)?.unwrap_or_default())
}

/// A counter at zero has no key, so that topics without members leave nothing in the store.
fn count_down(key: &str) -> Result<(), Error> {
    let count = store::increment(key, -1)?;
    if count <= 0 {
        store::compare_and_set(key, Some(count.to_string().as_bytes()), None, None)?;
    }
    Ok(())
}

fn milliseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
