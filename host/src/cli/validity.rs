//! Validity of a certificate in words: `expires in 29 days`, `expired 1 day ago`.

use crate::count::count;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The end of a certificate that is valid for this number of seconds; it may be negative.
pub(super) fn validity(seconds_left: i64) -> String {
    let days = seconds_left.unsigned_abs() / DAY_SECONDS;
    match (seconds_left > 0, days) {
        (true, 0) => "expires within a day".to_owned(),
        (true, days) => format!("expires in {}", count(days, "day")),
        (false, 0) => "has expired today".to_owned(),
        (false, days) => format!("expired {} ago", count(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_a_direction() {
        let day = 24 * 60 * 60;
        let check = |seconds, expect: &str| assert_eq!(validity(seconds), expect);
        check(29 * day + 5, "expires in 29 days");
        check(day, "expires in 1 day");
        check(day - 1, "expires within a day");
        check(0, "has expired today");
        check(-day, "expired 1 day ago");
        check(-2 * day - 1, "expired 2 days ago");
    }
}
