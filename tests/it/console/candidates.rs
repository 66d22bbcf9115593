//! Changes of a canary: they are about the version that the page shows, and no other.

use super::*;
use crate::control::ask;
use crate::rollout::relabelled;

async fn place(fixture: &Served, label: u8, share: &str) -> String {
    let file = fixture.site.path().with_extension(format!("{label}.wasm"));
    std::fs::write(&file, relabelled(&build::guest("hostile"), label)).unwrap();
    let body = json!({ "plugin": "hostile", "file": file, "share": share }).to_string();
    let (code, placed) = ask(&fixture.server.control_socket(), "POST", "/v1/canary", &body).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(code, 200, "{placed}");
    placed["digest"].as_str().unwrap().to_owned()
}

async fn canary(server: &Server) -> Value {
    ask(&server.control_socket(), "GET", "/v1/canary?plugin=hostile", "").await.1["canary"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_canary_is_about_the_one_that_was_shown() {
    let fixture = served("");
    let socket = fixture.server.control_socket();
    let stop = json!({ "plugin": "hostile" }).to_string();
    let first = place(&fixture, 1, "10%").await;
    let mut console = Console::open(fixture.address).await;
    console.go("plugins/hostile/versions").await;
    let shown = first.trim_start_matches("sha256:")[..12].to_owned();
    console.shows(&shown).await;
    console.click("text=Change the share").await;
    console.fill("dialog [name=share]", "100%").await;
    // Meanwhile another operator replaces it.
    assert_eq!(ask(&socket, "POST", "/v1/canary/stop", &stop).await.0, 200);
    let second = place(&fixture, 2, "1%").await;
    console.click("dialog [type=submit]").await;
    console.tells(&format!("is {second} now, not {first}")).await;
    assert_eq!(canary(&fixture.server).await["share"], "1%");

    // The page shows the present one now, whose share is changed.
    console.shows(&second.trim_start_matches("sha256:")[..12]).await;
    console.click("text=Change the share").await;
    console.fill("dialog [name=share]", "25%").await;
    console.click("dialog [type=submit]").await;
    console.tells("serves 25% of the topics").await;
    assert_eq!(canary(&fixture.server).await["share"], "25%");

    // A stop is refused in the same way: the page reads its state every ten seconds.
    console.shows("25%").await;
    assert_eq!(ask(&socket, "POST", "/v1/canary/stop", &stop).await.0, 200);
    let third = place(&fixture, 3, "1%").await;
    let close = "document.querySelectorAll('.toast button').forEach((it) => it.click())";
    console.value(close).await;
    let pressed =
        "[...document.querySelectorAll('main button')].find((it) => it.innerText === 'Stop')";
    console.value(&format!("void {pressed}.click()")).await;
    // Unless the page has seen the third one by now.
    console.until("document.querySelector('.toast')").await;
    let toast = "[...document.querySelectorAll('.toast')].at(-1).innerText";
    let toast = console.value(toast).await.as_str().unwrap().to_owned();
    if toast.contains("is stopped") {
        assert!(toast.contains(&third.trim_start_matches("sha256:")[..12]), "{toast}");
    } else {
        assert!(toast.contains(&format!("is {third} now, not {second}")), "{toast}");
        assert_eq!(canary(&fixture.server).await["digest"], third.as_str());
    }
}
