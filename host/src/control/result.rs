//! Changes of a plugin's versions: their run, their answers and their problems. [`crate::rollout`] makes
//! the changes.

use std::sync::Arc;

use hyper::StatusCode;
use jackfield_text::Untrusted;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::audit::{Caller, Subject};
use super::change::{self, ChangeEnd};
use super::problem::Problem;
use super::{Context, reload};
use crate::http::response::Answer;
use crate::rollout::{CandidateError, RolloutError};
use crate::server_state::ServerState;
use crate::signatures::OlderRelease;
use crate::versions::{Target, TargetError};

/// The maximum size of a digest: `sha256:` and 64 digits.
const MAX_DIGEST_BYTES: usize = 71;

/// Refuses a text that is too long for a digest or its beginning.
pub(super) fn check_digest(digest: Option<&str>) -> Result<(), Problem> {
    if digest.is_some_and(|digest| digest.len() > MAX_DIGEST_BYTES) {
        return Err(Problem::invalid(format!("`digest` has at most {MAX_DIGEST_BYTES} bytes")));
    }
    Ok(())
}

/// The body of a request about a plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginRequest {
    pub(super) plugin: String,
    pub(super) wait_seconds: Option<u64>,
}

/// The body of a request to end the shadow or the canary of a plugin.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StopRequest {
    plugin: String,
    /// The digest of the version that the operator has seen, or its beginning.
    digest: Option<String>,
    wait_seconds: Option<u64>,
}

/// A request to change the versions of a plugin.
pub(super) struct VersionChange<'a> {
    pub(super) context: &'a Context,
    pub(super) caller: &'a Caller,
    /// Its name in the audit line.
    pub(super) action: &'static str,
    pub(super) subject: Subject,
    /// The time that the request waits, if it says.
    pub(super) wait_seconds: Option<u64>,
}

/// A change that was made.
#[derive(Clone)]
pub(super) struct Changed {
    result: &'static str,
    /// The digest of the version that it is about.
    digest: Option<String>,
    keys: Value,
}

impl<'a> VersionChange<'a> {
    /// A change that needs the name of a plugin alone. Returns it with the name.
    ///
    /// # Errors
    /// The name is none of a plugin.
    pub(super) fn of_plugin(
        context: &'a Context,
        caller: &'a Caller,
        action: &'static str,
        request: PluginRequest,
    ) -> Result<(Self, String), Problem> {
        let PluginRequest { plugin, wait_seconds } = request;
        let subject = Subject::plugin(&plugin)?;
        Ok((Self { context, caller, action, subject, wait_seconds }, plugin))
    }

    /// The end of a candidate. Returns it with the name of the plugin, and the digest that the operator
    /// has seen.
    ///
    /// # Errors
    /// The name is none of a plugin, or the digest is none.
    pub(super) fn of_stop(
        context: &'a Context,
        caller: &'a Caller,
        action: &'static str,
        request: StopRequest,
    ) -> Result<(Self, String, Option<String>), Problem> {
        let StopRequest { plugin, digest, wait_seconds } = request;
        check_digest(digest.as_deref())?;
        let subject = Subject::plugin(&plugin)?.with_digest(digest.as_deref());
        Ok((Self { context, caller, action, subject, wait_seconds }, plugin, digest))
    }

    /// Makes a change, and waits for its end. The answer has the keys of the change, and the keys that
    /// all changes have. A request that is repeated because its change could not be saved saves it.
    pub(super) async fn run<F>(
        self,
        change: impl FnOnce(Arc<ServerState>) -> F,
    ) -> Result<Answer, Problem>
    where
        F: Future<Output = Result<Changed, RolloutError>> + Send + 'static,
    {
        let Self { context, caller, action, subject, wait_seconds } = self;
        let wait = change::wait(wait_seconds)?;
        let (state, unsaved) = (Arc::clone(&context.state), Arc::clone(&context.unsaved));
        let changing = change(Arc::clone(&state));
        let of = subject.clone();
        let ending = async move {
            let versions = state.reloader.versions();
            let changed = match unsaved.repeated(versions, action, &of) {
                Some(changed) => {
                    versions.save().await;
                    Ok(changed)
                }
                None => changing.await,
            };
            match changed {
                Ok(changed) => {
                    unsaved.remember(versions, action, &of, &changed);
                    changed.end(&state)
                }
                Err(error) => ChangeEnd::new("failed", failed(&error)),
            }
        };
        change::run(context, caller, action, subject, wait, ending).await
    }
}

impl Changed {
    /// A change that is about the version of this digest.
    pub(super) fn version(digest: &str, keys: Value) -> Self {
        Self { result: "ok", digest: Some(digest.to_owned()), keys }
    }

    /// A change to another version.
    pub(super) fn target(target: &Target) -> Self {
        let Target { plugin, file, from, to, version, .. } = target;
        let keys = json!({
            "plugin": plugin,
            "from": sha256(from),
            "to": sha256(to),
            "version": version,
            "file": file,
        });
        Self::version(to, keys)
    }

    /// A change that is about no version, or a request that has changed nothing.
    pub(super) const fn of_plugin(is_change: bool, keys: Value) -> Self {
        Self { result: if is_change { "ok" } else { "unchanged" }, digest: None, keys }
    }

    /// The name of the plugin.
    pub(super) fn plugin(&self) -> Option<&str> {
        self.keys.get("plugin")?.as_str()
    }

    pub(super) fn is_change(&self) -> bool {
        self.result == "ok"
    }

    /// Adds the warning about a release that is older than one that has served.
    pub(super) fn with_warnings(mut self, older: Option<&OlderRelease>) -> Self {
        if let Value::Object(keys) = &mut self.keys {
            let warnings: Vec<String> = older.iter().map(ToString::to_string).collect();
            keys.insert("warnings".to_owned(), json!(warnings));
        }
        self
    }

    /// Completes the answer. `save_error` says why the change does not survive the end of the server.
    fn end(self, state: &ServerState) -> ChangeEnd {
        let Self { result, digest, keys } = self;
        let versions = state.reloader.versions();
        let mut body = Map::new();
        body.insert("result".to_owned(), json!(result));
        if let Value::Object(keys) = keys {
            body.extend(keys);
        }
        body.insert("survives_restart".to_owned(), json!(versions.survives()));
        body.insert("save_error".to_owned(), json!(versions.unsaved()));
        body.insert("generation".to_owned(), json!(state.reloader.state().generation));
        let answer = Answer::json(StatusCode::OK, &Value::Object(body));
        let digest = digest.map(|digest| sha256(&digest));
        ChangeEnd { result, answer: Ok(answer), digest }
    }
}

/// A digest as answers and audit lines have it.
pub(super) fn sha256(digest: &str) -> String {
    format!("sha256:{digest}")
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
        | CandidateError::OtherPlugin { .. }
        | CandidateError::DigestTooShort { .. } => Problem::invalid(text),
        CandidateError::Missing { .. } => Problem::unknown(text),
        CandidateError::InService { .. }
        | CandidateError::OtherDigest { .. }
        | CandidateError::DigestNeeded(_)
        | CandidateError::OtherSchema { .. }
        | CandidateError::Occupied { .. }
        | CandidateError::Refused { .. }
        | CandidateError::NotStarted { .. }
        | CandidateError::NotServing(_)
        | CandidateError::Downgrade { .. }
        | CandidateError::Disabled(_) => Problem::conflict(text),
    }
}
