//! Plugin with the handlers of OroPlatform's own routing files, for every topic of its back office.
//!
//! * Broadcast: data updates, maintenance mode, the message queue's heartbeat, outdated user pages.
//! * The state of the maintenance mode is also the result of calls, for pages that are opened
//!   during it.
//! * For their own user only: email, attribute import, reminders, conversations, and failed mailbox
//!   synchronization, where `*` means every user.
//! * The ping: it carries no publications, and a timer publishes that the connection is alive.
//!   Proxies that close silent connections depend on it.

use std::time::Duration;

use jackfield_ownership::Ownership;
use jackfield_plugin::{
    Error, Event, Handler, Plugin, Publish, Value, export, json, log, store, topics,
};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .handler(ping())
        .handler(broadcast("oro_sync.data_update"))
        .handler(maintenance())
        .handler(broadcast("oro_message_queue.message_queue_heartbeat"))
        .handler(broadcast("oro_user.outdated_user_page"))
        .handler(secured("oro_email.event", Ownership::default()))
        .handler(secured("oro_entity_config.attribute_import", Ownership::default()))
        .handler(secured("oro_reminder.remind", Ownership::default()))
        .handler(secured("oro_conversation.event", Ownership::default()))
        .handler(secured("oro_imap.sync_fail", Ownership::with_wildcard()))
}

export!(plugin);

fn ping() -> Handler {
    Handler::new("oro_sync.ping")
        .summary("keeps silent connections alive")
        .on_publish(|_state, _request, _event| Publish::drop())
        .every(Duration::from_secs(50))
        .on_timer(|_state, request| {
            topics::publish(request.topic(), Event::new("Connection keep alive"));
        })
}

fn broadcast(name: &str) -> Handler {
    Handler::new(name).summary("passes every event on to every subscriber")
}

/// Returns the handler of the maintenance mode, `{"isOn", "userId"}`. A call of the topic returns
/// the last state since the server was started. Other events are broadcast and not stored.
fn maintenance() -> Handler {
    Handler::new("oro_sync.maintenance")
        .summary("passes every event on to every subscriber, and answers with the last state")
        .on_publish(|_state, request, event| {
            let kept = match event.single::<Value>() {
                Ok(said) => remember(request.topic(), &said),
                Err(_) => Ok(()),
            };
            // Subscribers receive the event nevertheless.
            if let Err(error) = kept {
                log::error!("{}: {error}", request.topic());
            }
            Publish::broadcast()
        })
        .on_call(|_state, request, _event| {
            let state: Option<Value> = store::get(request.topic())?;
            Ok(Event::new(state.unwrap_or_else(|| json!({"isOn": false, "userId": null}))))
        })
}

fn remember(topic: &str, said: &Value) -> Result<(), Error> {
    let Some(is_on) = said.get("isOn").and_then(Value::as_bool) else { return Ok(()) };
    store::set(topic, &json!({"isOn": is_on, "userId": said.get("userId")}))
}

/// Returns a handler for topics of one user. As in OroPlatform, `handler.args` are ignored.
fn secured(name: &str, ownership: Ownership) -> Handler<Ownership> {
    Handler::new(name)
        .summary("lets users subscribe to their own topics only")
        .configure(move |route| ownership.clone().for_route(route))
        .on_subscribe(|ownership, request| ownership.may_subscribe(request))
}

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        json,
        testing::{Harness, User},
    };

    use super::*;

    const ROUTES: [(&str, &str); 10] = [
        ("oro/ping", "oro_sync.ping"),
        ("oro/data/update", "oro_sync.data_update"),
        ("oro/maintenance", "oro_sync.maintenance"),
        ("oro/message_queue_heartbeat", "oro_message_queue.message_queue_heartbeat"),
        ("oro/outdated_user_page", "oro_user.outdated_user_page"),
        ("oro/email_event/{user_id}/{organization_id}", "oro_email.event"),
        ("oro/attribute_import/{user_id}/{config_model_id}", "oro_entity_config.attribute_import"),
        ("oro/reminder_remind/{user_id}", "oro_reminder.remind"),
        ("oro/conversation_event/{user_id}/{organization_id}", "oro_conversation.event"),
        ("oro/imap_sync_fail/{user_id}", "oro_imap.sync_fail"),
    ];

    fn site() -> Harness {
        let mut site = Harness::new(plugin);
        for (channel, handler) in ROUTES {
            site.route(channel, handler);
        }
        site
    }

    #[test]
    fn the_routing_file_has_the_same_routes() {
        let file = include_str!("../websocket_routing.yml");
        assert_eq!(file.matches("channel:").count(), ROUTES.len());
        for (channel, handler) in ROUTES {
            let lines = format!("channel: '{channel}'\n    handler: {{ callback: '{handler}' }}\n");
            assert!(file.contains(&lines), "{lines}");
        }
    }

    /// Checks whether user 7 of organization 1 may subscribe, and receives publications.
    #[track_caller]
    fn check(topic: &str, expect: bool) {
        let mut site = site();
        let claims = json!({"id": 7, "organization_id": 1});
        let alice = site.join(User::named("alice").claims(claims));
        assert_eq!(site.subscribe(alice, topic).is_ok(), expect, "{topic}");
        let event = Event::new(json!({"any": ["thing", 1, null]}));
        site.publish_as_host(topic, event.clone()).unwrap();
        let received = site.received(alice);
        if expect {
            assert_eq!(received, [(topic, event)]);
        } else {
            assert_eq!(received, []);
        }
    }

    #[test]
    fn broadcast_topics_reach_every_user() {
        check("oro/data/update", true);
        check("oro/maintenance", true);
        check("oro/message_queue_heartbeat", true);
        check("oro/outdated_user_page", true);
    }

    #[test]
    fn user_topics_reach_their_user_only() {
        check("oro/email_event/7/1", true);
        check("oro/email_event/7/*", true);
        check("oro/email_event/7/2", false);
        check("oro/email_event/8/1", false);
        check("oro/attribute_import/7/12", true);
        check("oro/attribute_import/8/12", false);
        check("oro/reminder_remind/7", true);
        check("oro/reminder_remind/8", false);
        check("oro/conversation_event/7/1", true);
        check("oro/conversation_event/8/1", false);
        check("oro/imap_sync_fail/7", true);
        check("oro/imap_sync_fail/*", true);
        check("oro/imap_sync_fail/8", false);
    }

    #[test]
    fn the_ping_topic_carries_no_publications() {
        let mut site = site();
        let alice = site.join(User::anonymous());
        site.subscribe(alice, "oro/ping").unwrap();
        site.publish_as_host("oro/ping", Event::new("anything")).unwrap();
        assert_eq!(site.received(alice), []);
        // The platform's own routes have no `timer`.
        assert_eq!(site.every("oro_sync.ping"), Some(Duration::from_secs(50)));
        site.timer("oro/ping").unwrap();
        assert_eq!(site.received(alice), [("oro/ping", Event::new("Connection keep alive"))]);
    }

    #[test]
    fn answers_calls_with_the_maintenance_state() {
        const TOPIC: &str = "oro/maintenance";
        let mut site = site();
        let alice = site.join(User::anonymous());
        let mut check = |said: Option<Event>, expect: Value| {
            if let Some(event) = said {
                site.publish_as_host(TOPIC, event).unwrap();
            }
            let state: Value = site.call(alice, TOPIC, Event::empty()).unwrap().single().unwrap();
            assert_eq!(state, expect);
        };
        let off = || json!({"isOn": false, "userId": null});
        let on = || json!({"isOn": true, "userId": 7});
        check(None, off());
        check(Some(Event::new(on())), on());
        for odd in [json!(1), json!("on"), json!({}), json!({"isOn": "yes"}), json!(null)] {
            check(Some(Event::new(odd)), on());
        }
        check(Some(Event::empty()), on());
        check(Some(Event::new(json!({"isOn": true, "userId": 7, "more": 1}))), on());
        check(Some(Event::new(off())), off());
    }

    #[test]
    fn broadcasts_maintenance_even_if_the_store_is_full() {
        let mut site = site();
        let alice = site.join(User::anonymous());
        site.subscribe(alice, "oro/maintenance").unwrap();
        site.set_store_full(true);
        let event = Event::new(json!({"isOn": true, "userId": 7}));
        site.publish_as_host("oro/maintenance", event.clone()).unwrap();
        assert_eq!(site.received(alice), [("oro/maintenance", event)]);
        assert_eq!(site.logged().len(), 1);
    }

    #[test]
    fn only_topics_that_need_the_plugin_enter_it() {
        let site = site();
        assert_eq!(site.hooks("oro_sync.ping"), ["publish", "timer"]);
        assert!(site.hooks("oro_sync.data_update").is_empty());
        assert_eq!(site.hooks("oro_sync.maintenance"), ["publish", "call"]);
        assert_eq!(site.hooks("oro_email.event"), ["subscribe"]);
    }
}
