//! Everything that loads: both generations of spelling, and the keys on top.

use std::time::Duration;

use jackfield_routing::{Action, History, NoFiles, Route, Timer, TimerFrom, load};

use crate::{file, table};

/// The one route of a file, in one line.
fn show(route: &Route) -> String {
    let requirements: Vec<String> =
        route.requirements.iter().map(|(name, pattern)| format!("{name}={pattern}")).collect();
    let defaults: Vec<String> = route
        .defaults
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("~")))
        .collect();
    let Route { name, channel, handler, options, .. } = route;
    let options = serde_json::to_string(options).unwrap();
    format!(
        "{name} {channel} {} {} [{}] [{}] {options}",
        handler.callback,
        handler.args,
        requirements.join(" "),
        defaults.join(" ")
    )
}

#[track_caller]
fn check(yaml: &str, expect: &str) {
    let table = table(yaml);
    let shown: Vec<String> = table.routes().iter().map(show).collect();
    assert_eq!(shown.join("\n"), expect, "{yaml}");
}

#[test]
fn reads_both_generations_of_spelling() {
    check("r: { channel: 'a/{x}', handler: { callback: h } }", "r a/{x} h null [] [] {}");
    check("r: { channel: 'a/{x}', handler: h }", "r a/{x} h null [] [] {}");
    check("r: { pattern: 'a/{x}', callback: h }", "r a/{x} h null [] [] {}");
    check("r: { pattern: 'a/{x}', handler: h }", "r a/{x} h null [] [] {}");
    check(
        "r: { channel: 'a/{x}', callback: { callback: h, args: [1] } }",
        "r a/{x} h [1] [] [] {}",
    );
    check("'r': { \"channel\": \"a\", 'handler': \"h\" }", "r a h null [] [] {}");
    check("r:\n  channel: >-\n    a\n  handler: |-\n    h\n", "r a h null [] [] {}");
    check("r: { channel: !!str 5, handler: !!str 6 }", "r 5 6 null [] [] {}");
}

#[test]
fn reads_requirements_of_both_kinds() {
    let check = |requirements: &str, expect: &str| {
        check(
            &format!("r: {{ channel: '{{x}}/{{y}}', handler: h, requirements: {requirements} }}"),
            &format!("r {{x}}/{{y}} h null [{expect}] [] {{}}"),
        );
    };
    check("~", "");
    check("{}", "");
    check("[]", "");
    check(r"{ x: '\d+' }", r"x=\d+");
    check(r"{ x: { pattern: '\d+' } }", r"x=\d+");
    check(r"{ x: { pattern: '\d+', wildcard: true } }", r"x=\d+|\*");
    check(r"{ x: { pattern: '\d+', wildcard: 1 } }", r"x=\d+|\*");
    check(r"{ x: { pattern: '\d+', wildcard: false } }", r"x=\d+");
    check(r"{ x: { pattern: '\d+', wildcard: ~ } }", r"x=\d+");
    check(r"{ x: { pattern: '^\d+$', wildcard: true } }", r"x=\d+|\*");
    check(r"{ y: '^a$', x: \d }", r"y=a x=\d");
}

#[test]
fn reads_inline_requirements_and_defaults() {
    check("r: { channel: 'a/{x<\\d+>?7}', handler: h }", "r a/{x} h null [x=\\d+] [x=7] {}");
    check("r: { channel: 'a/{x?}', handler: h }", "r a/{x} h null [] [x=~] {}");
    check("r: { channel: 'a/{x<a>b>}', handler: h }", "r a/{x} h null [x=a>b] [] {}");
    check("r: { channel: 'a/{x<\\d{2}>}', handler: h }", "r a/{x} h null [x=\\d{2}] [] {}");
    // The keys of their own outrank what stands in the braces.
    check(
        "r: { channel: 'a/{x<a>?b}', handler: h, requirements: { x: c }, defaults: { x: c } }",
        "r a/{x} h null [x=c] [x=c] {}",
    );
}

#[test]
fn reads_defaults_options_and_args() {
    check(
        "r: { channel: c, handler: h, defaults: { a: 1, b: true, c: ~, d: 1.50 } }",
        "r c h null [] [a=1 b=true c=~ d=1.50] {}",
    );
    check(
        "r: { channel: c, handler: h, options: { utf8: false, x: [1, ~, { y: 2.5 }] } }",
        "r c h null [] [] {\"utf8\":false,\"x\":[1,null,{\"y\":2.5}]}",
    );
    check(
        "r: { channel: c, handler: { callback: h, args: { z: 0x10, a: '1', 5: no, d: 2024-01-02, big: 18446744073709551615 } } }",
        "r c h {\"z\":16,\"a\":\"1\",\"5\":\"no\",\"d\":\"2024-01-02\",\"big\":18446744073709551615} [] [] {}",
    );
    check("r: { channel: c, handler: { callback: h, args: text } }", "r c h \"text\" [] [] {}");
}

#[test]
fn reads_anchors_and_merged_maps() {
    check(
        "a: &a { channel: c, handler: h }\nb: { <<: *a, channel: d }\nc: { <<: [*a], handler: g }\n",
        "a c h null [] [] {}\nb d h null [] [] {}\nc c g null [] [] {}",
    );
    check("a: { channel: &c x, handler: *c }", "a x x null [] [] {}");
}

#[test]
fn reads_extension_keys() {
    let table = table(
        "r: { channel: c, handler: h, lanes: 4, allow: { subscribe: [a, b], publish: [], call: c } }\n\
         s: { channel: d, handler: h }\n",
    );
    let [r, s] = table.routes() else { panic!("two routes") };
    assert_eq!(r.lanes.get(), 4);
    assert_eq!(r.allow.roles(Action::Subscribe), Some(&["a".to_owned(), "b".to_owned()][..]));
    assert!(r.allow.permits(Action::Subscribe, ["x", "b"]));
    assert!(!r.allow.permits(Action::Subscribe, ["x"]));
    assert!(!r.allow.permits(Action::Publish, ["a"]));
    assert!(r.allow.permits(Action::Call, ["c"]));
    assert!(r.allow.permits(Action::Register, []));
    assert_eq!(s.lanes.get(), 1);
}

#[test]
fn reads_timers() {
    let check = |channel: &str, timer: &str, expect: Option<Timer>| {
        let table = table(&format!("r: {{ channel: '{channel}', handler: h{timer} }}"));
        assert_eq!(table.routes()[0].timer, expect, "{timer}");
    };
    let of = |milliseconds, from| {
        Some(Timer { every: Option::map(milliseconds, Duration::from_millis), from })
    };
    check("c", "", None);
    check("c", ", timer: ~", None);
    check("c/{x}", ", timer: 50s", of(Some(50_000), TimerFrom::Subscribe));
    check("c", ", timer: 2.5", of(Some(2_500), TimerFrom::Subscribe));
    check("c", ", timer: 500ms", of(Some(500), TimerFrom::Subscribe));
    check("c", ", timer: { every: 5s, from: start }", of(Some(5_000), TimerFrom::Start));
    check("{x}", ", timer: { every: 5, from: subscribe }", of(Some(5_000), TimerFrom::Subscribe));
    check("c", ", timer: { from: start }", of(None, TimerFrom::Start));
    check("c", ", timer: {}", of(None, TimerFrom::Subscribe));
}

#[test]
fn reads_histories() {
    let check = |history: &str, expect: Option<History>| {
        let table = table(&format!("r: {{ channel: c, handler: h{history} }}"));
        assert_eq!(table.routes()[0].history, expect, "{history}");
    };
    let default = History::default();
    check("", None);
    check(", history: ~", None);
    check(", history: {}", Some(default));
    check(
        ", history: { events: 5, age: 1h, bytes: 64 KiB, on_subscribe: 3 }",
        Some(History {
            events: 5,
            age: Duration::from_hours(1),
            bytes: 64 << 10,
            on_subscribe: 3,
            durable: false,
        }),
    );
    check(", history: { on_subscribe: last }", Some(History { on_subscribe: 1, ..default }));
    check(", history: { on_subscribe: none }", Some(default));
    check(", history: { durable: true }", Some(History { durable: true, ..default }));
    check(", history: { durable: false }", Some(default));
}

#[test]
fn a_later_file_replaces_and_moves_to_the_end() {
    let files = [
        file("one.yml", "a: { channel: x, handler: h1 }\nb: { channel: y, handler: h1 }\n"),
        file("two.yml", "c: { channel: z, handler: h2 }\na: { channel: w, handler: h2 }\n"),
    ];
    let table = load(&files, &NoFiles).unwrap();
    let shown: Vec<String> = table
        .routes()
        .iter()
        .map(|r| format!("{} {} {}:{}", r.name, r.channel, r.origin.path, r.origin.line))
        .collect();
    assert_eq!(shown, ["b y one.yml:2", "c z two.yml:1", "a w two.yml:2"]);
    assert!(table.find("x").is_none());
    assert_eq!(table.files(), ["one.yml", "two.yml"]);
}

#[test]
fn a_replaced_route_is_not_compiled() {
    let broken = "a: { channel: 'x/{v}', handler: h, requirements: { v: '[' } }";
    let files = [file("vendor.yml", broken), file("ours.yml", "a: { channel: x, handler: h }")];
    assert!(load(&files, &NoFiles).is_ok());
}
