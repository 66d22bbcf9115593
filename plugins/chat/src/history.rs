//! Message history of a room. It is in the store, so a new version of the plugin keeps it. Rooms of
//! other realms have histories of their own: the store of a plugin is one for all realms.

use std::time::Duration;

use jackfield_plugin::{Error, Request, store};

use crate::events::Message;

/// The messages of a room are deleted after this time without a new one.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// Returns the messages, the oldest first.
pub(crate) fn read(request: &Request) -> Result<Vec<Message>, Error> {
    Ok(store::get(&key(request))?.unwrap_or_default())
}

/// Adds a message, and deletes the oldest ones above `most`.
pub(crate) fn add(request: &Request, message: &Message, most: usize) -> Result<(), Error> {
    store::update_for::<Vec<Message>>(&key(request), REMEMBERED, |messages| {
        let mut messages = messages.unwrap_or_default();
        messages.push(message.clone());
        messages.drain(..messages.len().saturating_sub(most));
        Some(messages)
    })?;
    Ok(())
}

/// The realm has its length before it, because it may have slashes.
fn key(request: &Request) -> String {
    let (realm, topic) = (request.realm(), request.topic());
    format!("history/{}:{realm}/{topic}", realm.len())
}
