//! Warnings about values that load and probably mean something else, with a suggestion.

use jackfield_routing::{NoFiles, load};

use crate::{file, table};

/// All warnings of a file, as people see them.
fn warnings(yaml: &str) -> Vec<String> {
    table(yaml).warnings().iter().map(|it| it.warning().to_string()).collect()
}

/// The file has exactly one warning, which begins so and whose help contains that.
#[track_caller]
fn check(yaml: &str, expect: &str, help: &str) {
    let messages = warnings(yaml);
    assert!(
        messages.len() == 1 && messages[0].starts_with(expect),
        "{yaml}\n{messages:#?}\n{expect}"
    );
    let (_, advice) = messages[0].split_once("= help: ").unwrap();
    assert!(advice.contains(help), "{advice}\n{help}");
}

#[track_caller]
fn quiet(yaml: &str) {
    assert_eq!(warnings(yaml), [""; 0], "{yaml}");
}

#[test]
fn warns_of_symfony_parameters() {
    check(
        "r: { channel: 'c/%env(APP_PREFIX)%/x', handler: h }",
        "r.yml:1:18: warning: the channel has `%env(APP_PREFIX)%` in it, which stands for itself",
        "no parameters",
    );
    check(
        "r: { channel: '%acme.prefix%/{x}', handler: h }",
        "r.yml:1:16: warning: the channel has `%acme.prefix%` in it",
        "write the value",
    );
    check(
        "r: { channel: 'c/{x}', handler: h, requirements: { x: '%acme.ids%' } }",
        "r.yml:1:56: warning: the requirement of `x` has `%acme.ids%` in it",
        "write the value",
    );
    check(
        "r: { channel: 'c/{x}', handler: h, defaults: { x: '%env(X)%' } }",
        "r.yml:1:52: warning: the default of `x` has `%env(X)%` in it",
        "write the value",
    );
    check(
        "r: { channel: c, handler: '%acme.handler%' }",
        "r.yml:1:28: warning: the handler's name has `%acme.handler%` in it",
        "write the value",
    );
    quiet("r: { channel: 'a%20b%20c', handler: h }");
}

#[test]
fn warns_of_php_delimiters() {
    let check = |pattern: &str, help: &str| {
        check(
            &format!("r: {{ channel: 'c{{x}}', handler: h, requirements: {{ x: '{pattern}' }} }}"),
            "r.yml:1:54: warning: the requirement of `x` is written between delimiters",
            help,
        );
    };
    check("/\\d+/", "write the expression alone: '\\d+'");
    check("/^\\d+$/", "write the expression alone: '\\d+'");
    check("#[a-z]+#i", "write the expression alone: '(?i)[a-z]+'");
    check("~a|b~u", "write the expression alone: 'a|b'");
}

#[test]
fn warns_of_anchors_in_the_middle() {
    for pattern in ["^a$|^b$", "a$|b", "(?:^a)", "(?m)^a|b"] {
        let yaml =
            format!("r: {{ channel: '{{x}}', handler: h, requirements: {{ x: '{pattern}' }} }}");
        check(&yaml, "r.yml:1:53: warning: the requirement of `x` has an anchor", "remove `^`");
    }
    quiet("r: { channel: '{x}', handler: h, requirements: { x: '^\\d+\\$$' } }");
}

#[test]
fn warns_of_unreachable_routes() {
    let dead = |first: &str, second: &str| {
        let yaml = format!("a: {{ {first}, handler: h }}\nb: {{ {second}, handler: h }}\n");
        let expect = "r.yml:2:1: warning: no topic reaches route `b`: route `a` (r.yml:1) takes";
        check(&yaml, expect, "put `b` before `a`");
    };
    let alive = |first: &str, second: &str| {
        quiet(&format!("a: {{ {first}, handler: h }}\nb: {{ {second}, handler: h }}\n"));
    };
    dead("channel: c", "channel: c");
    dead("channel: 'c/{x}'", "channel: c/d");
    dead("channel: 'c/{x}'", "channel: 'c/{y}'");
    dead("channel: 'c/{x}'", "channel: 'c/{y<\\d+>}'");
    dead("channel: 'c/{x}'", "channel: 'c/{y<send|edit>}'");
    dead("channel: 'c/{x}/{y}'", "channel: 'c/d/{y<\\d+>}'");
    dead("channel: 'c/{x?1}'", "channel: 'c/{y}'");
    dead("channel: '{all<.+>}'", "channel: 'c/{y}'");
    dead("channel: 'c/{all<.*>}'", "channel: 'c/{y}/z'");
    dead("channel: 'c/{all<.+>}'", "channel: 'c/{y}-{z}'");
    dead("channel: 'c/{x<\\d+|\\*>}'", "channel: 'c/{y<\\d+>}'");
    alive("channel: 'c/d'", "channel: 'c/{x}'");
    alive("channel: 'c/{x<\\d+>}'", "channel: 'c/{y}'");
    alive("channel: 'c/{x<\\d+>}'", "channel: 'c/{y<\\d+|\\*>}'");
    alive("channel: 'c/{x}'", "channel: 'c/{y?1}'");
    alive("channel: 'c/{x}'", "channel: 'c/{y}/{z}'");
    alive("channel: 'c/{x}'", "channel: c/");
    alive("channel: 'c/{x<.+>}'", "channel: 'c/{y<.*>}'");
    alive("channel: '{x}/a'", "channel: 'b/{y}'");
}

#[test]
fn does_not_warn_of_replaced_routes() {
    let files = [
        file("vendor.yml", "a: { channel: 'x/{y?}', handler: h, requirements: { z: a } }"),
        file("ours.yml", "a: { channel: x, handler: h }"),
    ];
    assert_eq!(load(&files, &NoFiles).unwrap().warnings(), []);
}

#[test]
fn warnings_are_in_the_order_of_the_files() {
    let files = [
        file("one.yml", "a: { channel: '%p%', handler: h }\nb: { channel: '%p%', handler: h }"),
        file("two.yml", "c: { channel: '{x?}', handler: h }"),
    ];
    let table = load(&files, &NoFiles).unwrap();
    let messages: Vec<_> = table.warnings().iter().map(|it| (it.path.as_str(), it.line)).collect();
    assert_eq!(messages, [("one.yml", 1), ("one.yml", 2), ("one.yml", 2), ("two.yml", 1)]);
}

#[test]
fn an_example_is_a_topic_of_the_route() {
    let check = |channel: &str, expect: Option<&str>| {
        let table = table(&format!("r: {{ channel: '{channel}', handler: h }}"));
        assert_eq!(table.routes()[0].example().as_deref(), expect, "{channel}");
    };
    check("c", Some("c"));
    check("c/{x}/{y<\\d+>}", Some("c/a/0"));
    check("c/{x<[A-Z]{2}-.>}", Some("c/AA-a"));
    check("a b/{x}", Some("a b/a"));
    check("{x<^a$|b>}", Some("a"));
}
