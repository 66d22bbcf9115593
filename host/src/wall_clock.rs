//! Wall clock: the time of the system, never before 1970. A clock that is not set yet must not make
//! saved times unreadable, nor a date of HTTP impossible.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The present time, or 1970 if the clock says an earlier one.
pub(crate) fn now() -> SystemTime {
    not_before_1970(SystemTime::now())
}

/// The time since 1970.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether the clock is at 1970 or later. Before, hyper cannot write the header `Date`.
pub(crate) fn is_set() -> bool {
    SystemTime::now() >= UNIX_EPOCH
}

fn not_before_1970(time: SystemTime) -> SystemTime {
    time.max(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_1970() {
        let early = UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(not_before_1970(early), UNIX_EPOCH);
        // The table of versions is JSON.
        assert!(serde_json::to_string(&early).is_err());
        assert!(serde_json::to_string(&not_before_1970(early)).is_ok());
        let later = UNIX_EPOCH + Duration::from_secs(9);
        assert_eq!(not_before_1970(later), later);
        assert!(is_set() && now() > UNIX_EPOCH);
    }
}
