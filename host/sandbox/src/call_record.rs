//! Record of one hook call: what the plugin could see, and what came of it. Plain data, which
//! recordings keep and replays compare.
//!
//! A hook is a function of its request, the host's answers to its imports, and the memory of its
//! instance. All but the memory is here.

mod answer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::effect::Effect;
use crate::event::PluginEvent;
use crate::fault::Fault;
use crate::fetch_record::FetchRecord;
use crate::manifest::Hook;
use crate::refusal::HookRefusal;
use crate::request::{Caller, HookRequest};
use crate::route_config::RouteConfig;
use crate::store_value::StoreValue;
use crate::verdict::{Delivery, PublishVerdict, SubscribeVerdict};

pub use answer::{Acceptance, AnswerContent, EffectAnswer, EffectsAccepted};

/// Memory of an item besides its texts, in bytes.
const OVERHEAD_BYTES: usize = 64;

/// The version of a plugin that serves, and how it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVersion {
    /// The plugin's name.
    pub plugin: String,
    /// SHA-256 of the component, in hexadecimal digits.
    pub digest: String,
    /// The author's version.
    pub version: String,
    /// The number of lanes.
    pub lanes: usize,
    /// The routes that the instances are configured for.
    pub routes: Vec<RouteConfig>,
}

/// One call of a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// The version that was called.
    pub version: Arc<PluginVersion>,
    /// When the call got its lane.
    pub began: SystemTime,
    /// The request.
    pub input: CallInput,
    /// The host's answers to the plugin's imports.
    pub answers: HostAnswers,
    /// What came of it.
    pub outcome: CallOutcome,
    /// What it cost.
    pub cost: CallCost,
    /// Whether all of the host's answers are here. A call that cannot be replayed has more than a
    /// record may have.
    pub is_whole: bool,
}

/// The request of a call, with the texts of its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInput {
    /// The hook.
    pub hook: Hook,
    /// The name of the realm.
    pub realm: String,
    /// The handler.
    pub handler: String,
    /// The name of the route.
    pub route: String,
    /// The concrete URI.
    pub topic: String,
    /// Variables captured by the route's channel, in its order.
    pub attributes: Vec<(String, String)>,
    /// The session that sent the message; none when the host itself acts.
    pub session: Option<CallerRecord>,
    /// The number of sessions subscribed to the topic.
    pub subscribers: u32,
    /// How many calls of plugins have led to this one.
    #[serde(default)]
    pub depth: u8,
    /// The text of a JSON array.
    pub args: String,
    /// The text of a JSON object.
    pub kwargs: String,
    /// The answer of `on-response` and `on-result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<EffectAnswer>,
}

/// The session that sent the message, as the plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerRecord {
    /// In 1..=2^53.
    pub id: u64,
    /// The authenticated identity.
    pub authid: String,
    /// The first of the roles.
    pub authrole: String,
    /// All roles.
    pub roles: Vec<String>,
    /// `anonymous`, `ticket` …
    pub authmethod: String,
    /// The text of a JSON object.
    pub claims: String,
}

/// The host's answers to the imports of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAnswers {
    /// Seed of all random numbers.
    pub seed: [u8; 32],
    /// Readings of the wall clock in their order, in nanoseconds since 1970.
    pub wall_clock: Vec<u64>,
    /// Readings of the monotonic clock in their order, in nanoseconds.
    pub monotonic_clock: Vec<u64>,
    /// Topics that were asked for their subscribers, in their order.
    pub subscribers: Vec<(String, Vec<u64>)>,
    /// Topics that were asked for the number of their subscribers, in their order.
    pub counts: Vec<(String, u32)>,
    /// Requests of HTTP that the hook waited for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<(String, FetchRecord)>,
    /// The store.
    pub store: StoreSeen,
    /// The answers to effects, when the plugin gave them.
    #[serde(default, skip_serializing_if = "EffectsAccepted::is_empty")]
    pub accepted: EffectsAccepted,
}

/// The part of the store that a call touched, as it was before the call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSeen {
    /// The keys with their values; none if the key was absent.
    pub values: BTreeMap<String, Option<StoreValue>>,
    /// The ranges of keys that were listed: keys of theirs that `values` does not have were absent.
    pub ranges: Vec<ListedRange>,
    /// What was left of the quota before the first write, in bytes; none if the call did not write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<usize>,
}

/// A range of keys that was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRange {
    /// What the keys begin with.
    pub prefix: String,
    /// The last key, if the plugin's limit ended the list.
    pub last: Option<String>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOutcome {
    /// The hook's return value, or its fault.
    pub answer: HookAnswer,
    /// In the order of the hook's calls; none after a fault.
    pub effects: Vec<Effect>,
    /// The last write to each key, by key; none after a fault.
    pub writes: Vec<StoreWrite>,
}

/// A hook's return value, or its fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HookAnswer {
    /// Hooks without an answer: `on-unsubscribe`, `on-timer`.
    Done,
    /// The session becomes a subscriber.
    Allow,
    /// It does not.
    Deny(HookRefusal),
    /// The event is delivered to every subscriber.
    Broadcast,
    /// It is delivered to fewer subscribers, or another event.
    Deliver(Delivery),
    /// It is accepted without delivery.
    Drop,
    /// It is refused.
    Reject(HookRefusal),
    /// The result of a call.
    Result(PluginEvent),
    /// The error of a call.
    Error(HookRefusal),
    /// The result of a call comes later.
    Later,
    /// The hook failed.
    Fault(FaultRecord),
}

/// A fault of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// The kind, as in metrics.
    pub fault: String,
    /// A sentence for people.
    pub message: String,
}

/// A key after a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreWrite {
    /// The key.
    pub key: String,
    /// Its value; none if it was deleted.
    pub value: Option<StoreValue>,
    /// Its time to live, in milliseconds.
    pub ttl_ms: Option<u64>,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCost {
    /// Its time, in nanoseconds.
    pub took_ns: u64,
    /// The memory of the instance after it, in bytes.
    pub memory: usize,
}

impl CallRecord {
    /// Its size in memory in bytes, without that of its version.
    pub fn size(&self) -> usize {
        let Self { version: _, began: _, input, answers, outcome, cost: _, is_whole: _ } = self;
        size_of::<Self>() + input.len() + answers.len() + outcome.len()
    }
}

impl HostAnswers {
    fn len(&self) -> usize {
        let Self { seed: _, wall_clock, monotonic_clock, subscribers, counts, .. } = self;
        let Self { fetched, store: StoreSeen { values, ranges, room: _ }, accepted, .. } = self;
        let ids = |(topic, ids): &(String, Vec<u64>)| {
            topic.len() + ids.len() * size_of::<u64>() + OVERHEAD_BYTES
        };
        let value = |value: &Option<StoreValue>| value.as_ref().map_or(0, |it| it.0.len());
        let values = values.iter().map(|(key, it)| key.len() + value(it) + OVERHEAD_BYTES);
        let range = |ListedRange { prefix, last }: &ListedRange| {
            prefix.len() + last.as_ref().map_or(0, String::len) + OVERHEAD_BYTES
        };
        let fetched = fetched.iter().map(|(to, it)| to.len() + it.len() + OVERHEAD_BYTES);
        (wall_clock.len() + monotonic_clock.len()) * size_of::<u64>()
            + subscribers.iter().map(ids).sum::<usize>()
            + counts.iter().map(|(topic, _)| topic.len() + OVERHEAD_BYTES).sum::<usize>()
            + values.sum::<usize>()
            + ranges.iter().map(range).sum::<usize>()
            + fetched.sum::<usize>()
            + accepted.len()
    }
}

impl CallOutcome {
    fn len(&self) -> usize {
        let value = |it: &StoreWrite| it.value.as_ref().map_or(0, |it| it.0.len());
        let Self { answer, effects, writes } = self;
        let writes = writes.iter().map(|it| it.key.len() + value(it) + OVERHEAD_BYTES);
        let effects = effects.iter().map(|it| it.len() + OVERHEAD_BYTES);
        answer.len() + effects.sum::<usize>() + writes.sum::<usize>()
    }
}

impl HookAnswer {
    fn len(&self) -> usize {
        match self {
            Self::Done | Self::Allow | Self::Broadcast | Self::Drop | Self::Later => 0,
            Self::Deny(it) | Self::Reject(it) | Self::Error(it) => it.uri.len() + it.message.len(),
            Self::Deliver(it) => {
                let ids = it.exclude.len() + it.eligible.as_ref().map_or(0, Vec::len);
                it.event.as_ref().map_or(0, PluginEvent::len) + ids * size_of::<u64>()
            }
            Self::Result(event) => event.len(),
            Self::Fault(it) => it.fault.len() + it.message.len(),
        }
    }
}

impl CallCost {
    /// Its time.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.took_ns)
    }
}

impl CallInput {
    pub(crate) fn new(
        hook: Hook,
        realm: String,
        request: &HookRequest<'_>,
        (args, kwargs): (&str, &str),
    ) -> Self {
        let attributes = request.attributes.iter();
        Self {
            hook,
            realm,
            handler: request.handler.to_owned(),
            route: request.route.to_owned(),
            topic: request.topic.to_owned(),
            attributes: attributes.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            session: request.session.as_ref().map(CallerRecord::new),
            subscribers: request.subscribers,
            depth: request.depth,
            args: args.to_owned(),
            kwargs: kwargs.to_owned(),
            answer: None,
        }
    }

    /// Its size in memory, in bytes.
    fn len(&self) -> usize {
        let Self { hook: _, realm, handler, route, topic, attributes, session, .. } = self;
        let Self { subscribers: _, depth: _, args, kwargs, answer, .. } = self;
        let texts = [realm, handler, route, topic, args, kwargs].into_iter().map(String::len);
        let attributes =
            attributes.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD_BYTES);
        let caller = session.iter().map(CallerRecord::len);
        texts.chain(attributes).chain(caller).chain(answer.iter().map(EffectAnswer::len)).sum()
    }
}

impl CallerRecord {
    fn new(caller: &Caller<'_>) -> Self {
        Self {
            id: caller.id,
            authid: caller.authid.to_owned(),
            authrole: caller.authrole.to_owned(),
            roles: caller.roles.to_vec(),
            authmethod: caller.authmethod.to_owned(),
            claims: caller.claims.to_owned(),
        }
    }

    /// The caller of a replayed call.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            id: self.id,
            authid: &self.authid,
            authrole: &self.authrole,
            roles: &self.roles,
            authmethod: &self.authmethod,
            claims: &self.claims,
            client: self.id,
            anonymous_from: None,
        }
    }

    fn len(&self) -> usize {
        let Self { id: _, authid, authrole, roles, authmethod, claims } = self;
        let texts = [authid, authrole, authmethod, claims].into_iter();
        let roles = roles.iter().map(|role| role.len() + OVERHEAD_BYTES);
        texts.map(String::len).chain(roles).sum()
    }
}

impl StoreSeen {
    /// Whether the record knows what the key held.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.values.contains_key(key) || self.ranges.iter().any(|range| range.contains(key))
    }

    /// Whether the record knows all keys of a range.
    pub(crate) fn knows_all(&self, prefix: &str) -> bool {
        self.ranges
            .iter()
            .any(|range| range.last.is_none() && prefix.starts_with(range.prefix.as_str()))
    }
}

impl ListedRange {
    fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.last.as_deref().is_none_or(|last| key <= last)
    }
}

impl From<&Fault> for FaultRecord {
    fn from(fault: &Fault) -> Self {
        let message = match &fault.stderr {
            Some(text) => format!("{} ({text})", fault.kind),
            None => fault.kind.to_string(),
        };
        Self { fault: fault.kind.label().to_owned(), message }
    }
}

impl From<SubscribeVerdict> for HookAnswer {
    fn from(verdict: SubscribeVerdict) -> Self {
        match verdict {
            SubscribeVerdict::Allow => Self::Allow,
            SubscribeVerdict::Deny(refusal) => Self::Deny(refusal),
        }
    }
}

impl From<PublishVerdict> for HookAnswer {
    fn from(verdict: PublishVerdict) -> Self {
        match verdict {
            PublishVerdict::Broadcast => Self::Broadcast,
            PublishVerdict::Deliver(delivery) => Self::Deliver(delivery),
            PublishVerdict::Drop => Self::Drop,
            PublishVerdict::Reject(refusal) => Self::Reject(refusal),
        }
    }
}

impl From<Result<PluginEvent, HookRefusal>> for HookAnswer {
    fn from(answer: Result<PluginEvent, HookRefusal>) -> Self {
        match answer {
            Ok(event) => Self::Result(event),
            Err(refusal) => Self::Error(refusal),
        }
    }
}

impl From<()> for HookAnswer {
    fn from((): ()) -> Self {
        Self::Done
    }
}

#[cfg(test)]
mod tests;
