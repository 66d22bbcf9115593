//! Calls for other nodes: those of their clients to procedures here, and answers to calls of this node.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::peers::NodeId;

use crate::cluster::{Answering, Service};
use crate::dispatch::split_realm;
use crate::realms::Realms;

/// Takes calls and answers of other nodes.
pub(super) struct CallService {
    realms: Arc<Realms>,
}

impl CallService {
    pub(super) const fn new(realms: Arc<Realms>) -> Self {
        Self { realms }
    }
}

impl Service for CallService {
    /// Ends the registration of a procedure that a client of the peer wants alone.
    fn answer(&self, _from: NodeId, question: Bytes) -> Answering {
        if let Ok((realm, procedure)) = serde_json::from_slice::<(String, String)>(&question)
            && let Some(dispatch) = self.realms.get(&realm)
        {
            dispatch.replace_for_node(&procedure);
        }
        Box::pin(std::future::ready(Bytes::new()))
    }

    fn hear(&self, from: NodeId, message: Bytes) -> bool {
        let Some((realm, frames)) = split_realm(message) else { return false };
        if let Some(dispatch) = self.realms.get(&realm) {
            dispatch.take_relayed(from, frames);
        }
        true
    }

    fn interrupted(&self, node: NodeId) {
        for dispatch in self.realms.iter() {
            dispatch.interrupt_node(node);
        }
    }
}
