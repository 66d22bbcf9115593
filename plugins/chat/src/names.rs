//! The names of a room's members, no two of them the same. They are in the store, and so survive
//! a new version of the plugin.

use jackfield_plugin::{Error, Refusal, SessionId, store, topics};

/// In characters.
const MAX_BYTES: usize = 30;

/// The name of a member; nobody else has one.
pub(crate) fn get(topic: &str, member: SessionId) -> Result<Option<String>, Error> {
    store::get(&key(topic, member))
}

/// The names of those who are in the room now. The host knows who that is, whatever became of the
/// hook that should have taken a name back.
pub(crate) fn all(topic: &str) -> Result<Vec<String>, Error> {
    let members = topics::subscribers(topic).into_iter();
    members.filter_map(|member| get(topic, member).transpose()).collect()
}

/// Gives a newcomer the wanted name, or with a number behind it, if somebody has that.
pub(crate) fn give(topic: &str, member: SessionId, wanted: &str) -> Result<String, Error> {
    let taken = all(topic)?;
    let mut name = wanted.to_owned();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{wanted}-{number}");
    }
    store::set(&key(topic, member), &name)?;
    Ok(name)
}

/// Changes a member's name to one that they chose.
pub(crate) fn change(topic: &str, member: SessionId, chosen: &str) -> Result<(), Refusal> {
    if !(1..=MAX_BYTES).contains(&chosen.chars().count()) || chosen.chars().any(char::is_control) {
        let message = format!("A name has 1 to {MAX_BYTES} printable characters.");
        return Err(Refusal::invalid_argument(message));
    }
    if all(topic)?.iter().any(|taken| taken == chosen) {
        let message = format!("Somebody is called {chosen} already.");
        return Err(Refusal::new("acme.chat.error.name_taken", message));
    }
    Ok(store::set(&key(topic, member), chosen)?)
}

/// Takes the name from who leaves, and returns it.
pub(crate) fn take(topic: &str, member: SessionId) -> Result<Option<String>, Error> {
    let name = get(topic, member)?;
    store::delete(&key(topic, member));
    Ok(name)
}

fn key(topic: &str, member: SessionId) -> String {
    format!("name/{topic}/{member}")
}
