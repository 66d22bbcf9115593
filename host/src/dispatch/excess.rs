//! Refusal of requests above the rate of their session, without a look at their topic. Called by
//! connections.

use std::sync::Arc;

use jackfield_broker::{PendingFlushes, Session};
use jackfield_wamp::dialect::Dialect;
use jackfield_wamp::protocol::{ErrorTo, Request};

use super::{Dispatch, Refusal, reply, uris};
use crate::metrics::RequestKind;

impl Dispatch {
    /// Refuses a request, if its client gets an answer that it understands. Returns whether it has.
    ///
    /// Version 1 has an error for calls alone. A publication without acknowledgement would be lost
    /// without notice, and a message that ends something makes room.
    pub(crate) fn refuse_excess(
        &self,
        from: &Arc<Session>,
        request: &Request,
        batch: &mut PendingFlushes,
    ) -> bool {
        let (kind, uri, to) = match request {
            Request::Call(call) => {
                (RequestKind::Call, &call.procedure, ErrorTo::Call { call: &call.request })
            }
            _ if from.dialect == Dialect::V1 => return false,
            Request::Publish(publish) if publish.options.acknowledge => {
                let (request, topic) = (publish.request, uris::shown(&publish.topic));
                (RequestKind::Publish, &publish.topic, ErrorTo::Publish { request, topic })
            }
            Request::Subscribe(subscribe) => {
                let (request, topic) = (subscribe.request, uris::shown(&subscribe.topic));
                (RequestKind::Subscribe, &subscribe.topic, ErrorTo::Subscribe { request, topic })
            }
            Request::Register(register) => {
                let to = ErrorTo::Register { request: register.request };
                (RequestKind::Register, &register.procedure, to)
            }
            Request::Publish(_)
            | Request::Unsubscribe(_)
            | Request::Unregister(_)
            | Request::Cancel(_)
            | Request::Yield(_)
            | Request::InvocationError(_) => return false,
        };
        let refusal = Refusal::too_fast();
        self.refused(kind, &refusal, from, uri);
        reply(from, &refusal.reply(to), batch);
        true
    }
}
