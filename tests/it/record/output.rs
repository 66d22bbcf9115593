//! Outputs that accept no data: a pipe that nothing reads, and a disk that is full.

use std::process::Command;

use super::*;

/// A command whose output nothing reads; it is killed at the end of the test.
struct Stuck(Child);

impl Stuck {
    fn start(arguments: &[&str]) -> Self {
        let mut command = in_cache(command(arguments));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Whether the main thread waits in a write to a pipe.
    fn is_blocked(&self) -> bool {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.0.id());
            fs::read_to_string(path).unwrap_or_default()
        };
        // Some kernels hide one of the two. The numbers are those of `write` to stdout.
        let call = read("syscall");
        let is_write = ["1 0x1 ", "64 0x1 "].iter().any(|write| call.starts_with(write));
        is_write || read("wchan").contains("pipe_write")
    }

    /// Ends it by a signal. Returns the exit code and stderr.
    async fn end_by(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.unwrap().success());
        let mut code = None;
        until(|| {
            code = self.0.try_wait().unwrap();
            code.is_some()
        })
        .await;
        let mut err = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (code.and_then(|status| status.code()), err)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_a_command_whose_output_is_blocked() {
    const INCOMPLETE: &str = "error: interrupted while an output accepts no data";
    let fixture = Fixture::new();
    let site = fixture.site.path().to_str().unwrap();
    let mut ann = fixture.join().await;
    let logged = fixture.server.log().len();
    let record = ["record", "--site", site, "--plugin", "judging", "--out", "-", "--with-payload"];
    let (record, trace) = (
        Stuck::start(&record),
        Stuck::start(&["trace", "--site", site, "words/a", "--json", "--payload"]),
    );
    fixture.server.logged_after(logged, "action=\"record\"");
    fixture.server.logged_after(logged, "action=\"trace\"");
    let long = "x".repeat(20_000);
    until_async(async || {
        publish(&mut ann, "words/a", &long).await;
        record.is_blocked() && trace.is_blocked()
    })
    .await;
    // Each problem of a script is a line.
    let missing: Vec<String> = (0..400).map(|n| format!("{n}{}", "x".repeat(240))).collect();
    let scripts: Vec<&str> = missing.iter().map(String::as_str).collect();
    let test = Stuck::start(&[&["test", site], &scripts[..]].concat());
    until(|| test.is_blocked()).await;
    let (record, trace, test) =
        tokio::join!(record.end_by("INT"), trace.end_by("TERM"), test.end_by("INT"));
    for ((code, err), expect) in [(record, 130), (trace, 143), (test, 130)] {
        assert_eq!(code, Some(expect), "{err}");
        assert!(err.contains(INCOMPLETE), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_a_recording_that_can_be_replayed() {
    let fixture = Fixture::new();
    let mut ann = fixture.join().await;
    let (site, file) = (fixture.site.path().to_str().unwrap(), fixture.file("calls.ndjson"));
    let file = file.to_str().unwrap();
    let arguments =
        ["record", "--site", site, "--out", file, "words/a", "--with-payload", "--json"];
    let jackfield = command(&arguments);
    // In blocks of 512 bytes: 32 KiB.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""]);
    limited.arg(jackfield.get_program()).args(jackfield.get_args());
    limited.env("XDG_RUNTIME_DIR", build::runtime());
    let logged = fixture.server.log().len();
    let child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut recorder = Stuck(child);
    fixture.server.logged_after(logged, "action=\"record\"");
    let text = "x".repeat(3_000);
    until_async(async || {
        publish(&mut ann, "words/a", &text).await;
        recorder.0.try_wait().unwrap().is_some()
    })
    .await;
    let (mut out, mut err) = (String::new(), String::new());
    recorder.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    recorder.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(recorder.0.wait().unwrap().code(), Some(1), "{err}");
    assert!(err.contains(&format!("error: failed to write {file}: ")), "{err}");
    assert!(err.contains("= help: free space, and record again"), "{err}");
    let summary: Value = serde_json::from_str(&out).unwrap();

    // Each line is whole, and the last one has the reason.
    let lines = fixture.lines();
    let calls = lines.iter().filter(|line| line["line"] == "call").count();
    let end = lines.last().unwrap();
    assert!(calls > 0 && end["line"] == "end", "{end}");
    assert!(end["reason"].as_str().unwrap().starts_with("failed to write: "), "{end}");
    assert_eq!((&end["calls"], &summary["calls"]), (&json!(calls), &json!(calls)));
    let same = fs::read(build::guest("judging")).unwrap();
    let report = fixture.replay(&same, &["--json"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    assert_eq!(report.json()["compared"], calls);
}

async fn until_async(mut is_so: impl AsyncFnMut() -> bool) {
    jackfield_tests::client::within("the condition", async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
