//! Settings that change while the server runs: what takes effect, what needs a restart, and files that
//! are refused. `files` replaces the file by other things, `limits` changes limits of open sessions, `policies` those of plugins, `revoked` permissions and credentials,
//! `every` tries each setting.

mod every;
mod files;
mod limits;
mod policies;
mod revoked;

use std::path::Path;

use serde_json::{Value, json};

use crate::control::{ask, command, run, status};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// Replaces the settings, and waits until the log has the text.
#[track_caller]
fn changed(server: &Server, config: &str, text: &str) -> String {
    let logged = server.log().len();
    server.reconfigure(config);
    server.logged_after(logged, text)
}

/// Reloads by the control socket: status and answer.
async fn reload(server: &Server) -> (u16, Value) {
    ask(&server.control_socket(), "POST", "/v1/reload", "{}").await
}

/// Connects a page of WAMP v1 from this address of the loopback device. Returns the status of a refusal.
async fn page(server: &Server, last: u8) -> Result<v1::Client, Option<u16>> {
    let mut options = v1::Options::default();
    options.handshake.source = Some(std::net::Ipv4Addr::new(127, 0, 0, last).into());
    let client = v1::Client::connect_with(server.addr, options).await;
    client.map_err(|it| it.refused.status)
}

async fn publish(server: &Server, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let body = json!({ "topic": "open/a", "args": [1] }).to_string();
    Http::connect(server.addr).await.post("/api/publish", &headers, &body).await
}

fn jackfield(name: &str, site: &Path, more: &[&str]) -> crate::control::Output {
    run(command(&[&[name, site.to_str().unwrap()], more].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_takes_effect_and_keeps_sessions() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { blocked: [127.0.0.9] }\n");
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.subscribe("open/a", json!({})).await;
    assert_eq!(page(&server, 9).await.err(), Some(Some(403)));
    page(&server, 8).await.unwrap();

    changed(&server, "access: { blocked: [127.0.0.8] }\n", "settings changed: access.blocked");
    assert_eq!(page(&server, 8).await.err(), Some(Some(403)));
    page(&server, 9).await.unwrap();

    // The file of the site itself, and back to no rules.
    let before = status(&server).await;
    changed(&server, "# nothing\n", "settings changed: access.blocked");
    page(&server, 8).await.unwrap();
    client.publish("open/a", json!({ "exclude_me": false }), json!(["still here"]), json!({}));
    assert_eq!(client.event().await.args, json!(["still here"]));
    let after = status(&server).await;
    assert_eq!(before["generation"], after["generation"], "the site is not reloaded");
    let results: Vec<_> = after["settings"]["reloads"].as_array().unwrap().iter().collect();
    let of = |it: &Value| (it["cause"].clone(), it["result"].clone(), it["changed"].clone());
    let expect = (json!("change"), json!("applied"), json!(["access.blocked"]));
    assert_eq!(results.into_iter().map(of).collect::<Vec<_>>(), [expect.clone(), expect]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_the_site_and_a_signal_are_followed() {
    let site = Site::open();
    site.write("jackfield.yml", "limits: { connections: 5 }\n");
    let server = Server::start(site.path());
    let logged = server.log().len();
    site.rename_over("jackfield.yml", "limits: { connections: 6 }\n");
    server.logged_after(logged, "settings changed: limits.connections");
    assert_eq!(status(&server).await["connections"]["limit"], 6);

    let logged = server.log().len();
    site.rename_over("jackfield.yml", "limits: { connections: 7 }\n");
    server.signal("HUP");
    server.logged_after(logged, "settings changed: limits.connections");
    server.logged_after(logged, "the site has not changed");
    let shown = status(&server).await;
    assert_eq!(shown["connections"]["limit"], 7);
    assert_eq!(shown["settings"]["reloads"][0]["cause"], "signal");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_settings_change_nothing_and_are_shown() {
    const SECRET: &str = "hunter2hunter2hunter2";
    let site = Site::open();
    let good = "access: { blocked: [127.0.0.9] }\n";
    let server = Server::configured(site.path(), good);
    assert_eq!(server.health()["settings"], "ok");
    let bad = format!(
        "access: {{ blocked: [] }}\nlimits: {{ mesage: 1 }}\napi:\n  tokens:\n    - {{ name: a, token: {SECRET}, role: [x] }}\n"
    );
    let log = changed(&server, &bad, "the settings on disk are refused");
    assert!(log.contains("error: unknown key `mesage`"), "{log}");
    assert_eq!(page(&server, 9).await.err(), Some(Some(403)), "nothing has changed");
    assert_eq!(server.health()["settings"], "refused");

    let shown = status(&server).await;
    let settings = &shown["settings"];
    assert_eq!(settings["problem_count"], 2, "{settings}");
    assert!(settings["problems"][0]["text"].as_str().unwrap().contains(".yml:2:"), "{settings}");
    assert!(settings["failed_since"].is_string(), "{settings}");
    assert_eq!(shown["problem_count"], 0, "the site is good");

    let said = jackfield("status", site.path(), &[]);
    assert!(said.out.contains("settings     refused since "), "{said:?}");
    let said = jackfield("reload", site.path(), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("settings refused: 2 problems; the running settings stay\n"),
        "{said:?}"
    );
    assert!(said.out.contains("unchanged: generation "), "the site is read anyway: {said:?}");
    let said = jackfield("reload", site.path(), &["--json"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.json()["settings"]["result"], "refused");
    assert_eq!(said.json()["result"], "unchanged");
    for text in [server.log(), shown.to_string(), said.out] {
        assert!(!text.contains(SECRET), "{text}");
    }

    // The same problems are logged once.
    assert_eq!(server.log().matches("unknown key `mesage`").count(), 1);
    changed(&server, good, "problems of the settings resolved");
    assert_eq!(server.health()["settings"], "ok");
    assert_eq!(jackfield("reload", site.path(), &[]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_need_a_restart_are_named_with_the_running_value() {
    let site = Site::open();
    let server = Server::configured(site.path(), "realms: [realm1, shop]\n");
    let next = "realms: [other]\ndata: off\nlimits: { connections: 5 }\n";
    let log = changed(&server, next, "settings changed: limits.connections");
    assert!(
        log.contains("`realms` has changed and takes effect at the next start; until then it is: realm1, shop"),
        "{log}"
    );
    Client::connect(server.addr, Codec::Json, "shop").await;
    let expect = json!([
        { "setting": "realms", "running": "realm1, shop" },
        { "setting": "data", "running": "auto" },
    ]);
    assert_eq!(status(&server).await["settings"]["restart_needed"], expect);
    let (code, answer) = reload(&server).await;
    assert_eq!((code, &answer["settings"]["result"]), (200, &json!("unchanged")));
    assert_eq!(answer["settings"]["restart_needed"], expect);
    for name in ["status", "reload"] {
        let said = jackfield(name, site.path(), &[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let line = "`realms` has changed and needs a restart; running: realm1, shop\n";
        assert!(said.out.contains(line), "{said:?}");
    }
    // Each is logged once, and no longer shown when it is as it was.
    assert_eq!(server.log().matches("`realms` has changed").count(), 1);
    server.reconfigure("realms: [realm1, shop]\n");
    let (_, answer) = reload(&server).await;
    assert_eq!(answer["settings"]["restart_needed"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_api_change() {
    let site = Site::open();
    let secret = site.file("token");
    std::fs::write(&secret, TOKEN).unwrap();
    let api = |more: &str| {
        let file = secret.display();
        format!("api: {{ tokens: [{{ name: deploy, token: {{ file: {file} }} }}{more}] }}\n")
    };
    let server = Server::configured(site.path(), &api(""));
    assert_eq!(publish(&server, TOKEN).await.status, 200);
    assert_eq!(publish(&server, OTHER).await.status, 401);

    let more = format!(", {{ name: cron, token: {OTHER} }}");
    changed(&server, &api(&more), "settings changed: api.tokens");
    assert_eq!(publish(&server, TOKEN).await.status, 200);
    assert_eq!(publish(&server, OTHER).await.status, 200);

    changed(&server, &api(""), "settings changed: api.tokens");
    assert_eq!(publish(&server, OTHER).await.status, 401);

    // The content of the secret's file is a part of the settings.
    let logged = server.log().len();
    std::fs::write(&secret, OTHER).unwrap();
    server.logged_after(logged, "settings changed: api.tokens");
    assert_eq!(publish(&server, TOKEN).await.status, 401);
    assert_eq!(publish(&server, OTHER).await.status, 200);

    changed(&server, "# none\n", "settings changed: api.tokens");
    assert_eq!(publish(&server, OTHER).await.status, 404);
    assert!(!server.log().contains(TOKEN) && !server.log().contains(OTHER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_streams_alone() {
    let site = Site::open();
    let admin = |tokens: &[(&str, &str)]| {
        let token = |(name, token): &(&str, &str)| format!("{{ name: {name}, token: {token} }}");
        let tokens: Vec<String> = tokens.iter().map(token).collect();
        format!("admin: {{ listen: 127.0.0.1:0, tokens: [{}] }}\n", tokens.join(", "))
    };
    let server = Server::configured(site.path(), &admin(&[("a", TOKEN), ("b", OTHER)]));
    let address = crate::control::admin::address(&server);
    let trace = async |token: &str| {
        let mut http = Http::connect(address).await;
        let body = r#"{"topic":"open/a"}"#;
        let head = format!(
            "POST /v1/trace HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        http.send(head).await;
        http
    };
    let (mut one, mut other) = (trace(TOKEN).await, trace(OTHER).await);
    for stream in [&mut one, &mut other] {
        assert!(stream.line().await.unwrap().starts_with("HTTP/1.1 200"));
    }
    changed(&server, &admin(&[("b", OTHER)]), "settings changed: admin.tokens");
    while one.line().await.is_some() {}
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    client.publish_acknowledged("open/a", json!({}), json!([1]), json!({})).await.unwrap();
    loop {
        let line = other.line().await.expect("the other stream goes on");
        if line.contains("publish") {
            break;
        }
    }
    let ask = async |token: &str| {
        let mut http = Http::connect(address).await;
        http.send(format!(
            "GET /v1/caller HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        http.answer().await.status
    };
    assert_eq!((ask(TOKEN).await, ask(OTHER).await), (401, 200));
}
