//! Unique names of a room's members. They are in the store, so a new version of the plugin keeps
//! them.

use jackfield_plugin::{Error, Refusal, SessionId, store, topics};

/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 30;

/// Returns the name of a member; other sessions have none.
pub(crate) fn get(topic: &str, member: SessionId) -> Result<Option<String>, Error> {
    store::get(&key(topic, member))
}

/// Returns the names of the current members. The host knows the members even if the hook that
/// removes names has failed.
pub(crate) fn all(topic: &str) -> Result<Vec<String>, Error> {
    let members = topics::subscribers(topic).into_iter();
    members.filter_map(|member| get(topic, member).transpose()).collect()
}

/// Gives a new member the wanted name, with a number appended if it is taken.
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

/// Changes a member's name.
pub(crate) fn change(topic: &str, member: SessionId, chosen: &str) -> Result<(), Refusal> {
    if !(1..=MAX_NAME_CHARS).contains(&chosen.chars().count())
        || chosen.chars().any(char::is_control)
    {
        let message = format!("A name has 1 to {MAX_NAME_CHARS} printable characters.");
        return Err(Refusal::invalid_argument(message));
    }
    if all(topic)?.iter().any(|taken| taken == chosen) {
        let message = format!("The name {chosen} is taken.");
        return Err(Refusal::new("acme.chat.error.name_taken", message));
    }
    Ok(store::set(&key(topic, member), chosen)?)
}

/// Removes the name of a member that leaves, and returns it.
pub(crate) fn take(topic: &str, member: SessionId) -> Result<Option<String>, Error> {
    let name = get(topic, member)?;
    store::delete(&key(topic, member));
    Ok(name)
}

fn key(topic: &str, member: SessionId) -> String {
    format!("name/{topic}/{member}")
}
