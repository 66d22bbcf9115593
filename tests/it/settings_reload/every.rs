//! Every setting of the list in docs/site, changed in a running server: it takes effect, or it is named
//! as one that needs a restart, as the list says.

use serde_json::{Value, json};

use super::reload;
use crate::tls::authority::Authority;
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
/// The public key of RFC 8037, appendix A.2, as the parameter of a JWK and in PEM.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                   -----END PUBLIC KEY-----\n";
/// Settings that are not tried: the content of a certificate, and the address, which an option of the
/// server under test sets. A test of the configuration has both.
const UNTRIED: [&str; 2] = ["auth.users.http.ca", "listen"];
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Settings beside which others are valid. The server starts with all of them.
fn base(site: &Site) -> Value {
    let file = |name: &str| site.file(name).display().to_string();
    json!({
        "access": { "proxies": ["127.0.0.1"] },
        "auth": {
            "tickets": { "secret": "s3cret" },
            "users": { "file": file("users.yml") },
            "jwt": { "keys": { "secret": TOKEN } },
        },
        "api": { "tokens": [{ "name": "a", "token": TOKEN }] },
        "admin": { "listen": "127.0.0.1:0", "tokens": [{ "name": "a", "token": TOKEN }] },
        "metrics": { "enabled": true, "token": TOKEN },
        "traces": { "endpoint": "http://127.0.0.1:9/v1/traces" },
        "cluster": { "nats": { "urls": ["nats://127.0.0.1:9"] } },
        "plugins": { "named": { "acme": { "memory": "1 MiB" } } },
        "rules": [{ "uri": "com.acme", "allow": {} }],
    })
}

/// Values of a type, of which one at least is valid and differs from that of the base.
fn values(setting: &str, kind: &str, site: &Site) -> Vec<Value> {
    let file = |name: &str| json!(site.file(name).display().to_string());
    match setting {
        "access.origins" => return vec![json!(["a.example"])],
        "plugins.verify" => return vec![json!([KEY])],
        "auth.users.file" => return vec![file("others.yml")],
        "auth.users.http.url" => return vec![json!("https://b.example/{username}")],
        "auth.users.sql.url" => return vec![json!("mysql://u@h/d")],
        "auth.users.sql.query" => return vec![json!("SELECT ?")],
        "auth.jwt.keys.pem" => return vec![file("keys.pem")],
        "auth.jwt.keys.jwks" => return vec![file("keys.json")],
        "auth.principals" => return vec![file("principals.yml")],
        // One and the same value suits no total and its part.
        "limits.incomplete" | "limits.outbox.total" => return vec![json!("1 GiB")],
        "traces.endpoint" => return vec![json!("http://127.0.0.1:9/other")],
        "traces.sample" => return vec![json!(0.5)],
        "cluster.nats.urls" => return vec![json!(["nats://127.0.0.1:10"])],
        "api.tokens[].realm" | "rules[].realm" => return vec![json!("realm1")],
        "rules[].uri" => return vec![json!("com.other")],
        _ => {}
    }
    match kind {
        _ if kind.starts_with("a list of roles") => vec![json!(["staff"]), json!("everyone")],
        _ if kind.starts_with("list of") => vec![json!(["log"])],
        _ if kind.starts_with("list") => {
            vec![json!(["x"]), json!(["192.0.2.1"]), json!(["https://a.example"])]
        }
        _ if kind.starts_with("number") => vec![json!(7)],
        _ if kind.starts_with("size") => vec![json!("7 KiB")],
        _ if kind.starts_with("duration") => vec![json!("7s")],
        _ if kind.starts_with("text in quotes") => vec![json!("fedcba9876543210fedcba9876543210")],
        _ if kind == "`true` or `false`" => vec![json!(true), json!(false)],
        _ if kind.starts_with('`') => {
            kind.split('`').skip(1).step_by(2).map(|it| json!(it)).collect()
        }
        _ => vec![file("x"), json!("127.0.0.1:1"), json!("/x/y"), json!("other")],
    }
}

/// Sets a value at a path; `[]` is the first element of a list, `NAME` the key `acme`.
fn set(tree: &mut Value, setting: &str, value: Value) {
    let mut at = tree;
    let path = setting.replace("[]", ".0").replace("NAME", "acme");
    for key in path.split('.') {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        };
    }
    *at = value;
}

/// The settings with another value, and with what that value needs beside it. `pair` is a certificate
/// with its key.
fn with(base: &Value, setting: &str, value: Value, pair: &[String; 2]) -> Value {
    let mut tree = base.clone();
    let users = &mut tree["auth"]["users"];
    if setting.starts_with("auth.users.http.") {
        *users = json!({ "http": { "url": "https://a.example/{username}" } });
    } else if setting.starts_with("auth.users.sql.") {
        *users = json!({ "sql": { "url": "postgres://u@h/d" } });
    } else if setting.starts_with("auth.jwt.keys.") {
        tree["auth"]["jwt"]["keys"] = json!({});
    } else if setting == "metrics.enabled" {
        tree["metrics"] = json!({});
    } else if setting == "plugins.refuse_downgrades" {
        tree["plugins"]["verify"] = json!([KEY]);
    }
    if matches!(setting, "cluster.nats.tls.certificate" | "cluster.nats.tls.key") {
        let [certificate, key] = pair;
        tree["cluster"]["nats"]["tls"] = json!({ "certificate": certificate, "key": key });
        return tree;
    }
    if setting.starts_with("listeners[]") {
        // All are one setting.
        tree["listeners"] = json!([{ "address": "127.0.0.1:9" }]);
        return tree;
    }
    if setting.starts_with("admin.tls.") {
        // All are one setting, of which the running server has none.
        let [certificate, key] = pair;
        tree["admin"]["tls"] = json!({ "certificate": certificate, "key": key });
        return tree;
    }
    set(&mut tree, setting, value);
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_changes_or_is_named() {
    let site = Site::open();
    site.write("users.yml", "users: { ann: { id: 7, password: x } }\n");
    site.write("principals.yml", "principals: { billing: { ticket: x } }\n");
    site.write("others.yml", "users: { ann: { id: 8, password: x } }\n");
    site.write(
        "keys.json",
        format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{X}\"}}]}}"),
    );
    site.write("keys.pem", PEM);
    let data = tempfile::tempdir().unwrap();
    let pair = Authority::new(data.path()).server("server");
    let mut base = base(&site);
    base["data"] = json!(data.path().join("data").display().to_string());
    // JSON is YAML.
    let server = Server::configured(site.path(), &base.to_string());
    let list = std::fs::read_to_string(build::root().join("docs/site/settings.tsv")).unwrap();
    let (mut tried, mut unclear) = (0, Vec::new());
    for line in list.lines() {
        let [setting, kind, effect] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        if UNTRIED.contains(&setting) {
            continue;
        }
        let mut seen = Vec::new();
        for value in values(setting, kind, &site) {
            server.reconfigure(&with(&base, setting, value, &pair).to_string());
            let (_, answer) = reload(&server).await;
            let settings = answer["settings"].clone();
            // Back to the settings of the start: each one that was changed changes again.
            server.reconfigure(&base.to_string());
            let (status, back) = reload(&server).await;
            assert_eq!(status, 200, "{setting}: {back}");
            assert_eq!(back["settings"]["restart_needed"], json!([]), "{setting}");
            seen.push(settings);
        }
        let names = |name: &Value| {
            let name = name.as_str().unwrap().replace(".acme", ".NAME");
            let rest = setting.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let is_named = seen.iter().any(|settings| {
            let changed = settings["changed"].as_array().unwrap().iter();
            let restart = settings["restart_needed"].as_array().unwrap().iter();
            let mut found: Box<dyn Iterator<Item = &Value>> = match effect {
                "now" => Box::new(changed),
                "restart" => Box::new(restart.map(|it| &it["setting"])),
                _ => panic!("{line}"),
            };
            found.any(names)
        });
        if !is_named {
            unclear.push(format!("{setting} ({effect}): {seen:?}"));
        }
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
}
