//! Conformance scripts: `tests/conformance` has a folder for each feature of the WAMP specification,
//! with dialogue scripts. `jackfield test` runs them in process. `sockets` sends them to a server with
//! each serializer, and shares no code with it. The first line of a script says what it shows:
//! `docs/conformance.md` lists these lines; `ACCEPT=1` writes it.

mod script;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use script::{Action, Line};

const FOLDER: &str = "tests/conformance";
const PAGE: &str = "docs/conformance.md";
const BEGIN: &str = "<!-- begin: `ACCEPT=1 cargo test --test it -- conformance` writes this -->\n";
const END: &str = "<!-- end -->\n";

/// Each topic but those of this route is open without a route.
const ROUTES: &str = "\
history:
    channel: 'com.example.history.{topic}'
    handler: { callback: 'broadcast' }
    history: {}
";
const SETTINGS: &str = "\
unrouted: broadcast
rules:
    - { uri: wamp., match: prefix, allow: { subscribe: everyone, call: everyone } }
";

/// A script of a feature.
struct Script {
    role: String,
    feature: String,
    name: String,
    text: String,
}

impl Script {
    /// What it shows: the comment in its first line.
    fn claim(&self) -> &str {
        let first = self.text.lines().next().unwrap_or_default();
        let claim = first.strip_prefix("# ").filter(|claim| claim.ends_with('.'));
        claim.unwrap_or_else(|| panic!("{self}: the first line is no comment with a sentence"))
    }

    fn lines(&self) -> Vec<Line> {
        script::parse(&self.text).unwrap_or_else(|error| panic!("{self}:{error}"))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, feature, name, .. } = self;
        write!(f, "{FOLDER}/{role}/{feature}/{name}.dialogue")
    }
}

/// Returns all scripts, sorted by their path.
fn scripts() -> Vec<Script> {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let root = build::root().join(FOLDER);
    let mut scripts = Vec::new();
    for role in names(&root) {
        for feature in names(&root.join(&role)) {
            for file in names(&root.join(&role).join(&feature)) {
                let path = root.join(&role).join(&feature).join(&file);
                let text = fs::read_to_string(path).unwrap();
                let name = file.strip_suffix(".dialogue").expect("dialogue scripts").to_owned();
                let (role, feature) = (role.clone(), feature.clone());
                scripts.push(Script { role, feature, name, text });
            }
        }
    }
    scripts
}

fn site() -> Site {
    let site = Site::new();
    site.bundle("conformance", ROUTES, &[build::plugin("broadcast")]);
    site
}

#[test]
fn scripts_pass_in_process() {
    let (site, scripts) = (site(), scripts());
    for Script { role, feature, name, text } in &scripts {
        site.write(&format!("conformance/tests/{role}.{feature}.{name}.dialogue"), text);
    }
    site.write("settings.yml", SETTINGS);
    let mut command = Command::new(build::jackfield());
    command.args(["test", "conformance", "--config", "settings.yml"]);
    command.current_dir(site.path()).env("XDG_CACHE_HOME", build::cache());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let summary = format!("conformance: {} scripts: ok\n", scripts.len());
    assert!(said.ends_with(&summary), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_pass_over_json() {
    over_sockets(Codec::Json).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_pass_over_messagepack() {
    over_sockets(Codec::MsgPack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_pass_over_cbor() {
    over_sockets(Codec::Cbor).await;
}

/// Runs all scripts against one server, each in a realm of its own.
async fn over_sockets(codec: Codec) {
    let (site, scripts) = (site(), scripts());
    let realms: Vec<_> = (0..scripts.len()).map(|number| format!("script{number}")).collect();
    site.write("principals.yml", principals(&scripts).to_string());
    // With authentication, only backends may publish and register otherwise.
    let roles = "[anonymous, user, staff, member]";
    let settings = format!(
        "{SETTINGS}allow: {{ publish: {roles}, register: {roles} }}\nrealms: {}\n\
         access: {{ anonymous: true }}\nauth: {{ principals: {} }}\n",
        json!(realms),
        site.file("principals.yml").display()
    );
    let server = Server::configured(site.path(), &settings);
    for (script, realm) in scripts.iter().zip(&realms) {
        sockets::run(&script.lines(), server.addr, codec, realm)
            .await
            .unwrap_or_else(|failure| panic!("{script}:{failure}"));
    }
}

/// Returns the file with all users of the scripts. A user has the same roles in all scripts that
/// name any; without one, the role `user`.
fn principals(scripts: &[Script]) -> Value {
    let mut users = BTreeMap::<String, Vec<String>>::new();
    for script in scripts {
        for line in script.lines() {
            let Action::Join { user: Some(user), roles, .. } = line.action else { continue };
            let known = users.entry(user).or_default();
            if known.is_empty() {
                *known = roles;
            } else {
                assert!(
                    roles.is_empty() || *known == roles,
                    "{script}:{}: other roles",
                    line.number
                );
            }
        }
    }
    let principal = |(name, roles): (String, Vec<String>)| {
        let roles = if roles.is_empty() { vec!["user".to_owned()] } else { roles };
        (name, json!({ "roles": roles, "ticket": sockets::TICKET }))
    };
    json!({ "principals": users.into_iter().map(principal).collect::<BTreeMap<_, _>>() })
}

#[tokio::test]
async fn the_page_lists_every_script_and_feature() {
    let site = site();
    let server = Server::configured(site.path(), SETTINGS);
    let client = Client::connect(server.addr, Codec::Json, "realm1").await;
    let scripts = scripts();
    let mut text = String::new();
    for (role, title) in [("broker", "Broker"), ("dealer", "Dealer")] {
        let announced = client.welcome()["roles"][role]["features"].as_object().unwrap();
        let mut features = BTreeMap::<&str, Vec<&str>>::new();
        for script in scripts.iter().filter(|script| script.role == role) {
            features.entry(&script.feature).or_default().push(script.claim());
        }
        writeln!(text, "## {title}\n").unwrap();
        for (feature, claims) in &features {
            let is_known = announced.contains_key(*feature) || *feature == "basic_profile";
            assert!(is_known, "{role}/{feature} is not announced");
            writeln!(text, "### `{feature}`\n").unwrap();
            for claim in claims {
                writeln!(text, "- {claim}").unwrap();
            }
            text.push('\n');
        }
        // A feature of both roles may have its scripts with the other one.
        let has_scripts = |feature: &str| scripts.iter().any(|script| script.feature == feature);
        let others = announced.keys().filter(|feature| !has_scripts(feature));
        let others: Vec<_> = others.map(|feature| format!("`{feature}`")).collect();
        write!(text, "Without scripts, but with other tests: {}.\n\n", others.join(", ")).unwrap();
    }
    let path = build::root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{text}{END}{tail}")).unwrap();
    } else {
        assert!(written == text, "{PAGE} differs; `ACCEPT=1` accepts\n{text}");
    }
}
