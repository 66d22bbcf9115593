//! `calls`: calls of procedures, made after the hook has returned.

use std::time::Duration;

use tracing::Level;

use super::event;
use crate::contract::{calls, types};
use crate::effect::Effect;
use crate::host_state::HostState;
use crate::outgoing::OutgoingContext;
use crate::outgoing::call::{MAX_CALL_DEPTH, OutgoingCall};
use crate::outgoing::tally::{NotAccepted, OutgoingKind};

/// The operator has not granted the procedure.
const NOT_AUTHORIZED: &str = "wamp.error.not_authorized";
/// Too many calls wait.
const UNAVAILABLE: &str = "wamp.error.unavailable";
/// The call is malformed.
const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";

impl calls::Host for HostState {
    fn call(
        &mut self,
        procedure: String,
        arguments: types::Event,
        timeout: Option<u32>,
        context: Vec<u8>,
    ) -> wasmtime::Result<Result<(), types::Refusal>> {
        let OutgoingContext { policy, tally, .. } = &self.context.outgoing;
        let refuse =
            |uri: &str, message: String| Ok(Err(types::Refusal { uri: uri.to_owned(), message }));
        let Some(reply_to) = self.reply_to() else {
            tally.refuse(OutgoingKind::Call);
            let message = "calls are made during a hook only".to_owned();
            return refuse(INVALID_ARGUMENT, message);
        };
        let depth = self.call.depth;
        if depth >= MAX_CALL_DEPTH {
            tally.refuse(OutgoingKind::Call);
            let message = format!("calls of plugins led to each other {MAX_CALL_DEPTH} times");
            self.log_line(Level::WARN, &format!("a call is not made: {message}"));
            return refuse(UNAVAILABLE, message);
        }
        let is_allowed = policy.calls.allow.iter().any(|allowed| allowed.contain(&procedure));
        let denied = (!is_allowed).then(|| {
            format!(
                "the procedure is not allowed; to allow it, add {procedure:?} to `calls.allow` of \
                 the plugin"
            )
        });
        let event = event(arguments)?;
        let (limit, in_flight) = (policy.calls.timeout, policy.calls.in_flight);
        let permit = match self.permit(OutgoingKind::Call, denied, in_flight) {
            Ok(permit) => permit,
            Err(NotAccepted::Busy) => {
                return refuse(UNAVAILABLE, "too many calls wait for their results".to_owned());
            }
            Err(NotAccepted::Denied(message)) => {
                self.log_line(Level::WARN, &format!("a call is not made: {message}"));
                return refuse(NOT_AUTHORIZED, message);
            }
        };
        let timeout = timeout.map_or(limit, |it| Duration::from_millis(it.into())).min(limit);
        let call = OutgoingCall { reply_to, procedure, event, timeout, context, depth, permit };
        self.effect(Effect::Call(Box::new(call))).map(Ok)
    }
}
