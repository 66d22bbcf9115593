//! Every mistake has a place, says what is wrong and what to do, and hides no other.

use jackfield_routing::{NoFiles, SourceFile, load};

use crate::try_table;

/// All problems of a file, each as `LINE:COLUMN message | help`.
fn problems(yaml: &str) -> Vec<String> {
    match try_table(yaml) {
        Ok(table) => vec![format!("fine: {} routes", table.routes().len())],
        Err(problems) => problems
            .iter()
            .map(|problem| {
                let help = problem.help.as_deref().unwrap_or("NO HELP");
                format!("{}:{} {} | {help}", problem.line, problem.column, problem.message)
            })
            .collect(),
    }
}

/// The file has exactly one problem, and its line contains the text.
#[track_caller]
fn check(yaml: &str, expect: &str) {
    let problems = problems(yaml);
    assert!(problems.len() == 1 && problems[0].contains(expect), "{yaml}\n{problems:#?}");
}

/// The same for a route that is right but for one line.
#[track_caller]
fn check_line(line: &str, expect: &str) {
    check(
        &format!(
            "a: {{ channel: 'a/{{x}}', handler: h }}\nr:\n  channel: 'r/{{x}}'\n  handler: h\n  {line}\n"
        ),
        expect,
    );
}

#[track_caller]
fn check_pattern(pattern: &str, expect: &str) {
    check(
        &format!("r:\n  channel: 'r/{{x}}'\n  handler: h\n  requirements:\n    x: '{pattern}'\n"),
        expect,
    );
}

#[test]
fn reports_errors_of_files() {
    check("", "fine: 0 routes");
    check("# nothing\n", "fine: 0 routes");
    check("~", "fine: 0 routes");
    check("---\n", "fine: 0 routes");
    check("- a\n", "route `0` is a map, but this is the text `a`");
    check(
        "5",
        "1:1 a routing file is a map of routes, but this is the number `5` | write `route_name:`",
    );
    check("text", "1:1 a routing file is a map of routes, but this is the text `text`");
    check(
        "a: {channel: c, handler: h}\n---\nb: {}\n",
        "2:1 a second YAML document starts here | keep one",
    );
    check("\u{feff}r: 5", "1:4 route `r` is a map");
    check("r:\r\n  channel: 5\r\n  handler: h\r\n", "fine: 1 routes");
}

#[test]
fn reports_errors_of_syntax() {
    check("r: [1\n", "not valid YAML");
    check("r:\n\tchannel: c\n", "indent with spaces");
    check("r:\n  channel: \"a/\\d\"\n  handler: h\n", "in double quotes a backslash is an escape");
    check("r: { channel: c, handler: { callback: h, args: { x: @app } } }", "not valid YAML");
    check("r:\n  handler: @app\n", "must be quoted");
    check("r: *nowhere\n", "1:4 not valid YAML");
    check("r:\n  channel: c\n handler: h\n", "not valid YAML");
    check(
        "r: { channel: c, handler: h }\nr: { channel: d, handler: h }\n",
        "2:1 the key `r` appears twice, first on line 1 | keep one",
    );
    check_line("handler: g", "5:3 the key `handler` appears twice, first on line 4");
    check(
        "r: { channel: !php/const Foo::BAR, handler: h }",
        "1:15 the tag `!php/const` is not supported | PHP does not run here",
    );
}

#[test]
fn reports_errors_of_route_bodies() {
    check(
        "oro_email.event: ~\n",
        "1:1 route `oro_email.event` has no body | add `channel` and `handler`",
    );
    check("r:\n", "1:1 route `r` has no body");
    check("r: text", "1:4 route `r` is a map, but this is the text `text`");
    check("r: [a]", "1:4 route `r` is a map, but this is a list");
    check(
        "1.5: { channel: c, handler: h }",
        "1:1 a route's name is text, but this is the number `1.5`",
    );
    check("'': { channel: c, handler: h }", "1:1 a route's name is text");
    check("? [a]\n: { channel: c, handler: h }", "a list cannot be a key");
    check("r: { handler: h }", "1:1 route `r` has no `channel` | add the pattern");
    check(
        "r: { channel: c }",
        "1:1 route `r` has no `handler` | add the name that a plugin offers",
    );
    check(
        "r: { channel: c, pattern: c, handler: h }",
        "1:18 route `r` has both `channel` and `pattern` | the two mean the same",
    );
    check(
        "r: { channel: c, handler: h, callback: h }",
        "1:30 route `r` has both `handler` and `callback`",
    );
    check(
        "r: { channel: c, handler: h, type: yaml }",
        "1:30 `type` of route `r` has no `resource` to belong to",
    );
    check_line(
        "chanel: c",
        "5:3 unknown key `chanel` in route `r` | did you mean `channel`? Expected one of: `channel`, `pattern`",
    );
    check_line("colour: c", "5:3 unknown key `colour` in route `r` | Expected one of: ");
    check_line("1: c", "5:3 unknown key `1` in route `r`");
}

#[test]
fn reports_errors_of_handlers() {
    let check_handler = |handler: &str, expect: &str| {
        check(&format!("r:\n  channel: c\n  handler: {handler}\n"), expect);
    };
    check_handler("true", "3:12 a handler is a name or a map, but this is the boolean `true`");
    check_handler("1.50", "3:12 `callback` is text, but this is the number `1.50`");
    check_handler("''", "3:12 the handler's name is empty");
    check_handler("~", "3:12 a handler is a name or a map, but this is nothing");
    check_handler(
        "[a, b]",
        "3:12 route `r` lists several handlers; a route has one | keep one name",
    );
    check_handler("{ callback: ['a', 'b'] }", "3:24 route `r` lists several handlers");
    check_handler("{ args: 1 }", "3:12 the handler of route `r` has no `callback`");
    check_handler(
        "{ callback: h, allow: { publish: [a] } }",
        "3:27 `allow` of route `r` stands within `handler` | move it out of `handler`",
    );
    check_handler(
        "{ callback: 007 }",
        "3:24 `callback` is text, but this is the number `007` | put it in quotes: '007'",
    );
    check("r: { pattern: c, callback: [Foo, bar] }", "1:28 route `r` lists several handlers");
}

#[test]
fn reports_errors_of_channels() {
    let check_channel = |channel: &str, expect: &str| {
        check(&format!("r:\n  channel: {channel}\n  handler: h\n"), expect);
    };
    check_channel("''", "2:13 the channel is empty");
    check_channel("a/{1x}", "2:15 the variable name `1x` starts with a digit");
    check_channel("'{a}/{a}'", "2:18 the variable `a` stands twice in the channel");
    check_channel("0777", "2:12 the channel is text, but this is the number `0777`");
    check_channel(
        "'a/{x<[>}'",
        "2:18 in the requirement of `x`, the pattern `[` is not a valid regular expression",
    );
    check_channel("'a/{x<>}'", "2:18 the requirement of `x` is empty");
    check_channel(&format!("'{{{}}}'", "v".repeat(33)), "33 characters | use at most 32");
    check_channel("[a]", "2:12 the channel is text, but this is a list");
    check_channel("a/{x}\n  handler: h", "the key `handler` appears twice");
}

#[test]
fn reports_errors_of_requirements() {
    check_line(
        "requirements: { x: true }",
        "5:22 the requirement of `x` is a pattern, but this is the boolean `true` | write a regular expression in single quotes",
    );
    check_line(
        "requirements: { x: ~ }",
        "5:22 the requirement of `x` is a pattern, but this is nothing",
    );
    check_line("requirements: { x: '' }", "5:22 the requirement of `x` is empty");
    check_line("requirements: { x: '^$' }", "5:22 the requirement of `x` is empty");
    check_line(
        "requirements: { 0: 'a' }",
        "5:19 a variable's name is text, but this is the number `0`",
    );
    check_line(
        "requirements: ['a']",
        "5:17 `requirements` of route `r` is a map, but this is a list",
    );
    check_line(
        "requirements: { x: { wildcard: true } }",
        "5:22 the requirement of `x` has no `pattern`",
    );
    check_line("options: a", "5:12 `options` of route `r` is a map, but this is the text `a`");
}

#[test]
fn reports_errors_of_patterns() {
    check_pattern(
        "[a-",
        "5:9 in the requirement of `x`, the pattern `[a-` is not a valid regular expression",
    );
    check_pattern(
        "a(b",
        "5:10 in the requirement of `x`, the pattern `a(b` is not a valid regular expression",
    );
    check_pattern(
        "a(?=b)",
        "5:10 in the requirement of `x`, look-ahead is not supported | patterns are matched in linear time",
    );
    check_pattern("(?!b)a", "5:9 in the requirement of `x`, negative look-ahead is not supported");
    check_pattern("(?<=b)a", "look-behind is not supported");
    check_pattern("(?<!b)a", "negative look-behind is not supported");
    check_pattern("(a)\\1", "5:12 in the requirement of `x`, a back-reference is not supported");
    check_pattern("(?P<n>a)(?P=n)", "a back-reference is not supported");
    check_pattern("(?<n>a)\\k<n>", "a back-reference is not supported");
    check_pattern("(?>a)", "an atomic group is not supported");
    check_pattern("(?|a|b)", "a branch-reset group is not supported");
    check_pattern("(?R)", "recursion is not supported");
    check_pattern("a\\hb", "`\\h` is not supported");
    check_pattern("[a&&b]", "`&&`, `--` and `~~` between brackets");
    check_pattern("[a[b]]", "a `[` between brackets");
    check_pattern("\\<a", "this escape means different things");
    check_pattern("(?:.{1000}){1000}", "is too large");
    check_pattern("^[a-$", "5:10 in the requirement of `x`, the pattern `[a-` is not");
}

#[test]
fn reports_errors_of_extension_keys() {
    check_line("allow: [a]", "5:10 `allow` of route `r` is a map, but this is a list");
    check_line(
        "allow: { subscibe: [a] }",
        "5:12 unknown action `subscibe` in `allow` of route `r` | did you mean `subscribe`? Expected one of: `subscribe`, `publish`, `call`, `register`",
    );
    check_line(
        "allow: { publish: }",
        "5:12 `publish` of `allow` names no roles | write `[]` to allow no role",
    );
    check_line(
        "allow: { publish: 5 }",
        "5:21 a role is text, but this is the number `5` | put it in quotes: '5'",
    );
    check_line("allow: { publish: [''] }", "a role is empty");
    check_line(
        "timer: 5 days",
        "5:10 `timer` is a length of time from 10 ms to a year, but this is the text `5 days` | write `50s`",
    );
    check_line(
        "timer: 0",
        "5:10 `timer` is a length of time from 10 ms to a year, but this is the number `0`",
    );
    check_line("timer: -5", "5:10 `timer` is a length of time from 10 ms to a year");
    check_line("timer: 9ms", "5:10 `timer` is a length of time from 10 ms to a year");
    check_line("timer: { every: soon }", "5:19 `every` is a length of time from 10 ms to a year");
    check_line(
        "timer: { evry: 5s }",
        "5:12 unknown key `evry` in route `r` | did you mean `every`?",
    );
    check_line(
        "timer: { every: 5s, from: star }",
        "5:29 `from` of `timer` is `subscribe` or `start`, not `star` | did you mean `start`?",
    );
    check_line(
        "timer: { every: 5s, from: start }",
        "5:10 the timer of route `r` runs from the start, for which topics is not known: its channel has the variable `x` | leave `from` out",
    );
    check_line(
        "lanes: 0",
        "5:10 `lanes` is a whole number from 1 to 65535, but this is the number `0`",
    );
    check_line("lanes: 1.5", "5:10 `lanes` is a whole number");
    check_line(
        "lanes: '4'",
        "5:10 `lanes` is a whole number from 1 to 65535, but this is the text `4`",
    );
    check_line("lane: 4", "did you mean `lanes`?");
}

#[test]
fn diagnoses_histories() {
    check_line(
        "history: 5",
        "5:12 `history` of route `r` is a map, but this is the number `5` | write `history: { events: 100, age: 10m }`",
    );
    check_line(
        "history: { event: 5 }",
        "5:14 unknown key `event` in route `r` | did you mean `events`?",
    );
    check_line(
        "history: { events: 0 }",
        "5:22 `events` of `history` is a whole number from 1 to 100000, but this is the number `0` | 100 is the default",
    );
    check_line("history: { events: last }", "5:22 `events` of `history` is a whole number");
    check_line("history: { age: 0 }", "5:19 `age` of `history` is a length of time from 10 ms");
    check_line(
        "history: { bytes: 1 KiB }",
        "5:21 `bytes` of `history` is a size of at least 4 KiB, but this is the text `1 KiB`",
    );
    check_line(
        "history: { on_subscribe: first }",
        "5:28 `on_subscribe` of `history` is `none`, `last` or a whole number from 1 to 100000, but this is the text `first`",
    );
    check_line(
        "history: { events: 3, on_subscribe: 4 }",
        "5:39 a new subscriber would get 4 events, but `events` of `history` is 3 | raise `events`, or lower `on_subscribe`",
    );
    check_line("history: { keep: true }", "5:14 unknown key `keep` in route `r`");
    check_line(
        "history: { durable: synced }",
        "5:23 `durable` of `history` is `true` or `false`, but this is the text `synced` | write `true` to keep the events over a crash of the server",
    );
}

#[test]
fn one_error_hides_no_other() {
    let yaml = "\
one: ~
two: { chanel: c, handler: h }
three: { channel: 'a/{x}', handler: h, requirements: { x: '[', y: 'b' } }
four: { channel: fine, handler: h }
five: { channel: '{1}{', handler: [a], timer: x, lanes: 0, allow: 5 }
";
    let lines: Vec<String> = problems(yaml)
        .iter()
        .map(|problem| problem.split(" | ").next().unwrap().to_owned())
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    1:1 route `one` has no body
    2:8 unknown key `chanel` in route `two`
    3:60 in the requirement of `x`, the pattern `[` is not a valid regular expression: unclosed character class
    5:20 the variable name `1` starts with a digit
    5:35 route `five` lists several handlers; a route has one
    5:47 `timer` is a length of time from 10 ms to a year, but this is the text `x`
    5:57 `lanes` is a whole number from 1 to 65535, but this is the number `0`
    5:67 `allow` of route `five` is a map, but this is the number `5`
    ");
}

#[test]
fn formats_a_diagnosis_for_people() {
    let yaml = "\
acme.chat:
    chanel: 'acme/chat/{room}'
    handler: { callback: 'acme.chat' }
acme.news:
    channel: 'acme/news/{room}'
    handler: { callback: 'acme.news' }
    # One per department.


    requirements:
        room: { pattern: '(?=a)b' }
";
    let shown: Vec<String> = try_table(yaml).unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n\n"), @r"
    r.yml:2:5: error: unknown key `chanel` in route `acme.chat`
      |
    2 |     chanel: 'acme/chat/{room}'
      |     ^^^^^^
      = help: did you mean `channel`? Expected one of: `channel`, `pattern`, `handler`, `callback`, `requirements`, `defaults`, `options`, `allow`, `timer`, `lanes`, `slow_subscriber`, `history`, `schema`

    r.yml:11:27: error: in the requirement of `room`, look-ahead is not supported
       |
    11 |         room: { pattern: '(?=a)b' }
       |                           ^^^
       = help: patterns are matched in linear time, which rules out look-around, back-references and what needs backtracking; write the requirement without it
    ");
}

#[test]
fn keeps_a_tab_before_the_column() {
    let shown = try_table("r: {\tchannel: c,\thandler: ~ }").unwrap_err()[0].to_string();
    insta::assert_snapshot!(shown, @r"
    r.yml:1:27: error: a handler is a name or a map, but this is nothing
      |
    1 | r: {	channel: c,	handler: ~ }
      |     	           	         ^
      = help: write the name that a plugin offers, in quotes
    ");
}

#[test]
fn the_host_can_point_at_parts() {
    use jackfield_routing::Part;
    let table =
        crate::table("r:\n  channel: c\n  handler: { callback: x, args: { a: 1 } }\n  timer: 5\n");
    let place = |part| {
        let problem = table.routes()[0].diagnose(part, "no plugin offers handler `x`");
        (problem.line, problem.column)
    };
    assert_eq!(place(Part::Name), (1, 1));
    assert_eq!(place(Part::Channel), (2, 12));
    assert_eq!(place(Part::Callback), (3, 24));
    assert_eq!(place(Part::Args), (3, 33));
    assert_eq!(place(Part::Timer), (4, 10));
    assert_eq!(place(Part::Lanes), (1, 1));
    assert_eq!(place(Part::Allow), (1, 1));
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let text = format!(
        "r: {{ channel: a, handler: {{ callback: h, args: &a ['{}'] }} }}\n\
         s: {{ channel: b, handler: {{ callback: h, args: [{}] }} }}\n",
        "y".repeat(40_000),
        "*a, ".repeat(40_000),
    );
    let file = SourceFile { path: "bomb.yml".to_owned(), text };
    let problems = load(&[file], &NoFiles).unwrap_err();
    assert!(problems[0].message.contains("copy more than"), "{}", problems[0].message);
}
