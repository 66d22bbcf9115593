//! Verdicts of hooks: whether a session may subscribe, and how a published event is delivered.
//!
//! A hook returns a verdict, or a `Result` whose error is a [`Refusal`]; both implement
//! [`Answer`].

use crate::{
    Event, Refusal, SessionId,
    access::{Authorize, Principal},
};

/// The answer of `on_subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscribe {
    /// The session becomes a subscriber.
    Allow,
    /// The session receives the refusal.
    Deny(Refusal),
}

/// The answer of `on_publish`.
///
/// ```
/// use jackfield_plugin::{Event, Publish, SessionId};
///
/// let to_all = Publish::broadcast();
/// let changed = Publish::deliver(Event::new("HELLO"));
/// let narrower = Publish::broadcast().exclude([SessionId::from(7)]);
/// # assert_ne!(to_all, changed);
/// # assert_ne!(to_all, narrower);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// Delivered to every subscriber that the publisher did not exclude.
    Broadcast,
    /// Delivered with a changed event, to fewer receivers, or both.
    Deliver(Delivery),
    /// Accepted and not delivered.
    Drop,
    /// Refused. A publisher that asked for an acknowledgement receives the refusal.
    Reject(Refusal),
}

/// A change of the event or its receivers. It can only narrow the receivers: sessions that the
/// publisher excluded stay excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub(crate) event: Option<Event>,
    pub(crate) exclude: Vec<SessionId>,
    pub(crate) eligible: Option<Vec<SessionId>>,
}

/// A return value of a hook with the answer `T`: a `T`, or a `Result` whose error is a [`Refusal`].
pub trait Answer<T> {
    /// Converts the return value into a `Result`.
    ///
    /// # Errors
    ///
    /// The hook's refusal.
    fn into_answer(self) -> Result<T, Refusal>;
}

impl Subscribe {
    /// Accepts the subscription.
    pub const fn allow() -> Self {
        Self::Allow
    }

    /// Refuses the subscription with `wamp.error.not_authorized` and a message for people. For
    /// other error URIs, return a [`Refusal`].
    pub fn deny(message: impl Into<String>) -> Self {
        Self::Deny(Refusal::not_authorized(message))
    }
}

impl Publish {
    /// Delivers the event to every subscriber that the publisher did not exclude.
    pub const fn broadcast() -> Self {
        Self::Broadcast
    }

    /// Delivers this event instead of the published one.
    pub fn deliver(event: Event) -> Self {
        Self::Deliver(Delivery { event: Some(event), ..Delivery::default() })
    }

    /// Accepts the event and does not deliver it.
    pub const fn drop() -> Self {
        Self::Drop
    }

    /// Refuses the event with `wamp.error.not_authorized` and a message for people. For other error
    /// URIs, return a [`Refusal`].
    pub fn reject(message: impl Into<String>) -> Self {
        Self::Reject(Refusal::not_authorized(message))
    }

    /// Excludes these sessions as well. Has no effect on [`Publish::Drop`] and [`Publish::Reject`].
    #[must_use]
    pub fn exclude(self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.narrow(|delivery| delivery.exclude.extend(sessions))
    }

    /// Delivers to these sessions only; an empty list delivers to none. Repeated calls intersect.
    /// Has no effect on [`Publish::Drop`] and [`Publish::Reject`].
    #[must_use]
    pub fn eligible(self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.narrow(|delivery| {
            let mut sessions: Vec<_> = sessions.into_iter().collect();
            if let Some(before) = &delivery.eligible {
                sessions.retain(|session| before.contains(session));
            }
            delivery.eligible = Some(sessions);
        })
    }

    fn narrow(self, change: impl FnOnce(&mut Delivery)) -> Self {
        let mut delivery = match self {
            Self::Broadcast => Delivery::default(),
            Self::Deliver(delivery) => delivery,
            Self::Drop | Self::Reject(_) => return self,
        };
        change(&mut delivery);
        Self::Deliver(delivery)
    }
}

/// One implementation per type and no blanket one, so that `?` in a closure can infer the error.
macro_rules! answers {
    ($($answer:ty),*) => {$(
        impl Answer<$answer> for $answer {
            fn into_answer(self) -> Result<$answer, Refusal> {
                Ok(self)
            }
        }

        impl Answer<$answer> for Result<$answer, Refusal> {
            fn into_answer(self) -> Self {
                self
            }
        }
    )*};
}

answers!(Subscribe, Publish, Event, Authorize, Option<Principal>, ());

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> Vec<SessionId> {
        ids.iter().copied().map(SessionId::from).collect()
    }

    #[test]
    fn narrowing_never_widens_the_receivers() {
        let verdict = Publish::broadcast().eligible(ids(&[1, 2, 3])).eligible(ids(&[2, 3, 4]));
        let Publish::Deliver(delivery) = verdict.exclude(ids(&[2])).exclude(ids(&[9])) else {
            panic!("narrowing keeps delivering");
        };
        assert_eq!(delivery.eligible, Some(ids(&[2, 3])));
        assert_eq!(delivery.exclude, ids(&[2, 9]));
        assert_eq!(delivery.event, None);
    }

    #[test]
    fn narrowing_keeps_drop_and_reject() {
        assert_eq!(Publish::drop().eligible(ids(&[1])), Publish::Drop);
        assert_eq!(Publish::reject("no").exclude(ids(&[1])), Publish::reject("no"));
    }
}
