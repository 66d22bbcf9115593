//! Handlers of the demo page: a record that two people edit, in `record`, and a value that changes
//! every second, in `ticker`. Other sites do not need them.

use jackfield_plugin::{Plugin, export};

mod record;
mod ticker;

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .handler(record::handler())
        .handler(ticker::handler())
}

export!(plugin);
