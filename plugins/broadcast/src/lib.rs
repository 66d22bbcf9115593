//! Plugin with the handler `broadcast`: every client may subscribe, and publications go to all
//! subscribers.
//!
//! It has no hook, so its topics never enter the component.

use jackfield_plugin::{Handler, Plugin, export};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .handler(Handler::new("broadcast").summary("passes every event on to every subscriber"))
}

export!(plugin);

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        Event,
        testing::{Harness, User},
    };

    use super::*;

    #[test]
    fn broadcasts_without_calling_the_plugin() {
        let mut site = Harness::new(plugin);
        site.route("lobby", "broadcast");
        assert!(site.hooks("broadcast").is_empty());
        let [alice, bob] = ["alice", "bob"].map(|name| site.join(User::named(name)));
        site.subscribe(alice, "lobby").unwrap();
        site.publish(bob, "lobby", Event::new("hello")).unwrap();
        assert_eq!(site.received(alice), [("lobby", Event::new("hello"))]);
    }
}
