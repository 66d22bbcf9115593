//! What plugins may import: one file an interface of the contract. Which of them a plugin does
//! import is checked when it is loaded; all of them are linked.

mod log;
mod sessions;
mod store;
mod topics;

use wasmtime::component::Linker;

use crate::contract;
use crate::event::Event;
use crate::fault::FaultKind;
use crate::host_state::{HostState, HostTrap};

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    contract::Plugin::add_to_linker::<HostState, HostState>(linker, |guest| guest)
}

impl contract::types::Host for HostState {}

/// Turns what a check found into the end of the call.
fn sound<T>(checked: Result<T, String>) -> Result<T, HostTrap> {
    checked.map_err(|text| HostTrap(FaultKind::BadAnswer(text)))
}

fn event(raw: contract::types::EventResult) -> Result<Event, HostTrap> {
    sound(Event::parse(raw))
}
