//! History of the realm's topics: what a subscriber gets from it, and the end of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_wamp::id::{PublicationId, SessionId, SubscriptionId};
use jackfield_wamp::position::{Epoch, EventNumber, Position};

use super::{Member, Realm, State};
use crate::cluster::Cluster;
use crate::history::{
    EventQuery, FoundEvents, HistoryPage, LoggedHistory, Origins, PreparedEvent, RecentEvents,
    Recipient, ReplayLimits, ReplayRequest, RetainedWish, SavedTopic, UnknownPublication,
};
use crate::node::NodeId;
use crate::publication::{DeliveryError, DeliveryReport, EventPlace, EventSource, Publication};
use crate::recording::HistoryRule;
use crate::session::{PendingFlushes, Session};

impl Realm {
    /// Acknowledges an existing exact subscription again, without another authorization, and answers
    /// its position. Returns whether the session has one.
    pub fn acknowledge(
        &self,
        session: SessionId,
        topic: &str,
        request: Option<&ReplayRequest<'_>>,
        batch: &mut PendingFlushes,
        acknowledge: impl FnOnce(SubscriptionId) -> Option<Bytes>,
    ) -> bool {
        let state = self.read();
        let subscription = state.subscriptions.exact(topic);
        let known = subscription.and_then(|it| Some((it.id, it.get(session)?)));
        let Some((subscription, session)) = known else { return false };
        if let Some(frame) = acknowledge(subscription) {
            session.reply(frame, batch);
        }
        if let Some(request) = request {
            let framing = state.framing;
            let recipient = Recipient { session, subscription, is_new: false, framing };
            self.replay(&state, topic, &recipient, request, batch);
            let session = session.id;
            drop(state);
            if let Some(member) = self.write().members.get_mut(&session) {
                member.note_located(subscription, Some(request));
            }
            self.history.relieve();
        }
        true
    }

    /// Returns a part of a topic's history, as a session may see it: the first events behind a position,
    /// or the newest ones. `id` is the epoch of a history that begins here.
    pub fn history_page(
        &self,
        topic: &str,
        (rule, now): (HistoryRule, Duration),
        id: PublicationId,
        (since, limit): (Option<Position>, usize),
        session: &Session,
    ) -> HistoryPage {
        let state = self.read();
        let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
        let history = self.history.get_or_create(topic, id, now, is_subscribed);
        let ReplayLimits { events, bytes } = self.history.replay_limits();
        let limits = ReplayLimits { events: events.min(limit), bytes };
        let mut recent = history.lock();
        let page = self.with_gone(|gone| recent.page(&rule, now, since, limits, session, gone));
        drop(recent);
        drop((history, state));
        self.history.relieve();
        page
    }

    /// Returns the events of a topic's history that a session asks for, as far as it may see them. `id` is
    /// the epoch of a history that begins here.
    ///
    /// # Errors
    /// [`UnknownPublication`]
    pub fn find_events(
        &self,
        topic: &str,
        (rule, now): (HistoryRule, Duration),
        id: PublicationId,
        query: &EventQuery,
        session: &Session,
    ) -> Result<FoundEvents, UnknownPublication> {
        let state = self.read();
        let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
        let history = self.history.get_or_create(topic, id, now, is_subscribed);
        let limits = self.history.replay_limits();
        let found = history.lock().find(&rule, now, query, limits, session);
        drop((history, state));
        self.history.relieve();
        found
    }

    /// Returns the histories of topics, for the next process. A topic that has none any more is left out:
    /// its later events are not in it.
    pub fn save_histories(&self, has_history: impl Fn(&str) -> bool) -> Vec<SavedTopic> {
        self.history.save(has_history)
    }

    /// Takes the histories of another process over.
    pub fn restore_histories(&self, saved: Vec<SavedTopic>) {
        self.history.restore(saved, false);
    }

    /// Takes durable histories over, which stay in their file.
    pub fn restore_durable_histories(&self, saved: Vec<SavedTopic>) {
        self.history.restore(saved, true);
    }

    /// Ends durable histories, and tells it each subscriber that has a position: their topics begin
    /// anew. The file may keep the epochs, so no client may have a later position of them. Retained events
    /// stay. `id` returns random ids.
    pub fn end_durable_histories(
        &self,
        ends: impl Fn(&str) -> bool,
        mut id: impl FnMut() -> PublicationId,
        batch: &mut PendingFlushes,
    ) {
        for (topic, history) in self.history.all_logged(ends) {
            let state = self.read();
            let mut recent = history.lock();
            if recent.is_logged() {
                recent.renew_as(Epoch::new(id().get()));
                interrupt_subscribers(&state, &recent, &topic, id(), batch);
            }
        }
    }

    /// Returns what the file of durable histories is to have of a topic, at most; `None` if the topic is
    /// forgotten.
    pub fn durable_history(&self, topic: &str, now: Duration) -> Option<LoggedHistory> {
        self.history.logged(topic, now)
    }

    /// Ends the histories of topics: subscribers of another time are not told that they have missed
    /// nothing.
    pub fn end_histories(&self, ends: impl Fn(&str) -> bool) {
        self.history.end(ends, true);
    }

    /// Ends all histories, which are of an earlier run: other nodes may have published since. This node has not.
    pub fn end_saved_histories(&self) {
        self.history.end(|_| true, false);
    }

    /// Ends all histories, since events may be missing in them, and tells it each subscriber that has a
    /// position, before the next event: it may have missed them, too. `id` is random.
    pub fn interrupt_histories(&self, id: PublicationId, batch: &mut PendingFlushes) {
        self.history.end(|_| true, false);
        let state = self.read();
        for Member { session, located, .. } in state.members.values() {
            for &subscription in located {
                let Some(key) = state.subscriptions.key(subscription) else { continue };
                let Some(history) = self.history.get(&key.uri) else { continue };
                let framing = state.framing;
                let recipient = Recipient { session, subscription, is_new: false, framing };
                recipient.interrupt(&history.lock(), id, batch);
            }
        }
    }

    /// Ends the history of a topic, since an event is missing in it, and tells it each subscriber that has
    /// a position. `id` is random.
    pub fn interrupt_history(&self, topic: &str, id: PublicationId, batch: &mut PendingFlushes) {
        let state = self.read();
        let Some(history) = self.history.get(topic) else { return };
        let mut recent = history.lock();
        recent.renew();
        interrupt_subscribers(&state, &recent, topic, id, batch);
    }

    /// Queues the event to the receivers on this node, and then for the other nodes of a cluster. It is kept
    /// meanwhile, if it is to be kept: offsets and outboxes have one order, and numbers those to other nodes.
    pub(super) fn deliver(
        &self,
        publication: &Publication<'_>,
        cluster: Option<&Cluster>,
        batch: &mut PendingFlushes,
    ) -> Result<DeliveryReport, DeliveryError> {
        let state = self.read();
        let Publication { topic, id, recording, retain, .. } = *publication;
        let Some(now) = recording.map(|it| it.now).or(retain) else {
            let report = state.deliver(publication, EventPlace::default(), &mut None, batch)?;
            drop(state);
            if let Some(cluster) = cluster {
                self.forward(cluster, publication, batch);
            }
            return Ok(report);
        };
        let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
        let history = self.history.get_or_create(topic, id, now, is_subscribed);
        let mut recent = history.lock();
        let has_ended_durable = recent.is_logged();
        if has_ended_durable {
            // A reload has just made the history one that is not durable, or the opposite. The file does
            // not get this event, so the epoch there ends before it, and no client has a later position.
            recent.renew_as(Epoch::new(id.get()));
            interrupt_subscribers(&state, &recent, topic, id, batch);
        }
        let number = number(&recent, publication, cluster.is_some());
        if recent.origins().is_some_and(|it| !it.continues(number)) {
            recent.renew();
            interrupt_subscribers(&state, &recent, topic, id, batch);
        }
        let recorded = record(&state, &mut recent, publication, (now, number), batch);
        if let Some(cluster) = cluster.filter(|_| recorded.is_ok()) {
            let source = match number {
                Some(EventNumber { node, number }) => EventSource::Node(NodeId(node), Some(number)),
                None => EventSource::Here,
            };
            self.forward(cluster, &Publication { source, ..*publication }, batch);
        }
        drop(recent);
        let report = DeliveryReport { has_ended_durable, ..self.note(topic, recorded?) };
        drop((history, state));
        self.history.relieve();
        Ok(report)
    }

    /// Prepares an event of a durable history: it is to be saved, and published then. `None` for an event
    /// without a history.
    ///
    /// # Errors
    /// [`DeliveryError`] of any receiver.
    pub fn prepare(
        &self,
        publication: &Publication<'_>,
    ) -> Result<Option<PreparedEvent>, DeliveryError> {
        let Publication { topic, id, recording, .. } = *publication;
        let Some(recording) = recording else { return Ok(None) };
        let state = self.read();
        state.check_receivers(publication)?;
        let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
        let history = self.history.get_or_create(topic, id, recording.now, is_subscribed);
        let prepared = history.prepare(publication, recording);
        drop(state);
        // A history may have begun, and its first event may not be saved.
        self.history.relieve();
        Ok(Some(prepared))
    }

    /// Publishes an event that is saved, as [`Realm::publish`] does. `None` if its place in the history is
    /// not free any more: nothing is queued then.
    ///
    /// # Errors
    /// [`DeliveryError`] of any receiver; nothing is queued then.
    pub fn publish_saved(
        &self,
        publication: &Publication<'_>,
        prepared: &PreparedEvent,
        batch: &mut PendingFlushes,
    ) -> Result<Option<DeliveryReport>, DeliveryError> {
        let Some(recording) = publication.recording else { return Ok(None) };
        let state = self.read();
        let mut recent = prepared.history.lock();
        if !prepared.fits(&recent) {
            return Ok(None);
        }
        let recorded = record(&state, &mut recent, publication, (recording.now, None), batch)?;
        recent.set_logged();
        drop(recent);
        let report = self.note(publication.topic, recorded);
        drop(state);
        self.history.relieve();
        Ok(Some(report))
    }

    /// Notes whether the topic has a retained event, without its lock: that of the histories is before it.
    fn note(&self, topic: &str, (report, is_retained): (DeliveryReport, bool)) -> DeliveryReport {
        if is_retained {
            self.history.note_retained(topic);
        }
        report
    }

    /// Queues what a subscriber gets from the history of its topic, and the retained events. Every later
    /// event is behind it. New frames and positions take memory, which the caller frees without the lock of the realm.
    pub(super) fn replay(
        &self,
        state: &State,
        topic: &str,
        recipient: &Recipient<'_>,
        request: &ReplayRequest<'_>,
        batch: &mut PendingFlushes,
    ) {
        let Some(rule) = request.rule else {
            match request.retained {
                RetainedWish::Nothing => {}
                RetainedWish::OfTopic => {
                    if let Some(history) = self.history.get(topic) {
                        recipient.replay_retained(&history.lock(), request, batch);
                    }
                }
                RetainedWish::OfPattern(policy, may_receive) => {
                    let wanted = (topic, policy);
                    let frames = self.history.retained_frames(wanted, may_receive, recipient);
                    recipient.push(frames, request, batch);
                }
            }
            recipient.answer_without_history(request, batch);
            return;
        };
        let history = if request.is_answered(recipient.session) {
            // It gets a position, so that it can return before the first event.
            let is_subscribed = |topic: &str| state.subscriptions.exact(topic).is_some();
            self.history.get_or_create(topic, request.id, request.now, is_subscribed)
        } else {
            let Some(history) = self.history.get(topic) else { return };
            history
        };
        let mut recent = history.lock();
        recent.set_subscription(recipient.subscription);
        let limits = self.history.replay_limits();
        let (events, is_recovered) = self
            .with_gone(|gone| recipient.replay(&mut recent, rule, request, (limits, gone), batch));
        self.history.count_replay(events, is_recovered);
    }

    /// Returns the id that the exact subscription of a topic has had: frames in its history have it.
    pub(super) fn kept_id(
        &self,
        topic: &str,
        request: Option<&ReplayRequest<'_>>,
    ) -> Option<SubscriptionId> {
        request?.rule?;
        self.history.get(topic)?.lock().subscription()
    }
}

/// Queues the new position of a topic to each subscriber that has one, since events before it may be
/// missing.
fn interrupt_subscribers(
    state: &State,
    recent: &RecentEvents,
    topic: &str,
    id: PublicationId,
    batch: &mut PendingFlushes,
) {
    let Some(found) = state.subscriptions.exact(topic) else { return };
    let (subscription, framing) = (found.id, state.framing);
    for session in found.subscribers() {
        let member = state.members.get(&session.id);
        if member.is_some_and(|it| it.located.contains(&subscription)) {
            let recipient = Recipient { session, subscription, is_new: false, framing };
            recipient.interrupt(recent, id, batch);
        }
    }
}

/// Returns the number of an event in a cluster: the next one of this node, if it goes to the others, or the one
/// that its node has given it.
fn number(
    recent: &RecentEvents,
    publication: &Publication<'_>,
    is_forwarded: bool,
) -> Option<EventNumber> {
    publication.recording?;
    match publication.source {
        EventSource::Here => recent.origins().filter(|_| is_forwarded).map(Origins::next_own),
        EventSource::Node(NodeId(node), number) => Some(EventNumber { node, number: number? }),
    }
}

/// Queues an event to its receivers, and keeps it. Returns whether it is retained, too.
fn record(
    state: &State,
    recent: &mut RecentEvents,
    publication: &Publication<'_>,
    (now, number): (Duration, Option<EventNumber>),
    batch: &mut PendingFlushes,
) -> Result<(DeliveryReport, bool), DeliveryError> {
    let Publication { recording, retain, .. } = *publication;
    let mut sent = None;
    let place = match recording {
        Some(_) => EventPlace { offset: recent.next_offset(), number },
        None => EventPlace::default(),
    };
    let report = state.deliver(publication, place, &mut sent, batch)?;
    if recent.owner().is_none() {
        recent.set_owner(publication.client);
    }
    if let Some(recording) = recording {
        recent.append(publication, recording, sent, number);
    }
    Ok((report, retain.is_some() && recent.retain(publication, now)))
}

impl State {
    /// Returns whether a session on this node has a position of a topic.
    pub(super) fn is_located(&self, topic: &str) -> bool {
        self.subscriptions.exact(topic).is_some_and(|found| {
            let member = |session: &Arc<Session>| self.members.get(&session.id);
            let is_located = |member: &Member| member.located.contains(&found.id);
            found.subscribers().any(|session| member(session).is_some_and(is_located))
        })
    }
}

impl Member {
    /// Notes that the session gets a position of a topic by this subscription, if it asks for one.
    pub(super) fn note_located(
        &mut self,
        subscription: SubscriptionId,
        request: Option<&ReplayRequest<'_>>,
    ) {
        let is_located =
            request.is_some_and(|it| it.rule.is_some() && it.is_answered(&self.session));
        let is_subscribed = self.subscribed.contains(&subscription);
        if is_located && is_subscribed && !self.located.contains(&subscription) {
            self.located.push(subscription);
        }
    }
}
