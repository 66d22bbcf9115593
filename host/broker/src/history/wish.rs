//! Wish of a subscriber: the retained events that it asks for.

use std::fmt;

use jackfield_wamp::uri::MatchPolicy;

/// The retained events that a subscriber asks for.
#[derive(Clone, Copy, Default)]
pub enum RetainedWish<'a> {
    /// None.
    #[default]
    Nothing,
    /// That of its topic.
    OfTopic,
    /// Those of the topics that its pattern matches.
    OfPattern(MatchPolicy, MayReceive<'a>),
}

/// Returns whether the subscriber receives the events of a topic by its pattern. It takes no lock.
pub type MayReceive<'a> = &'a (dyn Fn(&str) -> bool + Sync);

impl fmt::Debug for RetainedWish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::OfTopic => f.write_str("OfTopic"),
            Self::OfPattern(policy, _) => f.debug_tuple("OfPattern").field(policy).finish(),
        }
    }
}
