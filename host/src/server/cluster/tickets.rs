//! Used tickets for other nodes.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_broker::peers::NodeId;

use crate::admission::{Admission, answer_used_ticket};
use crate::cluster::{Answering, Service};

/// Answers whether tickets were used here, and remembers them.
pub(super) struct TicketService {
    admission: Arc<Admission>,
}

impl TicketService {
    pub(super) const fn new(admission: Arc<Admission>) -> Self {
        Self { admission }
    }
}

impl Service for TicketService {
    fn answer(&self, _from: NodeId, question: Bytes) -> Answering {
        let answer = answer_used_ticket(&self.admission, question);
        Box::pin(std::future::ready(Some(Bytes::copy_from_slice(&[answer]))))
    }

    fn hear(&self, _from: NodeId, _message: Bytes) -> bool {
        false
    }

    fn interrupted(&self, _node: NodeId) {}
}
