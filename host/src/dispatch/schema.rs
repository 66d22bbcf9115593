//! Schemas of payloads: arguments are checked before a handler or a client gets them. Events and
//! answers of handlers are not: a handler often sends others than it takes.

use jackfield_routing::Action;
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use jackfield_wamp::message::Call;
use jackfield_wamp::payload::Payload;

use super::{Dispatch, Refusal};
use crate::generation::RouteMatch;

/// The maximum length of a violation, which quotes names of the payload.
const MAX_VIOLATION_BYTES: usize = 700;

impl Dispatch {
    /// Checks the arguments of a call by the schema of its route, if it has one. They come at once: a
    /// callee would get the first of several parts unchecked.
    pub(super) fn check_arguments(
        &self,
        routed: Option<&RouteMatch<'_, '_>>,
        call: &Call,
    ) -> Result<(), Refusal> {
        match routed {
            Some(routed)
                if call.options.progress && routed.route.schemas.of(Action::Call).is_some() =>
            {
                let route = &routed.route.name;
                let message = format!(
                    "the route `{route}` has a schema: send the arguments at once, without `progress`"
                );
                Err(Refusal::new(error_uri::FEATURE_NOT_SUPPORTED, message))
            }
            routed => self.check_schema(routed, Action::Call, &call.payload),
        }
    }

    /// Checks the arguments of a publication or call by the schema of its route, if it has one.
    pub(super) fn check_schema(
        &self,
        routed: Option<&RouteMatch<'_, '_>>,
        action: Action,
        payload: &Payload,
    ) -> Result<(), Refusal> {
        let Some((route, schema)) =
            routed.and_then(|it| Some((&it.route.name, it.route.schemas.of(action)?)))
        else {
            return Ok(());
        };
        if payload.passthru().is_some() {
            let message = format!(
                "the route `{route}` has a schema: send the arguments without `ppt_scheme`"
            );
            return Err(Refusal::new(error_uri::FEATURE_NOT_SUPPORTED, message));
        }
        let (args, kwargs) = self.hook_arguments(payload)?;
        schema.check(&args, &kwargs).map_err(|violation| {
            let violation = Untrusted::new(violation).at_most(MAX_VIOLATION_BYTES);
            Refusal::invalid_argument(format!(
                "the payload does not satisfy the schema of the route `{route}`: {violation}"
            ))
        })
    }
}
