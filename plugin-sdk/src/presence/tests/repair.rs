//! Reloads, faults and lost hooks: what the record survives, and how it is repaired.

use std::time::Duration;

use super::{ROOM, enter, hears, joined, left, member, members, plugin, site, user};
use crate::{
    Event, SessionId, Value, json,
    testing::{Harness, User},
};

#[test]
fn survives_a_reload_and_leaves_nothing_behind() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    let bob = enter(&mut site, user("bob"));
    site.reload(plugin).unwrap();
    let carl = enter(&mut site, user("carl"));
    assert_eq!(site.received(carl)[0].event.single::<Value>().unwrap()["count"], 3);
    site.received(bob);
    site.leave(ann).unwrap();
    hears(&mut site, bob, &[left("ann")]);
    site.reload(plugin).unwrap();
    site.leave(bob).unwrap();
    site.leave(carl).unwrap();
    assert_eq!(site.keys(), Vec::<String>::new());
}

#[test]
fn a_fault_of_another_hook_changes_nothing() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    site.publish(ann, ROOM, Event::new("crash")).unwrap_err();
    assert_eq!(members(&mut site, ann), json!([member("ann")]));
    site.leave(ann).unwrap();
    assert_eq!(site.keys(), Vec::<String>::new());
}

#[test]
fn a_join_that_fails_is_undone() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    site.received(ann);
    let bob = site.join(User::named("bob").claims(json!({"name": "bob", "crash": "join"})));
    site.subscribe(bob, ROOM).unwrap_err();
    hears(&mut site, ann, &[]);
    assert_eq!(members(&mut site, ann), json!([member("ann")]));
}

#[test]
fn repairs_a_leave_that_failed() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    site.advance(Duration::from_mins(1));
    let claims = json!({"name": "bob", "crash": "leave"});
    let bob = enter(&mut site, User::named("bob").claims(claims));
    site.advance(Duration::from_mins(1));
    site.received(ann);
    site.leave(bob).unwrap_err();
    hears(&mut site, ann, &[]);
    let carl = enter(&mut site, user("carl"));
    hears(&mut site, ann, &[left("bob"), joined("carl")]);
    assert_eq!(site.received(carl)[0].event.single::<Value>().unwrap()["count"], 2);
}

#[test]
fn repairs_the_record_of_sessions_that_vanished() {
    // By any hook: a timer, a call, a leave, or a join, here of the same user.
    let repair: [fn(&mut Harness, SessionId); 4] = [
        |site, _| site.timer(ROOM).unwrap(),
        |site, bob| drop(members(site, bob)),
        |site, _| site.leave(SessionId::from(2)).unwrap(),
        |site, _| {
            enter(site, user("carl"));
        },
    ];
    for repair in repair {
        let mut site = site();
        let bob = enter(&mut site, user("bob"));
        enter(&mut site, user("dora"));
        let ann = enter(&mut site, user("ann"));
        site.advance(Duration::from_mins(1));
        site.received(bob);
        site.vanish(ann);
        repair(&mut site, bob);
        let heard: Vec<Value> =
            site.received(bob).iter().map(|it| it.event.single().unwrap()).collect();
        assert!(heard.contains(&left("ann")), "{heard:?}");
        let listed = members(&mut site, bob);
        assert!(!listed.as_array().unwrap().contains(&member("ann")), "{listed}");
    }
}

#[test]
fn a_user_who_vanished_and_comes_back_never_left() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let ann = enter(&mut site, user("ann"));
    site.received(bob);
    site.advance(Duration::from_mins(1));
    site.vanish(ann);
    let again = enter(&mut site, user("ann"));
    hears(&mut site, bob, &[]);
    site.leave(again).unwrap();
    hears(&mut site, bob, &[left("ann")]);
}

#[test]
fn sessions_that_have_just_been_allowed_are_not_repaired() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let ann = enter(&mut site, user("ann"));
    site.received(bob);
    // As between the verdict and the subscription.
    site.vanish(ann);
    site.advance(Duration::from_secs(9));
    site.timer(ROOM).unwrap();
    hears(&mut site, bob, &[]);
    site.advance(Duration::from_secs(10));
    site.timer(ROOM).unwrap();
    hears(&mut site, bob, &[left("ann")]);
}

#[test]
fn repairs_in_parts_below_the_limit_of_effects() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let crowd: Vec<SessionId> =
        (0..1_500).map(|number| enter(&mut site, user(&format!("user {number}")))).collect();
    site.advance(Duration::from_mins(1));
    site.received(bob);
    for session in crowd {
        site.vanish(session);
    }
    for _ in 0..16 {
        site.timer(ROOM).unwrap();
    }
    assert_eq!(site.received(bob).len(), 1_500);
    assert_eq!(members(&mut site, bob), json!([member("bob")]));
}

#[test]
fn an_empty_topic_is_cleared_at_once() {
    let mut site = site();
    for number in 0..1_500 {
        let session = enter(&mut site, user(&format!("user {number}")));
        site.vanish(session);
    }
    site.advance(Duration::from_mins(1));
    let ann = enter(&mut site, user("ann"));
    assert_eq!(site.received(ann)[0].event.single::<Value>().unwrap()["count"], 1);
    site.leave(ann).unwrap();
    site.advance(Duration::from_mins(1));
    assert_eq!(site.keys(), Vec::<String>::new());
}

#[test]
fn a_full_store_refuses_the_newcomer_only() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    let bob = site.join(user("bob"));
    site.set_store_full(true);
    let refused = site.subscribe(bob, ROOM).unwrap_err();
    assert_eq!(refused.uri(), Some("wamp.error.runtime_error"));
    site.set_store_full(false);
    assert_eq!(members(&mut site, ann), json!([member("ann")]));
}
