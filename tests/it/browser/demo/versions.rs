//! Versions on the page: a version in the shadow with its difference, its promotion, and the way back.

use serde_json::json;

use super::{Browser, open, other_words, served};
use crate::control::{command, run};
use jackfield_tests::site::Site;

fn jackfield(site: &Site, name: &str, version: &[&str]) {
    let path = site.path().to_str().unwrap();
    let plugin = [name, "jackfield-greeting", "--site", path];
    let output = run(command(&[&plugin, version].concat()));
    assert_eq!(output.code, Some(0), "{}", output.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_the_difference_of_a_shadow_and_the_way_back() {
    let (site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let says = |text: &str| format!("document.querySelector('#greeting').textContent === '{text}'");
    let periods = |texts: &[&str]| {
        let texts = serde_json::to_string(texts).unwrap();
        format!(
            "JSON.stringify([...document.querySelectorAll('#version-periods span')].map((it) => \
             it.textContent)) === JSON.stringify({texts})"
        )
    };
    browser.until("demo", &says("Good morning")).await;
    browser.until("demo", &periods(&["in service"])).await;
    let text = |text: &str| {
        format!("document.querySelector('#version-periods q')?.textContent === '{text}'")
    };
    browser.until("demo", &text("Good morning")).await;
    browser.until("demo", "document.querySelector('#rollback').hidden").await;
    browser.until("demo", "document.querySelector('#shadow-found').hidden").await;

    site.rename_over("greeting/jackfield_greeting.shadow.wasm", other_words());
    let removed =
        "document.querySelector('#shadow-diff del')?.textContent.includes('Good morning')";
    browser.until("demo", removed).await;
    let added = "document.querySelector('#shadow-diff ins').textContent.includes('Good evening')";
    browser.until("demo", added).await;
    browser.until("demo", &says("Good morning")).await;

    let shadow = site.file("greeting/jackfield_greeting.shadow.wasm");
    let digest = crate::control::digest(&shadow);
    // The page prints the command for the version that it has shown.
    let printed = format!(
        "document.querySelector('#promote-command').textContent.includes('promote \
         jackfield-greeting {} --site')",
        &digest["sha256:".len()..][..12]
    );
    browser.until("demo", &printed).await;
    jackfield(&site, "promote", &[&digest]);
    browser.until("demo", &says("Good evening")).await;
    browser.until("demo", &periods(&["in service", "replaced by a promoted version"])).await;
    browser.until("demo", &text("Good evening")).await;
    browser.until("demo", "!document.querySelector('#rollback').hidden").await;

    jackfield(&site, "rollback", &[]);
    browser.until("demo", &says("Good morning")).await;
    let all = ["in service", "rolled back", "replaced by a promoted version"];
    browser.until("demo", &periods(&all)).await;
    // A roll-back passes over the version that was rolled back.
    browser.until("demo", "document.querySelector('#rollback').hidden").await;
    // No client reconnected.
    assert_eq!(browser.sockets("demo").await.len(), 3);
    browser.quiet("demo").await;
}
