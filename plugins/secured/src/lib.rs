//! Plugin with the handler `secured`: only the user whose id is in the topic may subscribe.
//! Publications go to all subscribers.
//!
//! The user source must provide the claim `id`, a number or any text, and may provide
//! `organization_id`, which is then compared as well. `handler.args` are those of [`Ownership`].

use jackfield_ownership::Ownership;
use jackfield_plugin::{Handler, Plugin, export};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
        Handler::new("secured")
            .summary("lets users subscribe to their own topics only")
            .configure(|route| route.args::<Ownership>()?.for_route(route))
            .on_subscribe(|ownership, request| ownership.may_subscribe(request)),
    )
}

export!(plugin);

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        Event, Value, json,
        testing::{Harness, User},
    };

    use super::*;

    #[test]
    fn allows_users_their_own_topics() {
        let mut site = Harness::new(plugin);
        site.route("inbox/{user_id}", "secured");
        let alice = site.join(User::named("alice").claims(json!({"id": 7})));
        let bob = site.join(User::named("bob").claims(json!({"id": 8})));
        site.subscribe(alice, "inbox/7").unwrap();
        site.subscribe(bob, "inbox/7").unwrap_err();
        site.publish_as_host("inbox/7", Event::new("mail")).unwrap();
        assert_eq!(site.received(alice), [("inbox/7", Event::new("mail"))]);
        assert_eq!(site.received(bob), []);
    }

    #[test]
    fn args_select_other_attributes() {
        let mut site = Harness::new(plugin);
        let args = json!({"user": "owner", "organization": "company", "wildcard": true});
        site.route_with("files/{owner}/{company}", "secured", &args);
        let claims = json!({"id": 7, "organization_id": 1});
        let alice = site.join(User::named("alice").claims(claims));
        site.subscribe(alice, "files/7/1").unwrap();
        site.subscribe(alice, "files/7/2").unwrap_err();
        site.subscribe(alice, "files/*/2").unwrap();
    }

    #[test]
    fn reports_errors_of_the_routing_file() {
        let mut site = Harness::new(plugin);
        let mut check = |channel: &str, args: Value, expect: &str| {
            let error = site.try_route(channel, "secured", &args).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check("a/{user_id}", json!({"users": "x"}), "unknown field `users`");
        check("a/{user_id}", json!({"wildcard": "yes"}), "expected a boolean");
        check("a/{user_id}", json!({"user": "owner"}), "has no `{owner}`");
        check("a", json!(null), "has no `{user_id}`");
    }
}
