//! Topics from routes and values.

use crate::table;

fn check(channel: &str, params: &[(&str, &str)], expect: &str) {
    let table = table(&format!("r: {{ channel: '{channel}', handler: h }}"));
    let shown = table.routes()[0].generate(params).unwrap_or_else(|error| error.to_string());
    assert_eq!(shown, expect, "{channel} with {params:?}");
}

#[test]
fn generates_topics() {
    check("oro/ping", &[], "oro/ping");
    check("a/{x}/{y}", &[("y", "2"), ("x", "1")], "a/1/2");
    check("a/{x}-{y}", &[("y", "2-3"), ("x", "1")], "a/1-2-3");
    check("a/{x}/", &[("x", "1")], "a/1/");
    check("a/{x<\\d+>}", &[("x", "*")], "route `r` wants `x` to match `\\d+`, and `*` does not");
    check("a/{x<\\d+|\\*>}", &[("x", "*")], "a/*");
    check(
        "a/{x<[a-z]+>}",
        &[("x", "A")],
        "route `r` wants `x` to match `[a-z]+`, and `A` does not",
    );
    check("a/{x}", &[("x", "1/2")], "route `r` wants `x` to match `[^/]+`, and `1/2` does not");
    check("a/{x}", &[("x", "1"), ("other", "2")], "a/1");
    check("a/{x}/{y}", &[("x", "1")], "route `r` needs a value for `y` of channel `a/{x}/{y}`");
}

#[test]
fn generates_optional_tails() {
    check("a/{x?1}/{y?2}", &[], "a");
    check("a/{x?1}/{y?2}", &[("x", "1"), ("y", "2")], "a");
    check("a/{x?1}/{y?2}", &[("x", "7")], "a/7");
    check("a/{x?1}/{y?2}", &[("y", "7")], "a/1/7");
    check("a/{x?}", &[], "route `r` needs a value for `x` of channel `a/{x}`");
    check("a/{x?}/{y?2}", &[("y", "7")], "route `r` needs a value for `x` of channel `a/{x}/{y}`");
    check("a/{x?1}/b", &[], "a/1/b");
    check("{x?1}", &[], "");
    check("/{x?1}", &[], "/");
}
