//! Throttling of a session above its rates: pauses in reading, refused requests, and the end. The
//! rates themselves are in [`super::message_rate`].

use jackfield_broker::{CloseCause, CloseReason};
use tokio::time::{Instant, sleep_until};

use super::Connection;
use super::close::CloseAction;
use super::message_rate::Excess;
use crate::close_uri::RATE;
use crate::metrics::Throttle;
use crate::transport::MIN_ARRIVING_BYTES;

/// The treatment of the message that exceeds a rate.
pub(super) enum Throttled {
    Handle,
    Refuse,
}

impl Connection {
    /// Decides about a message for which there are no tokens, after a pause if there has to be one.
    /// Its bytes count as waiting during the pause.
    pub(super) async fn throttle(&mut self, bytes: usize) -> Result<Throttled, CloseAction> {
        let now = Instant::now();
        let (treatment, wait) = match self.rate.excess(&self.settings.limits, now) {
            Excess::None => return Ok(Throttled::Handle),
            Excess::Delay(wait) => (Throttled::Handle, Some(wait)),
            Excess::Refuse(wait) => (Throttled::Refuse, wait),
            Excess::Close => {
                self.context.metrics.throttled(Throttle::Close);
                let reason = RATE.to_owned();
                let message = "the session sends faster than limits.message_rate or \
                               limits.byte_rate allow"
                    .to_owned();
                let closing = CloseReason { cause: CloseCause::Rate, reason, message };
                return Err(CloseAction::CloseReason(closing));
            }
        };
        if let Some(wait) = wait {
            self.context.metrics.throttled(Throttle::Delay);
            let is_counted = bytes >= MIN_ARRIVING_BYTES;
            let _held = if is_counted { self.wire.hold(bytes) } else { None };
            self.pause(now + wait).await?;
        }
        Ok(treatment)
    }

    /// Pauses reading until a moment. The rest of the connection continues.
    async fn pause(&mut self, until: Instant) -> Result<(), CloseAction> {
        self.batch.flush();
        while !self.pause_for(sleep_until(until)).await? {}
        Ok(())
    }
}
