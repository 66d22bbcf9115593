//! Texts of strangers: escaped by the console as by the log and the commands (crate `jackfield-text`).

use std::process::Command;

use super::*;
use jackfield_tests::client::v1;

/// Names that a shell would read as something else.
const NAMES: [&str; 7] = [
    "acme-chat",
    "x;touch owned;echo ",
    "a'b $(c) `d` \\ \"e\"",
    "a/b?c#d%2e<i>\"'&x.y",
    "ä b",
    "",
    "*",
];

/// A text of its code points.
fn text(points: &str) -> String {
    let points = points.split_whitespace().map(|it| u32::from_str_radix(it, 16).unwrap());
    points.map(|it| char::from_u32(it).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_each_text_as_the_commands_do() {
    let vectors = std::fs::read_to_string(build::root().join("host/text/vectors.tsv")).unwrap();
    let (mut runs, mut inputs, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for row in vectors.lines().filter(|row| !row.starts_with('#')) {
        match row.split('\t').collect::<Vec<_>>()[..] {
            ["range", first, last] => {
                runs.push([first, last].map(|it| u32::from_str_radix(it, 16).unwrap()));
            }
            ["text", input, escaped, with_lines] => {
                inputs.push(text(input));
                expected.push([text(escaped), text(with_lines)]);
            }
            _ => panic!("{row}"),
        }
    }
    let fixture = served("");
    let mut console = Console::open(fixture.address).await;
    let module = "import('/console/escape.js')";
    let inputs = json!(inputs);
    let shown = format!(
        "{module}.then((it) => {inputs}.map((text) => [it.escapeText(text), it.escapeLines(text)]))"
    );
    assert_eq!(console.value(&shown).await, json!(expected));
    // Every character: the first and the last one of each run that is escaped.
    let found = format!(
        "{module}.then((it) => {{
            const runs = [];
            for (let code = 0; code <= 0x10ffff; code += 1) {{
                if (code >= 0xd800 && code <= 0xdfff) continue;
                const text = String.fromCodePoint(code);
                if (it.escapeText(text) === text) continue;
                if (runs.at(-1)?.[1] === code - 1) runs.at(-1)[1] = code;
                else runs.push([code, code]);
            }}
            return runs;
        }})"
    );
    assert_eq!(console.value(&found).await, json!(runs));

    // A suggested command has the name as one word.
    for name in NAMES {
        let word = format!("{module}.then((it) => it.shellWord({}, 'NAME'))", json!(name));
        let word = console.value(&word).await;
        let command = format!("printf %s {}", word.as_str().unwrap());
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), name, "{command}");
    }
    let word = format!(r"{module}.then((it) => it.shellWord('a\u202eb', 'NAME'))");
    assert_eq!(console.value(&word).await, "NAME");
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_no_character_that_reorders_others() {
    let fixture = served("");
    let mut client = v1::Client::connect(fixture.server.addr).await;
    for topic in ["open/\u{202e}live", "open/a\nb"] {
        client.subscribe(topic);
    }
    client.round_trip().await;
    let mut console = Console::open(fixture.address).await;
    console.go("topics").await;
    console.shows("2 topics").await;
    let raw = "/[\\u202a-\\u202e]/.test(document.documentElement.innerText + document.title)";
    for text in [r"open/\u{202e}live", r"open/a\nb"] {
        console.shows(text).await;
    }
    assert_eq!(console.value(raw).await, false);
    console.go("topics/open%2F%E2%80%AElive").await;
    console.until(r"document.querySelector('h1').innerText === 'open/\\u{202e}live'").await;
    assert_eq!(console.value(raw).await, false);
    // The link still has the topic itself, with its line break.
    console.go("trace?topic=open%2Fa%0Ab").await;
    console.value("document.querySelector('[name=topic]').focus()").await;
    console.press("Enter").await;
    console.shows("Waiting for messages").await;
    fixture.server.logged(r"open/a\");
    console.is_quiet().await;
}
