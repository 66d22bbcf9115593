//! Topics that a channel matches: the semantics of the predecessors' current versions.

use crate::{found, table};

/// One route with these requirements (as a YAML flow map) against one topic: the attributes, or
/// `-` for no match.
fn check(channel: &str, requirements: &str, topic: &str, expect: &str) {
    let yaml =
        format!("r: {{ channel: '{channel}', handler: h, requirements: {{{requirements}}} }}");
    let shown = found(&table(&yaml), topic);
    let shown = shown.strip_prefix("r").map_or(shown.as_str(), str::trim_start);
    assert_eq!(shown, expect, "{channel:?} with {requirements} on {topic:?}");
}

const EMAIL: &str = "oro/email_event/{user_id}/{organization_id}";
const NUMBERS: &str = r"user_id: '\d+', organization_id: { pattern: '\d+', wildcard: true }";

#[test]
fn matches_the_edge_cases() {
    check(EMAIL, NUMBERS, "oro/email_event/5/*", "user_id=5 organization_id=*");
    check(EMAIL, NUMBERS, "oro/email_event/5/all", "-");
    check(EMAIL, NUMBERS, "oro/email_event/5/1/", "user_id=5 organization_id=1");
    check(EMAIL, NUMBERS, "oro/email_event/5x/1", "-");
    check(EMAIL, NUMBERS, "oro/email_event/*/1", "-");
    let wild = r"user_id: { pattern: '\d+', wildcard: true }";
    check("oro/imap_sync_fail/{user_id}", wild, "oro/imap_sync_fail/*", "user_id=*");
    check("oro/ping", "", "oro/ping", "");
    check("oro/ping", "", "oro/ping/", "-");
    check("oro/ping", "", "ORO/ping", "-");
    check("acme/chat/{room}", "room: '[a-z]+'", "acme/chat/blog-app", "-");
    let whole = "room: '^(0|[1-9][0-9]*)$'";
    check("gameSession/{room}", whole, "gameSession/01", "-");
    check("gameSession/{room}", whole, "gameSession/10", "room=10");
    check("chat/{id}/{action}", "action: 'send|edit'", "chat/7/edit", "id=7 action=edit");
}

#[test]
fn matches_further_rows_as_symfony_does() {
    check(EMAIL, NUMBERS, "oro/email_event/5/1\n", "-");
    check(EMAIL, NUMBERS, "oro/email_event/0005/1", "user_id=0005 organization_id=1");
    check(EMAIL, NUMBERS, "oro/email_event/٣/1", "-");
    check("x/{a}-{b}", "", "x/1-2-3", "a=1 b=2-3");
    check(EMAIL, NUMBERS, "oro/email_event/5/1//", "-");
    check("app/chat/{slug}/channel", "", "app/chat/a.b/channel", "slug=a.b");
    check("app/chat/{slug}/channel", "", "app/chat/my-room/channel", "slug=my-room");
    check("sample/channel/", "", "sample/channel/", "");
    check("sample/channel/", "", "sample/channel", "-");
}

#[test]
fn matches_the_whole_text_and_its_case() {
    check("a/{x}", "x: 'b|c'", "a/b", "x=b");
    check("a/{x}", "x: 'b|c'", "a/bc", "-");
    check("a/{x}", "x: 'b|c'", "xa/b", "-");
    check("a/{x}", "x: '[a-z]+'", "a/B", "-");
    check("a/{x}", "x: '(?i)[a-z]+'", "a/B", "x=B");
    check("a/{x}", "x: '.+'", "a/b\nc", "x=b\nc");
    check("a/{x}", "x: '.+'", "a/b/c", "x=b/c");
    check("a/{x}/c", "x: '.+'", "a/b/c/c", "x=b/c");
    check("a/{x}", r"x: 'a$'", "a/a", "x=a");
    check("a/{x}", r"x: 'a\$'", "a/a$", "x=a$");
    check("a/{x}", r"x: '\A\d+\z'", "a/1", "x=1");
    check("a/{x}", r"x: '\d++'", "a/12", "x=12");
    check("a/{x}", r"x: '(\d)(\d)'", "a/12", "x=12");
    check("a/{x}/{y}", r"x: '(?P<x>\d)', y: '(?P<x>\d)'", "a/1/2", "x=1 y=2");
    check("a.b/{x}", "", "aXb/1", "-");
    check("a/{x}", "", "a/", "-");
    check("a/{x}", "", "a//", "-");
    check("a/{x}", r"x: '\d*'", "a/", "x=");
    check("a/{x}", "", "a/{x}", "x={x}");
    check("a/{x}", "", "a/日本", "x=日本");
    check("日本/{x}-本", "", "日本/é-本", "x=é");
    check("a/{x}", r"x: '\w+'", "a/é", "-");
    check("a/{x}", r"x: '[\w]+'", "a/é", "-");
    check("a/{x}", r"x: '\W+'", "a/é", "x=é");
    check("a/{x}", r"x: '.\b.'", "a/é!", "-");
    check("a/{x}", r"x: '.\b.'", "a/a!", "x=a!");
    check("a/{x}", "x: '[aé]+'", "a/éa", "x=éa");
}

#[test]
fn matches_variables_anywhere() {
    check("{a}", "", "x", "a=x");
    check("{a}", "", "x/y", "-");
    check("{a}/{b}", "", "x/y", "a=x b=y");
    check("room-{id}", r"id: '\d+'", "room-7", "id=7");
    check("room-{id}", r"id: '\d+'", "hall-7", "-");
    check("{id}-room", r"id: '\d+'", "7-room", "id=7");
    check("{id}-room/{x}", r"id: '\d+'", "7-room/y", "id=7 x=y");
    check("{a}{b}", r"a: '\d+', b: '[a-z]+'", "12ab", "a=12 b=ab");
    check("{a}.{b}/c", "", "x.y.z/c", "a=x b=y.z");
    check("a:{b}:c", "", "a:x:c", "b=x");
    check("a:{b}:c", "", "a:x:y:c", "-");
    check("a/{b}/", "", "a/x", "b=x");
    check("a/{b}/", "", "a/x/", "b=x");
    check("a/{b}/", "", "a/x//", "-");
    check("{a}//", "", "x//", "a=x");
    check("{a}//", "", "x/", "a=x");
    check("{a}//", "", "x", "-");
    check("a/{x}", "x: 'b|c/d'", "a/c/d/", "x=c/d");
    check("/{b}", "", "/x", "b=x");
    check("/{b}", "", "x", "-");
    check("a//{b}", "", "a//x", "b=x");
    check("a//{b}", "", "a/x", "-");
    check("{b}/c/d", "", "x/c/d", "b=x");
    check("{b}/c/d", "", "x/c/d/", "b=x");
    check("{b}/c/d", "", "x/c", "-");
    check("{b}+c", "", "x+y+c", "-");
}

#[test]
fn matches_optional_tails() {
    check("a/{x?1}", "", "a", "x=1");
    check("a/{x?1}", "", "a/", "x=1");
    check("a/{x?1}", "", "a/2", "x=2");
    // A default without a value makes nothing optional.
    check("a/{x?}", "", "a", "-");
    check("a/{x?}", "", "a/7", "x=7");
    check("a/{x?}/{y?2}", "", "a", "-");
    check("a/{x?}/{y?2}", "", "a/7", "x=7 y=2");
    check("a/{x?1}/{y?2}", "", "a", "x=1 y=2");
    check("a/{x?1}/{y?2}", "", "a/7", "x=7 y=2");
    check("a/{x?1}/{y?2}", "", "a/7/8", "x=7 y=8");
    check("a/{x?1}/{y?2}", "", "a/7/8/9", "-");
    check("a/{x?1}/{y}", "", "a", "-");
    check("a/{x?1}/{y}", "", "a/7/8", "x=7 y=8");
    check("a/{x?1}/b", "", "a/b", "-");
    check("a/{x?1}/", "", "a", "-");
    check("a/{page}.{format?html}", "", "a/one", "format=html page=one");
    check("a/{page}.{format?html}", "", "a/one.json", "format=json page=one");
    check("a-{x<\\d+>?1}", "", "a", "x=1");
    check("a-{x<\\d+>?1}", "", "a-7", "x=7");
    check("a-{x<\\d+>?1}", "", "a-", "-");
    // The regex decides whom a slash at the end belongs to; the earliest variable takes most.
    check(".{a}-{b<.+>?D}", "a: '[^/]+'", ".a-ab/", "b=D a=a-ab");
    check("a/{x<.+?>}", "", "a/b/", "x=b");
    check("a/{x<.+>?1}", "", "a", "x=1");
    check("a/{x<.+>?1}", "", "a/b/c", "x=b/c");
    check("{x?1}", "", "", "x=1");
    check("{x?1}", "", "7", "x=7");
    check("{x?1}/{y?2}", "", "7/8", "x=7 y=8");
    check("/{x?1}", "", "/", "x=1");
    check("a-{x?1}/{y?2}", "", "a", "x=1 y=2");
    check("a-{x?1}/{y?2}", "", "a-7/8", "x=7 y=8");
}

#[test]
fn utf8_widens_the_classes() {
    let check = |pattern: &str, topic: &str, expect: &str| {
        let yaml = format!(
            "r: {{ channel: 'a/{{x}}', handler: h, requirements: {{ x: '{pattern}' }}, options: {{ utf8: true }} }}"
        );
        assert_eq!(found(&table(&yaml), topic), expect, "{pattern} on {topic}");
    };
    check(r"\w+", "a/é", "r x=é");
    check(r"\d+", "a/٣", "r x=٣");
    check(r"[\w-]+", "a/é-", "r x=é-");
}

/// Several routes, in file order, against one topic.
fn check_order(channels: &[&str], topic: &str, expect: &str) {
    let yaml: String = channels
        .iter()
        .enumerate()
        .map(|(number, channel)| format!("r{number}: {{ channel: '{channel}', handler: h }}\n"))
        .collect();
    assert_eq!(found(&table(&yaml), topic), expect, "{channels:?} on {topic:?}");
}

#[test]
fn the_first_match_in_file_order_wins() {
    check_order(&["a/{x}", "a/b"], "a/b", "r0 x=b");
    check_order(&["a/b", "a/{x}"], "a/b", "r0");
    check_order(&["a/b", "a/b"], "a/b", "r0");
    check_order(&["a/{x<\\d+>}", "a/b"], "a/b", "r1");
    check_order(&["a/{x}", "{y}/b"], "a/b", "r0 x=b");
    check_order(&["{y}/b", "a/{x}"], "a/b", "r0 y=a");
    check_order(&["{y<.+>}", "a/{x}", "a/b"], "a/b", "r0 y=a/b");
    check_order(&["a/{x}", "{y<.+>}", "a/b"], "a/c/d", "r1 y=a/c/d");
    check_order(&["a/{x}", "{y<.+>}"], "a/c", "r0 x=c");
    check_order(&["{y<.+>}", "a/{x}"], "a/c/", "r0 y=a/c/");
    check_order(&["ro{x}", "room-{x}", "{x}"], "room-7", "r0 x=om-7");
    check_order(&["room-{x}", "ro{x}", "{x}"], "room-7", "r0 x=7");
    check_order(&["{x}-a", "b{x}"], "b-a", "r0 x=b");
    check_order(&["a/{x}/{y?1}", "a/{x}"], "a/b", "r0 y=1 x=b");
    check_order(&["a/{x}/{y?}", "a/{x}"], "a/b", "r1 x=b");
    // An earlier route takes another's exact text only without the tolerance for a slash.
    check_order(&["a/{x}", "a/b/"], "a/b/", "r1");
    check_order(&["a/{x}/", "a/b/"], "a/b/", "r0 x=b");
    check_order(&["a/{x}/", "a/b"], "a/b", "r1");
    check_order(&["a/{x<.+?>}", "a/b/"], "a/b/", "r0 x=b");
    check_order(&["a-{x}", "a-b/"], "a-b/", "r1");
    check_order(&["a-{x}/", "a-b"], "a-b", "r1");
    check_order(&["{x?1}", "/{y?1}", "/"], "/", "r0 x=1");
    check_order(&["{x?1}", "/"], "/", "r1");
}
