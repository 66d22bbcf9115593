//! Refusals of the broker: its errors as a client sees them.

use jackfield_broker::{
    DeliveryError, QuotaError, RegisterError, SubscribeError, UnregisterError, UnsubscribeError,
};
use jackfield_wamp::error_uri;
use jackfield_wamp::payload::Untranslatable;

use super::Refusal;
use crate::metrics::RefusalReason;

/// Returns whether the total of a quota or the client's share of it is reached.
pub(super) fn reached(error: QuotaError) -> RefusalReason {
    if error.is_of_client() { RefusalReason::ClientShare } else { RefusalReason::RealmLimit }
}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        let message = error.to_string();
        let limit = match error {
            SubscribeError::TooMany(_) | SubscribeError::TooManyPatterns(_) => {
                RefusalReason::SessionLimit
            }
            SubscribeError::Quota(error) => reached(error),
            SubscribeError::Gone => RefusalReason::Unavailable,
        };
        Self::at_limit(limit, message)
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        Self::new(error.uri(), error.to_string())
    }
}

/// Refuses arguments that a hook cannot receive.
impl From<Untranslatable> for Refusal {
    fn from(error: Untranslatable) -> Self {
        DeliveryError::from(error).into()
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        match error {
            RegisterError::Again | RegisterError::Taken | RegisterError::SharedOtherwise(_) => {
                Self::new(error_uri::PROCEDURE_ALREADY_EXISTS, message)
            }
            RegisterError::ForcedPattern => Self::invalid_argument(message),
            RegisterError::TooMany(_) | RegisterError::TooManyPatterns(_) => {
                Self::at_limit(RefusalReason::SessionLimit, message)
            }
            RegisterError::Quota(error) => Self::at_limit(reached(error), message),
        }
    }
}

impl From<UnregisterError> for Refusal {
    fn from(error: UnregisterError) -> Self {
        Self::new(error_uri::NO_SUCH_REGISTRATION, error.to_string())
    }
}

impl From<UnsubscribeError> for Refusal {
    fn from(error: UnsubscribeError) -> Self {
        Self::new(error_uri::NO_SUCH_SUBSCRIPTION, error.to_string())
    }
}
