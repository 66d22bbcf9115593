//! Expectations and inboxes: the comparison of a line with the oldest unread message of a client.

use std::ops::Range;

use super::{Bindings, Client, Expected, Failure, Item, Value};
use crate::dialogue::ledger::Received;
use crate::dialogue::symbol::{Symbol, Verb};

/// Takes the oldest message if it is the expected one. Returns false if no message is there.
///
/// # Errors
/// When another message is there, or one where none was expected.
pub(super) fn take(
    client: &mut Client,
    name: &str,
    expected: &Expected,
    bindings: &mut Bindings,
    range: &Range<usize>,
) -> Result<bool, Failure> {
    skip(client, Some(expected));
    let Some(item) = client.inbox.front() else {
        return Ok(matches!(expected, Expected::Nothing));
    };
    let actual = || shown(Some(item), Some(expected));
    let failed = |message: String| {
        let failure = Failure::new(range.clone(), message).with_expected(written(expected));
        failure.with_actual(actual()).with_line(line(item))
    };
    let mut tried = bindings.clone();
    let compared = match (expected, item) {
        (Expected::Closed, Item::Closed { .. }) => Ok(()),
        (Expected::Symbol(symbol), Item::Message { received, .. }) => match &received.symbol {
            Some(actual) if actual.verb == symbol.verb => symbol.compare(actual, &mut tried),
            Some(_) | None => return Err(failed(format!("`{name}` has received another message"))),
        },
        (Expected::Raw(value), Item::Message { received, .. }) => {
            tried.compare(value, &received.message)
        }
        (Expected::Nothing, Item::Message { .. } | Item::Closed { .. })
        | (Expected::Closed, Item::Message { .. }) => {
            return Err(failed(format!("`{name}` has received a message")));
        }
        (Expected::Symbol(_) | Expected::Raw(_), Item::Closed { .. }) => {
            return Err(failed(format!("the connection of `{name}` has ended")));
        }
    };
    if let Err(difference) = compared {
        let failure = failed(format!("`{name}` has received another message"));
        return Err(failure.with_difference(&difference));
    }
    *bindings = tried;
    client.pop();
    Ok(true)
}

/// Checks that a client has no unread messages, except acknowledgements.
///
/// # Errors
/// The oldest unread message.
pub(super) fn check_read(
    client: &mut Client,
    name: &str,
    range: &Range<usize>,
) -> Result<(), Failure> {
    skip(client, None);
    let Some(item) = client.inbox.front() else { return Ok(()) };
    let message = match item {
        Item::Message { .. } => format!("`{name}` has received a message that no line expects"),
        Item::Closed { .. } => {
            format!("the connection of `{name}` has ended, which no line expects")
        }
    };
    let failure = Failure::new(range.clone(), message).with_actual(shown(Some(item), None));
    Err(failure.with_line(line(item)))
}

/// Removes the acknowledgements before the next other message, unless they are expected. A closed
/// connection of version 2 needs no line, because the farewell before it has one.
fn skip(client: &mut Client, expected: Option<&Expected>) {
    let is_v1 = client.is_v1();
    while let Some(item) = client.inbox.front() {
        let is_silent = match item {
            Item::Message { received, .. } => {
                received.is_acknowledgement && !expected.is_some_and(|it| may_mean(it, received))
            }
            Item::Closed { .. } => !is_v1 && matches!(expected, None | Some(Expected::Nothing)),
        };
        if !is_silent {
            return;
        }
        client.pop();
    }
}

/// Returns whether a line is about this kind of message.
fn may_mean(expected: &Expected, received: &Received) -> bool {
    match expected {
        Expected::Symbol(symbol) => {
            received.symbol.as_ref().is_some_and(|actual| actual.verb == symbol.verb)
        }
        Expected::Raw(value) => match value.items().first() {
            Some(Value::Number(_)) => value.items().first() == received.message.items().first(),
            Some(_) | None => true,
        },
        Expected::Nothing | Expected::Closed => false,
    }
}

pub(super) fn is_goodbye(item: &Item) -> bool {
    let Item::Message { received, .. } = item else { return false };
    received.symbol.as_ref().is_some_and(|symbol| symbol.verb == Verb::Goodbye)
}

/// Returns a received message as the expected one is written.
pub(super) fn shown(item: Option<&Item>, expected: Option<&Expected>) -> String {
    match item {
        None => "nothing".to_owned(),
        Some(Item::Closed { reason }) => format!("closed ({reason})"),
        Some(Item::Message { received, .. }) => {
            let like: Option<&Symbol> = match expected {
                Some(Expected::Raw(_)) => return received.message.to_string(),
                Some(Expected::Symbol(symbol)) => Some(symbol),
                Some(Expected::Nothing | Expected::Closed) | None => None,
            };
            match &received.symbol {
                Some(symbol) => symbol.shown_like(like).to_string(),
                None => received.message.to_string(),
            }
        }
    }
}

/// Returns an expectation as it is written.
pub(super) fn written(expected: &Expected) -> String {
    match expected {
        Expected::Symbol(symbol) => symbol.to_string(),
        Expected::Raw(value) => value.to_string(),
        Expected::Nothing => "nothing".to_owned(),
        Expected::Closed => "closed".to_owned(),
    }
}

fn line(item: &Item) -> usize {
    if let Item::Message { line, .. } = item { *line } else { 0 }
}
