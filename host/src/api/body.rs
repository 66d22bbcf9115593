//! Bodies of requests: JSON, whose forwarded parts keep their original text.

use jackfield_wamp::payload::{self, Payload, PayloadError};
use jackfield_wamp::{ReadErrorKind, error_uri};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::Problem;

/// Checks that a body is JSON.
pub(super) fn parse(body: &[u8]) -> Result<&RawValue, Problem> {
    // The same rules as for messages, which `serde_json` does not check.
    let checked = payload::check_json(body);
    let checked = checked.map_err(|error| match error.kind {
        ReadErrorKind::Malformed => format!("the body is not JSON: {error}"),
        ReadErrorKind::Unsupported | ReadErrorKind::Foreign => {
            format!("the body holds a value that is not supported: {error}")
        }
    });
    let read = checked.and_then(|()| {
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
    });
    read.map_err(|message| Problem::bad_request(error_uri::INVALID_ARGUMENT, message))
}

/// Reads an object of a body. `serde` would also read a list as a structure, by the order of its
/// fields: a list is an error.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a RawValue, what: &str) -> Result<T, Problem> {
    if !text.get().starts_with('{') {
        return Err(Problem::invalid(format!("this is not a {what}: it has to be an object")));
    }
    serde_json::from_str(text.get()).map_err(|error| {
        // The position is one within a part of the body, which means nothing to the client.
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        Problem::invalid(format!("this is not a {what}: {why}"))
    })
}

/// Returns the arguments of a publication or a call.
pub(super) fn payload(
    args: Option<&RawValue>,
    kwargs: Option<&RawValue>,
    depth: usize,
) -> Result<Payload, Problem> {
    let [args, kwargs] = [args, kwargs].map(|text| text.map_or("", RawValue::get));
    Payload::from_json_within(args, kwargs, depth).map_err(|error| match error {
        PayloadError::WrongType { .. } => Problem::invalid(error.to_string()),
        PayloadError::Malformed { .. } | PayloadError::Unsupported { .. } => {
            Problem::bad_request(error_uri::INVALID_ARGUMENT, error.to_string())
        }
    })
}
