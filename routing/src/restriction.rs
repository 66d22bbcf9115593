//! Effective restrictions of a route: its own access lists, and those of the configuration for actions
//! that it does not list.

use crate::{Action, Allow};

/// The roles that may perform an action, and the place of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction<'a> {
    /// The restricted action.
    pub action: Action,
    /// The roles; empty if no session may perform it.
    pub roles: &'a [String],
    /// The place of the list.
    pub origin: RestrictionOrigin,
}

/// The place of an access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestrictionOrigin {
    /// `allow` of the route.
    Route,
    /// `allow` of the configuration, or its default.
    Configuration,
}

impl RestrictionOrigin {
    /// Returns its name in answers and output.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Configuration => "configuration",
        }
    }
}

/// Returns the restricted actions of a route with the access lists `own`; `configured` has those of the
/// configuration. An action that neither lists is open to all roles, and is left out.
pub fn restrictions<'a>(
    own: &'a Allow,
    configured: &'a Allow,
) -> impl Iterator<Item = Restriction<'a>> {
    Action::ALL.into_iter().filter_map(|action| {
        let of_route = own.roles(action).map(|roles| (roles, RestrictionOrigin::Route));
        let found = of_route
            .or_else(|| configured.roles(action).map(|it| (it, RestrictionOrigin::Configuration)));
        found.map(|(roles, origin)| Restriction { action, roles, origin })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(lists: &[(Action, &[&str])]) -> Allow {
        let mut allow = Allow::default();
        for (action, roles) in lists {
            allow.set(*action, roles.iter().map(|role| (*role).to_owned()).collect());
        }
        allow
    }

    #[test]
    fn the_list_of_the_route_precedes_that_of_the_configuration() {
        let own = allow(&[(Action::Subscribe, &["member"]), (Action::Call, &[])]);
        let configured = allow(&[(Action::Subscribe, &["user"]), (Action::Publish, &["backend"])]);
        let found: Vec<_> = restrictions(&own, &configured)
            .map(|it| (it.action.key(), it.roles.join(","), it.origin.key()))
            .collect();
        let expect = [
            ("subscribe", "member", "route"),
            ("publish", "backend", "configuration"),
            ("call", "", "route"),
        ];
        assert_eq!(found, expect.map(|(action, roles, from)| (action, roles.to_owned(), from)));
        for Restriction { action, roles, .. } in restrictions(&own, &configured) {
            assert_eq!(own.roles_or(&configured, action), Some(roles), "as the server decides");
        }
    }
}
