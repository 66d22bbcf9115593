//! Trust levels of publications and calls (`trust_levels`): by the roles of the sender, for clients that
//! announce them.

use std::fs;

use serde_json::{Value, json};

use crate::principals::join_realm;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PRINCIPALS: &str = "\
principals:
    ann: { roles: [member, staff], ticket: letmein }
    bob: { roles: [guest], ticket: letmein }
";

const RULES: &str = "\
access: { anonymous: true }
rules: [{ uri: a., match: prefix, allow: { publish: everyone, subscribe: everyone, call: everyone, register: everyone } }]
";

fn settings(site: &Site, levels: &str) -> String {
    let file = site.path().join("principals.yml");
    fs::write(&file, PRINCIPALS).unwrap();
    format!("auth: {{ principals: {} }}\n{RULES}{levels}", file.display())
}

/// Joins as a subscriber and callee, which announces that it takes trust levels.
async fn receiver(server: &Server, codec: Codec) -> Client {
    let mut options = Options::new(codec);
    options.details["roles"] = json!({
        "subscriber": { "features": { "publication_trustlevels": true } },
        "callee": { "features": { "call_trustlevels": true } },
    });
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

async fn principal(server: &Server, name: &str) -> Client {
    let details = json!({ "authmethods": ["ticket"], "authid": name });
    join_realm(server, "realm1", details, "letmein").await.unwrap()
}

/// A client cannot set the level, under any name.
fn forged() -> Value {
    json!({ "trustlevel": 9, "_jackfield_trustlevel": 9 })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_level_of_the_roles_is_sent_to_those_that_announce_it() {
    let site = Site::open();
    let levels = "trust_levels: { staff: 3, member: 2, backend: 7 }\n";
    let server = Server::configured(site.path(), &settings(&site, levels));
    let mut receivers = Vec::new();
    for codec in Codec::ALL {
        let mut plain = Client::connect(server.addr, codec, "realm1").await;
        let mut told = receiver(&server, codec).await;
        plain.subscribe("a.topic", json!({})).await;
        told.subscribe("a.topic", json!({})).await;
        told.subscribe("a.", json!({ "match": "prefix" })).await;
        receivers.push((plain, told));
    }
    for (name, level) in [("ann", 3), ("bob", 0)] {
        let mut publisher = principal(&server, name).await;
        for options in [json!({}), forged()] {
            publisher
                .publish_acknowledged("a.topic", options, json!([1]), json!({}))
                .await
                .unwrap();
            for (plain, told) in &mut receivers {
                assert_eq!(plain.event().await.details, json!({}), "{name}");
                let mut details = [told.event().await.details, told.event().await.details];
                details.sort_by_key(|it| it.as_object().unwrap().len());
                let pattern = json!({ "topic": "a.topic", "trustlevel": level });
                assert_eq!(details, [json!({ "trustlevel": level }), pattern], "{name}");
            }
        }
    }
}

/// Calls a procedure of `callee`, and returns the details of the invocation.
async fn details(callee: &mut Client, from: &mut Client, options: &Value) -> Value {
    let procedure = format!("a.procedure.{}", callee.session());
    from.send(&json!([48, 70, options, procedure, [1]]));
    let invocation = callee.invocation().await;
    callee.send(&json!([70, invocation[1], {}]));
    assert_eq!(from.message().await, json!([50, 70, {}]));
    invocation[3].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_have_levels_which_follow_the_settings() {
    let site = Site::open();
    site.write("jackfield.yml", settings(&site, "trust_levels: { staff: 3, guest: 1 }\n"));
    let server = Server::start(site.path());
    let mut told = receiver(&server, Codec::Json).await;
    let mut plain = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    for callee in [&mut told, &mut plain] {
        let procedure = format!("a.procedure.{}", callee.session());
        callee.register(&procedure, json!({})).await.unwrap();
    }
    for (name, level) in [("ann", 3), ("bob", 1)] {
        let mut caller = principal(&server, name).await;
        for options in [json!({}), forged()] {
            let found = details(&mut told, &mut caller, &options).await;
            assert_eq!(found, json!({ "trustlevel": level }), "{name}");
            assert_eq!(details(&mut plain, &mut caller, &options).await, json!({}), "{name}");
        }
    }
    let mut ann = principal(&server, "ann").await;
    let logged = server.log().len();
    site.rename_over("jackfield.yml", settings(&site, ""));
    server.logged_after(logged, "trust_levels");
    for options in [json!({}), forged()] {
        assert_eq!(details(&mut told, &mut ann, &options).await, json!({}), "none is configured");
    }
}
