//! Questions to the home of a plugin, and its answers. Both are JSON: the texts of an event are JSON
//! anyway, and verdicts and effects have this form in recordings already.

use std::net::IpAddr;

use jackfield_sandbox::{
    CallAnswer, Caller, Effect, Hook, HookAnswer, HookRefusal, HookRequest, Later, PluginEvent,
    PublishVerdict, SubscribeVerdict,
};
use serde::{Deserialize, Serialize};

/// A message to the home of a plugin, or from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HomeMessage {
    /// A session has subscribed or left.
    Member(Box<Membership>),
    /// The effects with this number are performed.
    Performed(u64),
    /// The result of the deferred call to which the asking node has given this number.
    Result(u64, LateResult),
    /// The result with this number is not needed any more.
    Forget(u64),
}

/// The result of a deferred call, which follows its [`Decision`].
pub(crate) type LateResult = Result<PluginEvent, HookRefusal>;

/// A hook that the home is to run. The answer is a [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) hook: Hook,
    pub(crate) realm: String,
    pub(crate) plugin: String,
    pub(crate) topic: String,
    /// The number of calls of plugins that have led to the hook.
    pub(crate) depth: u8,
    /// Whether the home may know the subscriber already: it is not asked again then.
    pub(crate) is_again: bool,
    /// The number for a deferred result of a call; 0 for another hook.
    pub(crate) later: u64,
    pub(crate) session: RemoteSession,
    /// The text of a JSON array.
    pub(crate) args: String,
    /// The text of a JSON object.
    pub(crate) kwargs: String,
}

/// A session of another node, as hooks see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteSession {
    pub(crate) id: u64,
    authid: String,
    roles: Vec<String>,
    authmethod: String,
    claims: String,
    client: u64,
    anonymous_from: Option<IpAddr>,
}

/// The answer of a home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Decision {
    /// The hook has ended.
    Decided {
        verdict: HookAnswer,
        /// The effects for the asking node.
        effects: Vec<Effect>,
        /// The home waits until the asking node has performed them: it knows them by this number.
        held: Option<u64>,
        /// The time limit of a deferred result, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// The hook has failed, or cannot be run.
    Refused { uri: String, message: String },
    /// The asked node is not the home.
    Elsewhere,
}

/// A change of a subscriber, for the home of its topic's plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) realm: String,
    pub(crate) plugin: String,
    pub(crate) topic: String,
    pub(crate) session: RemoteSession,
    pub(crate) change: Change,
}

/// What a session has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// It has subscribed.
    Subscribed,
    /// It has left.
    Left,
    /// It has stayed, and a reload has given the topic to another plugin.
    Reassigned,
}

/// An answer of a hook that a home can give.
pub(crate) trait Verdict: Sized {
    /// Reads the answer; `None` if it is of another hook. `later` is the end of a deferred result.
    fn read(answer: HookAnswer, later: Option<Later>) -> Option<Self>;
}

impl Question {
    /// Creates the question about a request with a session; `None` without one.
    pub(crate) fn new(
        hook: Hook,
        realm: &str,
        plugin: &str,
        request: &HookRequest<'_>,
        is_again: bool,
        (args, kwargs): (&str, &str),
    ) -> Option<Self> {
        Some(Self {
            hook,
            realm: realm.to_owned(),
            plugin: plugin.to_owned(),
            topic: request.topic.to_owned(),
            depth: request.depth,
            is_again,
            later: 0,
            session: RemoteSession::new(&request.session?),
            args: args.to_owned(),
            kwargs: kwargs.to_owned(),
        })
    }

    /// Returns that the session of the question has left.
    pub(crate) fn left(&self) -> Membership {
        let Self { realm, plugin, topic, session, .. } = self.clone();
        Membership { realm, plugin, topic, session, change: Change::Left }
    }
}

impl RemoteSession {
    pub(crate) fn new(caller: &Caller<'_>) -> Self {
        Self {
            id: caller.id,
            authid: caller.authid.to_owned(),
            roles: caller.roles.to_vec(),
            authmethod: caller.authmethod.to_owned(),
            claims: caller.claims.to_owned(),
            client: caller.client,
            anonymous_from: caller.anonymous_from,
        }
    }

    /// Returns the session for a hook.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            id: self.id,
            authid: &self.authid,
            authrole: self.roles.first().map_or("", String::as_str),
            roles: &self.roles,
            authmethod: &self.authmethod,
            claims: &self.claims,
            client: self.client,
            anonymous_from: self.anonymous_from,
        }
    }
}

/// Writes a question or an answer.
pub(crate) fn encode(content: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and lists only: nothing that JSON cannot have.
    serde_json::to_vec(content).unwrap_or_default()
}

/// Reads a question or an answer.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

impl Verdict for SubscribeVerdict {
    fn read(answer: HookAnswer, _: Option<Later>) -> Option<Self> {
        match answer {
            HookAnswer::Allow => Some(Self::Allow),
            HookAnswer::Deny(refusal) => Some(Self::Deny(refusal)),
            _ => None,
        }
    }
}

impl Verdict for PublishVerdict {
    fn read(answer: HookAnswer, _: Option<Later>) -> Option<Self> {
        match answer {
            HookAnswer::Broadcast => Some(Self::Broadcast),
            HookAnswer::Deliver(delivery) => Some(Self::Deliver(delivery)),
            HookAnswer::Drop => Some(Self::Drop),
            HookAnswer::Reject(refusal) => Some(Self::Reject(refusal)),
            _ => None,
        }
    }
}

impl Verdict for CallAnswer {
    fn read(answer: HookAnswer, later: Option<Later>) -> Option<Self> {
        match answer {
            HookAnswer::Result(event) => Some(Self::Now(Ok(event))),
            HookAnswer::Error(refusal) => Some(Self::Now(Err(refusal))),
            HookAnswer::Later => later.map(Self::Later),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Adds a field to each object, as a later version might.
    fn extend(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(extend);
                // The variant of an enum is an object with one field.
                let is_variant =
                    fields.len() == 1 && fields.keys().any(|it| it.starts_with(char::is_uppercase));
                if !is_variant {
                    fields.insert("of_a_later_version".to_owned(), json!({ "any": [1] }));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(extend),
            _ => {}
        }
    }

    fn check<T>(content: &T)
    where
        T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug,
    {
        let mut longer: Value = decode(&encode(content)).unwrap();
        let before = longer.clone();
        extend(&mut longer);
        assert_ne!(longer, before);
        assert_eq!(decode::<T>(longer.to_string().as_bytes()).as_ref(), Some(content), "{longer}");
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let session = RemoteSession {
            id: 7,
            authid: "ann".to_owned(),
            roles: vec!["user".to_owned()],
            authmethod: "ticket".to_owned(),
            claims: "{}".to_owned(),
            client: 1,
            anonymous_from: Some([127, 0, 0, 1].into()),
        };
        let text = str::to_owned;
        let question = Question {
            hook: Hook::Publish,
            realm: text("shop"),
            plugin: text("acme"),
            topic: text("a.b"),
            depth: 1,
            is_again: false,
            later: 0,
            session,
            args: text("[1]"),
            kwargs: text("{}"),
        };
        check(&question);
        check(&HomeMessage::Member(Box::new(question.left())));
        let event = PluginEvent::of_host(text("[1]"), text("{}"));
        check(&HomeMessage::Result(3, Ok(event.clone())));
        let refusal = HookRefusal { uri: text("acme.busy"), message: text("later") };
        check(&HomeMessage::Result(3, Err(refusal.clone())));
        let send = Effect::Send { session: 7, topic: text("a.b"), event };
        let decided = |verdict| Decision::Decided {
            verdict,
            effects: vec![send.clone(), Effect::Unsubscribe { session: 7, topic: text("a.b") }],
            held: Some(9),
            timeout_ms: None,
        };
        check(&decided(HookAnswer::Broadcast));
        check(&decided(HookAnswer::Reject(refusal)));
        check(&Decision::Refused { uri: text("a"), message: text("b") });
    }

    #[test]
    fn unknown_variants_are_not_read() {
        assert_eq!(decode::<Decision>(br#"{"kind":"of_a_later_version"}"#), None);
        assert_eq!(decode::<HomeMessage>(br#"{"Later":{}}"#), None);
    }
}
