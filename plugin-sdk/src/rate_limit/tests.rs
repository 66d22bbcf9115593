//! Tests of rate limits in the harness.

use std::time::Duration;

use super::{MAX_KEY_BYTES, RateLimit, bounded};
use crate::{
    Event, Handler, Plugin, Publish, SessionId,
    testing::{Failure, Harness, User},
};

const PERIOD: Duration = Duration::from_secs(10);

/// Publications are limited by the first argument: `session`, `user`, `topic`, `key` …
fn plugin() -> Plugin {
    const MESSAGES: RateLimit = RateLimit::new("t", 2, PERIOD);
    Plugin::new("t", "1").handler(Handler::new("t").stateless().on_publish(
        |_state, request, event| {
            match event.single::<String>()?.as_str() {
                "session" => MESSAGES.per_session(request)?,
                "user" => MESSAGES.per_user(request)?,
                "topic" => MESSAGES.per_topic(request)?,
                "memory" => RateLimit::in_memory("t", 2, PERIOD).per_user(request)?,
                "own" => MESSAGES.uri("acme.error.flood").per_key("own")?,
                key => MESSAGES.per_key(key)?,
            }
            Ok(Publish::drop())
        },
    ))
}

fn site() -> Harness {
    let mut site = Harness::new(plugin);
    site.route("t/{topic}", "t");
    site
}

fn publish(site: &mut Harness, session: SessionId, topic: &str, by: &str) -> Result<(), Failure> {
    site.publish(session, topic, Event::new(by))
}

/// Empties the bucket of Ann's session on a topic, and checks who is refused then: another session of
/// hers, Bob, Ann on another topic, Ann of another realm, and an anonymous session.
#[track_caller]
fn check(by: &str, expect: [bool; 5]) {
    let mut site = site();
    let ann = site.join(User::named("ann"));
    for _ in 0..2 {
        publish(&mut site, ann, "t/1", by).unwrap();
    }
    let refused = publish(&mut site, ann, "t/1", by).unwrap_err();
    assert_eq!(refused.uri(), Some("jackfield.error.rate_limit_exceeded"));
    assert_eq!(refused.message(), "Too many requests; try again in 5 seconds.");
    let others = [
        (site.join(User::named("ann")), "t/1"),
        (site.join(User::named("bob")), "t/1"),
        (site.join(User::named("ann")), "t/2"),
        (site.join(User::named("ann").realm("shop")), "t/1"),
        (site.join(User::anonymous()), "t/1"),
    ];
    let refused = others.map(|(session, topic)| publish(&mut site, session, topic, by).is_err());
    assert_eq!(refused, expect, "{by}");
}

#[test]
fn buckets_are_per_session_user_topic_or_key() {
    check("session", [false; 5]);
    check("user", [true, false, true, false, false]);
    check("memory", [true, false, true, false, false]);
    check("topic", [true, true, false, false, true]);
    check("anything", [true; 5]);
}

#[test]
fn buckets_are_refilled_evenly() {
    for by in ["user", "memory"] {
        let mut site = site();
        let ann = site.join(User::named("ann of the clock"));
        let take = |site: &mut Harness| publish(site, ann, "t/1", by).is_ok();
        assert_eq!([(); 3].map(|()| take(&mut site)), [true, true, false], "{by}");
        site.advance(Duration::from_millis(4_999));
        assert!(!take(&mut site), "{by}");
        site.advance(Duration::from_millis(1));
        assert_eq!([(); 2].map(|()| take(&mut site)), [true, false], "{by}");
        site.advance(PERIOD);
        assert_eq!([(); 3].map(|()| take(&mut site)), [true, true, false], "{by}");
    }
}

#[test]
fn refusals_name_the_wait_and_the_chosen_uri() {
    let mut site = site();
    let ann = site.join(User::named("ann"));
    for _ in 0..2 {
        publish(&mut site, ann, "t/1", "own").unwrap();
    }
    site.advance(Duration::from_millis(4_500));
    let refused = publish(&mut site, ann, "t/1", "own").unwrap_err();
    assert_eq!(refused.uri(), Some("acme.error.flood"));
    assert_eq!(refused.message(), "Too many requests; try again in 1 second.");
}

#[test]
fn a_reload_and_a_fault_keep_the_buckets_in_the_store() {
    let mut site = site();
    let ann = site.join(User::named("ann"));
    for _ in 0..2 {
        publish(&mut site, ann, "t/1", "user").unwrap();
    }
    site.reload(plugin).unwrap();
    publish(&mut site, ann, "t/1", "user").unwrap_err();
}

#[test]
fn full_buckets_have_no_entry() {
    let mut site = site();
    for number in 0..100 {
        let visitor = site.join(User::anonymous());
        publish(&mut site, visitor, "t/1", "session").unwrap();
        publish(&mut site, visitor, "t/1", &format!("key {number}")).unwrap();
    }
    assert_eq!(site.keys().len(), 200);
    // Half a period for one token of two, and a millisecond.
    site.advance(PERIOD / 2 + Duration::from_millis(1));
    assert_eq!(site.keys(), Vec::<String>::new());
}

#[test]
fn a_clock_that_is_set_back_locks_no_one_out() {
    for by in ["user", "memory"] {
        let mut site = site();
        let ann = site.join(User::named("ann whose clock is wrong"));
        site.advance(Duration::from_hours(24));
        for _ in 0..2 {
            publish(&mut site, ann, "t/1", by).unwrap();
        }
        site.set_back(Duration::from_hours(23));
        publish(&mut site, ann, "t/1", by).unwrap();
    }
}

#[test]
fn long_keys_are_cut() {
    let long = "ä".repeat(MAX_KEY_BYTES);
    let [one, other] = ["1", "2"].map(|end| bounded(&format!("x{long}{end}")));
    assert!(one.len() < MAX_KEY_BYTES + 20 && one != other);
    let mut site = site();
    let ann = site.join(User::named("ann"));
    publish(&mut site, ann, "t/1", &long).unwrap();
}
