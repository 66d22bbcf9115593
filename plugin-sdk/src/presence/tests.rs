//! Tests of presence in the harness.

use super::{
    Change, DEFAULT_MEMBERS, MAX_LIST_BYTES, MAX_MEMBER_BYTES, Member, MemberId, Presence,
};
use crate::{
    Error, Event, Handler, Plugin, Publish, SessionId, Subscribe, Value, json,
    testing::{Harness, User},
};

mod repair;

const HERE: Presence = Presence::new("here");
const ROOM: &str = "room/a";

/// Rooms whose members have the claim `name`. The claim `crash` and the event `crash` cause a panic.
fn plugin() -> Plugin {
    Plugin::new("t", "1").handler(
        Handler::new("room")
            .on_subscribe(|_state, request| {
                let claims: Value = request.caller()?.claims()?;
                HERE.join(request, &claims["name"])?;
                assert!(claims["crash"] != json!("join"), "as ordered");
                Ok(Subscribe::allow())
            })
            .on_unsubscribe(|_state, request| {
                HERE.leave(request)?;
                let claims: Value = request.caller()?.claims()?;
                assert!(claims["crash"] != json!("leave"), "as ordered");
                Ok(())
            })
            .on_publish(|_state, request, event| {
                assert!(event.single::<Value>()? != json!("crash"), "as ordered");
                HERE.update(request, &event.single()?)?;
                Ok(Publish::drop())
            })
            .on_call(|_state, request, _event| Ok(Event::of(&HERE.members(request)?)?))
            .on_timer(|_state, request| HERE.repair(request)),
    )
}

fn site() -> Harness {
    let mut site = Harness::new(plugin);
    site.route("room/{room}", "room");
    site
}

fn user(name: &str) -> User {
    User::named(name).claims(json!({ "name": name }))
}

fn enter(site: &mut Harness, user: User) -> SessionId {
    let session = site.join(user);
    site.subscribe(session, ROOM).unwrap();
    session
}

fn member(name: &str) -> Value {
    json!({"user": name, "info": name})
}

/// Checks the events that the session has received since the last call.
#[track_caller]
fn hears(site: &mut Harness, session: SessionId, expect: &[Value]) {
    let heard: Vec<Value> =
        site.received(session).iter().map(|it| it.event.single().unwrap()).collect();
    assert_eq!(heard, expect);
}

/// The members of the room.
fn members(site: &mut Harness, session: SessionId) -> Value {
    site.call(session, ROOM, Event::empty()).unwrap().single().unwrap()
}

fn joined(name: &str) -> Value {
    json!({"type": "joined", "member": member(name)})
}

fn left(name: &str) -> Value {
    json!({"type": "left", "member": member(name)})
}

#[test]
fn newcomers_receive_the_members_and_the_others_learn_of_them() {
    let mut site = site();
    let ann = enter(&mut site, user("ann"));
    let alone =
        json!({"type": "members", "you": {"user": "ann"}, "members": [member("ann")], "count": 1});
    hears(&mut site, ann, &[alone]);
    let bob = enter(&mut site, user("bob"));
    let both = json!({"type": "members", "you": {"user": "bob"}, "members": [member("ann"), member("bob")], "count": 2});
    hears(&mut site, bob, &[both]);
    hears(&mut site, ann, &[joined("bob")]);
    site.leave(bob).unwrap();
    hears(&mut site, ann, &[left("bob")]);
    assert_eq!(members(&mut site, ann), json!([member("ann")]));
}

#[test]
fn a_user_joins_with_the_first_session_and_leaves_with_the_last() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let tabs = [enter(&mut site, user("ann")), enter(&mut site, user("ann"))];
    let heard = site.received(tabs[1]);
    assert_eq!(heard[0].event.single::<Value>().unwrap()["count"], 2);
    site.received(bob);
    site.leave(tabs[0]).unwrap();
    assert_eq!(members(&mut site, bob), json!([member("ann"), member("bob")]));
    hears(&mut site, bob, &[]);
    site.unsubscribe(tabs[1], ROOM).unwrap();
    hears(&mut site, bob, &[left("ann")]);
    site.subscribe(tabs[1], ROOM).unwrap();
    hears(&mut site, bob, &[joined("ann")]);
}

#[test]
fn a_user_who_leaves_and_joins_quickly_is_told_in_order() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let old = enter(&mut site, user("ann"));
    site.received(bob);
    // A page that is loaded again opens the new session first, or ends the old one first.
    let new = enter(&mut site, user("ann"));
    site.leave(old).unwrap();
    hears(&mut site, bob, &[]);
    site.leave(new).unwrap();
    enter(&mut site, user("ann"));
    hears(&mut site, bob, &[left("ann"), joined("ann")]);
}

#[test]
fn another_session_may_bring_other_information() {
    let mut site = site();
    let bob = enter(&mut site, user("bob"));
    let ann = enter(&mut site, user("ann"));
    site.received(bob);
    site.received(ann);
    enter(&mut site, User::named("ann").claims(json!({"name": "Ann"})));
    let updated = json!({"type": "updated", "member": {"user": "ann", "info": "Ann"}});
    hears(&mut site, bob, std::slice::from_ref(&updated));
    hears(&mut site, ann, &[updated]);
    site.publish(ann, ROOM, Event::new("Annie")).unwrap();
    let updated = json!({"type": "updated", "member": {"user": "ann", "info": "Annie"}});
    hears(&mut site, bob, std::slice::from_ref(&updated));
    hears(&mut site, ann, &[updated]);
    site.publish(ann, ROOM, Event::new("Annie")).unwrap();
    let outside = site.join(user("ann"));
    site.publish(outside, ROOM, Event::new("Eve")).unwrap();
    hears(&mut site, bob, &[]);
}

#[test]
fn each_anonymous_session_is_a_member() {
    let mut site = site();
    let visitors = [0, 1].map(|_| enter(&mut site, User::anonymous()));
    // A user cannot take the place of a session, whatever the name is.
    let eve = enter(&mut site, user(&format!("anonymous-{}", visitors[0])));
    let ids: Vec<Value> = members(&mut site, eve).as_array().unwrap().clone();
    let expect = json!([
        {"session": visitors[0], "info": null},
        {"session": visitors[1], "info": null},
        member("anonymous-1"),
    ]);
    assert_eq!(Value::from(ids), expect);
}

#[test]
fn keeps_topics_realms_and_users_with_odd_names_apart() {
    let mut site = site();
    let names = ["a", "a/5", "a/", "", "u", "s1", "1:a/", "ä\n"];
    for name in names {
        enter(&mut site, user(name));
    }
    let other = enter(&mut site, user("a").realm("shop"));
    let event = site.received(other)[0].event.single::<Value>().unwrap();
    assert_eq!((&event["count"], &event["members"]), (&json!(1), &json!([member("a")])));
    site.subscribe(other, "room/b").unwrap();
    let event = site.received(other)[0].event.single::<Value>().unwrap();
    assert_eq!(event["count"], 1);
    site.leave(other).unwrap();

    let bob = enter(&mut site, user("bob"));
    let listed = members(&mut site, bob);
    assert_eq!(listed.as_array().unwrap().len(), names.len() + 1, "{listed}");
    for (number, name) in names.into_iter().enumerate() {
        site.leave(SessionId::from(number as u64 + 1)).unwrap();
        hears_left(&mut site, bob, name);
    }
    assert_eq!(members(&mut site, bob), json!([member("bob")]));
}

#[track_caller]
fn hears_left(site: &mut Harness, session: SessionId, name: &str) {
    let heard = site.received(session);
    assert_eq!(heard.last().unwrap().event.single::<Value>().unwrap(), left(name));
}

#[test]
fn bounds_the_list_and_the_information() {
    fn listing() -> Plugin {
        const LISTED: Presence<String> = Presence::new("listed").limit(2);
        Plugin::new("t", "1").handler(
            Handler::new("room")
                .on_subscribe(|_state, request| {
                    LISTED.join(request, &request.caller()?.claims()?)?;
                    Ok(Subscribe::allow())
                })
                .on_call(|_state, request, _event| {
                    let members = LISTED.members(request)?;
                    Ok(Event::from_args(&(members.len(), LISTED.count(request)?))?)
                }),
        )
    }
    let mut site = Harness::new(listing);
    site.route("room/{room}", "room");
    for name in ["ann", "bob", "carl"] {
        enter(&mut site, User::named(name).claims(json!("x")));
    }
    let eve = site.join(User::named("eve").claims(json!("x".repeat(MAX_MEMBER_BYTES))));
    let refused = site.subscribe(eve, ROOM).unwrap_err();
    let text = refused.message();
    assert!(text.contains("bytes of JSON, and 4096 are allowed"), "{text}");
    let counts: (u32, u32) = site.call(eve, ROOM, Event::empty()).unwrap().args().unwrap();
    assert_eq!(counts, (2, 3));

    let mut site = Harness::new(plugin);
    site.route("room/{room}", "room");
    let long = json!({"name": "x".repeat(4_000)});
    let last = (0..100)
        .map(|number| enter(&mut site, User::named(format!("user {number}")).claims(long.clone())));
    let last = last.last().unwrap();
    let event = site.received(last)[0].event.clone();
    assert!(event.args_json().len() <= MAX_LIST_BYTES + 1_000, "{}", event.args_json().len());
    assert_eq!(event.single::<Value>().unwrap()["count"], 100);
}

#[test]
fn a_handler_may_choose_the_events() {
    fn text(change: &Change<'_, Value>) -> Result<Option<Event>, Error> {
        match change {
            Change::Joined { member } => Event::of(&format!("hello {}", member.info)).map(Some),
            _ => Ok(None),
        }
    }
    fn plugin() -> Plugin {
        const TOLD: Presence = Presence::new("told").without_list().events(text);
        Plugin::new("t", "1").handler(
            Handler::new("room")
                .on_subscribe(|_state, request| {
                    let is_new = TOLD.join(request, &json!(7))?;
                    assert!(is_new);
                    Ok(Subscribe::allow())
                })
                .on_unsubscribe(|_state, request| TOLD.leave(request))
                .on_call(|_state, request, _event| {
                    let id = MemberId::User("ann".to_owned());
                    let found = TOLD.find(request, &id)?.map(|Member { info, .. }| info);
                    let own = TOLD.caller(request)?.map(|member| member.id);
                    Ok(Event::from_args(&(found, own))?)
                }),
        )
    }
    let mut site = Harness::new(plugin);
    site.route("room/{room}", "room");
    let ann = enter(&mut site, user("ann"));
    let bob = enter(&mut site, user("bob"));
    hears(&mut site, ann, &[json!("hello 7")]);
    hears(&mut site, bob, &[]);
    let answer = site.call(bob, ROOM, Event::empty()).unwrap();
    assert_eq!(answer.args_json(), r#"[7,{"user":"bob"}]"#);
    site.unsubscribe(bob, ROOM).unwrap();
    let answer = site.call(bob, ROOM, Event::empty()).unwrap();
    assert_eq!(answer.args_json(), "[7,null]");
}

#[test]
fn a_hook_writes_a_few_keys_however_many_members_there_are() {
    let mut site = site();
    for number in 0..DEFAULT_MEMBERS {
        enter(&mut site, user(&format!("user {number}")));
    }
    let before = site.written();
    let ann = enter(&mut site, user("ann"));
    assert_eq!(site.written() - before, 4, "session, member and two counters");
    let before = site.written();
    site.leave(ann).unwrap();
    assert_eq!(site.written() - before, 4);
}
