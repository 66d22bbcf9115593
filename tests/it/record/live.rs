//! Recording of live traffic: its ends, its limits, its refusals and its audit.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;

/// Starts a recording on the socket, without reading more than the head of the answer.
async fn unread(fixture: &Fixture, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(fixture.server.control_socket()).await.unwrap();
    let length = body.len();
    let request =
        format!("POST /v1/record HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_calls_of_the_recording_alone() {
    const CALLS: usize = 4_000;
    let fixture = Fixture::new();
    let logged = fixture.server.log().len();
    let mut reader = unread(&fixture, r#"{"plugin":"judging","with_payload":true}"#).await;
    fixture.server.logged_after(logged, "with=\"payload\"");
    let mut ann = fixture.join().await;
    let text = "x".repeat(2_000);
    for _ in 0..CALLS {
        publish(&mut ann, "words/a", &text).await;
    }
    // The server has answered all of them; the reader gets what was kept, and the number of the rest.
    let mut read = Vec::new();
    let last = |read: &[u8]| {
        let text = String::from_utf8_lossy(read).into_owned();
        let at = text.rfind("\"dropped\":")?;
        let digits: String = text[at + 10..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    };
    jackfield_tests::client::within("the number of dropped calls", async {
        let mut part = vec![0; 1 << 16];
        while last(&read).is_none_or(|dropped| dropped == 0) {
            let count = reader.read(&mut part).await.unwrap();
            assert!(count > 0, "the recording has ended");
            read.extend_from_slice(&part[..count]);
            publish(&mut ann, "words/a", "more").await;
        }
    })
    .await;
    drop(reader);
    let logged = fixture.server.logged_after(logged, "result=\"ended\"");
    assert!(logged.contains("plugin=\"judging\""), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_by_time_by_signal_and_with_the_server() {
    let fixture = Fixture::new();
    let mut ann = fixture.join().await;
    let recorder = fixture.record(&["--plugin", "judging", "--for", "100ms"]);
    assert_eq!(recorder.end().code, Some(0));
    let reason = |fixture: &Fixture| fixture.lines().pop().unwrap()["reason"].clone();
    assert_eq!(reason(&fixture), "time");

    for (signal, expected) in [("INT", "interrupted"), ("TERM", "interrupted")] {
        fs::remove_file(fixture.file("calls.ndjson")).unwrap();
        let recorder = fixture.record(&["words/a"]);
        publish(&mut ann, "words/a", "hello").await;
        until(|| fs::read_to_string(fixture.file("calls.ndjson")).unwrap().contains("\"call\""))
            .await;
        recorder.signal(signal);
        let ended = recorder.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(reason(&fixture), expected);
        let same = fs::read(build::guest("judging")).unwrap();
        assert_eq!(fixture.replay(&same, &[]).code, Some(0));
    }

    fs::remove_file(fixture.file("calls.ndjson")).unwrap();
    let recorder = fixture.record(&["words/a"]);
    fixture.server.signal("TERM");
    let ended = recorder.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(reason(&fixture), "the server ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_cannot_be_recorded() {
    let fixture = Fixture::new();
    let site = fixture.site.path().to_str().unwrap();
    let out = fixture.write("there.ndjson", "precious");
    let out = out.to_str().unwrap();
    let of = |arguments: &[&str]| {
        run(command(&[&["record", "--site", site, "--out", out], arguments].concat()))
    };
    let existing = of(&["words/a"]);
    assert_eq!(existing.code, Some(1), "{existing:?}");
    assert!(existing.err.contains("= help: remove it, or name another one with --out"));
    assert_eq!(fs::read_to_string(out).unwrap(), "precious");
    let unknown = of(&["--plugin", "nobody"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("no plugin `nobody` is in service"), "{unknown:?}");
    let unrouted = of(&["no/such/topic"]);
    assert_eq!(unrouted.code, Some(1), "{unrouted:?}");
    assert!(unrouted.err.contains("no route matches the topic `no/such/topic`"), "{unrouted:?}");
    let neither = of(&[]);
    assert_eq!(neither.code, Some(2));
    assert!(neither.err.contains("--plugin"), "{neither:?}");
    let socket = fixture.server.control_socket();
    for (body, text) in [
        ("{}", "a recording needs a `topic`, a `plugin`, or both"),
        (r#"{"topic":""}"#, "`topic` has 1 to"),
        (r#"{"topics":[]}"#, "unknown field `topics`"),
    ] {
        let (status, answer) = crate::control::ask(&socket, "POST", "/v1/record", body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(text), "{answer}");
    }
    assert_eq!(crate::control::ask(&socket, "GET", "/v1/record", "").await.0, 405);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(unread(&fixture, r#"{"plugin":"judging"}"#).await);
    }
    let (status, answer) =
        crate::control::ask(&socket, "POST", "/v1/record", r#"{"plugin":"judging"}"#).await;
    assert_eq!(status, 429, "{answer}");
    // A place is free when its client has left.
    open.clear();
    until(|| {
        let answer = of(&["--plugin", "judging", "--for", "1ms"]);
        !answer.err.contains("429") && answer.err.contains("name another one with --out")
    })
    .await;
}
