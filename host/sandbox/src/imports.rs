//! Imports of plugins, one file per interface of the contract. All are linked; loading checks the
//! grant.

mod log;
mod sessions;
mod store;
mod topics;

use wasmtime::component::Linker;

use crate::contract;
use crate::event::PluginEvent;
use crate::fault::FaultKind;
use crate::host_state::{HostState, HostTrap};

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    contract::Plugin::add_to_linker::<HostState, HostState>(linker, |guest| guest)
}

impl contract::types::Host for HostState {}

/// Turns a validation error into a trap.
fn validated<T>(checked: Result<T, String>) -> Result<T, HostTrap> {
    checked.map_err(|text| HostTrap(FaultKind::BadAnswer(text)))
}

fn event(raw: contract::types::EventResult) -> Result<PluginEvent, HostTrap> {
    validated(PluginEvent::parse(raw))
}
