//! Forged messages on the simulated bus.

use super::*;

impl World {
    /// Sends what a node has not sent, in its name: envelopes of the last link, far ahead, an end,
    /// acknowledgements of all; or HELLOs of nodes that do not exist.
    pub(super) fn forge(&mut self) {
        let (from, to) = (self.index(self.nodes.len()), self.index(self.nodes.len()));
        if self.below(4) == 0 {
            for ghost in 0..100 {
                let hello = hello_of(1_000 + self.below(1_000) * 100 + ghost);
                self.send(from, to, true, &hello);
            }
            return;
        }
        if from == to {
            return;
        }
        let mut number = |real: u64| match self.below(4) {
            0 => u64::MAX,
            1 => real,
            2 => 1 << 40,
            _ => 0,
        };
        let header = envelope::Header {
            version: 1,
            from: NodeId(from as u64 + 1),
            link: number(1),
            first: number(100),
            peer_link: 0,
            received: number(1),
            complete: 0,
            wants_snapshot: true,
            is_fresh: true,
        };
        let kind = if self.below(2) == 0 { Kind::Bye } else { Kind::SnapshotBegin };
        let bytes = envelope::encode(&header, &envelope::records(kind, b""));
        self.send(from, to, false, &bytes);
    }
}
