//! The judgement at the end of `make soak`, on made-up memories. The soak itself runs for minutes,
//! and is no test of this binary.

#[path = "../soak/trend.rs"]
mod trend;

use trend::Trend;

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
