//! What hooks answer: whether a session may subscribe, and what becomes of a published event.
//!
//! A hook may return a verdict as it is, or a `Result` whose error is a [`Refusal`]; [`Answer`]
//! is what both have in common.

use crate::{Event, Refusal, SessionId};

/// The answer of `on_subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscribe {
    /// The session becomes a subscriber.
    Allow,
    /// It does not, and is told why.
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
    /// To every subscriber that the publisher did not exclude.
    Broadcast,
    /// A changed event, or fewer receivers, or both.
    Deliver(Delivery),
    /// Accepted, and delivered to nobody.
    Drop,
    /// Refused; the publisher is told why, if it asked to be.
    Reject(Refusal),
}

/// A narrower delivery. It can only narrow: what the publisher excluded stays excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub(crate) event: Option<Event>,
    pub(crate) exclude: Vec<SessionId>,
    pub(crate) eligible: Option<Vec<SessionId>>,
}

/// What a hook may return for a `T`: the `T` itself, or a `Result` whose error is a [`Refusal`].
pub trait Answer<T> {
    /// The `T`, or why there is none.
    ///
    /// # Errors
    ///
    /// The hook's own.
    fn into_answer(self) -> Result<T, Refusal>;
}

impl Subscribe {
    /// The session becomes a subscriber.
    pub const fn allow() -> Self {
        Self::Allow
    }

    /// `wamp.error.not_authorized`, with one sentence for a person. For other error URIs, return
    /// a [`Refusal`].
    pub fn deny(message: impl Into<String>) -> Self {
        Self::Deny(Refusal::not_authorized(message))
    }
}

impl Publish {
    /// To every subscriber that the publisher did not exclude.
    pub const fn broadcast() -> Self {
        Self::Broadcast
    }

    /// This event instead of the published one.
    pub fn deliver(event: Event) -> Self {
        Self::Deliver(Delivery { event: Some(event), ..Delivery::default() })
    }

    /// Accepted, and delivered to nobody.
    pub const fn drop() -> Self {
        Self::Drop
    }

    /// `wamp.error.not_authorized`, with one sentence for a person. For other error URIs, return
    /// a [`Refusal`].
    pub fn reject(message: impl Into<String>) -> Self {
        Self::Reject(Refusal::not_authorized(message))
    }

    /// These sessions do not receive it either. Changes nothing where nobody receives anything.
    #[must_use]
    pub fn exclude(self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.narrow(|delivery| delivery.exclude.extend(sessions))
    }

    /// Only these receive it; none is nobody. Said twice, only those named both times. Changes
    /// nothing where nobody receives anything.
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

/// One implementation a type, and no blanket one, so that `?` inside a closure knows the error.
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

answers!(Subscribe, Publish, Event, ());

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
