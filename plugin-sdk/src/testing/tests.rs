//! Tests of the test double, with small plugins.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use super::{Failure, Harness, Received, User};
use crate::{
    Event, Handler, Plugin, Publish, Refusal, Subscribe, json, log, sessions, store, topics,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(default)]
    greeting: String,
}

fn plugin() -> Plugin {
    Plugin::new("t", "1")
        .handler(Handler::new("plain"))
        .handler(
            Handler::new("greet")
                .summary("greets")
                .args::<Args>()
                .on_subscribe(|args, request| {
                    let caller = request.caller()?;
                    if !caller.has_role("member") {
                        return Err(Refusal::new("t.error.member", "Members only."));
                    }
                    let text = format!("{} {}", args.greeting, caller.authid());
                    sessions::send(caller.id(), request.topic(), Event::new(text));
                    Ok(Subscribe::allow())
                })
                .on_unsubscribe(|_, request| {
                    let text = format!("{} left", request.caller()?.authid());
                    topics::publish(request.topic(), Event::new(text));
                    Ok(())
                }),
        )
        .handler(
            Handler::new("orders")
                .configure(|_| Ok(0_u32))
                .on_publish(|seen, request, event| {
                    *seen += 1;
                    store::increment("orders", 1)?;
                    topics::publish(request.topic(), Event::new(*seen));
                    match event.single::<String>()?.as_str() {
                        "panic" => panic!("as ordered"),
                        "storm" => {
                            for _ in 0..2_000 {
                                topics::publish(request.topic(), Event::empty());
                            }
                        }
                        "drop" => return Ok(Publish::drop()),
                        "close" => {
                            for id in topics::subscribers(request.topic()) {
                                sessions::close(id, "t.closed", "Closing time.");
                            }
                        }
                        "leave" => {
                            sessions::unsubscribe(request.caller()?.id(), request.topic());
                        }
                        "first" => {
                            let only = topics::subscribers(request.topic()).into_iter().take(1);
                            return Ok(Publish::deliver(Event::new("only you")).eligible(only));
                        }
                        "count" => {
                            let count = store::count_within("lately", Duration::from_secs(10))?;
                            log::info!("{count} lately");
                        }
                        _ => {}
                    }
                    Ok(Publish::broadcast())
                })
                .on_call(|seen, _, _| Event::new(*seen))
                .on_timer(|_, request| topics::publish(request.topic(), Event::new("tick"))),
        )
}

fn site() -> Harness {
    let mut site = Harness::new(plugin);
    site.route("plain", "plain");
    site.route_with("greet/{room}", "greet", &json!({"greeting": "hello"}));
    site.route("orders", "orders");
    site
}

fn texts(received: Vec<Received>) -> Vec<String> {
    received.into_iter().map(|received| received.event.args_json().to_owned()).collect()
}

#[test]
fn lists_registered_hooks() {
    let site = site();
    assert!(site.hooks("plain").is_empty());
    assert_eq!(site.hooks("greet"), ["subscribe", "unsubscribe"]);
    assert_eq!(site.hooks("orders"), ["publish", "call", "timer"]);
    assert_eq!(site.summary("greet"), "greets");
}

#[test]
fn a_handler_without_hooks_broadcasts() {
    let mut site = site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.join(User::named(name)));
    site.subscribe(alice, "plain").unwrap();
    site.subscribe(bob, "plain").unwrap();
    site.publish(alice, "plain", Event::new(1)).unwrap();
    assert_eq!(site.received(alice), []);
    assert_eq!(site.received(bob), [("plain", Event::new(1))]);
    site.publish_as_host("plain", Event::new(2)).unwrap();
    assert_eq!(site.received(alice), [("plain", Event::new(2))]);
}

#[test]
fn asks_the_handler_on_subscribe_and_leave() {
    let mut site = site();
    let alice = site.join(User::named("alice").role("member"));
    let bob = site.join(User::named("bob").role("member"));
    let eve = site.join(User::anonymous());
    site.subscribe(alice, "greet/a").unwrap();
    site.subscribe(alice, "greet/a").unwrap();
    assert_eq!(texts(site.received(alice)), [r#"["hello alice"]"#]);
    let refused = site.subscribe(eve, "greet/a").unwrap_err();
    assert_eq!((refused.uri(), refused.message()), (Some("t.error.member"), "Members only."));
    assert!(!site.is_subscribed(eve, "greet/a"));
    site.subscribe(bob, "greet/a").unwrap();
    site.leave(bob).unwrap();
    site.leave(eve).unwrap();
    assert_eq!(texts(site.received(alice)), [r#"["bob left"]"#]);
}

#[test]
fn configures_routes_with_their_args() {
    let error = site().try_route("x", "greet", &json!({"greting": ""})).unwrap_err();
    assert_eq!(error, "handler.args: unknown field `greting`, expected `greeting`");
    let error = site().try_route("x", "nobody", &json!(null)).unwrap_err();
    assert_eq!(error, "the plugin has no handler `nobody`");
}

#[test]
fn a_panic_undoes_everything() {
    let mut site = site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.join(User::named(name)));
    site.subscribe(bob, "orders").unwrap();
    let mut order = |what: &str| {
        let answer = site.publish(alice, "orders", Event::new(what));
        (answer, texts(site.received(bob)), site.stored::<i64>("orders"))
    };
    assert_eq!(order("x"), (Ok(()), vec![r#"["x"]"#.into(), "[1]".into()], Some(1)));
    let fault = |text: &str| Err(Failure::Fault(text.to_owned()));
    assert_eq!(order("panic"), (fault("as ordered"), vec![], Some(1)));
    assert_eq!(order("drop"), (Ok(()), vec!["[1]".into()], Some(2)), "the instance is fresh");
    assert_eq!(order("storm"), (fault("more than 1000 effects"), vec![], Some(2)));
}

#[test]
fn distinguishes_sessions() {
    let mut site = site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.join(User::named(name)));
    site.subscribe(alice, "orders").unwrap();
    site.subscribe(bob, "orders").unwrap();
    site.publish(bob, "orders", Event::new("first")).unwrap();
    assert_eq!(texts(site.received(alice)), [r#"["only you"]"#, "[1]"]);
    assert_eq!(texts(site.received(bob)), ["[1]"]);
    site.publish(bob, "orders", Event::new("leave")).unwrap();
    assert!(!site.is_subscribed(bob, "orders"));
    site.publish(bob, "orders", Event::new("close")).unwrap();
    assert_eq!(site.closed(alice), Some(("t.closed", "Closing time.")));
    assert_eq!(site.closed(bob), None);
}

#[test]
fn the_test_controls_the_clock() {
    let mut site = site();
    let alice = site.join(User::named("alice"));
    let mut count = |seconds| {
        site.advance(Duration::from_secs(seconds));
        site.publish(alice, "orders", Event::new("count")).unwrap();
        site.logged().remove(0).1
    };
    assert_eq!(count(0), "1 lately");
    assert_eq!(count(9), "2 lately");
    assert_eq!(count(1), "1 lately");
    site.subscribe(alice, "orders").unwrap();
    site.timer("orders").unwrap();
    assert_eq!(texts(site.received(alice)), [r#"["tick"]"#]);
}

/// Counts its instances in the store, and logs the time at which each was configured.
fn stateless() -> Plugin {
    let handler = Handler::new("fresh").stateless().configure(|_| {
        log::info!("{:?}", crate::now().duration_since(UNIX_EPOCH).unwrap());
        store::increment("instances", 1)
    });
    Plugin::new("t", "1").handler(handler.on_call(|count, _, _| Ok(Event::new(*count))))
}

#[test]
fn fresh_instances_are_configured_in_the_world_of_their_harness() {
    let [mut one, mut other] = [Harness::new(stateless), Harness::new(stateless)];
    for site in [&mut one, &mut other] {
        site.route("fresh", "fresh");
        assert_eq!(site.logged().len(), 1);
    }
    let alice = one.join(User::named("alice"));
    one.advance(Duration::from_secs(5));
    let call = |site: &mut Harness| site.call(alice, "fresh", Event::empty());
    assert_eq!([call(&mut one), call(&mut one)], [2, 3].map(|count| Ok(Event::new(count))));
    let now = format!("{:?}", one.now().duration_since(UNIX_EPOCH).unwrap());
    assert!(one.logged().iter().all(|(_, text)| *text == now), "the time of this harness");
    one.reload(stateless).unwrap();
    assert_eq!((one.stored("instances"), other.stored("instances")), (Some(4), Some(1)));
}

#[test]
fn a_new_version_keeps_store_and_subscribers() {
    let mut site = site();
    let alice = site.join(User::named("alice"));
    site.subscribe(alice, "orders").unwrap();
    site.publish_as_host("orders", Event::new("x")).unwrap();
    assert_eq!(site.call(alice, "orders", Event::empty()), Ok(Event::new(1)));
    site.reload(plugin).unwrap();
    assert_eq!(site.call(alice, "orders", Event::empty()), Ok(Event::new(0)));
    assert_eq!(site.stored::<i64>("orders"), Some(1));
    assert!(site.is_subscribed(alice, "orders"));
    assert!(site.reload(|| Plugin::new("t", "2")).unwrap_err().contains("no handler `plain`"));
}

#[test]
fn a_full_store_refuses_with_a_message() {
    let mut site = site();
    let alice = site.join(User::named("alice"));
    site.set_store_full(true);
    let refused = site.publish(alice, "orders", Event::new("x")).unwrap_err();
    assert_eq!(refused.uri(), Some("wamp.error.runtime_error"));
}

#[test]
fn advance_moves_the_clock_that_hooks_read() {
    let clock = || {
        Plugin::new("t", "1").handler(Handler::new("clock").on_call(|(), _request, _event| {
            let time = crate::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            Ok(Event::new(time))
        }))
    };
    let mut site = Harness::new(clock);
    site.route("clock", "clock");
    let visitor = site.join(User::anonymous());
    let read = |site: &mut Harness| -> u64 {
        site.call(visitor, "clock", Event::empty()).unwrap().single().unwrap()
    };
    assert_eq!(read(&mut site), 1_767_225_600);
    site.advance(Duration::from_secs(90));
    assert_eq!(read(&mut site), 1_767_225_690);
    assert_eq!(site.now().duration_since(UNIX_EPOCH).unwrap().as_secs(), 1_767_225_690);
    site.advance(Duration::MAX);
    assert!(read(&mut site) > 0);
}
