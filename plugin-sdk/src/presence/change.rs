//! Changes of the members of a topic, and their events.

use serde::Serialize;

use super::{Member, MemberId};
use crate::{Error, Event};

/// A change of the members of a topic, as subscribers receive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Change<'a, T> {
    /// The members, for a new subscriber, which is one of them.
    Members {
        /// The member that the subscriber belongs to.
        you: &'a MemberId,
        /// The members in the order of their ids; not all of them, if they are too many.
        members: &'a [Member<T>],
        /// The number of all members.
        count: u32,
    },
    /// A member has joined.
    Joined {
        /// The new member.
        member: Member<&'a T>,
    },
    /// A member has left.
    Left {
        /// The member, with its last information.
        member: Member<&'a T>,
    },
    /// The information about a member has changed.
    Updated {
        /// The member with its new information.
        member: Member<&'a T>,
    },
}

impl<T: Serialize> Change<'_, T> {
    /// The event of one value with the change as JSON, a form that WAMP v1 clients receive as well:
    ///
    /// ```json
    /// {"type": "members", "you": {"user": "ann"}, "members": [{"user": "ann", "info": 1}], "count": 1}
    /// {"type": "joined", "member": {"user": "bob", "info": 2}}
    /// {"type": "updated", "member": {"user": "bob", "info": 3}}
    /// {"type": "left", "member": {"user": "bob", "info": 3}}
    /// ```
    ///
    /// An anonymous member has `"session": 123` instead of `"user"`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], if the information cannot be serialized as JSON.
    pub fn event(&self) -> Result<Event, Error> {
        Event::of(self)
    }
}

/// [`Change::event`] as the function of a presence.
pub(super) fn event<T: Serialize>(change: &Change<'_, T>) -> Result<Option<Event>, Error> {
    change.event().map(Some)
}
