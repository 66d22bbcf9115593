//! Meta events: sessions that join and leave, and changes of subscriptions and registrations.

use jackfield_broker::{Change, PendingFlushes, Publication, Session};
use jackfield_wamp::meta::{ON_JOIN, ON_LEAVE};
use jackfield_wamp::payload::Payload;
use serde_json::{Value, json};
use tracing::debug;

use super::facts_json;
use super::sessions::details;
use crate::dispatch::Dispatch;
use crate::ids;

/// Names of the topics of changes, behind `wamp.subscription.` or `wamp.registration.`.
struct Names {
    create: &'static str,
    join: &'static str,
    leave: &'static str,
    delete: &'static str,
}

const SUBSCRIPTIONS: Names = Names {
    create: "wamp.subscription.on_create",
    join: "wamp.subscription.on_subscribe",
    leave: "wamp.subscription.on_unsubscribe",
    delete: "wamp.subscription.on_delete",
};

const REGISTRATIONS: Names = Names {
    create: "wamp.registration.on_create",
    join: "wamp.registration.on_register",
    leave: "wamp.registration.on_unregister",
    delete: "wamp.registration.on_delete",
};

/// The maximum number of changes whose events wait for a flush: a session that ends, or a reload, can
/// make thousands at once, more than the outbox of an observer holds.
const MAX_UNFLUSHED: usize = 256;

impl Dispatch {
    /// Publishes that a session has joined.
    pub(in crate::dispatch) fn tell_joined(&self, session: &Session, batch: &mut PendingFlushes) {
        self.tell(ON_JOIN, || json!([details(session)]), batch);
    }

    /// Publishes that a session has left, after the changes that this has made.
    pub(in crate::dispatch) fn tell_left(&self, session: &Session, batch: &mut PendingFlushes) {
        self.tell_subscriptions(batch);
        self.tell_registrations(batch);
        let identity = &session.identity;
        let left = || json!([session.id.get(), identity.authid, identity.authrole()]);
        self.tell(ON_LEAVE, left, batch);
    }

    /// Publishes the changes of subscriptions since the last time.
    pub(in crate::dispatch) fn tell_subscriptions(&self, batch: &mut PendingFlushes) {
        self.tell_changes(&SUBSCRIPTIONS, &self.realm.take_meta_changes(), batch);
    }

    /// Tells other nodes and publishes the changes of registrations since the last time.
    pub(in crate::dispatch) fn tell_registrations(&self, batch: &mut PendingFlushes) {
        self.tell_offers();
        self.tell_changes(&REGISTRATIONS, &self.dealer.take_changes(), batch);
    }

    fn tell_changes(&self, names: &Names, changes: &[Change], batch: &mut PendingFlushes) {
        for changes in changes.chunks(MAX_UNFLUSHED) {
            for change in changes {
                self.tell_change(names, change, batch);
            }
            // The events of a few wait for the end of the request.
            if changes.len() == MAX_UNFLUSHED {
                batch.flush();
            }
        }
    }

    fn tell_change(&self, names: &Names, change: &Change, batch: &mut PendingFlushes) {
        let (topic, session) = match change {
            Change::Created(session, _) => (names.create, session),
            Change::Joined(session, _) => (names.join, session),
            Change::Left(session, _) => (names.leave, session),
            Change::Deleted(session, _) => (names.delete, session),
        };
        let args = || match change {
            Change::Created(_, facts) => json!([session.get(), facts_json(facts)]),
            Change::Joined(_, id) | Change::Left(_, id) | Change::Deleted(_, id) => {
                json!([session.get(), id])
            }
        };
        self.tell(topic, args, batch);
    }

    /// Publishes an event of the router, if a session of this node is subscribed to it. Ids of subscriptions
    /// and registrations belong to a node, so other nodes do not get it.
    fn tell(&self, topic: &str, args: impl FnOnce() -> Value, batch: &mut PendingFlushes) {
        if self.realm.local_count(topic) == 0 {
            return;
        }
        // JSON that was just made is valid.
        let Ok(payload) = Payload::from_json(&args().to_string(), "") else { return };
        let publication = Publication::new(topic, ids::publication(), &payload);
        // It is longer than `limits.event`, if that is small and the URI is long.
        if let Err(error) = self.realm.publish_here(&publication, batch) {
            debug!("a meta event is not delivered: {error}");
        }
    }
}
