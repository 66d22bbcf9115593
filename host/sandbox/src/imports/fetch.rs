//! `fetch`: requests of HTTP that `on-subscribe` waits for.
//!
//! The function is linked by hand: it is the only asynchronous one, and it needs the store. While the
//! answer is not there, the guest's stack is suspended, its CPU turn goes to others, and the lane
//! waits. Ticks of that time are not the guest's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Level;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::contract::http_types;
use crate::host_state::HostState;
use crate::outgoing::OutgoingContext;
use crate::outgoing::request::{HttpError, HttpRequest, HttpResponse};
use crate::outgoing::sender::HttpSender;
use crate::outgoing::tally::{OutgoingKind, Permit};

/// The interface, of the version that is linked.
const INTERFACE: &str = "jackfield:plugin/fetch@0.2.0";
const OTHER_HOOK: &str = "only `on_subscribe` may wait for an answer; send the request as an effect \
                          (`http`), whose answer is a hook";

/// A request that may be sent.
struct PermittedRequest {
    request: HttpRequest,
    sender: Arc<dyn HttpSender>,
    /// Held while the request waits.
    permit: Permit,
}

type Answer = Result<HttpResponse, HttpError>;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap_async(
        "send",
        |store: StoreContextMut<'_, HostState>, (raw,): (http_types::Request,)| {
            Box::new(async move {
                let answer = send(store, raw).await?;
                let answer = answer.map(http_types::Response::from);
                Ok((answer.map_err(http_types::Error::from),))
            })
        },
    )
}

async fn send(
    mut store: StoreContextMut<'_, HostState>,
    raw: http_types::Request,
) -> wasmtime::Result<Answer> {
    let guest = store.data_mut();
    let server = server(&raw);
    if let Some(script) = guest.probe.as_mut().filter(|probe| probe.is_replay()) {
        return Ok(script.fetched(server, || Err(HttpError::Busy)));
    }
    let permitted = match guest.permitted(raw) {
        Ok(permitted) => {
            guest.count_output(permitted.request.len())?;
            Ok(permitted)
        }
        Err(error) => Err(error),
    };
    let answer = match permitted {
        Ok(PermittedRequest { request, sender, permit }) => {
            let context = Arc::clone(&guest.context);
            let answer = sender.send(&context.name, request).await;
            drop(permit);
            // The wait has passed ticks of the engine; the next one is a whole tick away.
            store.set_epoch_deadline(1);
            answer
        }
        Err(error) => Err(error),
    };
    let guest = store.data_mut();
    if let Err(error @ (HttpError::Denied(_) | HttpError::Invalid(_))) = &answer {
        guest.log_line(Level::WARN, &format!("a request is not sent: {error}"));
    }
    Ok(match &mut guest.probe {
        Some(probe) => probe.fetched(server, || answer),
        None => answer,
    })
}

/// The method and the server of a request, by which a replay knows it: the rest may be a secret.
fn server(raw: &http_types::Request) -> String {
    let (scheme, rest) = raw.url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{} {scheme}://{host}", raw.method)
}

impl HostState {
    /// Validates a request, and takes its place among those that wait. A refused one is counted.
    fn permitted(&self, raw: http_types::Request) -> Result<PermittedRequest, HttpError> {
        let OutgoingContext { policy, tally, sender, .. } = &self.context.outgoing;
        let refused = |error| {
            tally.refuse(OutgoingKind::Http);
            error
        };
        if !self.call.may_wait {
            return Err(refused(HttpError::Denied(OTHER_HOOK.to_owned())));
        }
        let mut request = HttpRequest::parse(raw, &policy.http).map_err(refused)?;
        let left = self.time_to_wait();
        if left.is_zero() {
            return Err(refused(HttpError::Timeout));
        }
        request.timeout = request.timeout.min(left);
        let none = || HttpError::Unreachable("requests are not sent here".to_owned());
        let sender = sender.clone().ok_or_else(none).map_err(refused)?;
        let permit = tally.permit(OutgoingKind::Http, policy.http.in_flight);
        Ok(PermittedRequest { request, sender, permit: permit.ok_or(HttpError::Busy)? })
    }

    /// The time for which the hook may wait: a tenth of what is left is kept for its verdict.
    fn time_to_wait(&self) -> Duration {
        let deadline = self.call.deadline + self.meter.waited();
        let left = deadline.saturating_duration_since(Instant::now());
        left.saturating_sub(left / 10)
    }
}
