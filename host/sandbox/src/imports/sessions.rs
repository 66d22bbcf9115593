//! `sessions`: effects on single sessions, applied after the hook has returned.

use super::{event, validated};
use crate::contract::sessions;
use crate::effect::Effect;
use crate::host_state::HostState;
use crate::verdict::{session_id, topic, uri};

impl sessions::Host for HostState {
    fn send(&mut self, to: u64, about: String, what: sessions::Event) -> wasmtime::Result<()> {
        let effect = Effect::Send {
            session: validated(session_id(to))?,
            topic: validated(topic(about))?,
            event: event(what)?,
        };
        self.effect(effect)
    }

    fn unsubscribe(&mut self, who: u64, from: String) -> wasmtime::Result<()> {
        let effect = Effect::Unsubscribe {
            session: validated(session_id(who))?,
            topic: validated(topic(from))?,
        };
        self.effect(effect)
    }

    fn close(&mut self, who: u64, reason: String, message: String) -> wasmtime::Result<()> {
        let effect = Effect::Close {
            session: validated(session_id(who))?,
            reason: validated(uri(reason))?,
            message,
        };
        self.effect(effect)
    }
}
