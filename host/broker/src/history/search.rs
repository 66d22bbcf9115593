//! Searches in a history: `wamp.subscription.get_events`. WAMP v2 specification, section "Event History".

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use jackfield_wamp::id::PublicationId;

use super::{HistoryRule, PastEvent, RecentEvents, ReplayLimits};
use crate::session::Session;

/// The events that are wanted.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Whether the newest event comes first, and the oldest ones are left out beyond the limit.
    pub reverse: bool,
    /// The maximum number of events.
    pub limit: usize,
    /// The times since the Unix epoch, in milliseconds; all ranges must have that of an event.
    pub times: Vec<(Bound<u128>, Bound<u128>)>,
    /// The events before and behind; all ranges must have an event.
    pub publications: Vec<(Bound<PublicationId>, Bound<PublicationId>)>,
}

/// The events that were found.
#[derive(Clone, Debug)]
pub struct FoundEvents {
    /// The events, in the order that was wanted.
    pub events: Vec<PastEvent>,
    /// Whether there may be more of them.
    pub has_more: bool,
}

/// The history does not have an event of this publication, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history has no event of the publication {}", .0.get())]
pub struct UnknownPublication(pub PublicationId);

impl RecentEvents {
    /// Returns the events of a query, as far as the session may see them.
    pub(crate) fn find(
        &mut self,
        rule: &HistoryRule,
        now: Duration,
        query: &EventQuery,
        limits: ReplayLimits,
        session: &Session,
    ) -> Result<FoundEvents, UnknownPublication> {
        self.trim(rule, now);
        let offsets: Vec<_> = query
            .publications
            .iter()
            .map(|(begin, end)| Ok((self.offset_of(*begin)?, self.offset_of(*end)?)))
            .collect::<Result<_, _>>()?;
        let limit = query.limit.min(limits.events);
        let (mut events, mut bytes, mut has_more) = (Vec::new(), 0, false);
        let mut all = self.stored();
        let next = || if query.reverse { all.next_back() } else { all.next() };
        let mut looks = 0;
        for event in std::iter::from_fn(next) {
            let at = event.at.as_millis();
            let is_wanted = offsets.iter().all(|it| it.contains(&event.offset))
                && query.times.iter().all(|it| it.contains(&at));
            if !is_wanted {
                continue;
            }
            if looks == limits.looks() {
                has_more = true;
                break;
            }
            looks += 1;
            let Some(event) = event.seen_by(session) else { continue };
            bytes += event.payload.len();
            if events.len() == limit || (bytes > limits.bytes && !events.is_empty()) {
                has_more = true;
                break;
            }
            events.push(event);
        }
        Ok(FoundEvents { events, has_more })
    }

    fn offset_of(&self, bound: Bound<PublicationId>) -> Result<Bound<u64>, UnknownPublication> {
        let offset = |id: PublicationId| {
            let event = self.stored().find(|it| it.id == id);
            event.map(|it| it.offset).ok_or(UnknownPublication(id))
        };
        Ok(match bound {
            Bound::Included(id) => Bound::Included(offset(id)?),
            Bound::Excluded(id) => Bound::Excluded(offset(id)?),
            Bound::Unbounded => Bound::Unbounded,
        })
    }
}
