//! `request`: the current call of a hook.

use crate::contract::request;
use crate::current_request::{CurrentRequest, Text};
use crate::fault::FaultKind;
use crate::host_state::{HostState, HostTrap};

impl request::Host for HostState {
    fn handler(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Handler)
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Route)
    }

    fn topic(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Topic)
    }

    fn realm(&mut self) -> wasmtime::Result<String> {
        self.current()?;
        if let Some(probe) = &self.probe {
            return Ok(probe.realm().to_owned());
        }
        Ok(self.context.audience.realm_name(self.call.realm))
    }

    fn attributes(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let attributes = self.current()?.attributes();
        Ok(attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn subscribers(&mut self) -> wasmtime::Result<u32> {
        Ok(self.current()?.subscribers())
    }

    fn session(&mut self) -> wasmtime::Result<Option<u64>> {
        Ok(self.current()?.session())
    }

    fn authid(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Authid)
    }

    fn authrole(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Authrole)
    }

    fn roles(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.current()?.roles().map(str::to_owned).collect())
    }

    fn authmethod(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Authmethod)
    }

    fn claims(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Claims)
    }

    fn args(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Args)
    }

    fn kwargs(&mut self) -> wasmtime::Result<String> {
        self.text(Text::Kwargs)
    }
}

impl HostState {
    /// The request of the hook that runs; a trap where none does.
    fn current(&self) -> Result<&CurrentRequest, HostTrap> {
        let request = &self.call.request;
        if request.is_hook() {
            return Ok(request);
        }
        let text = "`request` may be read during a hook only";
        Err(HostTrap(FaultKind::Trap(text.to_owned())))
    }

    fn text(&self, text: Text) -> wasmtime::Result<String> {
        Ok(self.current()?.text(text).to_owned())
    }
}
