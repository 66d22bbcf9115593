//! Attempts of sessions, and decisions of authorizers about them.

use std::time::Duration;

use crate::contract::authorizer;
use crate::refusal::HookRefusal;
use crate::verdict::Answer;

/// An action that a session asks for. The request of the hook has its URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccessAttempt {
    /// The action.
    pub action: AccessAction,
    /// The meaning of the URI.
    pub policy: AccessPolicy,
    /// The options of the request.
    pub options: AccessOptions,
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessAction {
    /// SUBSCRIBE.
    Subscribe,
    /// PUBLISH.
    Publish,
    /// REGISTER.
    Register,
    /// CALL.
    Call,
}

/// The meaning of a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessPolicy {
    /// It names a topic or a procedure.
    Exact,
    /// It begins those that are meant.
    Prefix,
    /// Its empty components match any.
    Wildcard,
}

/// Options of a request that authorizers see; each is a wish of the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent flags of the contract")]
pub struct AccessOptions {
    /// Of a publisher or caller: to be disclosed.
    pub disclose_me: bool,
    /// Of a publisher: an acknowledgement.
    pub acknowledge: bool,
    /// Of a publisher: later subscribers get the event.
    pub retain: bool,
    /// Of a subscriber: the event that is kept.
    pub get_retained: bool,
    /// Of a callee: to share the procedure.
    pub shared: bool,
    /// Of a callee: to end the registrations of others.
    pub force_reregister: bool,
    /// Of a caller: to send arguments in several messages.
    pub progress: bool,
}

/// Answer of `authorize`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessDecision {
    /// The permission, or the refusal for the client.
    pub answer: Result<AccessPermission, HookRefusal>,
    /// How long it may be kept; `None` if it may not.
    pub keep: Option<Keep>,
}

/// Permission for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPermission {
    /// Whether the publisher or caller is disclosed in any case.
    pub disclose: bool,
}

/// How long, and for whom, a decision holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Its time.
    pub time: Duration,
    /// The sessions.
    pub audience: KeepFor,
}

/// The sessions for which a decision holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepFor {
    /// The session that asked.
    Session,
    /// All sessions of the realm with the same identity.
    Principal,
}

impl From<AccessAttempt> for authorizer::Attempt {
    fn from(AccessAttempt { action, policy, options }: AccessAttempt) -> Self {
        let AccessOptions {
            disclose_me,
            acknowledge,
            retain,
            get_retained,
            shared,
            force_reregister,
            progress,
        } = options;
        let flags = [
            (disclose_me, authorizer::Options::DISCLOSE_ME),
            (acknowledge, authorizer::Options::ACKNOWLEDGE),
            (retain, authorizer::Options::RETAIN),
            (get_retained, authorizer::Options::GET_RETAINED),
            (shared, authorizer::Options::SHARED),
            (force_reregister, authorizer::Options::FORCE_REREGISTER),
            (progress, authorizer::Options::PROGRESS),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        Self {
            action: match action {
                AccessAction::Subscribe => authorizer::Action::Subscribe,
                AccessAction::Publish => authorizer::Action::Publish,
                AccessAction::Register => authorizer::Action::Register,
                AccessAction::Call => authorizer::Action::Call,
            },
            policy: match policy {
                AccessPolicy::Exact => authorizer::MatchPolicy::Exact,
                AccessPolicy::Prefix => authorizer::MatchPolicy::Prefix,
                AccessPolicy::Wildcard => authorizer::MatchPolicy::Wildcard,
            },
            options: set.fold(authorizer::Options::empty(), |all, (_, flag)| all | flag),
        }
    }
}

impl Answer for AccessDecision {
    type Raw = authorizer::Decision;

    fn parse(raw: Self::Raw) -> Result<Self, String> {
        let authorizer::Decision { answer, keep } = raw;
        let answer = match answer {
            Ok(authorizer::Permission { disclose }) => Ok(AccessPermission { disclose }),
            Err(refusal) => Err(HookRefusal::parse(refusal)?),
        };
        let keep = keep.map(|authorizer::Keep { time, audience }| Keep {
            time: Duration::from_millis(time.into()),
            audience: match audience {
                authorizer::Audience::Session => KeepFor::Session,
                authorizer::Audience::Principal => KeepFor::Principal,
            },
        });
        Ok(Self { answer, keep })
    }

    fn len(&self) -> usize {
        self.answer.as_ref().err().map_or(0, HookRefusal::len)
    }
}
