//! Effects of handlers on sessions of other nodes: a message, the end of a subscription, the end of the
//! session. They are told to all nodes; the one that has the session performs them.

use std::sync::Arc;

use jackfield_broker::PendingFlushes;
use jackfield_sandbox::PluginEvent;
use jackfield_wamp::id::SessionId;
use serde_json::{Value, json};

use super::Dispatch;
use super::effects::emit;
use crate::cluster::Subject;

/// An effect of a handler on another node.
pub(crate) struct RemoteEffect {
    realm: String,
    session: SessionId,
    change: Change,
}

enum Change {
    Send { topic: String, event: PluginEvent },
    Unsubscribe { topic: String },
    Close { reason: String, message: String },
}

impl RemoteEffect {
    /// Returns the name of the realm.
    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    /// Reads an effect of another node: the realm, the session, the kind, and two to four texts. A later
    /// version may write more behind them.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let mut parts: Vec<Value> = serde_json::from_slice(message).ok()?;
        parts.truncate(4);
        let (realm, session, kind, mut texts): (String, u64, String, Vec<String>) =
            serde_json::from_value(Value::Array(parts)).ok()?;
        texts.reverse();
        let mut next = || texts.pop();
        let change = match kind.as_str() {
            SEND => Change::Send { topic: next()?, event: PluginEvent::of_host(next()?, next()?) },
            UNSUBSCRIBE => Change::Unsubscribe { topic: next()? },
            CLOSE => Change::Close { reason: next()?, message: next()? },
            _ => return None,
        };
        Some(Self { realm, session: SessionId::new(session)?, change })
    }
}

/// The kinds of effects.
const SEND: &str = "send";
const UNSUBSCRIBE: &str = "unsubscribe";
const CLOSE: &str = "close";

impl Dispatch {
    /// Returns whether a session is not of this node, and may be of another.
    pub(super) fn is_elsewhere(&self, session: SessionId) -> bool {
        self.cluster.is_some() && self.realm.session(session).is_none()
    }

    pub(super) fn send_to_node(&self, session: SessionId, topic: &str, event: &PluginEvent) {
        self.tell_nodes(session, SEND, &json!([topic, event.args(), event.kwargs()]));
    }

    pub(super) fn unsubscribe_on_node(&self, session: SessionId, topic: &str) {
        self.tell_nodes(session, UNSUBSCRIBE, &json!([topic]));
    }

    pub(super) fn close_on_node(&self, session: SessionId, reason: &str, message: &str) {
        self.tell_nodes(session, CLOSE, &json!([reason, message]));
    }

    fn tell_nodes(&self, session: SessionId, kind: &str, texts: &Value) {
        let Some(cluster) = &self.cluster else { return };
        let effect = json!([self.realm.name(), session.get(), kind, texts]).to_string();
        let nodes: Vec<_> = cluster.members().others().collect();
        for node in nodes {
            // A node that is unknown by now takes its sessions along.
            let _is_known = cluster.exchange().tell(node, Subject::Sessions, effect.as_bytes());
        }
    }

    /// Performs an effect of a handler on another node, if the session is of this one.
    pub(crate) fn perform_for_node(self: &Arc<Self>, effect: RemoteEffect) {
        let RemoteEffect { session: id, change, .. } = effect;
        if self.realm.session(id).is_none() {
            return;
        }
        let generation = self.generations.current();
        let mut batch = PendingFlushes::default();
        let left = match change {
            Change::Send { topic, event } => {
                emit(&generation, self.at(&topic), &event, |publication| {
                    self.send_effect(id, &publication, &mut batch)
                });
                None
            }
            Change::Unsubscribe { topic } => self.remove(id, &topic, &mut batch),
            Change::Close { reason, message } => {
                self.close(id, reason, message);
                None
            }
        };
        if let Some(left) = left {
            // The handler of the topic takes its time. There is one such task at most for each subscription
            // that has ended.
            let dispatch = Arc::clone(self);
            tokio::spawn(async move {
                dispatch.notify_unsubscribed(&generation, vec![left], &mut batch).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_of_nodes_are_read() {
        let read = |text: &str| RemoteEffect::decode(text.as_bytes());
        let send = read(r#"["shop",7,"send",["a.b","[1]","{}"]]"#).unwrap();
        assert_eq!((send.realm(), send.session.get()), ("shop", 7));
        assert!(matches!(send.change, Change::Send { event, .. } if event.args() == "[1]"));
        let close = read(r#"["shop",7,"close",["a.b","why","later"],{"later":1}]"#);
        let close = close.unwrap().change;
        assert!(matches!(close, Change::Close { message, .. } if message == "why"));
        for text in ["", "[]", r#"["shop",0,"close",["a","b"]]"#, r#"["shop",7,"send",["a"]]"#] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
