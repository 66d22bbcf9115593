//! Users file while the server runs: replaced by something that is not a file, and with passwords
//! that are probably not hashes.

use std::process::Stdio;

use tokio::process::Command;

use super::{Guarded, USERS, in_query};
use jackfield_tests::build;
use jackfield_tests::client::within;

/// Returns the exit code and output of `jackfield check`.
async fn check(guarded: &Guarded) -> (Option<i32>, String) {
    let mut command = Command::new(build::jackfield());
    command.arg("check").arg(guarded.site.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = within("jackfield check", command.output()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn mkfifo(guarded: &Guarded) {
    guarded.site.remove("users.yml");
    let made = std::process::Command::new("mkfifo").arg(guarded.site.file("users.yml")).status();
    assert!(made.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_named_pipe_as_users_file() {
    const REFUSED: &str =
        "the file cannot be read: it is a named pipe, and has to be a regular file";
    let mut guarded = Guarded::start("");
    let ann = in_query(&guarded.ticket(Some("ann")).await);
    let logged = guarded.server.log().len();
    mkfifo(&guarded);
    let said = guarded.server.logged_after(logged, REFUSED);
    assert!(said.contains("the users stay as they were") && said.contains("users.yml"), "{said}");
    guarded.page(&ann).await.unwrap();
    let (code, said) = check(&guarded).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("users.yml cannot be read: it is a named pipe"), "{said}");

    let logged = guarded.server.log().len();
    guarded.site.rename_over("users.yml", USERS.replace("hash-of-ann", "hash-of-ann-s-new-one"));
    guarded.server.logged_after(logged, "the users have changed");
    assert_eq!(guarded.page(&ann).await.err().unwrap().0, Some(403));

    let logged = guarded.server.log().len();
    mkfifo(&guarded);
    guarded.server.logged_after(logged, REFUSED);
    guarded.server.signal("TERM");
    assert_eq!(guarded.server.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn warns_of_passwords_that_are_no_hash() {
    let guarded = Guarded::start("");
    let doubt = r#"users.yml:2:29: warning: the password of "ann" is no hash: it is too short"#;
    let said = guarded.server.logged(doubt);
    assert!(!said.contains("hash-of-ann"), "{said}");
    let (code, said) = check(&guarded).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(doubt), "{said}");
    let logged = guarded.server.log().len();
    guarded.site.rename_over("users.yml", "users: { ann: { id: 7, password: '$2y$13$…' } }");
    guarded.server.logged_after(logged, "hashes have ASCII characters only");
}
