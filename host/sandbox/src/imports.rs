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
use crate::guest::{Breach, Guest};

pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    contract::Plugin::add_to_linker::<Guest, Guest>(linker, |guest| guest)
}

impl contract::types::Host for Guest {}

/// Turns what a check found into the end of the call.
fn sound<T>(checked: Result<T, String>) -> Result<T, Breach> {
    checked.map_err(|text| Breach(FaultKind::BadAnswer(text)))
}

fn event(raw: contract::types::EventResult) -> Result<Event, Breach> {
    sound(Event::parse(raw))
}
