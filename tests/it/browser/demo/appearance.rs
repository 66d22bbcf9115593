//! Appearance of the demo page on screens of each size, and for screen readers. Screenshots are in
//! `target/browser`.

use serde_json::json;

use super::{open, served};
use crate::browser::{Browser, pictures};

#[tokio::test(flavor = "multi_thread")]
async fn fits_every_screen() {
    let (_site, server) = served();
    for (name, width, height, scheme) in [
        ("desktop-light", 1280, 900, "light"),
        ("desktop-dark", 1280, 900, "dark"),
        ("phone-light", 360, 740, "light"),
        ("phone-dark", 360, 740, "dark"),
    ] {
        let mut browser = Browser::start().await;
        let look = json!({"width": width, "height": height, "scheme": scheme});
        open(&mut browser, &server, look).await;
        for (pane, text) in [("ann", "Have you seen order 7?"), ("ben", "It is out of date here.")]
        {
            browser.fill("demo", &format!("#pane-{pane} [name=text]"), text).await;
            browser.click("demo", &format!("#pane-{pane} [data-part=say] button")).await;
            let last = format!(
                "[...document.querySelectorAll('#pane-ann .chat li')].some((line) => line.textContent.includes('{text}'))"
            );
            browser.until("demo", &last).await;
        }
        browser.fill("demo", "#pane-ann [name=note]", name).await;
        browser.click("demo", "#pane-ann [data-part=record] button").await;
        browser
            .until("demo", "document.querySelector('#pane-ben .notice').textContent !== ''")
            .await;
        browser
            .until("demo", "document.querySelector('#ticker-chart .line').getAttribute('d')")
            .await;
        let picture = pictures().join(format!("demo-{name}.png"));
        browser.tell(json!({"do": "shot", "page": "demo", "path": picture})).await;
        let widths =
            browser.run("demo", "return [document.documentElement.scrollWidth, innerWidth];").await;
        assert_eq!(widths[0], widths[1], "{name} is wider than its screen");
        // Buttons and fields are large enough for a finger.
        let small = "return [...document.querySelectorAll('button, input[type=text], select, .switch')]
            .filter((it) => it.offsetParent && it.getBoundingClientRect().height < 36).map((it) => it.outerHTML);";
        assert_eq!(browser.run("demo", small).await, json!([]), "{name}");
        // Every field and button has a name for screen readers.
        let nameless = "return [...document.querySelectorAll('button, input, select')]
            .filter((it) => !(it.labels?.length || it.ariaLabel || it.textContent.trim())).map((it) => it.outerHTML);";
        assert_eq!(browser.run("demo", nameless).await, json!([]), "{name}");
        browser.click("demo", ".switch").await;
        browser.until("demo", "!document.querySelector('#pane-ben .curtain').hidden").await;
        let picture = pictures().join(format!("demo-{name}-maintenance.png"));
        browser.tell(json!({"do": "shot", "page": "demo", "path": picture})).await;
        browser.click("demo", ".switch").await;
        browser.until("demo", "document.querySelector('#pane-ben .curtain').hidden").await;
        browser.quiet("demo").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_accessible_to_screen_readers() {
    let (_site, server) = served();
    let mut browser = Browser::start().await;
    open(&mut browser, &server, json!({})).await;
    let articles = "return [...document.querySelectorAll('article')].map((it) => document.getElementById(it.getAttribute('aria-labelledby')).textContent);";
    assert_eq!(browser.run("demo", articles).await, json!(["Ann", "Ben"]));
    // Only elements with a role may have a name.
    let named = "return [...document.querySelectorAll('[aria-labelledby], [aria-label]')]
        .filter((it) => ['CODE', 'SPAN', 'P', 'DIV'].includes(it.tagName) && !it.hasAttribute('role')).map((it) => it.outerHTML);";
    assert_eq!(browser.run("demo", named).await, json!([]));
    browser.click("demo", "#copy").await;
    browser.until("demo", "['Copied', 'Selected'].includes(document.querySelector('#copied[role=status]').textContent)").await;
    // Nothing is animated, because this browser requests reduced motion.
    let moving = "return ['.track'].flatMap((at) => [null, '::after'].map((part) => getComputedStyle(document.querySelector(at), part).transitionDuration));";
    assert_eq!(browser.run("demo", moving).await, json!(["0s", "0s"]));
    // The switch that is off contrasts with the background, in both colour schemes.
    for scheme in ["light", "dark"] {
        open(&mut browser, &server, json!({"scheme": scheme})).await;
        let contrast = browser.run("demo", CONTRAST).await.as_f64().unwrap();
        assert!(contrast >= 3.0, "{scheme}: {contrast}");
    }
    browser.quiet("demo").await;
}

/// The contrast of the switch's track with the background (WCAG 2.2, success criterion 1.4.11).
const CONTRAST: &str = r"
    const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map((it) => it / 255);
    const linear = (it) => it <= .04045 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4;
    const light = (element) => {
        const [red, green, blue] = channels(getComputedStyle(element).backgroundColor).map(linear);
        return .2126 * red + .7152 * green + .0722 * blue;
    };
    const [more, less] = ['.track', 'body'].map((at) => light(document.querySelector(at))).sort((a, b) => b - a);
    return (more + .05) / (less + .05);";
