//! Times in answers of the control API and in traces.

use std::time::SystemTime;

use time::OffsetDateTime;

/// A time in the form of RFC 3339, in UTC, with three digits of the second: all have the same length.
pub(crate) fn time(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, millisecond) = time.to_hms_milli();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_in_utc_to_the_millisecond() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_000_000_123_456);
        assert_eq!(time(at), "2026-11-18T11:06:40.123Z");
        let round = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_040);
        assert_eq!(time(round), "2026-11-18T11:06:40.040Z");
        assert_eq!(time(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
