//! Calls of hooks: the request for a handler, and the wait for its answer; replies to sessions.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;

use jackfield_broker::{DeliveryError, PendingFlushes, Session, TooLarge};
use jackfield_sandbox::{Fault, Hook, HookOutcome, HookRequest, PublishVerdict};
use jackfield_wamp::error_uri;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};

use super::caller::caller;
use super::home::HookCall;
use super::{Dispatch, Refusal};
use crate::frame;
use crate::generation::RouteMatch;

impl Dispatch {
    /// Asks the handler of a topic about one event.
    pub(super) async fn ask_about_event<'a>(
        &self,
        routed: &RouteMatch<'a, '_>,
        from: &Session,
        payload: &Payload,
        batch: &mut PendingFlushes,
    ) -> Result<HookOutcome<'a, PublishVerdict>, Refusal> {
        let (args, kwargs) = self.hook_arguments(payload)?;
        let attributes = routed.attributes();
        let request = self.hook_request(routed, &attributes, Some(from));
        let call = HookCall {
            hook: Hook::Publish,
            request: &request,
            is_again: false,
            event: (&args, &kwargs),
        };
        let lane = routed.handler.lane(routed.topic);
        let here = Box::pin(lane.on_publish(&request, &args, &kwargs));
        flush_before_wait(batch, self.decide(routed, call, here)).await
    }

    /// Returns the arguments in JSON. As for any receiver, `limits.event` limits their size.
    pub(super) fn hook_arguments<'p>(
        &self,
        payload: &'p Payload,
    ) -> Result<(Cow<'p, str>, Cow<'p, str>), Refusal> {
        payload.check_portable()?;
        let (args, kwargs) = (payload.args_json(), payload.kwargs_json());
        let (bytes, limit) = (args.len() + kwargs.len(), self.realm.max_event_bytes());
        if bytes > limit {
            return Err(DeliveryError::from(TooLarge { bytes, limit }).into());
        }
        Ok((args, kwargs))
    }

    pub(super) fn hook_request<'a>(
        &self,
        routed: &'a RouteMatch<'_, '_>,
        attributes: &'a [(&'a str, &'a str)],
        session: Option<&'a Session>,
    ) -> HookRequest<'a> {
        HookRequest {
            realm: self.token,
            handler: routed.handler.name(),
            route: &routed.route.name,
            topic: routed.topic,
            attributes,
            session: session.map(caller),
            login: None,
            subscribers: u32::try_from(self.subscribers(routed)).unwrap_or(u32::MAX),
            depth: 0,
        }
    }
}

impl RouteMatch<'_, '_> {
    /// Returns whether the handler of the route has the hook.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.handler.hooks().contains(hook)
    }

    pub(super) fn failed(&self, fault: &Fault) -> Refusal {
        Refusal::fault(self.handler.name(), fault)
    }
}

/// Runs a hook. Most return at once; before waiting for one that does not, the batch is flushed, so
/// that its receivers do not wait as well. The future is boxed before anything is awaited: a
/// connection's task keeps the size of its largest state, and a call into wasm is by far the
/// largest.
pub(super) fn flush_before_wait<T>(
    batch: &mut PendingFlushes,
    hook: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let mut hook = Box::pin(hook);
    poll_fn(move |context| {
        let polled = hook.as_mut().poll(context);
        if polled.is_pending() {
            batch.flush();
        }
        polled
    })
}

/// Queues a reply to a session, unless its version has no such message.
pub(super) fn reply(to: &Arc<Session>, reply: &Reply<'_>, batch: &mut PendingFlushes) {
    let Some(frame) = frame::reply(to, reply) else { return };
    let frame = match reply {
        Reply::Result { call, .. } if !to.outbox().takes(frame.len()) => {
            let message = "the result is longer than the messages that this client takes";
            let (to_call, uri) = (ErrorTo::Call { call }, error_uri::PAYLOAD_SIZE_EXCEEDED);
            frame::reply(to, &Reply::Error { to: to_call, uri, message })
        }
        _ => Some(frame),
    };
    if let Some(frame) = frame {
        to.reply(frame, batch);
    }
}
