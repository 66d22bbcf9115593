//! Explanations of matches: the reason why a route takes a topic or not.

use jackfield_routing::Outcome;

use crate::table;

const ROUTES: &str = r"
numbers: { channel: 'a/{x}/{y}', handler: h, requirements: { x: '\d+', y: '\d+' } }
any: { channel: 'a/{x}/{y}', handler: h }
exact: { channel: a/b/c, handler: h }
tail: { channel: 'a/{x}/{y?1}', handler: h }
mixed: { channel: 'a/{x}-{y}', handler: h }
";

fn check(topic: &str, expect: [&str; 5]) {
    let table = table(ROUTES);
    let shown: Vec<String> = table
        .explain(topic)
        .into_iter()
        .map(|(_, outcome)| match outcome {
            Outcome::Matched { attributes } => format!("matched {attributes:?}"),
            Outcome::Shadowed { by } => format!("shadowed by {by}"),
            Outcome::Unmatched { reason } => reason,
        })
        .collect();
    assert_eq!(shown, expect, "{topic}");
}

const MIXED: &str = "the text does not fit `a/{x}-{y}` with {x} = `[^/\\-]+`, {y} = `[^/]+`";

#[test]
fn explains_why_routes_do_not_match() {
    check(
        "a/1/5x",
        [
            r"segment 3 `5x` does not match `\d+` of {y}",
            r#"matched [("x", "1"), ("y", "5x")]"#,
            "the literal text differs",
            "shadowed by any",
            MIXED,
        ],
    );
    check(
        "a/b/c",
        [
            r"segment 2 `b` does not match `\d+` of {x}",
            r#"matched [("x", "b"), ("y", "c")]"#,
            "shadowed by any",
            "shadowed by any",
            MIXED,
        ],
    );
    check(
        "b/1",
        [
            "segment 1 is `b`, not `a`",
            "segment 1 is `b`, not `a`",
            "the literal text differs",
            "segment 1 is `b`, not `a`",
            MIXED,
        ],
    );
    check(
        "a/1/2/3",
        [
            "the topic has 4 segments, the channel 3",
            "the topic has 4 segments, the channel 3",
            "the literal text differs",
            "the topic has 4 segments, the channel 2 to 3",
            MIXED,
        ],
    );
    check(
        "A/B/C",
        [
            "segment 1 is `A`, not `a`",
            "segment 1 is `A`, not `a`",
            "the letters' case differs",
            "segment 1 is `A`, not `a`",
            MIXED,
        ],
    );
}
