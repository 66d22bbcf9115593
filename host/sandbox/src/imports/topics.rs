//! `topics`: publications and subscribers.

use super::{event, validated};
use crate::contract::topics;
use crate::effect::Effect;
use crate::host_state::HostState;
use crate::verdict::{session_ids, topic};

impl topics::Host for HostState {
    fn publish(
        &mut self,
        to: String,
        what: topics::Event,
        exclude: Vec<u64>,
        eligible: Option<Vec<u64>>,
    ) -> wasmtime::Result<()> {
        let effect = Effect::Publish {
            topic: validated(topic(to))?,
            event: event(what)?,
            exclude: validated(session_ids(exclude))?,
            eligible: validated(eligible.map(session_ids).transpose())?,
        };
        self.effect(effect)
    }

    fn subscribers(&mut self, topic: String) -> wasmtime::Result<Vec<u64>> {
        let now = || self.context.audience.subscribers(self.call.realm, &topic);
        Ok(match &mut self.probe {
            Some(probe) => probe.subscribers(&topic, now),
            None => now(),
        })
    }

    fn count(&mut self, topic: String) -> wasmtime::Result<u32> {
        let now = || self.context.audience.count(self.call.realm, &topic);
        Ok(match &mut self.probe {
            Some(probe) => probe.count(&topic, now),
            None => now(),
        })
    }
}
