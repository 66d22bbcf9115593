//! Requests of one connection whose answer has not come. It knows nothing of sockets; [`super::requests`]
//! asks.

use std::collections::VecDeque;

/// Requests that are numbered from 1, in the order in which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// How many are in front of the first that is not answered.
    answered: u64,
    /// When each was due or sent, and whether it counts; none if it was answered before those in
    /// front of it.
    times: VecDeque<Option<(u64, bool)>>,
}

impl Asked {
    /// Notes a request, and gives it its number.
    pub(crate) fn ask(&mut self, time: u64, measured: bool) -> u64 {
        self.times.push_back(Some((time, measured)));
        self.answered + self.times.len() as u64
    }

    /// The time of the one that is answered, and whether it counts: that with the number, or the
    /// first where there are no numbers.
    pub(crate) fn answered(&mut self, request: Option<u64>) -> Option<(u64, bool)> {
        let place = request.map_or(Some(0), |request| request.checked_sub(self.answered + 1))?;
        let time = self.times.get_mut(usize::try_from(place).ok()?)?.take();
        while let Some(None) = self.times.front() {
            self.times.pop_front();
            self.answered += 1;
        }
        time
    }

    /// How wide the window is open: from the first that is not answered to the last.
    pub(crate) fn in_flight(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_answers_in_any_order() {
        let mut asked = Asked::default();
        let numbers: Vec<u64> = (10..14).map(|time| asked.ask(time, true)).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(asked.answered(Some(2)), Some((11, true)));
        assert_eq!(asked.answered(Some(2)), None, "once");
        assert_eq!(asked.answered(Some(1)), Some((10, true)));
        assert_eq!(asked.in_flight(), 2, "those that are answered are forgotten");
        assert_eq!(asked.answered(None), Some((12, true)), "without a number it is the first");
        assert_eq!(asked.ask(20, false), 5);
        assert_eq!(asked.answered(Some(5)), Some((20, false)));
        assert_eq!(asked.answered(Some(9)), None);
        assert_eq!(asked.answered(Some(4)), Some((13, true)));
        assert_eq!(asked.in_flight(), 0);
    }
}
