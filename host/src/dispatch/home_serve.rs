//! Hooks that this node runs for others, as the home of their plugin.
//!
//! A hook about a subscriber keeps its lane until the asking node has made the session a subscriber and
//! has performed the effects, as it does on one node: the next subscriber would be told of one that is not
//! there yet otherwise.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jackfield_broker::PendingFlushes;
use jackfield_broker::peers::NodeId;
use jackfield_sandbox::{
    Effect, Fault, Hook, HookAnswer, HookOutcome, HookRequest, Later, Passage, SubscribeVerdict,
};
use tokio::time::timeout;

use super::home::HookRight;
use super::{Dispatch, Refusal, home};
use crate::cluster::{Change, ClusterNode, Decision, Ended, HomeMessage, Membership, Question};
use crate::generation::{Generation, RouteMatch};
use crate::timers::Start;

/// The maximum time for which a lane waits until effects are performed on another node.
const PERFORM_TIME: Duration = Duration::from_secs(1);

impl Dispatch {
    /// Counts a subscriber before its handler is asked, in the order of messages: it may have left by then.
    /// Returns whether it is new.
    pub(crate) fn reserve_member(&self, asking: NodeId, question: &Question) -> bool {
        let Question { hook, realm, plugin, topic, session, .. } = question;
        let cluster = self.cluster.as_ref().filter(|_| *hook == Hook::Subscribe);
        let Some(cluster) = cluster.filter(|it| self.is_home(it, plugin)) else { return false };
        let at = (realm.as_str(), topic.as_str());
        let is_new = cluster.homes().subscribers.add(asking, plugin, at, session.clone());
        self.sync_timer(topic, Start::Whole);
        is_new
    }

    /// Runs a hook for another node, and passes its answer on. Ends when the effects are performed.
    /// `is_new` is that of [`reserve_member`](Self::reserve_member).
    pub(crate) async fn serve_home(
        self: Arc<Self>,
        asking: NodeId,
        question: Question,
        is_new: bool,
        answer: impl FnOnce(Decision) + Send,
    ) {
        let Some(cluster) = self.cluster.clone() else { return answer(Decision::Elsewhere) };
        if !self.is_home(&cluster, &question.plugin) {
            return answer(Decision::Elsewhere);
        }
        let generation = self.generations.current();
        let routed = match asked(&generation, &question) {
            Ok(routed) => routed,
            Err(refusal) => {
                self.forget_member(&cluster, &question, is_new);
                return answer(refused(refusal));
            }
        };
        if question.hook == Hook::Subscribe {
            if question.is_again && !is_new {
                // It was asked about the subscriber before.
                return answer(decided(HookAnswer::Allow, Vec::new(), None));
            }
            let Question { realm, topic, session, .. } = &question;
            cluster.homes().subscribers.after_ends(realm, topic, session.id).await;
        }
        let attributes = routed.attributes();
        let request = HookRequest {
            session: Some(question.session.caller()),
            login: None,
            depth: question.depth,
            ..self.hook_request(&routed, &attributes, None)
        };
        let right = match self.begin_here(routed.handler) {
            Ok(right) => right,
            Err(_moves) => {
                self.forget_member(&cluster, &question, is_new);
                return answer(Decision::Elsewhere);
            }
        };
        let lane = routed.handler.lane(&question.topic);
        let event = (question.args.as_str(), question.kwargs.as_str());
        let failed = |failure: Failure| match failure {
            Failure::Fault(fault) => refused(routed.failed(&fault)),
            Failure::Lost(refusal) => refused(refusal),
        };
        match question.hook {
            Hook::Subscribe => match checked(&right, lane.on_subscribe(&request)).await {
                Ok(HookOutcome { answer: verdict, effects, passage }) => {
                    let is_denied = verdict != SubscribeVerdict::Allow;
                    self.forget_member(&cluster, &question, is_new && is_denied);
                    let decision = (verdict.into(), self.perform_own(&generation, effects));
                    hold(&cluster, asking, decision, passage, answer).await;
                }
                Err(failure) => {
                    self.forget_member(&cluster, &question, is_new);
                    answer(failed(failure));
                }
            },
            Hook::Publish => {
                match checked(&right, lane.on_publish(&request, event.0, event.1)).await {
                    Ok(HookOutcome { answer: verdict, effects, passage }) => {
                        let decision = (verdict.into(), self.perform_own(&generation, effects));
                        hold(&cluster, asking, decision, passage, answer).await;
                    }
                    Err(failure) => answer(failed(failure)),
                }
            }
            Hook::Call => {
                let has_begun = AtomicBool::new(false);
                match checked(&right, lane.on_call(&request, event.0, event.1, &has_begun)).await {
                    Ok(HookOutcome { answer: verdict, effects, passage }) => {
                        let effects = self.perform_own(&generation, effects);
                        match home::answer_or_later(verdict) {
                            Ok(verdict) => {
                                let decision = (verdict, effects);
                                hold(&cluster, asking, decision, passage, answer).await;
                            }
                            Err(later) => {
                                let number = question.later;
                                answer(send_later(&cluster, (asking, number), later, effects));
                            }
                        }
                    }
                    Err(failure) => answer(failed(failure)),
                }
            }
            // No node asks for these: the home learns of a session that has left by a message.
            // Each node asks its own instance about access.
            Hook::Unsubscribe
            | Hook::Timer
            | Hook::Response
            | Hook::Result
            | Hook::Authorize
            | Hook::Authenticate => answer(Decision::Elsewhere),
        }
    }

    /// Notes that a session of another node has subscribed to a topic or left it. Returns one that has
    /// left: the handler is to be informed.
    pub(crate) fn note_member(&self, asking: NodeId, told: Membership) -> Option<Ended> {
        let homes = self.cluster.as_ref()?.homes();
        let Membership { realm, plugin, topic, session, change } = told;
        let at = (realm.as_str(), topic.as_str());
        let ended = if change == Change::Subscribed {
            // The other node may know first that this one is the home.
            if homes.of(&plugin).is_some() {
                homes.subscribers.add(asking, &plugin, at, session);
            }
            None
        } else {
            homes.subscribers.remove(&plugin, at, session.id)
        };
        self.sync_timer(&topic, Start::Whole);
        let ended = ended.filter(|_| change == Change::Left)?;
        homes.subscribers.begin_end(&ended);
        Some(ended)
    }

    /// Informs the handler of a subscriber of another node that has left, and performs its effects.
    pub(crate) async fn end_remote(&self, ended: Ended) {
        self.inform_of_end(&ended).await;
        if let Some(cluster) = &self.cluster {
            cluster.homes().subscribers.informed(&ended);
        }
    }

    async fn inform_of_end(&self, Ended { topic, session, .. }: &Ended) {
        self.sync_timer(topic, Start::Whole);
        let generation = self.generations.current();
        let routed = generation.find(topic).map(RouteMatch::for_events);
        let has_hook =
            |it: &RouteMatch<'_, '_>| it.has(Hook::Unsubscribe) && !it.handler.is_disabled();
        let Some(routed) = routed.filter(has_hook) else { return };
        let attributes = routed.attributes();
        let request = HookRequest {
            session: Some(session.caller()),
            login: None,
            ..self.hook_request(&routed, &attributes, None)
        };
        // If this node is not the home any more, the next home is asked about the remaining subscribers.
        let Ok(right) = self.begin_here(routed.handler) else { return };
        let informed = routed.handler.lane(topic).on_unsubscribe(&request).await;
        if right.check().is_err() {
            return;
        }
        match informed {
            Ok(HookOutcome { answer: (), effects, passage }) => {
                let mut batch = PendingFlushes::default();
                self.apply(&generation, effects, passage, &mut batch).await;
            }
            // No client waits for an answer; the fault is in the log.
            Err(fault) => drop(routed.failed(&fault)),
        }
    }

    /// Forgets a subscriber that its handler does not count.
    fn forget_member(&self, cluster: &ClusterNode, question: &Question, is_forgotten: bool) {
        let Question { realm, plugin, topic, session, .. } = question;
        if is_forgotten {
            drop(cluster.homes().subscribers.remove(plugin, (realm, topic), session.id));
            self.sync_timer(topic, Start::Whole);
        }
    }

    /// Performs the effects whose answers come here. Returns those for the asking node.
    fn perform_own(&self, generation: &Generation, effects: Vec<Effect>) -> Vec<Effect> {
        let (others, own): (Vec<_>, Vec<_>) = effects.into_iter().partition(home::is_for_others);
        if !own.is_empty() {
            let removed = self.perform_now(generation, own, &mut PendingFlushes::default());
            debug_assert!(removed.is_empty(), "effects with answers remove no session");
        }
        others
    }
}

/// The reason why a hook for another node has no outcome.
enum Failure {
    Fault(Fault),
    /// This node is not the home any more.
    Lost(Refusal),
}

/// Runs a hook, whose outcome counts if this node is still the home then.
async fn checked<T>(
    right: &HookRight<'_>,
    hook: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Failure> {
    let outcome = hook.await.map_err(Failure::Fault)?;
    right.check().map_err(Failure::Lost)?;
    Ok(outcome)
}

/// Returns the route of a question.
///
/// # Errors
/// Its handler is another one here, has no such hook, or is disabled.
fn asked<'g, 'q>(
    generation: &'g Generation,
    question: &'q Question,
) -> Result<RouteMatch<'g, 'q>, Refusal> {
    let Question { hook, plugin, topic, .. } = question;
    let routed = generation.find(topic);
    // Events may be those of a canary.
    let routed = if *hook == Hook::Call { routed } else { routed.map(RouteMatch::for_events) };
    let is_asked = |it: &RouteMatch<'_, '_>| it.handler.manifest().name == *plugin && it.has(*hook);
    let routed = routed.filter(is_asked);
    let routed = routed.ok_or_else(|| Refusal::home_without(plugin, topic))?;
    if routed.handler.is_disabled() {
        return Err(Refusal::disabled(routed.handler.name()));
    }
    Ok(routed)
}

/// Answers, and keeps the passage until the asking node has performed the effects, if other hooks wait for
/// it. One that does not say so in time has died, or is late.
async fn hold(
    cluster: &ClusterNode,
    asking: NodeId,
    (verdict, effects): (HookAnswer, Vec<Effect>),
    passage: Passage<'_>,
    answer: impl FnOnce(Decision),
) {
    if !passage.is_awaited() {
        return answer(decided(verdict, effects, None));
    }
    let (passages, number) = (&cluster.homes().passages, cluster.homes().number());
    let performed = passages.add(asking, number);
    answer(decided(verdict, effects, Some(number)));
    if !cluster.has_joined(asking) {
        // Its end has removed those before.
        drop(passages.remove(asking, number));
    }
    let _late = timeout(PERFORM_TIME, performed).await;
    drop(passages.remove(asking, number));
    drop(passage);
}

/// Sends a deferred result when it is there, unless the asking node does not need it any more.
fn send_later(
    cluster: &Arc<ClusterNode>,
    (asking, number): (NodeId, u64),
    mut later: Later,
    effects: Vec<Effect>,
) -> Decision {
    let limit = later.timeout;
    let forgotten = cluster.homes().deferred.add(asking, number);
    let cluster = Arc::clone(cluster);
    tokio::spawn(async move {
        tokio::select! {
            _ = forgotten => {}
            result = timeout(limit, later.answer()) => {
                drop(cluster.homes().deferred.remove(asking, number));
                if let Ok(result) = result {
                    home::tell(&cluster, asking, &HomeMessage::Result(number, result));
                }
            }
        }
    });
    let timeout_ms = Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    Decision::Decided { verdict: HookAnswer::Later, effects, held: None, timeout_ms }
}

fn decided(verdict: HookAnswer, effects: Vec<Effect>, held: Option<u64>) -> Decision {
    Decision::Decided { verdict, effects, held, timeout_ms: None }
}

fn refused(refusal: Refusal) -> Decision {
    let (uri, message) = refusal.into_parts();
    Decision::Refused { uri: uri.into_owned(), message }
}
