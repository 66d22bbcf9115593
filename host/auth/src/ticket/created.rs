//! Creation time of a ticket: `2024-01-02T03:04:05+00:00`, kept as text because the digest covers
//! the text.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{TicketError, Validity};

pub(super) struct Created {
    text: String,
    at: OffsetDateTime,
}

impl Created {
    pub(super) fn parse(text: &str) -> Result<Self, TicketError> {
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| TicketError::Malformed("the time at which it was made is none"))?;
        Ok(Self { text: text.to_owned(), at })
    }

    /// Creates the text of a time in whole seconds and UTC.
    pub(super) fn at(time: SystemTime) -> Result<Self, TicketError> {
        let unwritable = TicketError::Malformed("the time at which it is made has no date");
        let at = utc(time).and_then(|it| it.replace_nanosecond(0).ok()).ok_or(unwritable)?;
        // RFC 3339 writes Z, the application +00:00.
        let text = at.format(&Rfc3339).map_err(|_| unwritable)?.replace('Z', "+00:00");
        Ok(Self { text, at })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn check(&self, now: SystemTime, validity: Validity) -> Result<(), TicketError> {
        let now = utc(now).ok_or(TicketError::Malformed("the time of this machine is no date"))?;
        let age = now - self.at;
        if -age > validity.skew {
            let (ahead, skew) = (age.unsigned_abs().as_secs(), validity.skew.as_secs());
            return Err(TicketError::FromTheFuture { ahead, skew });
        }
        if age > validity.ttl {
            let (age, ttl) = (age.unsigned_abs().as_secs(), validity.ttl.as_secs());
            return Err(TicketError::Expired { age, ttl });
        }
        Ok(())
    }

    /// Returns the time from which the ticket has expired. One second is added, because ages are
    /// compared exactly and the remembered time may be less precise.
    pub(super) fn expires(&self, validity: Validity) -> SystemTime {
        SystemTime::from(self.at)
            .checked_add(validity.ttl + Duration::from_secs(1))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Converts the time; `None` for impossible dates, on which `time` would panic.
fn utc(time: SystemTime) -> Option<OffsetDateTime> {
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).ok()?,
        Err(before) => -i128::try_from(before.duration().as_nanos()).ok()?,
    };
    OffsetDateTime::from_unix_timestamp_nanos(seconds).ok()
}
