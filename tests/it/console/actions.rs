//! The changes that the console makes: each with its effect on the server, and its audit line.

use super::*;
use crate::control::ask;
use crate::rollout::relabelled;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;

const BROADCAST: &str = "open/jackfield_broadcast.wasm";

async fn subscribed(server: &Server, topic: &str) -> Client {
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe(topic, json!({})).await;
    client
}

#[track_caller]
fn is_audited(server: &Server, action: &str) {
    let log = server.logged(&format!("control action=\"{action}\""));
    assert!(log.contains("token=\"console\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_a_session() {
    let fixture = served("");
    let mut client = subscribed(&fixture.server, "open/a").await;
    let mut console = Console::open(fixture.address).await;
    console.go("sessions").await;
    console.click("td a").await;
    console.click("text=End the session").await;
    console.fill("dialog [name=message]", "please connect again").await;
    console.click("dialog [type=submit]").await;
    console.tells("is ended").await;
    assert_eq!(client.dismissed().await, "wamp.close.killed");
    is_audited(&fixture.server, "kick");
    console.go("ended").await;
    console.shows("please connect again").await;
    console.click(".chip:has-text('ended by the operator')").await;
    console.shows("1 session").await;
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_and_traces() {
    let fixture = served("");
    let mut client = subscribed(&fixture.server, "open/a").await;
    let mut console = Console::open(fixture.address).await;
    console.go("publish").await;
    console.fill("[name=topic]", "open/a").await;
    console.shows("Route test.open").await;
    console.fill("[name=args]", "[1, ").await;
    console.click("main .primary").await;
    console.shows("This is not JSON").await;
    console.fill("[name=args]", "[12345678901234567890, \"x\"]").await;
    console.click("main .primary").await;
    console.shows("Delivered to 1 subscriber").await;
    // The number is larger than those of JavaScript, and arrives as it was written.
    let event = client.event().await;
    assert_eq!(event.args.to_string(), r#"[12345678901234567890,"x"]"#);
    is_audited(&fixture.server, "publish");
    console.fill("[name=topic]", "no/route").await;
    console.click("main .primary").await;
    console.shows("no route matches the topic").await;

    console.go("trace").await;
    console.click("text=Start").await;
    console.tells("Name a topic, a user, or both.").await;
    console.click("[name=payload]").await;
    console.fill("[name=topic]", "open/a").await;
    console.press("Enter").await;
    console.shows("Waiting for messages").await;
    fixture.server.logged("result=\"begun\"");
    let options = json!({ "exclude_me": false });
    client.publish_acknowledged("open/a", options, json!(["traced"]), Value::Null).await.unwrap();
    for text in ["route test.open", "[\"traced\"]", "deliver to 1 receiver", "1 message, running"] {
        console.shows(text).await;
    }
    console.click("main button:has-text('Stop')").await;
    fixture.server.logged("result=\"ended\"");
    is_audited(&fixture.server, "trace");
    assert!(fixture.server.log().contains("with=\"payload\""));
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_rolls_back_and_disables() {
    let fixture = served("");
    let server = &fixture.server;
    let mut console = Console::open(fixture.address).await;
    console.go("reloads").await;
    console.click("text=Reload the site").await;
    console.tells("The site has not changed.").await;
    fixture.site.write(
        "more/websocket_routing.yml",
        "more:\n    channel: more\n    handler: { callback: broadcast }\n",
    );
    console.shows("1 route added: more").await;
    let file = fixture.site.file(BROADCAST);
    fixture.site.rename_over(BROADCAST, relabelled(&file, 1));
    console.shows("plugin jackfield-broadcast: 0.1.0").await;
    console.click("text=Roll back").await;
    console.click("dialog [type=submit]").await;
    console.tells("is in service again").await;
    is_audited(server, "rollback");
    console.go("plugins/jackfield-broadcast/versions").await;
    console.shows("pinned").await;
    console.shows("rolled back").await;
    let before = server.log().len();
    console.click("text=Return to it").await;
    console.click("dialog [type=submit]").await;
    server.logged_after(before, "control action=\"rollback\"");

    console.go("plugins/hostile").await;
    console.click("main button:has-text('Disable')").await;
    console.click("dialog [type=submit]").await;
    console.shows("disabled").await;
    is_audited(server, "disable");
    console.click("main button:has-text('Enable')").await;
    console.until("document.querySelector('main button').innerText === 'Disable'").await;
    is_audited(server, "enable");
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compares_a_shadow_and_promotes_it() {
    let fixture = served("");
    let mut client = subscribed(&fixture.server, "h/counts").await;
    let mut console = Console::open(fixture.address).await;
    let shadow = relabelled(&fixture.site.file("hostile/guest_hostile.wasm"), 2);
    fixture.site.write("hostile/guest_hostile.shadow.wasm", shadow);
    console.go("reloads").await;
    console.shows("Beside the version in service").await;
    client.publish_acknowledged("h/counts", json!({}), json!(["x"]), Value::Null).await.unwrap();
    console.click("text=Results, promote").await;
    console.shows("The compared call had the same result.").await;
    console.click("text=Promote").await;
    console.click("dialog [type=submit]").await;
    console.tells("is in service.").await;
    console.shows("promoted").await;
    is_audited(&fixture.server, "promote");
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_a_shadow_and_a_canary_and_changes_a_share() {
    let fixture = served("");
    let server = &fixture.server;
    let mut console = Console::open(fixture.address).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.wasm");
    let old = fixture.site.file("hostile/guest_hostile.wasm");
    std::fs::write(&file, relabelled(&old, 3)).unwrap();
    let body = |more: Value| {
        let mut body = json!({ "plugin": "hostile", "file": file });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let start = async |path: &str, body: String| {
        let (code, answer) = ask(&server.control_socket(), "POST", path, &body).await;
        assert_eq!(code, 200, "{answer}");
    };
    start("/v1/canary", body(json!({ "share": "10%" }))).await;
    console.go("plugins/hostile/versions").await;
    console.shows("10%").await;
    console.click("text=Change the share").await;
    console.fill("dialog [name=share]", "50%").await;
    console.click("dialog [type=submit]").await;
    console.tells("serves 50% of the topics.").await;
    let log = server.logged("share=\"50%\"");
    assert!(log.contains("token=\"console\""), "{log}");
    console.click("main button:has-text('Stop')").await;
    console.tells("is stopped.").await;
    console.shows("ended").await;
    is_audited(server, "canary_stop");
    start("/v1/shadow", body(json!({}))).await;
    console.go("overview").await;
    console.go("plugins/hostile/versions").await;
    console.click("main button:has-text('Stop')").await;
    console.tells("is stopped.").await;
    is_audited(server, "shadow_stop");
    let shadow = ask(&server.control_socket(), "GET", "/v1/shadow?plugin=hostile", "").await.1;
    assert_eq!(shadow["shadow"], Value::Null, "{shadow}");
    console.is_quiet().await;
}
