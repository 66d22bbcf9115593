//! Hooks of plugins with state, in a cluster: the home of the plugin runs them. This module asks it;
//! [`super::home_serve`] answers. The publisher's node delivers, and performs the effects in order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jackfield_broker::Session;
use jackfield_broker::peers::NodeId;
use jackfield_sandbox::{
    CallAnswer, Effect, Fault, Hook, HookOutcome, HookRefusal, HookRequest, Later, Passage,
};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::caller::caller;
use super::refusal::{
    HANDLER_BUSY, HANDLER_DISABLED, HANDLER_FAILED, HANDLER_ON_HOLD, HOME_UNREACHABLE, STORE_FAILED,
};
use super::{Dispatch, Refusal};
use crate::cluster::{
    Change, ClusterNode, Decision, Home, HomeMessage, LateResult, LeaseGuard, Membership, Question,
    RemoteSession, Rule, Subject, Unanswered, Verdict, decode, encode,
};
use crate::generation::{BoundHandler, RouteMatch};

/// A hook that the home may have to run.
pub(super) struct HookCall<'a> {
    pub(super) hook: Hook,
    pub(super) request: &'a HookRequest<'a>,
    /// Whether the home may have been asked about the subscriber before.
    pub(super) is_again: bool,
    /// The texts of a JSON array and of a JSON object.
    pub(super) event: (&'a str, &'a str),
}

/// The event of hooks that have none.
pub(super) const NO_EVENT: (&str, &str) = ("[]", "{}");

/// The time limit of a question to a home. It ends earlier if the home is given up.
const HOOK_TIME: Duration = Duration::from_secs(30);

/// The number of times that a home is asked, and the time between two of them: it may just move.
const MAX_ATTEMPTS: usize = 100;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(50);

impl Dispatch {
    /// Runs a hook: `here`, or at the home of its plugin. It is boxed: the decision would be as large as the
    /// hook, and be copied with it, ten kilobytes for each event.
    pub(super) async fn decide<'a, T: Verdict>(
        &self,
        routed: &RouteMatch<'_, '_>,
        call: HookCall<'_>,
        here: Pin<Box<impl Future<Output = Result<HookOutcome<'a, T>, Fault>>>>,
    ) -> Result<HookOutcome<'a, T>, Refusal> {
        if let Some((cluster, home)) = self.home_elsewhere(routed.handler) {
            let HookCall { hook, request, is_again, event } = call;
            let plugin = &routed.handler.manifest().name;
            let question = Question::new(hook, self.realm.name(), plugin, request, is_again, event);
            let asked = question.map(|it| async move { self.ask_home(cluster, home, it).await });
            if let Some(asked) = asked
                && let Some(outcome) = Box::pin(asked).await?
            {
                return Ok(outcome);
            }
            // It has moved here.
        }
        let right = self.begin_here(routed.handler)?;
        let outcome = here.await.map_err(|fault| routed.failed(&fault))?;
        right.check()?;
        Ok(outcome)
    }

    /// Begins a hook of a handler here. By lease, this node has to be its home, also at the end.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn begin_here<'h>(
        &self,
        handler: &'h BoundHandler,
    ) -> Result<HookRight<'h>, Refusal> {
        let plugin = &handler.manifest().name;
        let by_lease =
            self.cluster.as_ref().filter(|it| handler.has_home() && it.rule() != Rule::Heartbeat);
        let guard = by_lease.and_then(|it| it.homes().begin_hook(plugin));
        let right = HookRight { plugin, is_required: by_lease.is_some(), guard };
        right.check()?;
        Ok(right)
    }

    /// Tells the home of a topic's plugin that a session has left the topic; or that it has subscribed, if the
    /// plugin has no hook that asks.
    pub(super) fn tell_home(&self, routed: &RouteMatch<'_, '_>, session: &Session, change: Change) {
        let Some((cluster, home)) = self.home_elsewhere(routed.handler) else { return };
        // Without a home, there is no node to tell. The next home is asked about all subscribers.
        let Home::At(home) = home else { return };
        let membership = Membership {
            realm: self.realm.name().to_owned(),
            plugin: routed.handler.manifest().name.clone(),
            topic: routed.topic.to_owned(),
            session: RemoteSession::new(&caller(session)),
            change,
        };
        tell(cluster, home, &HomeMessage::Member(Box::new(membership)));
    }

    /// Chooses the homes of plugins again. The instances of one that was elsewhere meanwhile begin anew.
    pub(crate) fn follow_homes(&self, cluster: &ClusterNode) {
        let generation = self.generations.current();
        cluster.follow_homes(&generation.plugins_with_home(), |plugin| {
            let mut plugins = generation.plugins().iter();
            if let Some(plugin) = plugins.find(|it| it.manifest().name == plugin) {
                plugin.restart();
            }
        });
    }

    /// Returns whether a plugin has a store that its next home has to know.
    pub(crate) fn copies_store(&self, plugin: &str) -> bool {
        self.generations.current().copies_store(plugin)
    }

    /// Returns the number of subscribers of a topic on all nodes. It is exact at the home of the handler.
    pub(super) fn subscribers(&self, routed: &RouteMatch<'_, '_>) -> usize {
        match &self.cluster {
            Some(cluster) => cluster.count(&self.realm, routed.topic, routed.handler.has_home()),
            None => self.realm.count(routed.topic),
        }
    }

    /// Returns the number of subscribers of a topic on other nodes, if the home of its plugin is here.
    pub(super) fn remote_subscribers(&self, topic: &str) -> usize {
        let cluster = self.cluster.as_ref();
        cluster.map_or(0, |it| it.homes().subscribers.count(self.realm.name(), topic))
    }

    /// Returns the topics with such subscribers.
    pub(super) fn topics_with_remote_subscribers(&self) -> Vec<Arc<str>> {
        let cluster = self.cluster.as_ref();
        cluster.map_or_else(Vec::new, |it| it.homes().subscribers.topics(self.realm.name()))
    }

    /// Returns the home of a handler, if it is not this node.
    pub(super) fn home_elsewhere(
        &self,
        handler: &BoundHandler,
    ) -> Option<(&Arc<ClusterNode>, Home)> {
        let cluster = self.cluster.as_ref().filter(|_| handler.has_home())?;
        let home = self.home_of(cluster, &handler.manifest().name);
        (!matches!(home, Home::Here(_))).then_some((cluster, home))
    }

    /// Returns the home of a plugin. The homes of a new generation are chosen first.
    fn home_of(&self, cluster: &ClusterNode, plugin: &str) -> Home {
        let home = cluster.homes().of(plugin).or_else(|| {
            self.follow_homes(cluster);
            cluster.homes().of(plugin)
        });
        let is_heartbeat = cluster.rule() == Rule::Heartbeat;
        // It is in no route by now.
        home.unwrap_or(if is_heartbeat { Home::Here(0) } else { Home::Nowhere })
    }

    /// Returns whether this node is the home of a plugin. The asking node may know it first.
    pub(super) fn is_home(&self, cluster: &ClusterNode, plugin: &str) -> bool {
        let is_here = || matches!(self.home_of(cluster, plugin), Home::Here(_));
        if !is_here() {
            self.follow_homes(cluster);
        }
        is_here()
    }

    /// Asks the home. Returns `None` if it is here by now.
    ///
    /// # Errors
    /// The refusal of the home, or the reason why there is none.
    pub(super) async fn ask_home<'a, T: Verdict>(
        &self,
        cluster: &Arc<ClusterNode>,
        first: Home,
        mut question: Question,
    ) -> Result<Option<HookOutcome<'a, T>>, Refusal> {
        let (mut home, mut reason) = (first, None);
        for _ in 0..MAX_ATTEMPTS {
            if home == Home::Nowhere {
                sleep(ATTEMPT_INTERVAL).await;
                home = self.home_of(cluster, &question.plugin);
            }
            let node = match home {
                Home::Here(_) => return Ok(None),
                Home::Nowhere => continue,
                Home::At(node) => node,
            };
            let later = (question.hook == Hook::Call).then(|| Awaited::new(cluster, node));
            question.later = later.as_ref().map_or(0, |it| it.number);
            let asked = encode(&question);
            match cluster.exchange().ask(node, Subject::Homes, &asked, HOOK_TIME).await {
                Ok(answer) => match decode(&answer) {
                    Some(Decision::Elsewhere) => {}
                    decision => {
                        let plugin = &question.plugin;
                        return outcome(cluster, node, plugin, decision, later).map(Some);
                    }
                },
                Err(unanswered) => {
                    reason = Some(unanswered);
                    if question.hook == Hook::Subscribe {
                        // The answer may be lost, and the home counts the session.
                        tell(cluster, node, &HomeMessage::Member(Box::new(question.left())));
                    }
                    break;
                }
            }
            sleep(ATTEMPT_INTERVAL).await;
            home = self.home_of(cluster, &question.plugin);
            if matches!(home, Home::Here(_)) {
                return Ok(None);
            }
        }
        let plugin = &question.plugin;
        Err(match reason {
            Some(unanswered) => Refusal::home_unreachable(plugin, unanswered),
            None if home == Home::Nowhere => Refusal::without_home(plugin),
            None => Refusal::home_unreachable(plugin, Unanswered::Late),
        })
    }
}

/// The right to run a hook here, and to answer with its result.
pub(super) struct HookRight<'h> {
    plugin: &'h str,
    /// Whether a lease is needed.
    is_required: bool,
    guard: Option<LeaseGuard>,
}

impl HookRight<'_> {
    /// Checks the right, before a hook and after it.
    ///
    /// # Errors
    /// Another node may be the home by now: the result does not count.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let is_held = self.guard.as_ref().is_some_and(LeaseGuard::is_valid);
        if self.is_required && !is_held { Err(Refusal::without_home(self.plugin)) } else { Ok(()) }
    }
}

/// Reads what a home has decided. It waits until the effects are performed here.
fn outcome<'a, T: Verdict>(
    cluster: &Arc<ClusterNode>,
    home: NodeId,
    plugin: &str,
    decision: Option<Decision>,
    awaited: Option<Awaited>,
) -> Result<HookOutcome<'a, T>, Refusal> {
    let (verdict, effects, held, timeout_ms) = match decision {
        Some(Decision::Decided { verdict, effects, held, timeout_ms }) => {
            (verdict, effects, held, timeout_ms)
        }
        Some(Decision::Refused { uri, message }) => return Err(Refusal::of_home(uri, message)),
        Some(Decision::Elsewhere) | None => return Err(unreadable(plugin)),
    };
    let limit = timeout_ms.map(Duration::from_millis);
    let later = awaited.zip(limit).map(|(awaited, limit)| awaited.later(limit));
    let answer = T::read(verdict, later).ok_or_else(|| unreadable(plugin))?;
    let passage = match held {
        Some(number) => {
            let cluster = Arc::clone(cluster);
            Passage::elsewhere(Performed { cluster, home, number })
        }
        None => Passage::default(),
    };
    Ok(HookOutcome {
        answer,
        effects: effects.into_iter().filter(is_for_others).collect(),
        passage,
    })
}

/// Returns whether the asking node performs an effect. The home has performed the others: their answers
/// come to it.
pub(super) const fn is_for_others(effect: &Effect) -> bool {
    !matches!(effect, Effect::Request(_) | Effect::Call(_) | Effect::Complete(_))
}

/// The result of a call, in case that it is deferred.
struct Awaited {
    cluster: Arc<ClusterNode>,
    home: NodeId,
    number: u64,
    /// Taken if it is deferred.
    result: Option<oneshot::Receiver<LateResult>>,
}

impl Awaited {
    fn new(cluster: &Arc<ClusterNode>, home: NodeId) -> Self {
        let number = cluster.homes().number();
        let result = Some(cluster.homes().awaited.add(home, number));
        Self { cluster: Arc::clone(cluster), home, number, result }
    }

    /// The call is deferred: the home sends the result.
    fn later(mut self, limit: Duration) -> Later {
        let (mut sender, answer) = oneshot::channel();
        if let Some(result) = self.result.take() {
            tokio::spawn(async move {
                tokio::select! {
                    result = result => {
                        let _caller_is_gone = sender.send(result.unwrap_or_else(|_| Err(lost())));
                    }
                    // The caller waits no more.
                    () = sender.closed() => tell(&self.cluster, self.home, &HomeMessage::Forget(self.number)),
                }
            });
        }
        Later::elsewhere(limit, answer)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        drop(self.cluster.homes().awaited.remove(self.home, self.number));
    }
}

fn lost() -> HookRefusal {
    let message =
        "the connection to the node that had the result of the call was interrupted".to_owned();
    HookRefusal { uri: jackfield_wamp::error_uri::CANCELED.to_owned(), message }
}

fn unreadable(plugin: &str) -> Refusal {
    tracing::error!(
        name: "cluster.home_unreadable",
        plugin,
        "an answer of the home of a plugin cannot be read: do all nodes have the same version?"
    );
    Refusal::home_unreachable(plugin, Unanswered::Refused)
}

/// Tells a node something. If messages are lost, the home is asked about all subscribers again.
pub(super) fn tell(cluster: &ClusterNode, home: NodeId, message: &HomeMessage) {
    let _is_known = cluster.exchange().tell(home, Subject::Homes, &encode(message));
}

/// The effects of a hook are being performed here. The home waits until it is dropped.
struct Performed {
    cluster: Arc<ClusterNode>,
    home: NodeId,
    number: u64,
}

impl Drop for Performed {
    fn drop(&mut self) {
        tell(&self.cluster, self.home, &HomeMessage::Performed(self.number));
    }
}

/// Returns the answer of a call, or its deferred result.
pub(super) fn answer_or_later(answer: CallAnswer) -> Result<jackfield_sandbox::HookAnswer, Later> {
    match answer {
        CallAnswer::Now(answer) => Ok(answer.into()),
        CallAnswer::Later(later) => Err(later),
    }
}

/// The URIs of refusals that are of the server, not of its plugins.
const SERVER_REFUSALS: [&str; 6] = [
    HANDLER_FAILED,
    HANDLER_ON_HOLD,
    HANDLER_BUSY,
    HANDLER_DISABLED,
    STORE_FAILED,
    HOME_UNREACHABLE,
];

impl Refusal {
    /// Refuses a request whose handler runs on a node that does not answer.
    fn home_unreachable(plugin: &str, reason: Unanswered) -> Self {
        let message = format!(
            "the node that runs the plugin `{plugin}` has not decided: {reason}; try again later"
        );
        Self::new(HOME_UNREACHABLE, message)
    }

    /// Refuses a request whose handler runs nowhere, or ran here while this node lost its lease.
    pub(super) fn without_home(plugin: &str) -> Self {
        let message = format!("no node may run the plugin `{plugin}` now; try again later");
        Self::new(HOME_UNREACHABLE, message)
    }

    /// Refuses a hook that the plugin of this node does not have.
    pub(super) fn home_without(plugin: &str, topic: &str) -> Self {
        let message = format!(
            "the node that runs the plugin `{plugin}` has no such handler for `{topic}`: \
             its files differ from those of other nodes"
        );
        tracing::error!(name: "cluster.home_differs", plugin, topic, "{message}");
        Self::new(HANDLER_FAILED, message)
    }

    /// The refusal of a home.
    fn of_home(uri: String, message: String) -> Self {
        match SERVER_REFUSALS.into_iter().find(|it| *it == uri) {
            Some(uri) => Self::new(uri, message),
            None => HookRefusal { uri, message }.into(),
        }
    }
}
