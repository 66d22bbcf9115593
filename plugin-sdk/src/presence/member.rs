//! Members of a topic and their ids.

use serde::{Deserialize, Serialize};

use crate::{Session, SessionId};

/// A member of a topic: a user with all sessions, or one anonymous session.
///
/// As JSON it is `{"user": "ann", "info": …}` or `{"session": 123, "info": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member<T> {
    /// The id.
    #[serde(flatten)]
    pub id: MemberId,
    /// The information that the handler has given.
    pub info: T,
}

/// The id of a member. Users and anonymous sessions are never confused, whatever their names are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberId {
    /// The `authid` of a user.
    User(String),
    /// An anonymous session. It has a generated `authid`, another one after each reconnection.
    Session(SessionId),
}

impl MemberId {
    /// The member that the session belongs to.
    pub fn of(session: &Session) -> Self {
        if session.is_anonymous() {
            Self::Session(session.id())
        } else {
            Self::User(session.authid().to_owned())
        }
    }

    /// The id as a part of a key of the store, without ambiguity.
    pub(super) fn key(&self) -> String {
        match self {
            Self::User(authid) => format!("u{authid}"),
            Self::Session(session) => format!("s{session}"),
        }
    }

    /// The opposite of [`MemberId::key`].
    pub(super) fn parse(key: &str) -> Option<Self> {
        if let Some(authid) = key.strip_prefix('u') {
            return Some(Self::User(authid.to_owned()));
        }
        let session = key.strip_prefix('s')?.parse::<u64>().ok()?;
        Some(Self::Session(session.into()))
    }
}
