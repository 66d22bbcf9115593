//! Recordings that are damaged, cut off, or no recordings, and components that cannot replay them.

use super::*;

/// A recording of one call.
async fn recorded() -> Fixture {
    let fixture = Fixture::new();
    let recorder = fixture.record(&["words/a", "--count", "1", "--with-payload"]);
    let mut ann = fixture.join().await;
    publish(&mut ann, "words/a", "hello").await;
    assert_eq!(recorder.end().code, Some(0));
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn names_file_and_line_of_a_damaged_recording() {
    let fixture = recorded().await;
    let whole = fs::read_to_string(fixture.file("calls.ndjson")).unwrap();
    let same = fs::read(build::guest("judging")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 4, "{whole}");
    let newer = lines[0].replace("\"format\":1", "\"format\":9");
    let shifted = lines[2].replace("\"version\":0,\"at_ns\"", "\"version\":5,\"at_ns\"");
    let second = lines[2].replacen("\"call\":1,", "\"call\":2,", 1);
    assert_ne!(second, lines[2]);
    let cases = [
        (String::new(), "calls.ndjson:1: error: the file is empty"),
        ("hello\n".to_owned(), "calls.ndjson:1: error: this is no recording"),
        ([&newer, lines[3]].concat(), "calls.ndjson:1: error: the recording has the format 9"),
        (lines[..3].concat(), "calls.ndjson:4: error: the recording is cut off"),
        (whole[..whole.len() - 5].to_owned(), "calls.ndjson:4: error: the recording is cut off"),
        (
            lines[..2].concat() + "{}\n" + lines[3],
            "calls.ndjson:3: error: the recording is damaged",
        ),
        (
            [lines[0], lines[2], lines[3]].concat(),
            "calls.ndjson:2: error: the recording is damaged",
        ),
        (
            [lines[0], lines[1], &shifted].concat(),
            "calls.ndjson:3: error: the recording is damaged",
        ),
        // A line is missing, or there twice.
        (
            [lines[0], lines[1], &second, lines[3]].concat(),
            "calls.ndjson:3: error: the recording is damaged: call 2 is where call 1 should be",
        ),
        (
            [lines[0], lines[1], lines[2], lines[2], lines[3]].concat(),
            "calls.ndjson:4: error: the recording is damaged: call 1 is where call 2 should be",
        ),
        (
            [lines[0], lines[1], lines[3]].concat(),
            "calls.ndjson:3: error: the recording is damaged: it has 0 calls, and its last line says 1",
        ),
    ];
    for (text, expected) in cases {
        fixture.write("calls.ndjson", &text);
        let output = fixture.replay(&same, &[]);
        assert_eq!(output.code, Some(2), "{expected}: {output:?}");
        assert!(output.err.contains(expected), "{expected}: {output:?}");
        assert!(output.err.contains("\n  = help: "), "{output:?}");
    }
    fs::remove_file(fixture.file("calls.ndjson")).unwrap();
    let missing = fixture.replay(&same, &[]);
    assert!(
        missing.code == Some(2) && missing.err.contains("calls.ndjson: error: "),
        "{missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_a_component_that_cannot_replay() {
    let fixture = recorded().await;
    let text = fixture.replay(b"no component", &[]);
    assert!(text.code == Some(2) && text.err.contains("new.wasm: error: "), "{text:?}");
    let other = fs::read(build::plugin("broadcast")).unwrap();
    let other = fixture.replay(&other, &["--json"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert_eq!(other.json()["result"], "failed");
    assert!(other.err.contains("no call of the plugin "), "{other:?}");
}
