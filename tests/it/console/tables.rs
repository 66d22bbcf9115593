//! Tables at each width: readable, whole, and no wider than their page.

use super::*;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;

/// A cell whose words are broken into letters, a field whose hint is cut, or content that is cut or wider than the page.
const WRONG: &str = "(() => {
    const wrong = [];
    if (document.documentElement.scrollWidth > innerWidth) wrong.push('the page is too wide');
    for (const it of document.querySelectorAll('.table-box')) {
        if (it.scrollWidth > it.clientWidth + 1) wrong.push(`a table is cut: ${it.innerText.slice(0, 40)}`);
    }
    for (const it of document.querySelectorAll('main td')) {
        if (it.clientWidth < 72 && it.clientHeight > 110) wrong.push(`narrow: ${it.dataset.label} ${it.clientWidth}x${it.clientHeight}`);
    }
    for (const it of document.querySelectorAll('main input[type=search]')) {
        const style = getComputedStyle(it);
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = style.font;
        // The button that clears a search takes room, too.
        const room = it.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 20;
        if (pen.measureText(it.placeholder).width > room) wrong.push(`hint is cut: ${it.placeholder}`);
    }
    return wrong;
})()";

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_readable_at_each_width() {
    let fixture = served("");
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut client = Client::connect(fixture.server.addr, Codec::Json, "realm1").await;
        client.subscribe("open/kitchen", json!({})).await;
        client.subscribe(&format!("open/{}{number}", "long-part-".repeat(90)), json!({})).await;
        clients.push(client);
    }
    let mut leaving = Client::connect(fixture.server.addr, Codec::Json, "realm1").await;
    leaving.goodbye().await;
    drop(leaving);
    let mut console = Console::open(fixture.address).await;
    for (page, text) in [
        ("overview", "Memory of plugins"),
        ("routes", "test.open"),
        ("topics", "kitchen"),
        ("sessions", "4 sessions"),
        ("ended", "said goodbye"),
        ("plugins", "hostile"),
        ("plugins/hostile/versions", "in service"),
        ("reloads", "Generation 1"),
    ] {
        console.go(page).await;
        console.shows(text).await;
        for width in [360, 768, 1024, 1280] {
            console.look(width, 800, "light").await;
            assert_eq!(console.value(WRONG).await, json!([]), "{page} at {width}");
        }
    }
    console.is_quiet().await;
}
