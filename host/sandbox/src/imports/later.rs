//! `later`: results of `on-call` that a later hook gives.

use std::sync::Arc;

use super::validated;
use crate::contract::{later, types};
use crate::effect::Effect;
use crate::fault::FaultKind;
use crate::host_state::{Deferral, HostState, HostTrap};
use crate::outgoing::OutgoingContext;
use crate::outgoing::deferred::{Completion, Later};
use crate::verdict::call_result;

/// Too many calls wait.
const UNAVAILABLE: &str = "wamp.error.unavailable";

impl later::Host for HostState {
    fn defer(&mut self) -> wasmtime::Result<Result<u64, types::Refusal>> {
        let text = match self.call.deferral {
            Deferral::Possible => {
                let OutgoingContext { policy, tally, .. } = &self.context.outgoing;
                let policy = &policy.later;
                let now = || Later::new(tally, policy.in_flight, policy.timeout);
                let later = match &mut self.probe {
                    Some(probe) => probe.deferred(now),
                    None => now(),
                };
                let Some(later) = later else {
                    let message = "too many calls wait for later results".to_owned();
                    return Ok(Err(types::Refusal { uri: UNAVAILABLE.to_owned(), message }));
                };
                let number = later.number();
                self.call.deferral = Deferral::Made(later);
                return Ok(Ok(number));
            }
            Deferral::Made(_) => "`later.defer` was called twice for one call",
            Deferral::Impossible => "`later.defer` may be called in `on-call` only",
        };
        Err(HostTrap(FaultKind::Trap(text.to_owned())).into())
    }

    fn complete(
        &mut self,
        number: u64,
        answer: Result<types::Event, types::Refusal>,
    ) -> wasmtime::Result<bool> {
        let answer = validated(call_result(answer))?;
        let tally = Arc::clone(&self.context.outgoing.tally);
        let completion = Completion { number, answer, tally };
        let now = || completion.is_awaited();
        let is_awaited = match &mut self.probe {
            Some(probe) => probe.is_awaited(number, now),
            None => now(),
        };
        self.effect(Effect::Complete(Box::new(completion)))?;
        Ok(is_awaited)
    }
}
