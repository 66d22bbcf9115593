//! State that survives a reload: the store of a replaced plugin, and the instances of an unchanged
//! one.

use std::fs;

use serde_json::{Value, json};

use super::{VERSIONED_WASM, component, joined, publish, reloading, versioned_site};
use jackfield_tests::build;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TELL_ROUTES: &str = "test.tell:\n    channel: 'tell'\n    handler: { callback: 'tell' }\n";
const CHAT_ROUTES: &str = "\
acme.chat:
    channel: 'acme/chat/{room}'
    handler: { callback: 'chat' }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_store_survives_a_new_version() {
    let site = Site::new();
    site.bundle("chat", CHAT_ROUTES, &[build::plugin("chat")]);
    let server = Server::start(site.path());
    let mut alice = joined(&server).await;
    alice.subscribe("acme/chat/kitchen", json!({})).await;
    publish(&mut alice, "acme/chat/kitchen", json!([{"text": "before"}])).await.unwrap();

    let component = site.file("chat/jackfield_chat.wasm");
    let other = with_custom_section(fs::read(&component).unwrap());
    reloading(&server, || site.rename_over("chat/jackfield_chat.wasm", other));

    // Alice is still a member, with the name that the old version gave her.
    publish(&mut alice, "acme/chat/kitchen", json!([{"text": "after"}])).await.unwrap();
    let mut bob = joined(&server).await;
    bob.subscribe("acme/chat/kitchen", json!({})).await;
    let history = bob.event().await.args[0].clone();
    let texts: Vec<&Value> = messages(&history).iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["before", "after"], "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_change_keeps_its_instance() {
    let site = versioned_site();
    site.bundle("tell", TELL_ROUTES, &[build::guest("hostile")]);
    let server = Server::start(site.path());
    let mut client = joined(&server).await;
    client.subscribe("tell", json!({})).await;
    assert_eq!(tell(&mut client).await, "calls 1, key none");

    reloading(&server, || site.rename_over(VERSIONED_WASM, component(2)));
    assert_eq!(tell(&mut client).await, "calls 2, key none");
    reloading(&server, || site.remove("v"));
    assert_eq!(tell(&mut client).await, "calls 3, key none");

    // A moved file is unchanged.
    reloading(&server, || fs::rename(site.file("tell"), site.file("told")).unwrap());
    assert_eq!(tell(&mut client).await, "calls 4, key none");

    // Instances are configured with their routes, so other routes require another instance.
    let routes = TELL_ROUTES.replace("'tell' }", "'tell', args: { a: 1 } }");
    reloading(&server, || site.write("told/websocket_routing.yml", routes));
    assert_eq!(tell(&mut client).await, "calls 1, key none");
}

async fn tell(client: &mut Client) -> String {
    publish(client, "tell", json!([])).await.unwrap();
    client.event().await.args[0].as_str().unwrap().to_owned()
}

fn messages(history: &Value) -> &[Value] {
    history.get("messages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the same component with an additional meaningless section: another file, another
/// version.
fn with_custom_section(mut component: Vec<u8>) -> Vec<u8> {
    // Section 0, five bytes long: a name of four.
    component.extend(b"\0\x05\x04same");
    component
}
