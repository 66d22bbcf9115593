//! Imports of plugins, one file per interface of the contract; `v0_1` passes those of the older
//! version on. All are linked; loading checks the grant.

mod calls;
mod fetch;
mod http;
mod later;
mod log;
mod request;
mod sessions;
mod store;
mod topics;
mod v0_1;

use wasmtime::component::Linker;

use crate::contract;
use crate::event::PluginEvent;
use crate::fault::FaultKind;
use crate::host_state::{HostState, HostTrap};

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    contract::v0_1::Plugin::add_to_linker::<HostState, HostState>(linker, |guest| guest)?;
    contract::v0_2::Plugin::add_to_linker::<HostState, HostState>(linker, |guest| guest)?;
    contract::v0_2::effects::Effects::add_to_linker::<HostState, HostState>(linker, |guest| guest)?;
    fetch::link(linker)
}

impl contract::types::Host for HostState {}

impl contract::http_types::Host for HostState {}

/// Turns a validation error into a trap.
fn validated<T>(checked: Result<T, String>) -> Result<T, HostTrap> {
    checked.map_err(|text| HostTrap(FaultKind::BadAnswer(text)))
}

fn event(raw: contract::types::Event) -> Result<PluginEvent, HostTrap> {
    validated(PluginEvent::parse(raw))
}
