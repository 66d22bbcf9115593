//! Histories for other nodes: answers about topics, and topics that this node follows for one that leaves.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::peers::NodeId;

use crate::cluster::{Answering, HistoryQuestion, Service};
use crate::realms::Realms;

/// Answers what other nodes ask about histories.
pub(super) struct HistoryService {
    realms: Arc<Realms>,
}

impl HistoryService {
    pub(super) fn new(realms: &Arc<Realms>) -> Arc<Self> {
        Arc::new(Self { realms: Arc::clone(realms) })
    }
}

impl Service for HistoryService {
    fn answer(&self, _from: NodeId, question: Bytes) -> Answering {
        let Some(question) = HistoryQuestion::decode(&question) else {
            return Box::pin(ready(None));
        };
        let dispatch = self.realms.get(&question.realm);
        Box::pin(async move {
            let dispatch = dispatch?;
            if question.keep.is_empty() {
                return dispatch.answer_mirror(&question);
            }
            dispatch.keep_histories(&question.keep).await;
            Some(Bytes::new())
        })
    }

    fn hear(&self, _from: NodeId, _message: Bytes) -> bool {
        false
    }

    fn interrupted(&self, _node: NodeId) {}
}
