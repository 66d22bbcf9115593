//! Outstanding requests of one connection. It does no I/O; [`super::requests`] sends.

use std::collections::VecDeque;

/// Outstanding requests, numbered from 1 in the order of sending.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    /// Number of requests before the first outstanding one.
    answered: u64,
    /// Due or send time of each, and whether it is measured; `None` if it was answered out of
    /// order.
    times: VecDeque<Option<(u64, bool)>>,
}

impl Outstanding {
    /// Adds a request. Returns its number.
    pub(crate) fn push(&mut self, time: u64, measured: bool) -> u64 {
        self.times.push_back(Some((time, measured)));
        self.answered + self.times.len() as u64
    }

    /// Removes an answered request: the one with the number, or without a number the first one.
    /// Returns its time, and whether it is measured.
    pub(crate) fn complete(&mut self, request: Option<u64>) -> Option<(u64, bool)> {
        let place = request.map_or(Some(0), |request| request.checked_sub(self.answered + 1))?;
        let time = self.times.get_mut(usize::try_from(place).ok()?)?.take();
        while let Some(None) = self.times.front() {
            self.times.pop_front();
            self.answered += 1;
        }
        time
    }

    /// Width of the window: from the first outstanding request to the last.
    pub(crate) fn in_flight(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_answers_in_any_order() {
        let mut outstanding = Outstanding::default();
        let numbers: Vec<u64> = (10..14).map(|time| outstanding.push(time, true)).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(outstanding.complete(Some(2)), Some((11, true)));
        assert_eq!(outstanding.complete(Some(2)), None, "once");
        assert_eq!(outstanding.complete(Some(1)), Some((10, true)));
        assert_eq!(outstanding.in_flight(), 2, "those that are answered are forgotten");
        assert_eq!(
            outstanding.complete(None),
            Some((12, true)),
            "without a number it is the first"
        );
        assert_eq!(outstanding.push(20, false), 5);
        assert_eq!(outstanding.complete(Some(5)), Some((20, false)));
        assert_eq!(outstanding.complete(Some(9)), None);
        assert_eq!(outstanding.complete(Some(4)), Some((13, true)));
        assert_eq!(outstanding.in_flight(), 0);
    }
}
