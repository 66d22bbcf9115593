//! Subjects of circuits, the possible causes of a fault, and the rule of each.

use jackfield_text::Untrusted;

use super::circuit::{Rule, Sources};
use crate::fault::CircuitScope;
use crate::policy::BreakerPolicy;
use crate::request::{Caller, HookRequest};

/// Subject of a circuit. The numbers are hashes, or session ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    SessionOnTopic { session: u64, topic: u64 },
    Session(u64),
    Client(u64),
    Topic(u64),
    Handler,
}

/// The subjects of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) request: &'a HookRequest<'a>,
    pub(super) topic: u64,
    /// Session and client; none where the host itself calls. A client that logs in is known by its address alone.
    pub(super) source: Option<(u64, u64)>,
}

/// Faults that open the circuit of a session, in multiples of the policy's.
const SESSION_FACTOR: u32 = 4;
/// Faults that open the circuit of a client. Many people can share one address.
const CLIENT_FACTOR: u32 = 20;
/// Bytes of a topic or a user's name in a log line.
const MAX_NAME_BYTES: usize = 200;
/// The session of timers; session ids begin with 1.
const NO_SESSION: u64 = 0;

impl Subject {
    pub(super) fn rule(self, policy: &BreakerPolicy) -> Rule {
        let BreakerPolicy { faults, spread, .. } = *policy;
        let clients = usize::try_from(faults).unwrap_or(usize::MAX);
        let rule = Rule { faults, ..Rule::default() };
        match self {
            Self::SessionOnTopic { .. } => rule,
            Self::Session(_) => {
                Rule { faults: faults.saturating_mul(SESSION_FACTOR), topics: spread, ..rule }
            }
            Self::Client(_) => {
                Rule { faults: faults.saturating_mul(CLIENT_FACTOR), sessions: spread, ..rule }
            }
            Self::Topic(_) => Rule { clients, half: true, ..rule },
            Self::Handler => Rule { clients, topics: spread, half: true, ..rule },
        }
    }

    pub(super) fn is_of_client(self) -> bool {
        matches!(self, Self::SessionOnTopic { .. } | Self::Session(_) | Self::Client(_))
    }

    pub(super) fn scope(self) -> CircuitScope {
        match self {
            Self::SessionOnTopic { .. } | Self::Session(_) | Self::Client(_) => {
                CircuitScope::Client
            }
            Self::Topic(_) => CircuitScope::Topic,
            Self::Handler => CircuitScope::Handler,
        }
    }
}

impl Call<'_> {
    /// The subjects of the call, the narrowest first.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject> {
        let topic = self.topic;
        let session = self.source.map_or(NO_SESSION, |(session, _)| session);
        let of_client = self.source.map(|(session, client)| {
            [
                Subject::Session(session),
                Subject::Client(client),
                Subject::Topic(topic),
                Subject::Handler,
            ]
        });
        std::iter::once(Subject::SessionOnTopic { session, topic })
            .chain(of_client.into_iter().flatten())
            .chain(self.source.is_none().then_some(Subject::Handler))
    }

    pub(super) fn sources(&self) -> Sources {
        Sources {
            client: self.source.map(|(_, client)| client),
            session: self.source.map(|(session, _)| session),
            topic: self.topic,
        }
    }

    /// A subject's name in log lines.
    pub(super) fn name_of(&self, subject: Subject) -> String {
        let topic = Untrusted::new(self.request.topic).at_most(MAX_NAME_BYTES);
        if let Some(login) = self.request.login {
            let address = login.address;
            let from = address.map_or_else(|| "a Unix socket".into(), |it| it.to_string());
            return match subject {
                Subject::SessionOnTopic { .. } => format!("logins of {topic} from {from}"),
                Subject::Session(_) | Subject::Client(_) => format!("logins from {from}"),
                Subject::Topic(_) => format!("logins of {topic}"),
                Subject::Handler => "the whole handler".to_owned(),
            };
        }
        let caller = self.request.session;
        let session = caller.map_or(NO_SESSION, |caller| caller.id);
        match subject {
            Subject::SessionOnTopic { .. } if caller.is_none() => {
                format!("the timer of topic {topic}")
            }
            Subject::SessionOnTopic { .. } => format!("session {session} on topic {topic}"),
            Subject::Session(_) => format!("session {session}"),
            Subject::Client(_) => match caller {
                Some(Caller { anonymous_from: Some(address), .. }) => {
                    format!("anonymous sessions from {address}")
                }
                Some(Caller { authid, .. }) => {
                    format!("user {}", Untrusted::new(authid).at_most(MAX_NAME_BYTES))
                }
                None => String::new(),
            },
            Subject::Topic(_) => format!("topic {topic}"),
            Subject::Handler => "the whole handler".to_owned(),
        }
    }
}
