//! `http`: requests, sent after the hook has returned.

use tracing::Level;

use crate::contract::{http, http_types};
use crate::effect::Effect;
use crate::host_state::HostState;
use crate::outgoing::OutgoingContext;
use crate::outgoing::request::{HttpError, HttpRequest, OutgoingRequest};
use crate::outgoing::tally::OutgoingKind;

impl http::Host for HostState {
    fn send(
        &mut self,
        raw: http_types::Request,
        context: Vec<u8>,
    ) -> wasmtime::Result<Result<(), http_types::Error>> {
        match self.request(raw, context) {
            Ok(request) => self.effect(Effect::Request(Box::new(request))).map(Ok),
            Err(error) => {
                // The operator reads what is denied; a busy plugin would fill the log.
                if error != HttpError::Busy {
                    self.log_line(Level::WARN, &format!("a request is not sent: {error}"));
                }
                Ok(Err(error.into()))
            }
        }
    }
}

impl HostState {
    /// Validates a request. A refused one is counted.
    fn request(
        &mut self,
        raw: http_types::Request,
        context: Vec<u8>,
    ) -> Result<OutgoingRequest, HttpError> {
        let OutgoingContext { policy, tally, .. } = &self.context.outgoing;
        let refused = |error| {
            tally.refuse(OutgoingKind::Http);
            error
        };
        let outside = || HttpError::Invalid("requests are sent during a hook only".to_owned());
        let reply_to = self.reply_to().ok_or_else(outside).map_err(refused)?;
        let request = HttpRequest::validate(raw, &policy.http).map_err(refused)?;
        let (denied, in_flight) = (request.denial(&policy.http), policy.http.in_flight);
        let depth = self.call.depth;
        let permit = self.permit(OutgoingKind::Http, denied, in_flight)?;
        Ok(OutgoingRequest { reply_to, request, context, depth, permit })
    }
}
