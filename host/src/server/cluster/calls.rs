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
        let asked = read_replacement(&question);
        if let Some((realm, procedure)) = &asked
            && let Some(dispatch) = self.realms.get(realm)
        {
            dispatch.replace_for_node(procedure);
        }
        Box::pin(std::future::ready(asked.map(|_| Bytes::new())))
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

/// Reads the realm and the procedure, and ignores what a later version has written behind them.
fn read_replacement(question: &[u8]) -> Option<(String, String)> {
    let parts: Vec<serde_json::Value> = serde_json::from_slice(question).ok()?;
    let mut texts = parts.iter().map(|it| it.as_str().map(str::to_owned));
    Some((texts.next()??, texts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_question_is_read() {
        let read = |text: &str| read_replacement(text.as_bytes());
        let expect = Some(("shop".to_owned(), "a.b".to_owned()));
        assert_eq!(read(r#"["shop","a.b"]"#), expect);
        assert_eq!(read(r#"["shop","a.b",{"later":1}]"#), expect);
        for text in ["", "[]", r#"["shop"]"#, r#"["shop",7]"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
