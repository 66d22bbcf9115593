//! Registration meta procedures: the procedures of clients. Those of handlers are in the routes.

use jackfield_wamp::error_uri;
use jackfield_wamp::id::{RegistrationId, SessionId};
use serde_json::json;

use super::arguments::Arguments;
use super::{Answer, MAX_LISTED, facts_json, id_lists, no_such, session_list};
use crate::dispatch::{Dispatch, Refusal};

impl Dispatch {
    pub(super) fn registration_meta(
        &self,
        name: &str,
        arguments: &Arguments,
    ) -> Result<Answer, Refusal> {
        match name {
            "list" => Ok(id_lists(self.dealer.registration_ids(MAX_LISTED))),
            "lookup" => {
                let (procedure, policy) = (arguments.text("the procedure")?, arguments.policy()?);
                let found = self.dealer.find_registration(procedure, policy);
                Ok(json!(found.map(RegistrationId::get)).into())
            }
            "match" => {
                let found = self.dealer.matching_registration(arguments.text("the procedure")?);
                Ok(json!(found.map(RegistrationId::get)).into())
            }
            "get" => {
                let id = arguments.id("the registration")?;
                let facts =
                    RegistrationId::new(id).and_then(|it| self.dealer.registration_facts(it));
                Ok(facts_json(&facts.ok_or_else(|| no_registration(id))?).into())
            }
            "list_callees" => {
                let (sessions, total) = self.callees_of(arguments, MAX_LISTED)?;
                Ok(session_list(sessions, total))
            }
            "count_callees" => Ok(json!(self.callees_of(arguments, 0)?.1).into()),
            _ => Err(Refusal::no_procedure(name)),
        }
    }

    fn callees_of(
        &self,
        arguments: &Arguments,
        limit: usize,
    ) -> Result<(Vec<SessionId>, usize), Refusal> {
        let id = arguments.id("the registration")?;
        let found = RegistrationId::new(id).and_then(|it| self.dealer.callees_of(it, limit));
        found.ok_or_else(|| no_registration(id))
    }
}

fn no_registration(id: u64) -> Refusal {
    no_such(error_uri::NO_SUCH_REGISTRATION, "registration", id)
}
