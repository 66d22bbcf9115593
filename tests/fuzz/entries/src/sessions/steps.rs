//! Steps of a run: the next message of a client, chosen by the input.

use jackfield_wamp::dialect::Dialect;

use super::Client;
use crate::input::Input;

const URIS: [&str; 8] = ["a", "a.b", "a.b.c", "a..c", "x/1", "x/2", "", "wamp.a"];
const POLICIES: [&str; 3] = ["exact", "prefix", "wildcard"];
const INVOKES: [&str; 5] = ["single", "first", "last", "roundrobin", "random"];
const ARGUMENTS: [&str; 5] =
    ["", ",[]", ",[1,\"a\"]", ",[],{\"k\":[null]}", ",[\"\\u0000AQI=\",1e3,18446744073709551617]"];

/// A step of a client.
pub(super) enum Step {
    /// A message in JSON, for the codec of the client.
    Say(String),
    Raw(Vec<u8>),
    Leave,
    Flush,
    Wait,
}

/// Chooses the next message of a client. Ids are those of its latest messages, or arbitrary.
pub(super) fn message(client: &Client, input: &mut Input<'_>) -> Step {
    let request = client.requests;
    let uri = input.one_of(&URIS);
    let id = |known: &[u64], input: &mut Input<'_>| {
        let choice = usize::from(input.byte());
        known.len().checked_sub(1 + choice).map_or(choice as u64, |at| known[at])
    };
    let arguments = input.one_of(&ARGUMENTS);
    if client.session.dialect == Dialect::V1 {
        return match input.below(8) {
            0 | 1 => Step::Say(format!(r#"[5,"{uri}"]"#)),
            2 => Step::Say(format!(r#"[6,"{uri}"]"#)),
            3 | 4 => Step::Say(format!(r#"[7,"{uri}",[{}],{}]"#, input.byte(), input.bool())),
            5 => Step::Say(format!(r#"[2,"c{request}","{uri}",1]"#)),
            6 => Step::Leave,
            _ => Step::Flush,
        };
    }
    let policy = input.one_of(&POLICIES);
    Step::Say(match input.below(16) {
        0 | 1 => format!(r#"[32,{request},{{"match":"{policy}"}},"{uri}"]"#),
        2 => format!("[34,{request},{}]", id(&client.subscriptions, input)),
        3 | 4 => {
            let options = format!(
                r#"{{"acknowledge":{},"exclude_me":{},"retain":{},"eligible":{}}}"#,
                input.bool(),
                input.bool(),
                input.bool(),
                input.one_of(&["[]", "[1,2,3]"]),
            );
            format!(r#"[16,{request},{options},"{uri}"{arguments}]"#)
        }
        5 | 6 => {
            let invoke = input.one_of(&INVOKES);
            let forced = input.bool();
            format!(
                r#"[64,{request},{{"match":"{policy}","invoke":"{invoke}","concurrency":{},"force_reregister":{forced}}},"{uri}"]"#,
                input.below(3)
            )
        }
        7 => format!("[66,{request},{}]", id(&client.registrations, input)),
        8 | 9 => {
            // A call that goes on has the id of an earlier one.
            let request = request.saturating_sub(u64::from(input.byte() & 1));
            format!(
                r#"[48,{request},{{"timeout":{},"progress":{},"receive_progress":{}}},"{uri}"{arguments}]"#,
                input.byte(),
                input.bool(),
                input.bool()
            )
        }
        10 => {
            let mode = input.one_of(&["skip", "kill", "killnowait"]);
            format!(
                r#"[49,{},{{"mode":"{mode}"}}]"#,
                request.saturating_sub(u64::from(input.byte()))
            )
        }
        11 => {
            let progress = input.bool();
            format!(
                r#"[70,{},{{"progress":{progress}}}{arguments}]"#,
                id(&client.invocations, input)
            )
        }
        12 => {
            let error = input.one_of(&["a.b", "wamp.error.unavailable"]);
            format!(r#"[8,68,{},{{}},"{error}"{arguments}]"#, id(&client.invocations, input))
        }
        13 => match input.below(4) {
            0 => return Step::Leave,
            1 => return Step::Raw(input.bytes().to_vec()),
            _ => return Step::Wait,
        },
        _ => return Step::Flush,
    })
}
