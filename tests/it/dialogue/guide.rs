//! Examples of `docs/dialogues.md`: each script is run as printed, and so are the commands.

use std::process::Command;

use jackfield_tests::build;
use jackfield_tests::site::Site;

use super::{Answer, add_stock, passes, test};

const PAGE: &str = include_str!("../../../docs/dialogues.md");

/// Returns the code blocks of one language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let rest = PAGE.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split("```\n").next().expect("a fence at the end")).collect()
}

/// The site that the page names.
fn site() -> Site {
    let site = Site::new();
    for plugin in ["chat", "broadcast", "sync"] {
        add_stock(&site, plugin);
    }
    let [routes] = blocks("yaml")[..] else { panic!("one routing file") };
    site.write("ping/websocket_routing.yml", routes);
    site.write("jackfield.yml", "unrouted: broadcast\n");
    site
}

#[test]
fn examples_pass() {
    let (site, examples) = (site(), blocks("dialogue"));
    assert!(examples.len() > 5);
    for (number, example) in examples.iter().enumerate() {
        site.write(&format!("tests/{number}.dialogue"), example);
    }
    let answer = test(site.path(), &["."]);
    passes(&answer);
    let summary = format!(".: {} scripts: ok\n", examples.len());
    assert!(answer.out.ends_with(&summary), "{}", answer.out);
}

#[test]
fn the_failing_example_prints_what_the_page_shows() {
    let site = site();
    let [script] = blocks("dialogue-fails")[..] else { panic!("one script") };
    site.write("chat/tests/kitchen.dialogue", script);
    let Answer { code, out } = test(site.path(), &["chat"]);
    let shown = *blocks("text").last().expect("an output");
    assert_eq!((code, out.as_str()), (Some(1), shown));
}

#[test]
fn commands_run_as_printed() {
    let site = site();
    site.write("chat/tests/a.dialogue", "client ann\nann < nothing\n");
    let [command] = blocks("sh")[..] else { panic!("one command") };
    let commands = build::jackfield().parent().unwrap().display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", command]).current_dir(site.path());
    shell.env("PATH", format!("{commands}:{path}")).env("XDG_CACHE_HOME", build::cache());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The script of the guide for authors of plugins. No plugin here has its handler, so the topic is
/// broadcast: everything is as the page says, but for the capitals.
#[test]
fn the_script_of_the_plugin_guide_runs() {
    let page = include_str!("../../../docs/plugins.md");
    let blocks = page.split("```text\n").filter_map(|rest| rest.split("```\n").next());
    let scripts: Vec<&str> = blocks.filter(|text| text.starts_with("client ")).collect();
    let [script] = scripts[..] else { panic!("one script: {scripts:?}") };
    let site = site();
    site.write("a.dialogue", script);
    let Answer { out, .. } = test(site.path(), &[".", "a.dialogue"]);
    assert!(out.starts_with("a.dialogue:5:1: error: `alice` has received another"), "{out}");
    assert!(out.contains("actual    EVENT acme/shout/kitchen [\"hello\"]\n"), "{out}");
}
