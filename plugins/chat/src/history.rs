//! Message history of a room. It is in the store, so a new version of the plugin keeps it.

use std::time::Duration;

use jackfield_plugin::{Error, store};

use crate::events::Message;

/// The messages of a room are deleted after this time without a new one.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// Returns the messages, the oldest first.
pub(crate) fn read(topic: &str) -> Result<Vec<Message>, Error> {
    Ok(store::get(&key(topic))?.unwrap_or_default())
}

/// Adds a message, and deletes the oldest ones above `most`.
pub(crate) fn add(topic: &str, message: &Message, most: usize) -> Result<(), Error> {
    store::update_for::<Vec<Message>>(&key(topic), REMEMBERED, |messages| {
        let mut messages = messages.unwrap_or_default();
        messages.push(message.clone());
        messages.drain(..messages.len().saturating_sub(most));
        Some(messages)
    })?;
    Ok(())
}

fn key(topic: &str) -> String {
    format!("history/{topic}")
}
