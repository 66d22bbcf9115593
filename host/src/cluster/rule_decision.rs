//! Decision between leases and heartbeats, if `cluster.leases` is `auto`. Pure: time is a parameter.
//!
//! A server of NATS that has just started, and has not met those with JetStream, says that there is none. So this
//! has to be said for a while, without an interruption, and it does not count as long as another node has leases:
//! two homes are worse than none. Another node that has decided already is followed at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jackfield_config::Leases;

use super::{ClusterNode, Rule};

/// The time for which there has to be no JetStream.
const ABSENT_TIME: Duration = Duration::from_secs(10);

/// The time for which the servers of a later connection are asked: JetStream may start behind the server.
const ASK_TIME: Duration = Duration::from_secs(30);

/// The time between two attempts to get more copies of the streams.
const COPIES_INTERVAL: Duration = Duration::from_mins(1);

/// The state of the decision.
#[derive(Debug, Default)]
pub(crate) struct RuleDecision {
    /// The time since which each answer was that there is no JetStream.
    absent_since: Option<Instant>,
    /// The last connection whose servers have said so, and the time of their first such answer.
    asked: Option<(u64, Instant)>,
    copies_due: Option<Instant>,
}

/// The meaning of an answer that there is no JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It may change.
    New,
    /// Another node has leases.
    Contradicted,
    /// It counts.
    Decided,
}

impl ClusterNode {
    /// Returns how nodes become homes.
    pub(crate) fn rule(&self) -> Rule {
        Rule::of_byte(self.rule.load(Ordering::SeqCst))
    }

    /// Decides how nodes become homes. Leases stay.
    pub(crate) fn set_rule(&self, rule: Rule) {
        self.rule.store(rule.byte(), Ordering::SeqCst);
    }

    /// Returns the rules of the other nodes that have a plugin of this one; `None` is one of a later version.
    pub(crate) fn rules_of_others(&self) -> Vec<Option<Rule>> {
        self.homes.rules_of_others(&self.cluster)
    }

    /// Returns a number that each connection to NATS has anew; 0 before the first.
    pub(crate) fn connection(&self) -> u64 {
        self.connected_at.load(Ordering::Relaxed)
    }

    /// Returns whether JetStream may grant homes.
    pub(crate) fn may_have_leases(&self) -> bool {
        self.settings.leases != Leases::Off
    }

    /// Returns whether JetStream has to grant homes.
    pub(crate) fn requires_leases(&self) -> bool {
        self.settings.leases == Leases::Required
    }
}

impl RuleDecision {
    /// The servers do not answer, or have JetStream.
    pub(crate) fn no_answer(&mut self) {
        self.absent_since = None;
    }

    /// The servers have no JetStream. `others` are the rules of other nodes; `None` is one of a later version.
    pub(crate) fn absent(&mut self, now: Instant, others: &[Option<Rule>]) -> Absence {
        let since = *self.absent_since.get_or_insert(now);
        if others.iter().any(|it| it.is_none_or(|rule| rule == Rule::Lease)) {
            Absence::Contradicted
        } else if others.contains(&Some(Rule::Heartbeat))
            || now.saturating_duration_since(since) >= ABSENT_TIME
        {
            Absence::Decided
        } else {
            Absence::New
        }
    }

    /// The servers of a connection have said that there is no JetStream.
    pub(crate) fn asked(&mut self, connection: u64, now: Instant) {
        if self.asked.is_none_or(|(known, _)| known != connection) {
            self.asked = Some((connection, now));
        }
    }

    /// Returns whether the servers of a connection are to be asked.
    pub(crate) fn is_due(&self, connection: u64, now: Instant) -> bool {
        self.asked.is_none_or(|(known, since)| {
            known != connection || now.saturating_duration_since(since) < ASK_TIME
        })
    }

    /// Returns whether more copies of the streams are to be tried for now.
    pub(crate) fn are_copies_due(&mut self, now: Instant) -> bool {
        let is_due = self.copies_due.is_some_and(|it| now >= it);
        if is_due || self.copies_due.is_none() {
            self.copies_due = Some(now + COPIES_INTERVAL);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_counts_after_a_while_without_an_interruption() {
        let (mut decision, begin) = (RuleDecision::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(decision.absent(at(0), &[]), Absence::New);
        assert_eq!(decision.absent(at(9), &[Some(Rule::Undecided)]), Absence::New);
        decision.no_answer();
        assert_eq!(decision.absent(at(10), &[]), Absence::New);
        assert_eq!(decision.absent(at(19), &[]), Absence::New);
        assert_eq!(decision.absent(at(20), &[Some(Rule::Undecided)]), Absence::Decided);
    }

    #[test]
    fn other_nodes_are_followed_and_never_contradicted() {
        let (mut decision, now) = (RuleDecision::default(), Instant::now());
        let (lease, heartbeat) = (Some(Rule::Lease), Some(Rule::Heartbeat));
        assert_eq!(decision.absent(now, &[Some(Rule::Undecided), heartbeat]), Absence::Decided);
        for others in [[lease, heartbeat], [heartbeat, None], [Some(Rule::Undecided), lease]] {
            assert_eq!(decision.absent(now, &others), Absence::Contradicted);
            let later = now + Duration::from_hours(1);
            assert_eq!(decision.absent(later, &others), Absence::Contradicted);
        }
    }

    #[test]
    fn each_connection_is_asked_for_a_while() {
        let (mut decision, begin) = (RuleDecision::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(decision.is_due(5, at(0)));
        decision.asked(5, at(0));
        assert!(decision.is_due(5, at(29)));
        decision.asked(5, at(29));
        assert!(!decision.is_due(5, at(30)));
        assert!(decision.is_due(6, at(30)));
        decision.asked(6, at(30));
        assert!(decision.is_due(6, at(59)) && !decision.is_due(6, at(60)));
    }
}
