//! Sessions for other nodes: their procedures of the meta API, and effects of their handlers.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::PendingFlushes;
use jackfield_broker::peers::NodeId;

use crate::cluster::{Answering, Service};
use crate::dispatch::{RemoteEffect, SessionQuestion};
use crate::realms::Realms;

/// Answers what other nodes ask about the sessions of this one.
pub(super) struct SessionService {
    realms: Arc<Realms>,
}

impl SessionService {
    pub(super) const fn new(realms: Arc<Realms>) -> Self {
        Self { realms }
    }
}

impl Service for SessionService {
    fn answer(&self, _from: NodeId, question: Bytes) -> Answering {
        let Some(question) = SessionQuestion::decode(&question) else {
            return Box::pin(ready(None));
        };
        let dispatch = self.realms.get(question.realm());
        Box::pin(async move {
            let mut batch = PendingFlushes::default();
            let answer = dispatch.map(|it| it.answer_node(&question, &mut batch));
            Some(answer.unwrap_or_default().into())
        })
    }

    fn hear(&self, _from: NodeId, message: Bytes) -> bool {
        let Some(effect) = RemoteEffect::decode(&message) else { return false };
        if let Some(dispatch) = self.realms.get(effect.realm()) {
            dispatch.perform_for_node(effect);
        }
        true
    }

    fn interrupted(&self, _node: NodeId) {}
}
