//! Counters of a node since its start.

use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_broker::peers::Notice;

/// The numbers of a node since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterNumbers {
    /// Events of other nodes.
    pub(crate) events_received: u64,
    /// Those that a receiver here cannot get.
    pub(crate) events_refused: u64,
    /// Messages of other nodes that did not arrive.
    pub(crate) records_lost: u64,
    /// Doubts that have ended histories, late acknowledgements, peers that were given up, incomplete
    /// tables, silences of the pipe, moves of homes, leases of homes that were lost, and stores that could not be
    /// copied.
    pub(crate) incidents: [(&'static str, u64); 9],
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct ClusterCounts {
    events_received: AtomicU64,
    events_refused: AtomicU64,
    records_lost: AtomicU64,
    doubts: AtomicU64,
    late: AtomicU64,
    dead: AtomicU64,
    incomplete: AtomicU64,
    silences: AtomicU64,
    moves: AtomicU64,
    lost_leases: AtomicU64,
    stores_given_up: AtomicU64,
    foreign: AtomicU64,
}

impl ClusterCounts {
    /// Counts an event of another node.
    pub(crate) fn received(&self) {
        self.events_received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that a receiver here cannot get.
    pub(crate) fn refused(&self) {
        self.events_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a silence of the pipe.
    pub(crate) fn silent(&self) {
        self.silences.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a lease that was lost.
    pub(crate) fn lease_lost(&self) {
        self.lost_leases.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a store whose commit another node has prevented, or could not be copied.
    pub(crate) fn store_given_up(&self) {
        self.stores_given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts messages of other programs in the log of a store.
    pub(crate) fn foreign(&self, count: usize) {
        self.foreign.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts a home that has moved.
    pub(crate) fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a notice.
    pub(crate) fn note(&self, notice: &Notice) {
        let add = |counter: &AtomicU64, count| counter.fetch_add(count, Ordering::Relaxed);
        add(&self.doubts, u64::from(notice.is_doubt()));
        match notice {
            Notice::Lost { records, .. } => add(&self.records_lost, *records),
            Notice::Late { .. } | Notice::OffersLate { .. } => add(&self.late, 1),
            Notice::Dead { .. } | Notice::Stalled { .. } => add(&self.dead, 1),
            Notice::Incomplete { .. } => add(&self.incomplete, 1),
            Notice::Joined { .. }
            | Notice::Left { .. }
            | Notice::Interrupted { .. }
            | Notice::CaughtUp { .. }
            | Notice::Incompatible(_)
            | Notice::IncompatibleGone(_)
            | Notice::GoneElsewhere { .. }
            | Notice::TooMany { .. } => 0,
        };
    }

    /// Returns the numbers.
    pub(crate) fn numbers(&self) -> ClusterNumbers {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClusterNumbers {
            events_received: load(&self.events_received),
            events_refused: load(&self.events_refused),
            records_lost: load(&self.records_lost),
            incidents: [
                ("doubt", load(&self.doubts)),
                ("late", load(&self.late)),
                ("dead", load(&self.dead)),
                ("incomplete", load(&self.incomplete)),
                ("silent", load(&self.silences)),
                ("home_moved", load(&self.moves)),
                ("lease_lost", load(&self.lost_leases)),
                ("store_given_up", load(&self.stores_given_up)),
                ("foreign", load(&self.foreign)),
            ],
        }
    }
}
