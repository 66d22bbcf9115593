//! The handler `broadcast`: anybody may subscribe, and whatever is published goes to all.
//!
//! It wants no hook, so that its topics never enter the component.

use jackfield_plugin::{Handler, Plugin, export};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .handler(Handler::new("broadcast").summary("passes every event on to every subscriber"))
}

export!(plugin);
