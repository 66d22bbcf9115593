//! Result of a change of versions: the answer and the problems of [`crate::rollout`].

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde_json::Value;

use super::problem::Problem;
use super::{change, reload};
use crate::http::response::Answer;
use crate::rollout::{CandidateError, RolloutError};
use crate::server_state::ServerState;
use crate::versions::TargetError;

/// The result of a change, whose `result` is also that of its audit line. `save_error` says why it
/// does not survive the end of the server.
pub(super) fn changed(state: &ServerState, done: Result<Value, RolloutError>) -> change::Ended {
    match done {
        Ok(mut body) => {
            let unsaved = state.reloader.versions().unsaved();
            if let (Some(error), Value::Object(body)) = (unsaved, &mut body) {
                body.insert("survives_restart".to_owned(), Value::Bool(false));
                body.insert("save_error".to_owned(), Value::String(error));
            }
            let result = body.get("result").and_then(Value::as_str);
            let result = if result == Some("unchanged") { "unchanged" } else { "ok" };
            (result, Ok(Answer::json(StatusCode::OK, &body)))
        }
        Err(error) => ("failed", failed(&error)),
    }
}

fn failed(error: &RolloutError) -> Result<Answer, Problem> {
    let text = error.to_string();
    match error {
        RolloutError::Failed(record) => Ok(reload::ended(record)),
        RolloutError::Candidate(error) => Err(of_candidate(error)),
        RolloutError::Lost => Err(Problem::lost()),
        RolloutError::Overtaken => Err(Problem::conflict(text)),
        RolloutError::Unreadable(_) => Err(Problem::internal(text)),
        RolloutError::Target(error) => Err(match error {
            TargetError::UnknownPlugin { .. } | TargetError::UnknownDigest { .. } => {
                Problem::unknown(text)
            }
            TargetError::Ambiguous(..) => Problem::invalid(text),
            TargetError::NothingKept
            | TargetError::NoEarlier(_)
            | TargetError::Current(..)
            | TargetError::OtherSchema { .. } => Problem::conflict(text),
        }),
    }
}

/// The problem of a candidate that cannot be placed.
fn of_candidate(error: &CandidateError) -> Problem {
    let text = Untrusted::new(error).with_lines().to_string();
    match error {
        CandidateError::Unreadable { .. }
        | CandidateError::Broken(_)
        | CandidateError::OtherPlugin { .. } => Problem::invalid(text),
        CandidateError::Missing { .. } => Problem::unknown(text),
        CandidateError::InService { .. }
        | CandidateError::OtherSchema { .. }
        | CandidateError::Occupied { .. }
        | CandidateError::Refused { .. }
        | CandidateError::NotStarted { .. }
        | CandidateError::NotServing(_)
        | CandidateError::Disabled(_) => Problem::conflict(text),
    }
}
