//! `jackfield convert crossbar`: the settings that it writes serve clients with the rights that the
//! configuration gave them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::commands::{Answer, jackfield};
use crate::principals::{join_realm, ticket_of};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

fn configuration(port: u16) -> Value {
    let all = json!({ "call": true, "register": true, "publish": true, "subscribe": true });
    json!({
        "$schema": "https://example.com/crossbar.json",
        "version": 2,
        "controller": {},
        "workers": [{
            "type": "router",
            "realms": [{ "name": "realm1", "roles": [
                { "name": "backend", "permissions": [{ "uri": "", "match": "prefix", "allow": all }] },
                { "name": "public", "permissions": [
                    { "uri": "com.shop.*", "allow": { "subscribe": true, "call": true } },
                    { "uri": "com.shop.admin.", "match": "prefix", "allow": {} },
                ] },
            ] }],
            "transports": [{
                "type": "web",
                "endpoint": { "type": "tcp", "port": port, "interface": "127.0.0.1" },
                "paths": {
                    "/": { "type": "static", "directory": "../web" },
                    "ws": { "type": "websocket", "auth": {
                        "anonymous": { "type": "static", "role": "public" },
                        "ticket": { "type": "static", "principals": {
                            "billing": { "ticket": "letmein", "role": "backend" },
                        } },
                    } },
                },
            }],
            "components": [{ "type": "class", "classname": "shop.Prices", "realm": "realm1" }],
        }],
    })
}

fn convert(file: &str, site: &str, more: &[&str]) -> Output {
    let mut command = Command::new(build::jackfield());
    command.args(["convert", "crossbar", file, site]).args(more);
    command.output().expect("jackfield runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_converted_site_has_the_rights_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    // Free until the server listens there, most probably.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.path().join("config.json");
    fs::write(&file, configuration(port).to_string()).unwrap();
    let site = Site::new();
    let Output { stdout, status, .. } =
        convert(file.to_str().unwrap(), site.path().to_str().unwrap(), &[]);
    let printed = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{printed}");
    for line in [
        "converted: 1 realm, 3 rules, 1 principal, 1 listener",
        "  workers[0].transports[0].paths./: the web service `static`: serve it by a web server in front",
        "  workers[0].components: start components as programs of their own, or write them as plugins",
    ] {
        assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
    }
    let mode = fs::metadata(site.file("principals.yml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let Answer { code, out, err } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(0), "{out}{err}");

    let server = Server::start(site.path());
    // The harness's own address has the rules of `access`; the listener has those of the transport.
    let at = (Ipv4Addr::LOCALHOST, port).into();
    let mut options = Options::new(Codec::Json);
    "/ws".clone_into(&mut options.handshake.path);
    let mut page = Client::connect_with(at, Codec::Json, "realm1", options).await.unwrap();
    let mut backend = join_realm(&server, "realm1", ticket_of("billing"), "letmein").await.unwrap();
    page.subscribe("com.shop.price", json!({})).await;
    for topic in ["com.shop.admin.log", "com.other"] {
        let refused = page.try_subscribe(topic, json!({})).await.unwrap_err();
        assert_eq!(refused.uri, "wamp.error.not_authorized", "{topic}");
    }
    let publish = async |client: &mut Client, topic: &str| {
        client.publish_acknowledged(topic, json!({}), json!([1]), json!({})).await
    };
    assert_eq!(
        publish(&mut page, "com.shop.price").await.unwrap_err().uri,
        "wamp.error.not_authorized"
    );
    publish(&mut backend, "com.shop.price").await.unwrap();
    assert_eq!(page.event().await.args, json!([1]));
    publish(&mut backend, "com.other").await.unwrap();
}

#[test]
fn replaces_no_file_and_prints_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, site) = (path("config.json"), path("site"));
    fs::write(&file, configuration(8080).to_string()).unwrap();
    let Output { stdout, .. } = convert(&file, &site, &["--json"]);
    let printed: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((&printed["rules"], &printed["principals"]), (&json!(3), &json!(1)), "{printed}");
    let check = |file: &str, site: &str, expect: &str| {
        let Output { status, stderr, stdout } = convert(file, site, &[]);
        let printed = String::from_utf8([stderr, stdout].concat()).unwrap();
        assert!(!status.success(), "{printed}");
        assert!(printed.contains(expect), "{expect}\n{printed}");
        assert!(!printed.contains("letmein"), "{printed}");
    };
    let before = fs::read(path("site/jackfield.yml")).unwrap();
    check(&file, &site, "site/jackfield.yml exists");
    assert_eq!(fs::read(path("site/jackfield.yml")).unwrap(), before);
    check(&path("none.json"), &path("b"), "Crossbar's own is .crossbar/config.json");
    fs::write(path("broken.json"), "{ \"ticket\": \"letmein\"").unwrap();
    check(&path("broken.json"), &path("b"), "this is not valid JSON or YAML");
    fs::write(path("other.json"), "[\"letmein\"]").unwrap();
    check(&path("other.json"), &path("b"), "a configuration of Crossbar is a map with `workers`");
    assert!(!folder.path().join("b").exists());
}
