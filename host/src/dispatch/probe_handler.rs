//! Handler of the probe: a built-in procedure that answers with its arguments. It is in a realm of its
//! own, which only the server's own client joins ([`crate::readiness`]).
//!
//! A call takes the way of any other, up to the search of the current routes. No plugin takes part, so
//! that a faulty one does not take the server out of service.

use std::sync::Arc;

use jackfield_broker::{PendingFlushes, Realm, Session};
use jackfield_sandbox::RealmId;
use jackfield_wamp::message::Call;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use tokio::sync::Mutex;

use super::hooks::{flush_before_wait, reply};
use super::{Dispatch, Refusal};
use crate::generation::CurrentGeneration;

/// The realm of the probe. It is not among the realms that clients join.
pub(crate) const PROBE_REALM: &str = "jackfield.probe";
/// The procedure of the probe.
pub(crate) const PROBE_PROCEDURE: &str = "jackfield.probe.echo";

/// The id of the realm in the sandbox, which no other realm has.
const TOKEN: RealmId = RealmId(u64::MAX);

/// The handler. Its calls run one after another, as those of a plugin's lane.
#[derive(Debug, Default)]
pub(super) struct ProbeHandler {
    lane: Mutex<()>,
}

impl Dispatch {
    /// The dispatch of the probe's realm.
    pub(crate) fn of_probe(realm: Arc<Realm>, generations: Arc<CurrentGeneration>) -> Self {
        let dispatch = Self::new(realm, TOKEN, generations, Arc::default(), None);
        Self { probe: Some(Box::default()), ..dispatch }
    }

    /// Answers a call of the probe.
    pub(super) async fn answer_probe(
        &self,
        handler: &ProbeHandler,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) {
        // The site's routes are searched, as for any call; the route of the probe is built in.
        let _of_site = self.generations.current().find(&call.procedure).is_some();
        if call.procedure != PROBE_PROCEDURE {
            let refusal = Refusal::no_procedure(&call.procedure);
            return reply(from, &refusal.reply(ErrorTo::Call { call: &call.request }), batch);
        }
        let lane = flush_before_wait(batch, handler.lane.lock()).await;
        let payload = &call.payload;
        reply(from, &Reply::Result { call: &call.request, progress: false, payload }, batch);
        drop(lane);
    }
}
