//! Calls for other nodes: those of their clients to procedures here, and answers to calls of this node.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::peers::NodeId;
use jackfield_broker::relay;

use crate::cluster::{Answering, ClusterNode, Service};
use crate::realms::Realms;

/// Takes calls and answers of other nodes.
pub(super) struct CallService {
    node: Arc<ClusterNode>,
    realms: Arc<Realms>,
}

impl CallService {
    pub(super) fn new(node: &Arc<ClusterNode>, realms: &Arc<Realms>) -> Arc<Self> {
        Arc::new(Self { node: Arc::clone(node), realms: Arc::clone(realms) })
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
        let read = relay::split_realm(message);
        let is_read = read.is_some_and(|(realm, frames)| {
            self.realms.get(&realm).is_none_or(|dispatch| dispatch.take_relayed(from, frames))
        });
        if !is_read {
            // As if it was lost: a call that it had would have no answer.
            self.node.exchange().missed(from);
        }
        is_read
    }

    fn interrupted(&self, node: NodeId) {
        for dispatch in self.realms.iter() {
            dispatch.interrupt_node(node);
        }
    }
}
