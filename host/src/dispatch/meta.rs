//! Meta API: procedures about the realm's sessions, subscriptions and registrations, and events of
//! their changes. Each needs a rule whose URI begins with `wamp.` (setting `rules`).
//!
//! Events are published to subscribers by name alone, so that a pattern of all topics does not get
//! them. They are made only where a session is subscribed. Nothing of the meta API itself is shown.

mod arguments;
mod events;
mod registrations;
mod sessions;
mod subscriptions;
mod survey;
mod testaments;

use std::sync::Arc;

use jackfield_broker::{Facts, IdLists, PendingFlushes, Session};
use jackfield_routing::Action;
use jackfield_wamp::id::SessionId;
use jackfield_wamp::message::Call;
use jackfield_wamp::meta::PROCEDURES;
use jackfield_wamp::payload::Payload;
use jackfield_wamp::protocol::{ErrorTo, Reply};
use jackfield_wamp::uri::is_reserved;
use serde_json::{Map, Value, json};

use super::authorize::check_allowed;
use super::authorizer::Wish;
use super::trace::{self, MessageKind};
use super::{Dispatch, Refusal, reply};
use crate::metrics::RequestKind;
use crate::timestamp;
use arguments::Arguments;
pub(crate) use survey::SessionQuestion;
pub(super) use testaments::Testaments;

/// The maximum number of ids of a list.
const MAX_LISTED: usize = 10_000;

/// Returns whether the procedure belongs to the meta API.
pub(super) fn is_procedure(procedure: &str) -> bool {
    max_arguments(procedure).is_some()
}

fn max_arguments(procedure: &str) -> Option<usize> {
    if !is_reserved(procedure) {
        return None;
    }
    let found = PROCEDURES.iter().find(|(name, _)| *name == procedure);
    found.map(|(_, max_arguments)| *max_arguments)
}

/// The result of a procedure: one value, and the number of all entries of a list that is cut off.
struct Answer {
    value: Value,
    total: Option<usize>,
    /// Whether a node has not answered.
    is_partial: bool,
}

impl Dispatch {
    /// Handles a CALL of a procedure of the meta API.
    pub(super) async fn handle_meta(
        &self,
        from: &Arc<Session>,
        call: &Call,
        batch: &mut PendingFlushes,
    ) {
        let call_id = &call.request;
        match self.answer_meta(from, call, batch).await {
            Ok(payload) => {
                let result = Reply::Result { call: call_id, progress: false, payload: &payload };
                reply(from, &result, batch);
            }
            Err(refusal) => reply(from, &refusal.reply(ErrorTo::Call { call: call_id }), batch),
        }
    }

    /// Answers a procedure of the meta API, and reports a refusal.
    pub(super) async fn answer_meta(
        &self,
        from: &Session,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Result<Payload, Refusal> {
        let trace = self.trace(from, MessageKind::Call, &call.procedure, Some(&call.payload));
        let answer = self.meta_result(from, call, batch).await;
        trace::ended(trace.as_deref(), &answer);
        answer.inspect_err(|it| self.refused(RequestKind::Call, it, from, &call.procedure))
    }

    async fn meta_result(
        &self,
        from: &Session,
        call: &Call,
        batch: &mut PendingFlushes,
    ) -> Result<Payload, Refusal> {
        let Call { procedure, options, payload, .. } = call;
        let generation = self.generations.current();
        let rule = check_allowed(&generation, self.at(procedure), None, Action::Call, from);
        let rule = rule.map_err(|_not_allowed| Refusal::no_meta(procedure))?;
        let wish = Wish::call(from, procedure, options);
        self.authorize(&generation, rule, wish, batch).await?;
        if options.progress || payload.passthru().is_some() {
            return Err(Refusal::plain_alone(procedure));
        }
        let (args, kwargs) = self.hook_arguments(payload)?;
        let arguments = Arguments::parse(&args, &kwargs)?;
        arguments.at_most(max_arguments(procedure).unwrap_or_default())?;
        let (_, group) = procedure.split_once('.').unwrap_or_default();
        let answer = match group.split_once('.').unwrap_or_default() {
            ("session", "add_testament") => self.add_testament(from, &generation, &arguments),
            ("session", "flush_testaments") => self.flush_testaments(from, &arguments),
            ("session", name) => self.survey_sessions(from, name, &arguments, batch).await,
            ("subscription", name) => self.subscription_meta(name, &arguments),
            ("registration", name) => self.registration_meta(name, &arguments),
            _ => Err(Refusal::no_procedure(procedure)),
        };
        let Answer { value, total, is_partial } = answer?;
        let mut kwargs = Map::new();
        kwargs.extend(total.map(|total| ("total".to_owned(), json!(total))));
        kwargs.extend(is_partial.then(|| ("partial".to_owned(), json!(true))));
        let kwargs =
            if kwargs.is_empty() { String::new() } else { Value::Object(kwargs).to_string() };
        Payload::from_json(&json!([value]).to_string(), &kwargs)
            .map_err(|error| Refusal::bad_event(&error))
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { value, total: None, is_partial: false }
    }
}

/// Returns ids by policy.
fn id_lists(ids: IdLists) -> Answer {
    let IdLists { lists: [exact, prefix, wildcard], total } = ids;
    let is_cut = exact.len() + prefix.len() + wildcard.len() < total;
    let value = json!({ "exact": exact, "prefix": prefix, "wildcard": wildcard });
    Answer { total: is_cut.then_some(total), ..value.into() }
}

/// Returns session ids, and the number of all if some are left out.
fn session_list(sessions: Vec<SessionId>, total: usize) -> Answer {
    let is_cut = sessions.len() < total;
    let ids: Vec<u64> = sessions.into_iter().map(SessionId::get).collect();
    Answer { total: is_cut.then_some(total), ..json!(ids).into() }
}

/// Returns a subscription or registration.
fn facts_json(facts: &Facts) -> Value {
    let Facts { id, created, uri, policy, invoke } = facts;
    let created = timestamp::time(std::time::UNIX_EPOCH + *created);
    let mut value = json!({ "id": id, "created": created, "uri": &**uri, "match": policy.name() });
    if let (Some(value), Some(invoke)) = (value.as_object_mut(), invoke) {
        value.insert("invoke".to_owned(), json!(invoke.name()));
    }
    value
}

/// Refuses a procedure about an object that does not exist.
fn no_such(uri: &'static str, what: &str, id: u64) -> Refusal {
    Refusal::new(uri, format!("there is no {what} {id}"))
}
