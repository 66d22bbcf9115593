//! Chat rooms: an example with state, presence and refusals, to be copied from.
//!
//! Who subscribes to a room gets its history, and the others are told. Clients publish
//! `{"text": "hello"}` or `{"nick": "Alice"}`, and receive what [`RoomEvent`] lists. Called as a
//! procedure, a room says who is in it. `handler.args` are in [`Settings`].
//!
//! Read on in `room`, which has the hooks; `names` and `history` are what it keeps in the store.

use jackfield_plugin::{Handler, Plugin, export};

use crate::settings::Settings;

mod events;
mod history;
mod names;
mod room;
mod settings;

pub use events::RoomEvent;

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
        Handler::new("chat")
            .summary("chat rooms with history and nicknames")
            .configure(|route| route.args::<Settings>()?.checked())
            .on_subscribe(room::join)
            .on_unsubscribe(room::leave)
            .on_publish(room::say)
            .on_call(room::who),
    )
}

export!(plugin);

#[cfg(test)]
mod tests;
