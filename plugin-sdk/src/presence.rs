//! Presence: the members of a topic, with events when they join and leave.
//!
//! A member is a user with all sessions that are subscribed to the topic: the first session joins,
//! the last one leaves. An anonymous session is a member of its own. The record of the members is in
//! the [store](crate::store), so it survives reloads and faults, and the events tell each change of
//! the record.
//!
//! ```
//! use jackfield_plugin::{Event, Handler, Plugin, Presence, Subscribe, Value, json, testing::{Harness, User}};
//!
//! const HERE: Presence = Presence::new("here");
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("acme-room", "1.0.0").handler(
//!         Handler::new("acme.room")
//!             .on_subscribe(|_state, request| {
//!                 HERE.join(request, &json!({ "name": request.caller()?.authid() }))?;
//!                 Ok(Subscribe::allow())
//!             })
//!             .on_unsubscribe(|_state, request| HERE.leave(request)),
//!     )
//! }
//!
//! let mut site = Harness::new(plugin);
//! site.route("acme/room/{room}", "acme.room");
//! let ann = site.join(User::named("ann"));
//! let bob = site.join(User::named("bob"));
//! site.subscribe(ann, "acme/room/1")?;
//! site.received(ann);
//! site.subscribe(bob, "acme/room/1")?;
//! let bob_joins = json!({"type": "joined", "member": {"user": "bob", "info": {"name": "bob"}}});
//! assert_eq!(site.received(ann), [("acme/room/1", Event::new(bob_joins))]);
//! let first: Value = site.received(bob)[0].event.single().unwrap();
//! assert_eq!((&first["type"], &first["count"]), (&json!("members"), &json!(2)));
//! # Ok::<(), jackfield_plugin::testing::Failure>(())
//! ```

mod change;
mod member;
mod record;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};

use self::record::Record;
pub use self::{
    change::Change,
    member::{Member, MemberId},
};
use crate::{Error, Event, Refusal, Request, SessionId, Value, sessions, topics};

/// The members of the topics of a handler. `T` is the information about a member, chosen by the
/// handler.
///
/// It has no state of its own: make it a constant, and use it in all hooks. See the
/// [module](crate::presence).
#[derive(Debug)]
pub struct Presence<T = Value> {
    name: &'static str,
    limit: u32,
    tells_newcomers: bool,
    events: fn(&Change<'_, T>) -> Result<Option<Event>, Error>,
}

/// Default of [`Presence::limit`].
pub const DEFAULT_MEMBERS: u32 = 1_000;
/// Maximum size of the list of members, in bytes of the store's values: it is sent in one event.
pub const MAX_LIST_BYTES: usize = 256 << 10;
/// Maximum size of a member with its information, in bytes of JSON.
pub const MAX_MEMBER_BYTES: usize = 4 << 10;

/// Sessions that one hook removes from the record, with an event for each member. A hook has 1 000
/// effects at most.
const MAX_REPAIRS: usize = 100;
/// As [`MAX_REPAIRS`], in a topic without subscribers, where no events are published.
const MAX_SILENT_REPAIRS: usize = 10_000;

impl<T: Serialize + DeserializeOwned> Presence<T> {
    /// Creates a presence. The name is part of its keys in the store, `presence/NAME/…`; a handler
    /// with two kinds of members has two names.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, limit: DEFAULT_MEMBERS, tells_newcomers: true, events: change::event }
    }

    /// Sets the maximum number of members that [`Presence::members`] lists and a new member
    /// receives. [`MAX_LIST_BYTES`] applies too.
    #[must_use]
    pub const fn limit(self, members: u32) -> Self {
        Self { limit: members, ..self }
    }

    /// Sends new subscribers no list of the members, which costs the more the more there are.
    #[must_use]
    pub const fn without_list(self) -> Self {
        Self { tells_newcomers: false, ..self }
    }

    /// Sets the events for subscribers; `None` sends none. The default is [`Change::event`].
    #[must_use]
    pub const fn events(self, events: fn(&Change<'_, T>) -> Result<Option<Event>, Error>) -> Self {
        Self { events, ..self }
    }

    /// Adds the session to the members of the topic. Call it in `on_subscribe`, after all checks:
    /// a session that is refused afterwards would be a member until a repair.
    ///
    /// The new subscriber receives [`Change::Members`] after the confirmation of its subscription.
    /// The others receive [`Change::Joined`], or [`Change::Updated`] if the user is here already,
    /// in another session, and the information is another one. Returns whether the member is new.
    ///
    /// # Errors
    ///
    /// More than [`MAX_MEMBER_BYTES`]; [`Error::NoSession`]; [`Error::StoreFull`]; [`Error::Encode`].
    pub fn join(&self, request: &Request, info: &T) -> Result<bool, Refusal> {
        let caller = request.caller()?;
        let record = Record::new(self.name, request);
        let id = MemberId::of(caller);
        let is_new = !record.has_sessions(&id);
        record.add_session(&id, caller.id())?;
        let is_changed = record.set_member(&id, info)?;
        self.reconcile(request, &record, Some(caller.id()))?;
        if is_new || is_changed {
            let member = Member { id: id.clone(), info };
            let change =
                if is_new { Change::Joined { member } } else { Change::Updated { member } };
            if let Some(event) = (self.events)(&change)? {
                topics::publish_except(request.topic(), event, [caller.id()]);
            }
        }
        if !self.tells_newcomers {
            return Ok(is_new);
        }
        let members = record.members(self.limit, MAX_LIST_BYTES)?;
        let snapshot = Change::Members { you: &id, members: &members, count: record.count()? };
        if let Some(event) = (self.events)(&snapshot)? {
            sessions::send(caller.id(), request.topic(), event);
        }
        Ok(is_new)
    }

    /// Removes the session from the members of the topic. Call it in `on_unsubscribe`. If it was the
    /// last session of the member, the subscribers receive [`Change::Left`].
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`]; [`Error::Stored`]; [`Error::Encode`].
    pub fn leave(&self, request: &Request) -> Result<(), Refusal> {
        let caller = request.caller()?;
        let record = Record::new(self.name, request);
        if let Some(member) = record.remove_session(&MemberId::of(caller), caller.id())? {
            self.publish_left(request, &member, None)?;
        }
        Ok(self.reconcile(request, &record, None)?)
    }

    /// Replaces the information of the caller. The subscribers receive [`Change::Updated`]. Returns
    /// `false`, without a change, if the session is no member or the information is the same.
    ///
    /// # Errors
    ///
    /// As [`Presence::join`].
    pub fn update(&self, request: &Request, info: &T) -> Result<bool, Refusal> {
        let caller = request.caller()?;
        let record = Record::new(self.name, request);
        let id = MemberId::of(caller);
        if !record.has_session(&id, caller.id()) || !record.set_member(&id, info)? {
            return Ok(false);
        }
        let member = Member { id, info };
        if let Some(event) = (self.events)(&Change::Updated { member })? {
            topics::publish(request.topic(), event);
        }
        Ok(true)
    }

    /// The members of the topic, in the order of their ids. [`Presence::limit`] and
    /// [`MAX_LIST_BYTES`] limit the list.
    ///
    /// # Errors
    ///
    /// [`Error::Stored`], if a version of the plugin with another type of information has stored a
    /// member.
    pub fn members(&self, request: &Request) -> Result<Vec<Member<T>>, Error> {
        let record = Record::new(self.name, request);
        self.reconcile(request, &record, None)?;
        record.members(self.limit, MAX_LIST_BYTES)
    }

    /// The number of members of the topic.
    ///
    /// # Errors
    ///
    /// [`Error::Stored`].
    pub fn count(&self, request: &Request) -> Result<u32, Error> {
        Record::new(self.name, request).count()
    }

    /// The member that the calling session belongs to; `None` if the session has not joined.
    ///
    /// # Errors
    ///
    /// [`Error::NoSession`]; [`Error::Stored`].
    pub fn caller(&self, request: &Request) -> Result<Option<Member<T>>, Error> {
        let caller = request.caller()?;
        let (record, id) = (Record::new(self.name, request), MemberId::of(caller));
        if record.has_session(&id, caller.id()) { record.member(&id) } else { Ok(None) }
    }

    /// The member with this id.
    ///
    /// # Errors
    ///
    /// [`Error::Stored`].
    pub fn find(&self, request: &Request, id: &MemberId) -> Result<Option<Member<T>>, Error> {
        Record::new(self.name, request).member(id)
    }

    /// Removes sessions from the record that are not subscribed, with the events of leaving. This
    /// happens in [`Presence::join`], [`Presence::leave`] and [`Presence::members`] by itself, every
    /// ten seconds at most, if the record has more sessions than the topic has subscribers. Call it in
    /// `on_timer`, if a topic can be quiet for long.
    ///
    /// # Errors
    ///
    /// [`Error::Stored`]; [`Error::Encode`].
    pub fn repair(&self, request: &Request) -> Result<(), Refusal> {
        Ok(self.reconcile(request, &Record::new(self.name, request), None)?)
    }

    /// Repairs a record with more sessions than subscribers. The newcomer is recorded, and no
    /// subscriber yet; it receives the members, and not their changes before.
    fn reconcile(
        &self,
        request: &Request,
        record: &Record,
        newcomer: Option<SessionId>,
    ) -> Result<(), Error> {
        let subscribers = request.subscribers().saturating_add(newcomer.map_or(0, |_| 1));
        if record.session_count()? <= subscribers || record.was_repaired_recently() {
            return Ok(());
        }
        let present: BTreeSet<SessionId> =
            topics::subscribers(request.topic()).into_iter().collect();
        let most = if present.is_empty() { MAX_SILENT_REPAIRS } else { MAX_REPAIRS };
        let gone = record.gone(&present, most)?;
        if gone.len() < most {
            record.set_repaired()?;
        }
        for (id, session) in gone {
            let left = record.remove_session(&id, session)?;
            if let Some(member) = left.filter(|_| !present.is_empty()) {
                self.publish_left(request, &member, newcomer)?;
            }
        }
        Ok(())
    }

    fn publish_left(
        &self,
        request: &Request,
        member: &Member<T>,
        newcomer: Option<SessionId>,
    ) -> Result<(), Error> {
        let member = Member { id: member.id.clone(), info: &member.info };
        if let Some(event) = (self.events)(&Change::Left { member })? {
            topics::publish_except(request.topic(), event, newcomer);
        }
        Ok(())
    }
}
