//! Leak detection: a least-squares line through the memory samples after the warm-up.

/// The first third is the warm-up: caches fill, and allocators reach their size.
const WARM_UP: usize = 3;

/// Smaller growth may be caused by allocators.
const SHARE: f64 = 0.05;
const BYTES: f64 = 4.0 * 1024.0 * 1024.0;

/// The line of least squares through the samples after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    /// The line's value at the end of the warm-up, in bytes.
    pub(crate) from: f64,
    /// The line's value at the end, in bytes.
    pub(crate) to: f64,
}

impl Trend {
    /// Computes the trend of samples in bytes, taken at equal intervals. `None` if there are too
    /// few.
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2 to the 53rd bytes")]
    pub(crate) fn of(samples: &[u64]) -> Option<Self> {
        let samples = &samples[samples.len() / WARM_UP..];
        let count = f64::from(u32::try_from(samples.len()).ok()?);
        if samples.len() < 3 {
            return None;
        }
        let points = || (0_u32..).map(f64::from).zip(samples.iter().map(|bytes| *bytes as f64));
        let middle = (count - 1.0) / 2.0;
        let mean = points().map(|(_, y)| y).sum::<f64>() / count;
        let covariance: f64 = points().map(|(x, y)| (x - middle) * (y - mean)).sum();
        let variance: f64 = points().map(|(x, _)| (x - middle) * (x - middle)).sum();
        let slope = covariance / variance;
        Some(Self { from: mean - slope * middle, to: mean + slope * middle })
    }

    /// Returns the growth in bytes; negative if memory shrinks.
    pub(crate) fn growth(self) -> f64 {
        self.to - self.from
    }

    /// Returns whether the growth is more than allocators cause.
    pub(crate) fn is_a_leak(self) -> bool {
        self.growth() > BYTES && self.growth() > SHARE * self.from
    }
}

#[cfg(test)]
mod tests {
    use super::Trend;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn only_lasting_growth_is_a_leak() {
        #[track_caller]
        fn check(what: &str, memory: impl Fn(u64) -> u64, leaks: bool) {
            let samples: Vec<u64> = (0..600).map(memory).collect();
            let trend = Trend::of(&samples).unwrap();
            assert_eq!(trend.is_a_leak(), leaks, "{what}: {trend:?}");
        }
        check("steady", |_| 60 * MIB, false);
        check("a warm-up that ends", |second| 60 * MIB + second.min(150) * MIB, false);
        check("a saw", |second| 60 * MIB + second % 30 * MIB, false);
        check("shrinking", |second| 100 * MIB - second * MIB / 20, false);
        check("10 KiB a second", |second| 60 * MIB + second * 10 * 1024, false);
        check("20 KiB a second", |second| 60 * MIB + second * 20 * 1024, true);
        check("2 % of much", |second| 1_000 * MIB + second * MIB / 20, false);
        check("a saw that climbs", |second| 60 * MIB + second % 30 * MIB + second * MIB / 20, true);
    }

    #[test]
    fn fits_a_line_through_points_on_it() {
        let trend = Trend::of(&[9, 9, 9, 10, 12, 14, 16, 18, 20]).unwrap();
        assert_eq!(trend, Trend { from: 10.0, to: 20.0 });
        assert_eq!(Trend::of(&[1, 2]), None);
    }
}
