//! Chat rooms: an example plugin with state, presence and refusals, to be copied.
//!
//! A session that subscribes to a room receives its history, and the other members are notified. A
//! user with several sessions is one member with one name.
//! Clients publish `{"text": "hello"}` or `{"nick": "Alice"}`, and receive the events of
//! [`RoomEvent`]. Called as a procedure, a room returns its members. `handler.args` are in
//! [`Settings`].
//!
//! The hooks are in `room`; `names` and `history` keep their state in the store. The names are the
//! information of a [presence](jackfield_plugin::presence).

use jackfield_plugin::{Handler, Plugin, export};

use crate::settings::Settings;

mod events;
mod history;
mod names;
mod room;
mod settings;

pub use events::RoomEvent;

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).schema(2).handler(
        Handler::new("chat")
            .summary("chat rooms with history and nicknames")
            .configure(|route| route.args::<Settings>()?.checked())
            .on_subscribe(room::join)
            .on_unsubscribe(room::leave)
            .on_publish(room::say)
            .on_call(room::members),
    )
}

export!(plugin);

#[cfg(test)]
mod tests;
