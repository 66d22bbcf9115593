//! A session in its realm, from joining on.

use std::sync::Arc;

use jackfield_broker::{Features, Identity, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::session::Welcome;

use super::Ended;
use crate::app::App;
use crate::dispatch::Dispatch;
use crate::wire::Wire;
use crate::{ids, shutdown};

/// A session, and what decides about its requests.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) dispatch: Arc<Dispatch>,
}

impl Member {
    pub(super) fn anonymous(
        wire: &Arc<Wire>,
        dialect: Dialect,
        features: Features,
        dispatch: Arc<Dispatch>,
    ) -> Result<Self, Ended> {
        let id: SessionId = ids::session().map_err(|error| Ended::Refused(error.to_string()))?;
        let identity = Identity::anonymous(format!("anonymous-{id}"));
        let outbox = Arc::clone(wire.outbox());
        let link = Arc::clone(wire) as Arc<_>;
        let session = Session::new(id, identity, dialect, features, outbox, link);
        Ok(Self { session: Arc::new(session), dispatch })
    }

    pub(super) fn join(&self, app: &App) {
        self.dispatch.realm().join(&self.session);
        // Whoever joins behind the back of a shutdown is not overlooked.
        if app.is_stopping() {
            self.session.close(shutdown::closing());
        }
    }

    pub(super) fn welcome(&self) -> Welcome<'_> {
        let Self { session, dispatch } = self;
        Welcome {
            session: session.id,
            realm: dispatch.realm().name(),
            authid: &session.identity.authid,
            authrole: session.identity.authrole(),
            authmethod: &session.identity.authmethod,
            agent: crate::AGENT,
        }
    }
}
