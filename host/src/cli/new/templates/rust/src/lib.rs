//! Delivers each text in capital letters, and refuses events that are not a text.

use jackfield_plugin::{Event, Handler, Plugin, Publish, export};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).handler(
        Handler::new("{{handler}}").on_publish(|_state, _request, event| {
            let text: String = event.single()?;
            Ok(Publish::deliver(Event::new(text.to_uppercase())))
        }),
    )
}

export!(plugin);

#[cfg(test)]
mod tests {
    use jackfield_plugin::testing::{Harness, User};

    use super::*;

    #[test]
    fn delivers_texts_in_capitals() {
        let mut site = Harness::new(plugin);
        site.route("{{channel}}/{room}", "{{handler}}");
        let ann = site.join(User::named("ann"));
        let bob = site.join(User::anonymous());
        site.subscribe(ann, "{{channel}}/kitchen").unwrap();
        site.publish(bob, "{{channel}}/kitchen", Event::new("hello")).unwrap();
        assert_eq!(site.received(ann), [("{{channel}}/kitchen", Event::new("HELLO"))]);
    }

    #[test]
    fn refuses_other_events() {
        let mut site = Harness::new(plugin);
        site.route("{{channel}}/{room}", "{{handler}}");
        let bob = site.join(User::anonymous());
        let refused = site.publish(bob, "{{channel}}/kitchen", Event::new(7)).unwrap_err();
        assert_eq!(refused.uri(), Some("wamp.error.invalid_argument"));
    }
}
