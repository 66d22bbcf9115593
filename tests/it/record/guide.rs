//! The examples of `docs/record-replay.md` run as printed.

use super::*;

const PAGE: &str = include_str!("../../../docs/record-replay.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_recordings_runs_as_printed() {
    let fixture = Fixture::new();
    let same = fs::read(build::guest("judging")).unwrap();
    fixture.write("new.wasm", &same);
    fixture.write("released.wasm", &same);
    let mut ann = fixture.join().await;
    let blocks = PAGE.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```\n").next().expect("a fence at the end"));
    let mut run = 0;
    for line in blocks.flat_map(str::lines) {
        let line = line.replace("acme-chat", "judging").replace("acme/chat/", "words/");
        let site = fixture.site.path().to_str().unwrap();
        let words: Vec<&str> = line.split(' ').skip(1).chain(["--site", site]).collect();
        let mut command = in_cache(command(&words));
        let mut child = command.current_dir(fixture.folder.path()).spawn().unwrap();
        let code = loop {
            // Recordings need traffic.
            publish(&mut ann, "words/lobby", "hello").await;
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
        };
        assert_eq!(code, Some(0), "{line}");
        run += 1;
    }
    assert_eq!(run, 5);
    // The page has the exit codes and the options that there are.
    let help = crate::control::run(command(&["record", "--help"])).out;
    for option in [
        "--out",
        "--for",
        "--count",
        "--max-mib",
        "--with-payload",
        "--with-claims",
        "--with-headers",
        "--json",
    ] {
        assert!(help.contains(option) && PAGE.contains(option), "{option}");
    }
}
