//! Compatibility: each row is a route that the loader of GosWebSocketBundle or OroPlatform accepts,
//! the topics that it matches, and the messages about it.

use crate::{found, table};

/// A route's body, topics with what takes them (`-` is no route), and the only warning's beginning.
struct Row {
    body: &'static str,
    topics: &'static [(&'static str, &'static str)],
    warning: Option<&'static str>,
}

const ROWS: &[Row] = &[
    // `isset()` is false for null: such a default makes nothing optional.
    Row {
        body: "{ channel: 'c/{x?}', handler: h }",
        topics: &[("c/7", "r x=7"), ("c", "-"), ("c/", "-")],
        warning: Some("the default of `x` in route `r` has no value, so that `x` stays required"),
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, defaults: { x: ~ } }",
        topics: &[("c/7", "r x=7"), ("c", "-")],
        warning: Some("the default of `x` in route `r` has no value"),
    },
    Row {
        body: "{ channel: 'c/{x?1}', handler: h, defaults: { x: ~ } }",
        topics: &[("c", "-")],
        warning: Some("the default of `x` in route `r` has no value"),
    },
    Row {
        body: "{ channel: 'c/{x<\\d+>?}/{y?}', handler: h }",
        topics: &[("c/7/a", "r x=7 y=a"), ("c/7", "-"), ("c", "-")],
        warning: None,
    },
    Row {
        body: "{ channel: 'c/{x?}/{y?b}', handler: h }",
        topics: &[("c/7", "r x=7 y=b"), ("c", "-")],
        warning: Some("the default of `x`"),
    },
    Row {
        body: "{ channel: '{x?}', handler: h }",
        topics: &[("7", "r x=7"), ("", "-")],
        warning: Some("the default of `x`"),
    },
    Row {
        body: "{ channel: 'c/{x?1}', handler: h }",
        topics: &[("c/7", "r x=7"), ("c", "r x=1")],
        warning: None,
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, defaults: { x: '' } }",
        topics: &[("c", "r x=")],
        warning: None,
    },
    // A requirement for a variable that the channel has not is passed over, even a broken one.
    Row {
        body: "{ channel: 'c/{id}', handler: h, requirements: { user: '\\d+', id: a } }",
        topics: &[("c/a", "r id=a"), ("c/7", "-")],
        warning: Some(
            "the channel of route `r` has no variable `user`: the requirement is ignored",
        ),
    },
    Row {
        body: "{ channel: c, handler: h, requirements: { user: '[' } }",
        topics: &[("c", "r")],
        warning: Some("the channel of route `r` has no variable `user`"),
    },
    // Of a handler that is a map only the callback counts.
    Row {
        body: "{ channel: 'c/{id}', handler: { callback: h, requirements: { id: '\\d+' } } }",
        topics: &[("c/a", "r id=a")],
        warning: Some("`requirements` within `handler` of route `r` is ignored"),
    },
    Row {
        body: "{ channel: 'c/{id?1}', handler: { callback: h, defaults: { id: 2 } } }",
        topics: &[("c", "r id=1")],
        warning: Some("`defaults` within `handler` of route `r` is ignored"),
    },
    Row {
        body: "{ channel: c, handler: { callback: h, arg: 1 } }",
        topics: &[("c", "r")],
        warning: Some("unknown key `arg` in `handler` of route `r` is ignored"),
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: { patern: b, pattern: a } } }",
        topics: &[("c/a", "r x=a")],
        warning: Some("unknown key `patern` in the requirement of `x` of route `r` is ignored"),
    },
    // Whole numbers are texts.
    Row { body: "{ channel: 5, handler: 6 }", topics: &[("5", "r")], warning: None },
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: 5 } }",
        topics: &[("c/5", "r x=5"), ("c/6", "-")],
        warning: None,
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: { pattern: 5, wildcard: true } } }",
        topics: &[("c/5", "r x=5"), ("c/*", "r x=*")],
        warning: None,
    },
    Row {
        body: "{ channel: c, handler: h, defaults: { 0: a } }",
        topics: &[("c", "r 0=a")],
        warning: None,
    },
    // Null is no entry.
    Row {
        body: "{ channel: c, pattern: ~, handler: ~, callback: h, resource: ~, type: ~ }",
        topics: &[("c", "r")],
        warning: None,
    },
    // Truth is PHP's.
    Row {
        body: "{ channel: '{x}', handler: h, requirements: { x: { pattern: a, wildcard: no } } }",
        topics: &[("*", "r x=*")],
        warning: Some(
            "`wildcard` is true or false, but this is the text `no`, which counts as true",
        ),
    },
    Row {
        body: "{ channel: '{x}', handler: h, requirements: { x: { pattern: a, wildcard: '0' } } }",
        topics: &[("*", "-")],
        warning: Some(
            "`wildcard` is true or false, but this is the text `0`, which counts as false",
        ),
    },
    Row {
        body: "{ channel: '{x<\\d>}', handler: h, options: { utf8: 1 } }",
        topics: &[("٣", "r x=٣")],
        warning: None,
    },
    Row {
        body: "{ channel: '{x<\\d>}', handler: h, options: { utf8: 'yes' } }",
        topics: &[("٣", "r x=٣")],
        warning: Some("the option `utf8` is true or false, but this is the text `yes`"),
    },
    // Attributes may be structures there.
    Row {
        body: "{ channel: 'c/{x}', handler: h, defaults: { x: [a, { b: 1 }] } }",
        topics: &[("c", "r x=[\"a\",{\"b\":1}]"), ("c/7", "r x=7")],
        warning: Some("the default of `x` is a list: handlers are given its JSON"),
    },
    Row {
        body: "{ channel: c, handler: h, options: [a] }",
        topics: &[("c", "r")],
        warning: Some("`options` of route `r` is a list and ignored"),
    },
    Row {
        body: "{ channel: c, handler: h, exclude: x }",
        topics: &[("c", "r")],
        warning: Some("`exclude` of route `r` is ignored"),
    },
    // Braces that are no variable are text; space around a channel is trimmed.
    Row {
        body: "{ channel: 'c/{x-y}', handler: h }",
        topics: &[("c/{x-y}", "r"), ("c/7", "-")],
        warning: Some("`{x-y}` is not a variable and stands for itself"),
    },
    Row {
        body: "{ channel: 'c/{x', handler: h }",
        topics: &[("c/{x", "r")],
        warning: Some("this `{` is never closed and stands for itself"),
    },
    Row {
        body: "{ channel: 'c/{a{b}', handler: h }",
        topics: &[("c/{a7", "r b=7")],
        warning: Some("`{a{b}` is not a variable"),
    },
    Row {
        body: "{ channel: ' c ', handler: h }",
        topics: &[("c", "r"), (" c ", "-")],
        warning: None,
    },
    // Anchors at the ends are dropped; inside they are those of the whole topic.
    Row {
        body: "{ channel: '{x}', handler: h, requirements: { x: '^(a|b)$' } }",
        topics: &[("a", "r x=a")],
        warning: None,
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: '\\A\\d\\z' } }",
        topics: &[("c/5", "r x=5")],
        warning: None,
    },
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: '^a$|^b$' } }",
        topics: &[("c/a", "r x=a"), ("c/b", "-")],
        warning: Some("the requirement of `x` has an anchor in its middle"),
    },
    // No delimiters: the signs are text.
    Row {
        body: "{ channel: 'c/{x}', handler: h, requirements: { x: '~\\d+~' } }",
        topics: &[("c/5", "-"), ("c/~5~", "r x=~5~")],
        warning: Some("the requirement of `x` is written between delimiters"),
    },
];

#[test]
fn loads_files_that_the_predecessors_load() {
    for Row { body, topics, warning } in ROWS {
        let table = table(&format!("r: {body}"));
        for (topic, expect) in *topics {
            assert_eq!(found(&table, topic), *expect, "{body} {topic:?}");
        }
        let messages: Vec<&str> = table.warnings().iter().map(|it| it.message.as_str()).collect();
        match warning {
            Some(expect) => {
                assert!(
                    messages.len() == 1 && messages[0].starts_with(expect),
                    "{body}\n{messages:#?}"
                );
            }
            // Two variables without a value are two warnings.
            None if body.contains("{y?}") => assert_eq!(messages.len(), 2, "{body}"),
            None => assert_eq!(messages, [""; 0], "{body}"),
        }
        for warning in table.warnings() {
            assert!(warning.help.is_some() && warning.line == 1, "{warning}");
        }
    }
}

#[test]
fn names_may_be_numbers() {
    let numbered = table("5: { channel: a, handler: h }\n-7: { channel: b, handler: h }\n");
    assert_eq!(found(&numbered, "a"), "5");
    assert_eq!(found(&numbered, "b"), "-7");
    assert!(numbered.get("5").is_some());
    assert_eq!(numbered.warnings(), []);
    // PHP numbers a list.
    let listed = table("- { channel: a, handler: h }\n- { channel: b, handler: h }\n");
    assert_eq!(found(&listed, "b"), "1");
    assert_eq!(listed.warnings().len(), 1);
    assert!(listed.warnings()[0].message.contains("named `0`, `1`"));
}

#[test]
fn a_route_without_a_value_for_its_variable_is_not_generated() {
    let table = table("r: { channel: 'c/{x?}', handler: h }");
    let route = table.get("r").unwrap();
    assert_eq!(route.generate(&[("x", "7")]).unwrap(), "c/7");
    assert!(route.generate(&[]).is_err());
}
