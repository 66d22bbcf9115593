//! Ownership: the rule that a topic with a user id belongs to that user, shared by the plugins
//! `secured` and `sync`. It is a library, not a plugin.

use jackfield_plugin::{Error, Refusal, Request, Route, Session, Subscribe, Value};
use serde::Deserialize;

/// The attributes of the topic that identify its user. As `handler.args` of a route:
/// `{ user: owner_id, organization: company_id, wildcard: true }`, each with a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ownership {
    /// The attribute with the user's id, `user_id` by default.
    pub user: String,
    /// The attribute with the organization's id, `organization_id` by default. The channel may lack
    /// it, and `*` as its value is every organization. It is compared if the user source names the
    /// user's organization; otherwise only the user's id counts, as in OroPlatform.
    pub organization: String,
    /// Whether `*` as the user id means every user.
    pub wildcard: bool,
}

/// The claims that the rule uses: ids as numbers or as text.
#[derive(Debug, Default, Deserialize)]
struct Claims {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    organization_id: Value,
}

impl Default for Ownership {
    fn default() -> Self {
        Self {
            user: "user_id".to_owned(),
            organization: "organization_id".to_owned(),
            wildcard: false,
        }
    }
}

impl Ownership {
    /// Creates the rule with `*` as the id of every user.
    #[must_use]
    pub fn with_wildcard() -> Self {
        Self { wildcard: true, ..Self::default() }
    }

    /// Returns the rule for a route. Its channel must capture the user's id: otherwise every
    /// subscription would be refused without an obvious reason.
    pub fn for_route(self, route: &Route) -> Result<Self, Error> {
        if captures(route.channel(), &self.user) {
            return Ok(self);
        }
        let (user, channel) = (&self.user, route.channel());
        Err(Error::Route(format!(
            "the channel `{channel}` has no `{{{user}}}` that would say whose its topics are"
        )))
    }

    /// Decides whether the session may subscribe to the topic.
    pub fn may_subscribe(&self, request: &Request) -> Result<Subscribe, Refusal> {
        if self.is_everybodys(request)
            || request.session().is_some_and(|session| self.is_own(request, session))
        {
            return Ok(Subscribe::Allow);
        }
        let topic = request.topic();
        let message = format!("You are not allowed to subscribe on topic \"{topic}\".");
        Err(Refusal::not_authorized(message))
    }

    fn is_everybodys(&self, request: &Request) -> bool {
        self.wildcard && request.attribute_text(&self.user) == Some("*")
    }

    fn is_own(&self, request: &Request, session: &Session) -> bool {
        // Claims of another shape count as no claims.
        let claims: Claims = session.claims().unwrap_or_default();
        let Some(user) = request.attribute_text(&self.user) else { return false };
        // `*` is never a user's id, and `0` is the result of converting a missing id.
        let is_id = !matches!(user, "" | "*") && user.parse() != Ok(0);
        is_id && is_same(user, &claims.id) && self.is_in(request, &claims)
    }

    /// Returns whether the topic is in the user's organization. The user source may omit the
    /// organization; if it has one, the topic's must be the same.
    fn is_in(&self, request: &Request, claims: &Claims) -> bool {
        let Some(organization) = request.attribute_text(&self.organization) else { return true };
        organization == "*"
            || claims.organization_id.is_null()
            || is_same(organization, &claims.organization_id)
    }
}

/// Returns whether an id in a topic equals that of a claim, as a whole number or as text.
fn is_same(written: &str, claim: &Value) -> bool {
    let claim = match claim {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return false,
    };
    let number = |text: &str| text.parse::<u64>().ok();
    written == claim || (number(written).is_some() && number(written) == number(&claim))
}

/// Returns whether the channel has the variable, bare or with an inline pattern or default.
fn captures(channel: &str, name: &str) -> bool {
    channel.split('{').skip(1).any(|variable| {
        let variable = variable.strip_prefix('!').unwrap_or(variable);
        variable.strip_prefix(name).is_some_and(|rest| rest.starts_with(['}', '<', '?']))
    })
}

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        Handler, Plugin, json,
        testing::{Harness, User},
    };

    use super::*;

    fn plugin() -> Plugin {
        let handler = |name, ownership: Ownership| {
            Handler::new(name)
                .configure(move |route| ownership.clone().for_route(route))
                .on_subscribe(|ownership, request| ownership.may_subscribe(request))
        };
        Plugin::new("t", "1")
            .handler(handler("own", Ownership::default()))
            .handler(handler("own-or-all", Ownership::with_wildcard()))
    }

    /// Checks whether a user with these claims may subscribe to the topic.
    #[track_caller]
    fn check(topic: &str, claims: Value, expect: bool) {
        let mut site = Harness::new(plugin);
        site.route("own/{user_id}", "own");
        site.route("own/{user_id}/{organization_id}", "own");
        site.route("all/{user_id}", "own-or-all");
        let somebody = site.join(User::named("somebody").claims(claims));
        let answer = site.subscribe(somebody, topic);
        assert_eq!(answer.is_ok(), expect, "{answer:?}");
        if let Err(refused) = answer {
            assert_eq!(refused.uri(), Some("wamp.error.not_authorized"));
            let message = format!("You are not allowed to subscribe on topic \"{topic}\".");
            assert_eq!(refused.message(), message);
        }
    }

    #[test]
    fn allows_a_topic_to_its_user_only() {
        check("own/7", json!({"id": 7}), true);
        check("own/7", json!({"id": "7"}), true);
        check("own/07", json!({"id": 7}), true);
        check("own/7", json!({"id": 8}), false);
        check("own/7", json!({"id": -7}), false);
        check("own/7", json!({"id": null}), false);
        check("own/7", json!({}), false);
        check("own/7", json!({"id": [7]}), false);
        check("own/0", json!({"id": 0}), false);
        check("own/7x", json!({"id": 7}), false);
        check("own/99999999999999999999", json!({"id": 7}), false);
        check("own/*", json!({"id": 7}), false);
        check("own/*", json!({"id": "*"}), false);
        check("own/7", json!({"id": 7.5}), false);
        check("own/7", json!({"id": true}), false);
        check("own/00", json!({"id": "00"}), false);
    }

    #[test]
    fn user_ids_may_be_any_text() {
        check("own/u-7", json!({"id": "u-7"}), true);
        check("own/u-7", json!({"id": "u-8"}), false);
        check("own/u-7", json!({"id": "U-7"}), false);
        check("own/u-7", json!({"id": 7}), false);
        let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        check(&format!("own/{uuid}/acme"), json!({"id": uuid, "organization_id": "acme"}), true);
        check(&format!("own/{uuid}/acme"), json!({"id": uuid, "organization_id": "other"}), false);
        check(&format!("own/{uuid}/acme"), json!({"id": uuid, "organization_id": 1}), false);
    }

    #[test]
    fn known_organizations_must_match() {
        check("own/7/1", json!({"id": 7, "organization_id": 1}), true);
        check("own/7/1", json!({"id": 7, "organization_id": "1"}), true);
        check("own/7/2", json!({"id": 7, "organization_id": 1}), false);
        check("own/7/2", json!({"id": 7}), true);
        check("own/7/2", json!({"id": 7, "organization_id": null}), true);
        check("own/7/*", json!({"id": 7, "organization_id": 1}), true);
        check("own/8/*", json!({"id": 7, "organization_id": 1}), false);
        check("own/7/x", json!({"id": 7}), true);
        check("own/7/x", json!({"id": 7, "organization_id": 1}), false);
        check("own/7/01", json!({"id": 7, "organization_id": 1}), true);
        check("own/7/2", json!({"id": 7, "organization_id": ""}), false);
        check("own/7/1", json!({"id": 7, "organization_id": []}), false);
    }

    #[test]
    fn the_wildcard_is_shared_where_the_rule_allows_it() {
        check("all/*", json!({}), true);
        check("all/7", json!({"id": 7}), true);
        check("all/7", json!({"id": 8}), false);
        check("all/**", json!({}), false);
    }

    #[test]
    fn rejects_a_channel_without_a_user_variable() {
        let mut site = Harness::new(plugin);
        let error = site.try_route("own/{id}", "own", &Value::Null).unwrap_err();
        assert_eq!(
            error,
            "the channel `own/{id}` has no `{user_id}` that would say whose its topics are"
        );
        assert!(captures(r"a/{x<\d+>?1}/{user_id<\d+>}", "user_id"));
        assert!(captures("a/{!user_id}", "user_id"));
        assert!(!captures("a/{user_ids}", "user_id"));
    }
}
