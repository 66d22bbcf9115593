//! What a hook wants done. Effects are collected while the hook runs and handed to the host when
//! it has returned, in the order in which the hook asked for them; a hook that fails has none.

use crate::event::Event;

/// What a hook gave: its answer, and what it wants done beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The verdict, or whatever the hook returns.
    pub answer: T,
    /// In the order in which the hook asked for them.
    pub effects: Vec<Effect>,
}

/// One thing that a hook wants done, in the realm that the call belongs to.
///
/// Ids of sessions are in 1..2^53, as the host gave them out; nobody promises that the session
/// still exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// An event for the topic's subscribers, which enters no handler.
    Publish {
        /// Not empty.
        topic: String,
        /// What they receive.
        event: Event,
        /// These sessions do not receive it.
        exclude: Vec<u64>,
        /// If present, only these receive it.
        eligible: Option<Vec<u64>>,
    },
    /// An event of the topic for one session, if it is subscribed.
    Send {
        /// Who receives it.
        session: u64,
        /// Not empty.
        topic: String,
        /// What it receives.
        event: Event,
    },
    /// Takes the session out of the topic.
    Unsubscribe {
        /// Who leaves.
        session: u64,
        /// Not empty.
        topic: String,
    },
    /// Ends the session.
    Close {
        /// Who is sent away.
        session: u64,
        /// A URI for the client, not empty.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
}

impl Effect {
    /// Bytes that the effect counts for.
    pub(crate) fn len(&self) -> usize {
        const ID: usize = size_of::<u64>();
        match self {
            Self::Publish { topic, event, exclude, eligible } => {
                let ids = exclude.len() + eligible.as_ref().map_or(0, Vec::len);
                topic.len() + event.len() + ids * ID
            }
            Self::Send { topic, event, .. } => topic.len() + event.len() + ID,
            Self::Unsubscribe { topic, .. } => topic.len() + ID,
            Self::Close { reason, message, .. } => reason.len() + message.len() + ID,
        }
    }
}
