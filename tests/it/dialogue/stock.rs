//! The scripts of the stock plugins, in `plugins/*/tests`.

use jackfield_tests::build;

use super::{passes, stock, test};

/// Runs the scripts in the plugin's folder against its component.
fn check(plugin: &str) {
    let site = stock(plugin);
    let folder = build::root().join("plugins").join(plugin).join("tests");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{plugin}/tests/{}", path.file_name().unwrap().to_str().unwrap());
        site.write(&name, std::fs::read(&path).unwrap());
        count += 1;
    }
    let answer = test(site.path(), &[plugin]);
    passes(&answer);
    let plural = if count == 1 { "" } else { "s" };
    let summary = format!("{plugin}: {count} script{plural}: ok\n");
    assert!(answer.out.ends_with(&summary), "{}", answer.out);
}

#[test]
fn scripts_of_chat_pass() {
    check("chat");
}

#[test]
fn scripts_of_broadcast_pass() {
    check("broadcast");
}

#[test]
fn scripts_of_secured_pass() {
    check("secured");
}

#[test]
fn scripts_of_sync_pass() {
    check("sync");
}
