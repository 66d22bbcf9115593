//! The line that the page shows: it means what it says, to a shell and to make.

use serde_json::json;

use super::{open, served};
use crate::browser::Browser;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_is_one_that_a_shell_and_make_read_as_it_was_meant() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let command = "return document.getElementById('command').textContent;";
    assert_eq!(browser.run("demo", command).await, "make greeting TEXT='Good evening'");
    let makefile = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        makefile.path(),
        "greeting: export GREETING = $(or $(TEXT),none)\ngreeting:\n\t@printenv GREETING\n",
    )
    .unwrap();
    for text in ["It's $5", "\"quoted\" \\ and `such` #1", "$(shell false) ${HOME} %", "é 😀"] {
        browser.fill("demo", "#words", text).await;
        let line = browser.run("demo", command).await;
        let line = line.as_str().unwrap().replacen(
            "make",
            &format!("make -f {}", makefile.path().display()),
            1,
        );
        let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text, "{line}: {output:?}");
    }
}
