//! Subscription meta procedures.

use jackfield_wamp::error_uri;
use jackfield_wamp::id::{SessionId, SubscriptionId};
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Answer, MAX_LISTED, facts_json, id_lists, no_such, session_list};
use crate::dispatch::{Dispatch, Refusal};

impl Dispatch {
    pub(super) fn subscription_meta(
        &self,
        name: &str,
        arguments: &Arguments,
    ) -> Result<Answer, Refusal> {
        match name {
            "list" => Ok(id_lists(self.realm.subscription_ids(MAX_LISTED))),
            "lookup" => {
                let (topic, policy) = (arguments.text("the topic")?, arguments.policy()?);
                let found = self.realm.find_subscription(topic, policy);
                Ok(json!(found.map(SubscriptionId::get)).into())
            }
            "match" => {
                let topic = arguments.text("the topic")?;
                let found = self.realm.matching_subscriptions(topic, MAX_LISTED);
                let ids: Vec<u64> = found.into_iter().map(SubscriptionId::get).collect();
                Ok(if ids.is_empty() { Value::Null } else { json!(ids) }.into())
            }
            "get" => {
                let id = arguments.id("the subscription")?;
                let facts =
                    SubscriptionId::new(id).and_then(|it| self.realm.subscription_facts(it));
                Ok(facts_json(&facts.ok_or_else(|| no_subscription(id))?).into())
            }
            "list_subscribers" => {
                let (sessions, total) = self.subscribers_of(arguments, MAX_LISTED)?;
                Ok(session_list(sessions, total))
            }
            "count_subscribers" => Ok(json!(self.subscribers_of(arguments, 0)?.1).into()),
            _ => Err(Refusal::no_procedure(name)),
        }
    }

    fn subscribers_of(
        &self,
        arguments: &Arguments,
        limit: usize,
    ) -> Result<(Vec<SessionId>, usize), Refusal> {
        let id = arguments.id("the subscription")?;
        let found = SubscriptionId::new(id).and_then(|it| self.realm.subscribers_of(it, limit));
        found.ok_or_else(|| no_subscription(id))
    }
}

fn no_subscription(id: u64) -> Refusal {
    no_such(error_uri::NO_SUCH_SUBSCRIPTION, "subscription", id)
}
