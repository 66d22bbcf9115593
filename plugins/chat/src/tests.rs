//! Tests of a room.

use std::time::Duration;

use jackfield_plugin::{
    Event, SessionId, Value, json,
    testing::{Failure, Harness, User},
};

use super::*;

const ROOM: &str = "acme/chat/kitchen";

fn site_with(args: &Value) -> Harness {
    let mut site = Harness::new(plugin);
    site.route_with("acme/chat/{room}", "chat", args);
    site
}

fn enter(site: &mut Harness, name: &str) -> SessionId {
    let session = site.join(User::named(name));
    site.subscribe(session, ROOM).unwrap();
    session
}

fn say(site: &mut Harness, session: SessionId, text: &str) -> Result<(), Failure> {
    site.publish(session, ROOM, Event::new(json!({"text": text})))
}

/// Checks the events that the session has received since the last call.
#[track_caller]
fn hears(site: &mut Harness, session: SessionId, expect: &[Value]) {
    let heard: Vec<Value> =
        site.received(session).iter().map(|heard| heard.event.single().unwrap()).collect();
    assert_eq!(heard, expect);
}

#[test]
fn members_receive_messages_and_newcomers_the_history() {
    let mut site = site_with(&json!({"history": 2}));
    let alice = enter(&mut site, "alice");
    hears(&mut site, alice, &[json!({"type": "history", "you": "alice", "messages": []})]);
    for text in ["one", " two ", "three"] {
        say(&mut site, alice, text).unwrap();
    }
    hears(&mut site, alice, &[]);

    let bob = enter(&mut site, "bob");
    let messages = json!([{"from": "alice", "text": "two"}, {"from": "alice", "text": "three"}]);
    hears(&mut site, bob, &[json!({"type": "history", "you": "bob", "messages": messages})]);
    hears(&mut site, alice, &[json!({"type": "joined", "who": "bob"})]);

    say(&mut site, bob, "hello").unwrap();
    hears(&mut site, alice, &[json!({"type": "message", "from": "bob", "text": "hello"})]);
    site.leave(bob).unwrap();
    hears(&mut site, alice, &[json!({"type": "left", "who": "bob"})]);
}

#[test]
fn realms_have_rooms_of_their_own() {
    let mut site = site_with(&json!({}));
    let alice = enter(&mut site, "alice");
    say(&mut site, alice, "secret").unwrap();
    let eve = site.join(User::named("eve").realm("other"));
    site.subscribe(eve, ROOM).unwrap();
    hears(&mut site, eve, &[json!({"type": "history", "you": "eve", "messages": []})]);
}

#[test]
fn members_choose_unique_names() {
    let mut site = site_with(&Value::Null);
    let alice = enter(&mut site, "alice");
    // A user without a nickname of her own, whose name is taken.
    let bob = enter(&mut site, "bob");
    site.publish(bob, ROOM, Event::new(json!({"nick": "carl"}))).unwrap();
    let second = enter(&mut site, "carl");
    assert_eq!(
        site.call(alice, ROOM, Event::empty()).unwrap(),
        Event::new(json!(["alice", "carl", "carl-2"]))
    );
    site.received(alice);
    site.received(second);
    let rename =
        |site: &mut Harness, to: &str| site.publish(second, ROOM, Event::new(json!({"nick": to})));
    rename(&mut site, "Liddell").unwrap();
    let renamed = json!({"type": "renamed", "from": "carl-2", "to": "Liddell"});
    hears(&mut site, alice, std::slice::from_ref(&renamed));
    hears(&mut site, second, &[renamed]);
    assert_eq!(rename(&mut site, "alice").unwrap_err().uri(), Some("acme.chat.error.name_taken"));
    for bad in ["", "a\nb", &"x".repeat(31)] {
        let refused = rename(&mut site, bad).unwrap_err();
        assert_eq!(refused.uri(), Some("wamp.error.invalid_argument"), "{bad:?}");
    }
}

#[test]
fn a_user_with_two_sessions_is_one_member() {
    let mut site = site_with(&Value::Null);
    let bob = enter(&mut site, "bob");
    let alice = enter(&mut site, "alice");
    site.publish(alice, ROOM, Event::new(json!({"nick": "Liddell"}))).unwrap();
    site.received(bob);
    site.received(alice);
    let other_tab = enter(&mut site, "alice");
    hears(&mut site, other_tab, &[json!({"type": "history", "you": "Liddell", "messages": []})]);
    say(&mut site, other_tab, "hello").unwrap();
    let message = json!({"type": "message", "from": "Liddell", "text": "hello"});
    hears(&mut site, bob, std::slice::from_ref(&message));
    hears(&mut site, alice, &[message]);
    site.leave(alice).unwrap();
    hears(&mut site, bob, &[]);
    site.leave(other_tab).unwrap();
    hears(&mut site, bob, &[json!({"type": "left", "who": "Liddell"})]);
    assert_eq!(site.call(bob, ROOM, Event::empty()).unwrap(), Event::new(json!(["bob"])));
}

#[test]
fn each_anonymous_session_is_a_member_of_its_own() {
    let mut site = site_with(&Value::Null);
    let bob = enter(&mut site, "bob");
    site.received(bob);
    for _ in 0..2 {
        let visitor = site.join(User::anonymous());
        site.subscribe(visitor, ROOM).unwrap();
    }
    let joined = |who| json!({"type": "joined", "who": who});
    hears(&mut site, bob, &[joined("anonymous-2"), joined("anonymous-3")]);
}

#[test]
fn rejects_malformed_messages() {
    let mut site = site_with(&json!({"max_length": 5}));
    let alice = enter(&mut site, "alice");
    let bob = enter(&mut site, "bob");
    let mut check = |event: Event, expect: &str| {
        let refused = site.publish(alice, ROOM, event).unwrap_err();
        assert_eq!(refused.uri(), Some("wamp.error.invalid_argument"));
        assert!(refused.message().contains(expect), "{refused}");
    };
    check(Event::new(json!({"text": ""})), "Say something");
    check(Event::new(json!({"text": " \n"})), "Say something");
    check(Event::new(json!({"text": "longer"})), "5 characters at most");
    check(Event::new(json!({"txt": "x"})), "unknown variant `txt`, expected `text` or `nick`");
    check(Event::new("x"), "args of the event");
    check(Event::empty(), "args of the event");
    check(Event::from_args(&("x", "y")).unwrap(), "args of the event");
    site.received(bob);
    say(&mut site, alice, "été…").unwrap();
    hears(&mut site, bob, &[json!({"type": "message", "from": "alice", "text": "été…"})]);
}

#[test]
fn refuses_messages_of_sessions_outside_the_room() {
    let mut site = site_with(&Value::Null);
    let eve = site.join(User::anonymous());
    let refused = say(&mut site, eve, "hello").unwrap_err();
    assert_eq!(refused.message(), "Join the room before you speak.");
    let refused = site.publish_as_host(ROOM, Event::new(json!({"text": "x"}))).unwrap_err();
    assert_eq!(refused.uri(), Some("wamp.error.not_authorized"));
}

#[test]
fn limits_the_rate_of_a_member() {
    let mut site = site_with(&json!({"burst": 2}));
    let alice = enter(&mut site, "alice");
    let bob = enter(&mut site, "bob");
    say(&mut site, alice, "1").unwrap();
    say(&mut site, alice, "2").unwrap();
    assert_eq!(say(&mut site, alice, "3").unwrap_err().uri(), Some("acme.chat.error.flood"));
    say(&mut site, bob, "others may").unwrap();
    site.advance(Duration::from_secs(5));
    say(&mut site, alice, "4").unwrap();
}

#[test]
fn keeps_rooms_separate() {
    let mut site = site_with(&Value::Null);
    let alice = enter(&mut site, "alice");
    let bob = site.join(User::named("bob"));
    site.subscribe(bob, "acme/chat/kitchens").unwrap();
    site.received(alice);
    say(&mut site, bob, "hello").unwrap_err();
    assert_eq!(site.call(alice, ROOM, Event::empty()).unwrap(), Event::new(json!(["alice"])));
    hears(&mut site, alice, &[]);
}

#[test]
fn a_new_version_keeps_members_and_history() {
    let mut site = site_with(&Value::Null);
    let alice = enter(&mut site, "alice");
    say(&mut site, alice, "before").unwrap();
    site.reload(plugin).unwrap();
    say(&mut site, alice, "after").unwrap();
    let bob = enter(&mut site, "bob");
    let messages = json!([{"from": "alice", "text": "before"}, {"from": "alice", "text": "after"}]);
    hears(&mut site, bob, &[json!({"type": "history", "you": "bob", "messages": messages})]);
}

#[test]
fn rejects_invalid_settings() {
    let check = |args: Value, expect: &str| {
        let mut site = Harness::new(plugin);
        let error = site.try_route("acme/chat/{room}", "chat", &args).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    check(json!({"history": 201}), "history can be 200 at most");
    check(json!({"history": -1}), "invalid value: integer `-1`");
    check(json!({"max_length": 0}), "max_length has to be 1 to 1000");
    check(json!({"burst": 0}), "burst has to be 1 or more");
    check(json!({"histroy": 1}), "unknown field `histroy`");
}
