//! The plugin of `docs/contract.md`, which has no SDK: it is compiled as printed, and does what the
//! page says.

use jackfield_tests::build;
use jackfield_tests::site::Site;

use super::{passes, test};

const PAGE: &str = include_str!("../../../docs/contract.md");
const GUEST: &str = include_str!("../../guests/counter/src/lib.rs");

const GUESTS: &str = include_str!("../../guests/Cargo.toml");

/// Returns the only code block of a language.
fn block(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks: Vec<&str> = PAGE.split(fence.as_str()).skip(1).collect();
    let [rest] = blocks[..] else { panic!("one block of {language}") };
    rest.split("```\n").next().expect("a fence at the end")
}

#[test]
fn a_plugin_without_an_sdk_runs() {
    let printed =
        block("rust,ignore").replace("path: \"wit\"", "path: \"../../../plugin-sdk/wit/0.2\"");
    assert_eq!(GUEST.split_once("\n\n").expect("a head comment").1, printed);
    // The dependency is the one that it is compiled with.
    let dependency = |manifest: &'static str| {
        let mut lines = manifest.lines().filter(|line| line.starts_with("wit-bindgen = "));
        lines.next().expect("the dependency")
    };
    assert_eq!(dependency(block("toml")), dependency(GUESTS));
    let site = Site::new();
    site.bundle("counter", block("yaml"), &[build::guest("counter")]);
    site.write("counter/tests/counts.dialogue", block("dialogue"));
    passes(&test(site.path(), &["counter"]));
}
