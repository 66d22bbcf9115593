//! A plugin that is declared stateless, and whose memory grows by 256 KiB with each event.
//!
//! It publishes the number of its calls twice: counted in the store, and in its memory.

use std::cell::Cell;
use std::hint::black_box;

use jackfield_plugin::{Event, Handler, Plugin, Publish, export, store};

thread_local! {
    /// Calls of this instance. The plugin does not need it, so that it is stateless.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

fn plugin() -> Plugin {
    Plugin::new("growing", "1.0.0").schema(3).handler(
        Handler::new("growing").stateless().on_publish(|_state, _request, _event| {
            black_box(vec![1_u8; 256 << 10].leak());
            CALLS.set(CALLS.get() + 1);
            let numbers = (store::increment("calls", 1)?, CALLS.get());
            Ok(Publish::deliver(Event::from_args(&numbers)?))
        }),
    )
}

export!(plugin);
