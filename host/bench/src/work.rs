//! The kinds of work, one file each. Each opens what it needs, sets the course, waits for its end and
//! says what came of it.
//!
//! A further kind is a variant of [`crate::plan::Work`], a file here, and a subcommand. Beside the
//! kinds there is what several of them do: `requests` with what is `asked`, and `pace`.

pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod fan_out;
pub(crate) mod outstanding;
pub(crate) mod pace;
pub(crate) mod publish;
pub(crate) mod requests;
pub(crate) mod subscribe;

use crate::coordinator::Lead;
use crate::failure::Failure;
use crate::plan::Work;
use crate::report::Report;

/// Does the work of the plan.
pub(crate) async fn run(lead: &mut Lead<'_>) -> Result<Report, Failure> {
    match lead.shared().plan.work.clone() {
        Work::Connect { connections, bare } => connect::run(lead, connections, bare).await,
        Work::Publish { publishers, topics } => publish::run(lead, publishers, topics).await,
        Work::Call { callers, procedure } => call::run(lead, callers, &procedure).await,
        Work::Subscribe { connections, topics } => subscribe::run(lead, connections, topics).await,
        Work::FanOut { topics, subscribers, publishers, subscriptions_per_connection } => {
            let who =
                fan_out::Workload { topics, subscribers, publishers, subscriptions_per_connection };
            fan_out::run(lead, who).await
        }
    }
}

/// The text that is sent, stamp and all; what is behind the stamp is of no interest.
pub(crate) fn text(length: usize) -> Vec<u8> {
    vec![b'.'; length]
}
