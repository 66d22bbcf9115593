//! Unique names of a room's members: the information of the room's [`Presence`].

use jackfield_plugin::{
    Error, Event, Presence, Refusal, Request, Session,
    presence::{Change, MemberId},
};

use crate::events::RoomEvent;

/// The members of a room, with their names. A user with several sessions is one member.
pub(crate) const MEMBERS: Presence<String> = Presence::new("room").without_list().events(event);

/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 30;

/// Returns the names of the members.
pub(crate) fn all(request: &Request) -> Result<Vec<String>, Error> {
    Ok(MEMBERS.members(request)?.into_iter().map(|member| member.info).collect())
}

/// Returns the name of the caller's user in another session, or else the `authid`, with a number
/// appended if it is taken.
pub(crate) fn choose(request: &Request, caller: &Session) -> Result<String, Error> {
    if let Some(member) = MEMBERS.find(request, &MemberId::of(caller))? {
        return Ok(member.info);
    }
    let taken = all(request)?;
    let mut name = caller.authid().to_owned();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{}-{number}", caller.authid());
    }
    Ok(name)
}

/// Changes the caller's name.
pub(crate) fn change(request: &Request, chosen: &String) -> Result<(), Refusal> {
    if !(1..=MAX_NAME_CHARS).contains(&chosen.chars().count())
        || chosen.chars().any(char::is_control)
    {
        let message = format!("A name has 1 to {MAX_NAME_CHARS} printable characters.");
        return Err(Refusal::invalid_argument(message));
    }
    if all(request)?.contains(chosen) {
        let message = format!("The name {chosen} is taken.");
        return Err(Refusal::new("acme.chat.error.name_taken", message));
    }
    MEMBERS.update(request, chosen)?;
    Ok(())
}

/// A new member receives the history instead of the members, and `room` publishes new names with the
/// old ones.
fn event(change: &Change<'_, String>) -> Result<Option<Event>, Error> {
    let event = match change {
        Change::Joined { member } => RoomEvent::Joined { who: member.info.clone() },
        Change::Left { member } => RoomEvent::Left { who: member.info.clone() },
        Change::Members { .. } | Change::Updated { .. } => return Ok(None),
    };
    event.event().map(Some)
}
