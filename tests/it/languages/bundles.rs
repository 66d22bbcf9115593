//! The bundles of `plugins/` in JavaScript and Python: their dialogue scripts pass, and clients of a
//! server use them.

use std::process::Command;

use serde_json::{Value, json};

use super::{Language, PATIENT, run};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A site with the bundle, whose dialogue scripts have passed.
fn bundle(language: Language, name: &str) -> Site {
    let folder = build::root().join("plugins").join(name);
    let site = Site::new();
    super::copy(&folder, &site.file(name));
    site.write(&format!("{name}/{name}.wasm"), language.build(&folder));
    site.write("jackfield.yml", PATIENT);
    run(Command::new(build::jackfield())
        .arg("test")
        .arg(site.path())
        .env("XDG_CACHE_HOME", build::cache()));
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_count_one_vote_for_each_user() {
    let site = bundle(Language::JavaScript, "polls");
    let server = Server::start(site.path());
    let topic = "acme/polls/lunch";
    let mut screen = Client::connect(server.addr, Codec::Json, "realm1").await;
    screen.subscribe(topic, json!({})).await;
    assert_eq!(screen.event().await.args[0]["total"], 0, "a new subscriber sees the result");
    // Anonymous sessions vote once for each session.
    for (total, codec) in (1..).zip([Codec::MsgPack, Codec::Cbor]) {
        let mut client = Client::connect(server.addr, codec, "realm1").await;
        let done = client.publish_acknowledged(topic, json!({}), json!(["yes"]), Value::Null);
        done.await.unwrap();
        let votes = json!({ "yes": total, "no": 0, "abstain": 0 });
        assert_eq!(screen.event().await.args[0]["votes"], votes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moderation_masks_words() {
    let site = bundle(Language::Python, "moderation");
    let server = Server::start(site.path());
    let topic = "acme/talk/kitchen";
    let mut listener = Client::connect(server.addr, Codec::Json, "realm1").await;
    listener.subscribe(topic, json!({})).await;
    let mut speaker = Client::connect(server.addr, Codec::MsgPack, "realm1").await;
    let published = speaker.publish_acknowledged(topic, json!({}), json!(["d4rn it"]), Value::Null);
    published.await.unwrap();
    assert_eq!(listener.event().await.args, json!(["**** it"]));
}
