//! Replay of a recording against another version of the plugin.
//!
//! Each call runs twice in the real sandbox, with the recorded answers of the host: in the recorded
//! version, and in the new one. Memory is not recorded, so both begin with fresh instances; a call
//! whose recorded outcome the recorded version does not give again is left out, by name.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use jackfield_config::Plugins;
use jackfield_sandbox::{
    AnswerMatcher, Audience, CallCost, CallInput, CallRecord, Differences, Effect, Grant, Hook,
    Lanes, NoSubscribers, Plugin, PluginPolicy, PluginVersion, Replayed, Sandbox, SandboxError,
};
use jackfield_text::Untrusted;

use super::reader::{NumberedCall, Reader};
use super::redact::Redaction;

/// A component with the name of its file.
#[derive(Clone)]
pub(crate) struct Binary {
    pub(crate) file: String,
    pub(crate) bytes: Arc<[u8]>,
}

/// A replay: the parts that all calls share.
pub(crate) struct Replay<'a> {
    sandbox: &'a Sandbox,
    plugins: &'a Plugins,
    new: Binary,
    /// Finds the component of a digest.
    recorded: &'a dyn Fn(&PluginVersion) -> Result<Binary, String>,
}

/// The name of a call in messages.
#[derive(Clone, Debug)]
pub(crate) struct CallName {
    pub(crate) number: u64,
    pub(crate) hook: Hook,
    pub(crate) topic: String,
    pub(crate) session: Option<u64>,
}

/// A call with differences.
pub(crate) struct Different {
    pub(crate) call: CallName,
    pub(crate) differences: Differences,
    /// What the new version asked for and the recording does not have.
    pub(crate) unrecorded: Vec<String>,
}

/// Why a call was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    /// The recorded version gives another outcome now.
    NotReproduced,
    /// It has more answers of the host than are recorded.
    TooLarge,
    /// It has the answer to a request or a call that a version does not make, or that was made
    /// before the recording.
    Unrequested,
    /// A call of another plugin.
    OtherPlugin,
}

/// The results of a replay.
#[derive(Default)]
pub(crate) struct ReplayReport {
    pub(crate) plugin: String,
    pub(crate) same: u64,
    pub(crate) different: u64,
    pub(crate) left_out: BTreeMap<LeftOut, LeftOutCalls>,
    /// How many calls asked for what the recording does not have, by name.
    pub(crate) unrecorded: BTreeMap<String, u64>,
    /// How many times others were asked for, which are not named.
    pub(crate) more_unrecorded: u64,
    pub(crate) old_cost: Cost,
    pub(crate) new_cost: Cost,
    /// The calls that the server dropped.
    pub(crate) dropped: u64,
    pub(crate) redacted: Redaction,
}

/// Calls that were left out for one reason.
#[derive(Default)]
pub(crate) struct LeftOutCalls {
    pub(crate) count: u64,
    /// The first ones.
    pub(crate) names: Vec<CallName>,
}

/// The cost of the compared calls in one version.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    calls: u32,
    total: Duration,
    pub(crate) max: Duration,
    pub(crate) max_memory: usize,
}

/// A version of the recording: its lanes, and those of the new version with the same routes.
struct Pair {
    old: Version,
    new: Version,
}

/// A version that runs.
struct Version {
    lanes: Lanes,
    answers: AnswerMatcher,
}

/// Maximum number of calls that are named as left out, for each reason.
const MAX_NAMES: usize = 10;
/// Maximum number of unrecorded answers that are counted.
const MAX_UNRECORDED: usize = 50;
/// Maximum number of lanes that are started for a version of a recording. Each has an instance; with
/// fewer lanes than the server had, topics share instances that had none in common there.
const MAX_LANES: usize = 64;

impl<'a> Replay<'a> {
    pub(crate) fn new(
        sandbox: &'a Sandbox,
        plugins: &'a Plugins,
        new: Binary,
        recorded: &'a dyn Fn(&PluginVersion) -> Result<Binary, String>,
    ) -> Self {
        Self { sandbox, plugins, new, recorded }
    }

    /// Replays all calls; `show` gets those with differences.
    ///
    /// # Errors
    /// The recording is damaged, or a version cannot be loaded.
    pub(crate) async fn run<R: BufRead>(
        &self,
        reader: &mut Reader<R>,
        show: &mut dyn FnMut(&Different),
    ) -> Result<ReplayReport, String> {
        let redaction = reader.header().redacted;
        let new = self.load(&self.new).await?;
        let plugin = new.manifest().name.clone();
        let mut report = ReplayReport { plugin, redacted: redaction, ..ReplayReport::default() };
        let mut pairs = HashMap::new();
        while let Some(NumberedCall { number, version, record }) = reader.next_call()? {
            let name = CallName::new(number, &record.input);
            if record.version.plugin != report.plugin {
                report.leave_out(LeftOut::OtherPlugin, name);
                continue;
            }
            let Pair { old, new } = match pairs.entry(version) {
                Entry::Occupied(pair) => pair.into_mut(),
                Entry::Vacant(none) => none.insert(self.start(&new, &record.version).await?),
            };
            // Both run every call, as it may change what they keep in memory.
            let old = old.replay(&record, redaction).await;
            let new = new.replay(&record, redaction).await;
            match (old, new) {
                (Some(old), Some(new)) => report.compare(name, &record, &old, new, show),
                (None, _) | (_, None) => report.leave_out(LeftOut::Unrequested, name),
            }
        }
        report.dropped = reader.end().map_or(0, |end| end.dropped);
        Ok(report)
    }

    /// Starts the recorded version, and the new one in its place.
    async fn start(&self, new: &Plugin, version: &PluginVersion) -> Result<Pair, String> {
        let binary = (self.recorded)(version)?;
        let old = self.load(&binary).await?;
        let lanes = version.lanes.clamp(1, MAX_LANES);
        let start = async |plugin: &Plugin, file: &str| {
            let lanes = plugin.start(lanes, &version.routes).await;
            let lanes = lanes.map_err(|error| unloadable(file, &error))?;
            Ok::<_, String>(Version { lanes, answers: AnswerMatcher::default() })
        };
        let old = start(&old, &binary.file).await?;
        Ok(Pair { old, new: start(new, &self.new.file).await? })
    }

    /// Loads a version with the policy of its plugin, but without circuit breakers.
    async fn load(&self, binary: &Binary) -> Result<Plugin, String> {
        let load = async |mut policy: PluginPolicy| {
            policy.limits.breaker.enabled = false;
            let audience: Arc<dyn Audience> = Arc::new(NoSubscribers);
            let Binary { file, bytes } = binary;
            let loaded = self.sandbox.load_apart(file, Arc::clone(bytes), policy, audience).await;
            loaded.map_err(|error| unloadable(file, &error))
        };
        // The policy depends on the name, which only the plugin itself knows.
        let default = self.plugins.default.clone();
        let first = PluginPolicy { grant: Grant::ALL, recycle: false, ..default };
        let plugin = load(first).await?;
        let policy =
            PluginPolicy { recycle: false, ..self.plugins.policy(&plugin.manifest().name).clone() };
        load(policy).await
    }
}

impl Version {
    /// Replays a call; not one with an answer to an effect that the version does not have.
    async fn replay(&mut self, record: &CallRecord, redaction: Redaction) -> Option<Replayed> {
        let context = self.answers.context(record)?;
        let replayed = self.lanes.replay(record, &context).await;
        let recorded = &record.outcome.effects;
        if recorded.iter().any(|it| matches!(it, Effect::Request(_) | Effect::Call(_))) {
            let comparable = redaction.outcome(replayed.outcome.clone()).effects;
            self.answers.replayed(recorded, &replayed.outcome.effects, &comparable);
        }
        Some(replayed)
    }
}

fn unloadable(file: &str, error: &SandboxError) -> String {
    format!("{}: error: {error}", Untrusted::new(file))
}

impl CallName {
    fn new(number: u64, input: &CallInput) -> Self {
        let session = input.session.as_ref().map(|session| session.id);
        Self { number, hook: input.hook, topic: input.topic.clone(), session }
    }
}

impl ReplayReport {
    /// The number of compared calls.
    pub(crate) fn compared(&self) -> u64 {
        self.same + self.different
    }

    /// The number of calls that were left out, of this plugin and others.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.values().map(|calls| calls.count).sum()
    }

    fn compare(
        &mut self,
        name: CallName,
        record: &CallRecord,
        old: &Replayed,
        new: Replayed,
        show: &mut dyn FnMut(&Different),
    ) {
        if !(record.is_whole && old.is_whole && new.is_whole) {
            return self.leave_out(LeftOut::TooLarge, name);
        }
        let again = self.redacted.outcome(old.outcome.clone());
        if !Differences::between(&record.outcome, &again).is_empty() {
            return self.leave_out(LeftOut::NotReproduced, name);
        }
        self.old_cost.add(old.cost);
        self.new_cost.add(new.cost);
        for answer in &new.unrecorded {
            if self.unrecorded.len() < MAX_UNRECORDED || self.unrecorded.contains_key(answer) {
                *self.unrecorded.entry(answer.clone()).or_default() += 1;
            } else {
                self.more_unrecorded += 1;
            }
        }
        let differences = Differences::between(&old.outcome, &new.outcome);
        if differences.is_empty() {
            self.same += 1;
        } else {
            self.different += 1;
            show(&Different { call: name, differences, unrecorded: new.unrecorded });
        }
    }

    fn leave_out(&mut self, reason: LeftOut, name: CallName) {
        let calls = self.left_out.entry(reason).or_default();
        calls.count += 1;
        if calls.names.len() < MAX_NAMES {
            calls.names.push(name);
        }
    }
}

impl Cost {
    fn add(&mut self, cost: CallCost) {
        self.calls = self.calls.saturating_add(1);
        self.total += cost.took();
        self.max = self.max.max(cost.took());
        self.max_memory = self.max_memory.max(cost.memory);
    }

    /// The mean time of a call.
    pub(crate) fn mean(&self) -> Duration {
        self.total / self.calls.max(1)
    }
}

impl LeftOut {
    /// A short name, for programs.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NotReproduced => "not_reproduced",
            Self::TooLarge => "too_large",
            Self::Unrequested => "unrequested",
            Self::OtherPlugin => "other_plugin",
        }
    }
}
