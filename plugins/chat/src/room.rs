//! Hooks of a room. Each gets the route's settings, the request and, for some, the event. An error,
//! passed on with `?`, refuses the request.

use std::time::Duration;

use jackfield_plugin::{Event, Publish, RateLimit, Refusal, Request, Subscribe, sessions, topics};
use serde::Deserialize;

use crate::{
    events::{Message, RoomEvent},
    history,
    names::{self, MEMBERS},
    settings::Settings,
};

/// The time in which a member may send `burst` messages.
const BURST_TIME: Duration = Duration::from_secs(10);

/// A publication of a member: `{"text": "hello"}` or `{"nick": "Alice"}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoomCommand {
    Text(String),
    Nick(String),
}

/// Gives a new member a name and the history. The presence notifies the others.
pub(crate) fn join(_settings: &mut Settings, request: &Request) -> Result<Subscribe, Refusal> {
    let (topic, caller) = (request.topic(), request.caller()?);
    let you = names::choose(request, caller)?;
    MEMBERS.join(request, &you)?;
    let history = RoomEvent::History { you, messages: history::read(request)? };
    sessions::send(caller.id(), topic, history.event()?);
    Ok(Subscribe::allow())
}

/// Removes a member that leaves with its last session. The presence notifies the others.
pub(crate) fn leave(_settings: &mut Settings, request: &Request) -> Result<(), Refusal> {
    MEMBERS.leave(request)
}

/// Publishes a message with its sender's name, or changes that name.
pub(crate) fn say(
    settings: &mut Settings,
    request: &Request,
    event: &Event,
) -> Result<Publish, Refusal> {
    let topic = request.topic();
    let Some(from) = MEMBERS.caller(request)?.map(|member| member.info) else {
        return Err(Refusal::not_authorized("Join the room before you speak."));
    };
    match event.single()? {
        RoomCommand::Text(text) => {
            let text = acceptable(&text, settings.max_length)?;
            let limit = RateLimit::new("flood", settings.burst, BURST_TIME);
            limit.uri("acme.chat.error.flood").per_session(request)?;
            let message = Message { from, text };
            history::add(request, &message, settings.history)?;
            Ok(Publish::deliver(RoomEvent::Message(message).event()?))
        }
        RoomCommand::Nick(to) => {
            names::change(request, &to)?;
            // Published to all, so that the member receives it as well.
            topics::publish(topic, RoomEvent::Renamed { from, to }.event()?);
            Ok(Publish::drop())
        }
    }
}

/// Returns the names of the members.
pub(crate) fn members(
    _settings: &mut Settings,
    request: &Request,
    _event: &Event,
) -> Result<Event, Refusal> {
    Ok(Event::of(&names::all(request)?)?)
}

fn acceptable(text: &str, max_length: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::invalid_argument("Say something."));
    }
    if text.chars().count() > max_length {
        let message = format!("A message has {max_length} characters at most.");
        return Err(Refusal::invalid_argument(message));
    }
    Ok(text.to_owned())
}
