//! Bounds of all plugins together.

use jackfield_tests::build;
use jackfield_tests::site::Site;

use crate::control::{command, run};

/// Checks a site with these settings, which has two plugins.
#[track_caller]
fn check(settings: &str, expected: Option<&[&str]>) {
    let site = Site::open();
    let routes = "r:\n    channel: 'r/{name}'\n    handler: { callback: 'echo' }\n    lanes: 3\n";
    site.bundle("hostile", routes, &[build::guest("hostile")]);
    site.write("jackfield.yml", format!("plugins: {{ {settings} }}\n"));
    let output = run(command(&["check", site.path().to_str().unwrap()]));
    let all = format!("{}{}", output.out, output.err);
    assert_eq!(output.code, Some(i32::from(expected.is_some())), "{all}");
    for part in expected.unwrap_or_default() {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn sites_beyond_the_totals_are_refused_by_name() {
    check("lanes: 4, stores: 64MiB", None);
    let lanes = [
        "and other plugins 3; all together may have 3 (plugins.lanes = 3)",
        "= help: set `plugins: { lanes: 4 }` or more in jackfield.yml",
    ];
    check("lanes: 3", Some(&lanes));
    let stores = [
        "may store 64MiB (plugins.*.store)",
        "all together may store 1MiB (plugins.stores = 1MiB)",
        "= help: set `plugins: { stores: 64MiB }` or more in jackfield.yml",
    ];
    check("stores: 1MiB", Some(&stores));
    check("stores: 1MiB, default: { store: 1MiB }", None);
}
