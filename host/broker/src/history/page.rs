//! Pages of a history, for clients and back ends that ask for it without a subscription.

use std::collections::BTreeMap;
use std::time::Duration;

use jackfield_wamp::id::{PublicationId, SessionId};
use jackfield_wamp::payload::Payload;
use jackfield_wamp::position::{Place, Position};

use super::stored::StoredEvent;
use super::{HistoryRule, RecentEvents, ReplayLimits};
use crate::peers::Gone;
use crate::session::Session;

/// A part of a topic's history.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The position behind the last event of the page.
    pub position: Position,
    /// The same for other nodes of a cluster, if it is known.
    pub place: Option<Place>,
    /// Whether these are all events since the position that was asked for.
    pub is_complete: bool,
    /// The events, oldest first.
    pub events: Vec<PastEvent>,
}

/// An event of a history.
#[derive(Clone, Debug)]
pub struct PastEvent {
    /// The place in the history.
    pub offset: u64,
    /// The publication's id.
    pub publication: PublicationId,
    /// The time of the publication, since the Unix epoch.
    pub at: Duration,
    /// Session, authid and role of the publisher, if it is disclosed.
    pub publisher: Option<(SessionId, String, String)>,
    /// The arguments.
    pub payload: Payload,
}

impl RecentEvents {
    /// Returns the first events behind a position; or without a position, or with one that is unknown,
    /// the newest ones.
    pub(crate) fn page(
        &mut self,
        rule: &HistoryRule,
        now: Duration,
        since: Option<Position>,
        limits: ReplayLimits,
        session: &Session,
        gone: Option<&Gone>,
    ) -> HistoryPage {
        let page = self.page_of(rule, now, since, limits, session);
        HistoryPage { place: self.place(page.position.offset, &BTreeMap::new(), gone), ..page }
    }

    fn page_of(
        &mut self,
        rule: &HistoryRule,
        now: Duration,
        since: Option<Position>,
        limits: ReplayLimits,
        session: &Session,
    ) -> HistoryPage {
        self.trim(rule, now);
        let top = self.position();
        let since = since.filter(|it| it.epoch == top.epoch);
        if let Some(page) = since.and_then(|it| self.page_behind(it.offset, limits, session)) {
            return page;
        }
        let mut bytes = 0;
        let newest = self.all().rev().take(limits.looks());
        let newest = newest.filter_map(|event| event.seen_by(session));
        let newest = newest.take(limits.events).take_while(|event| {
            bytes += event.payload.len();
            bytes <= limits.bytes
        });
        let mut events: Vec<_> = newest.collect();
        events.reverse();
        HistoryPage { position: top, place: None, is_complete: false, events }
    }

    fn page_behind(
        &mut self,
        offset: u64,
        limits: ReplayLimits,
        session: &Session,
    ) -> Option<HistoryPage> {
        let (mut position, mut bytes) = (self.position(), 0);
        let mut events: Vec<PastEvent> = Vec::new();
        let mut looked_at = offset;
        for (looks, event) in self.behind(offset)?.enumerate() {
            if event.is_withheld() {
                return None;
            }
            if looks == limits.looks() {
                // The next page goes on here.
                position.offset = looked_at;
                break;
            }
            looked_at = event.offset;
            let Some(event) = event.seen_by(session) else { continue };
            bytes += event.payload.len();
            if events.len() == limits.events || (bytes > limits.bytes && !events.is_empty()) {
                position.offset = events.last().map_or(offset, |last| last.offset);
                break;
            }
            events.push(event);
        }
        Some(HistoryPage { position, place: None, is_complete: true, events })
    }
}

impl StoredEvent {
    /// Returns the event, if the session may see it.
    pub(super) fn seen_by(&self, session: &Session) -> Option<PastEvent> {
        let content = self.content.as_ref().filter(|_| self.admits(session))?;
        let publisher = content.publisher.as_ref();
        Some(PastEvent {
            offset: self.offset,
            publication: self.id,
            at: self.at,
            publisher: publisher.map(|it| (it.session, it.authid.clone(), it.authrole.clone())),
            payload: content.payload.clone(),
        })
    }
}
