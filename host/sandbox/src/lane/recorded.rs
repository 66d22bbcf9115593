//! Answers as recordings have them.

use crate::access::AccessDecision;
use crate::authentication::PluginPrincipal;
use crate::call_record::HookAnswer;
use crate::verdict::{Answer, CallAnswer, PublishVerdict, SubscribeVerdict};

/// An answer that a record can have.
pub(super) trait Recorded: Answer {
    /// Its copy for the record.
    fn record(&self) -> HookAnswer;
}

impl Recorded for () {
    fn record(&self) -> HookAnswer {
        HookAnswer::from(())
    }
}

/// Decisions about access are not recorded.
impl Recorded for AccessDecision {
    fn record(&self) -> HookAnswer {
        HookAnswer::Done
    }
}

impl Recorded for Option<PluginPrincipal> {
    fn record(&self) -> HookAnswer {
        HookAnswer::Done
    }
}

impl Recorded for SubscribeVerdict {
    fn record(&self) -> HookAnswer {
        self.clone().into()
    }
}

impl Recorded for PublishVerdict {
    fn record(&self) -> HookAnswer {
        self.clone().into()
    }
}

impl Recorded for CallAnswer {
    fn record(&self) -> HookAnswer {
        match self {
            Self::Now(answer) => answer.clone().into(),
            Self::Later(_) => HookAnswer::Later,
        }
    }
}
