//! `http`: requests, sent after the hook has returned.

use tracing::Level;

use crate::contract::{http, http_types};
use crate::effect::Effect;
use crate::host_state::HostState;
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
        let (policy, tally, _) = &self.context.outgoing;
        let refused = |error| {
            tally.refuse(OutgoingKind::Http);
            error
        };
        let outside = || HttpError::Invalid("requests are sent during a hook only".to_owned());
        let reply_to = self.reply_to().ok_or_else(outside).map_err(refused)?;
        let request = HttpRequest::parse(raw, &policy.http).map_err(refused)?;
        let permit = tally.permit(OutgoingKind::Http, policy.http.in_flight);
        let permit = permit.ok_or(HttpError::Busy)?;
        Ok(OutgoingRequest { reply_to, request, context, permit })
    }
}
