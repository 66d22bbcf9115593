//! A server with `plugins.verify`: reloads, roll-backs, downgrades and restarts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Keys, ROUTES};
use crate::control::{Output, command, digest, run};
use crate::reload::component;
use crate::rollout::until_version;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const FILE: &str = "v/versioned.wasm";
const SIGNATURE: &str = "v/versioned.wasm.minisig";

/// A site, the keys of its authors, and a folder for the data of its servers.
pub(super) struct Fixture {
    pub(super) site: Site,
    pub(super) keys: Keys,
    /// Where components are signed before they are deployed.
    pub(super) desk: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let fixture =
            Self { site: Site::new(), keys: Keys::new(), desk: tempfile::tempdir().unwrap() };
        fixture.site.bundle("v", ROUTES, &[]);
        fixture
    }

    /// Signs a version. Returns the component and the signature.
    pub(super) fn signed(&self, key: &str, version: u32, number: &str) -> (Vec<u8>, Vec<u8>) {
        let file = self.desk.path().join("versioned.wasm");
        fs::write(&file, component(version)).unwrap();
        let signed = self.keys.sign(key, &file, &["--number", number]);
        assert_eq!(signed.code, Some(0), "{signed:?}");
        (
            fs::read(&file).unwrap(),
            fs::read(self.desk.path().join("versioned.wasm.minisig")).unwrap(),
        )
    }

    pub(super) fn deploy(&self, (component, signature): (Vec<u8>, Vec<u8>)) {
        self.site.rename_over(SIGNATURE, signature);
        self.site.rename_over(FILE, component);
    }

    fn config(&self, plugins: &str) -> String {
        format!("data: {}\nplugins: {{ {plugins} }}\n", self.desk.path().join("data").display())
    }

    pub(super) fn start(&self, plugins: &str) -> Server {
        Server::configured(self.site.path(), &self.config(plugins))
    }

    /// Starts a server, which ends with this text.
    fn refuses_to_start(&self, plugins: &str, text: &str) {
        let config = self.desk.path().join("config.yml");
        fs::write(&config, self.config(plugins)).unwrap();
        let (site, config) = (self.site.path().to_str().unwrap(), config.to_str().unwrap());
        let refused = run(command(&["serve", site, "--listen", "127.0.0.1:0", "--config", config]));
        assert!(refused.code == Some(1) && refused.err.contains(text), "{refused:?}");
    }

    pub(super) fn jackfield(&self, arguments: &[&str]) -> Output {
        let site = self.site.path().to_str().unwrap();
        run(command(&[arguments, &["--site", site]].concat()))
    }

    /// Reloads, which fails with this text; returns when the server has said so.
    pub(super) fn refuses(&self, text: &str) {
        let reloaded = run(command(&["reload", self.site.path().to_str().unwrap(), "--json"]));
        let problems = reloaded.json()["problems"].to_string();
        assert!(reloaded.code == Some(1) && problems.contains(text), "{reloaded:?}\nlacks {text}");
    }

    /// Waits until the file of the site serves.
    async fn until_served(&self, server: &Server) {
        until_version(server, "versioned", &digest(&self.site.file(FILE))).await;
    }

    /// Waits until this many versions are kept.
    pub(super) async fn until_kept(&self, count: usize) {
        let kept = || {
            let history = self.jackfield(&["history", "versioned", "--json"]).json();
            let versions = history["plugins"][0]["versions"].as_array().cloned();
            let kept = |it: &&Value| it["kept"] == true;
            versions.map_or(0, |versions| versions.iter().filter(kept).count())
        };
        within("the versions", async {
            while kept() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_only_what_a_trusted_key_has_signed() {
    let fixture = Fixture::new();
    let (key, _other) = (fixture.keys.make("own"), fixture.keys.make("other"));
    let verify = format!("verify: [{key}]");
    fixture.site.write(FILE, component(1));
    fixture.refuses_to_start(&verify, "versioned.wasm: error: is not signed: there is no");
    fixture.deploy(fixture.signed("own", 1, "1"));
    let server = fixture.start(&verify);
    fixture.until_served(&server).await;
    let first = digest(&fixture.site.file(FILE));
    let serves_first = async || until_version(&server, "versioned", &first).await;

    // The component comes before its signature: the version before serves on, and the signature
    // alone is a change that is noticed.
    let (second, signature) = fixture.signed("own", 2, "2");
    fixture.site.rename_over(FILE, &second);
    server.until_health("reload", "failed");
    server.logged("does not match: the component or the signature was changed");
    serves_first().await;
    fixture.site.rename_over(SIGNATURE, &signature);
    fixture.until_served(&server).await;
    // The signature comes before its component.
    let (third, signature) = fixture.signed("own", 3, "3");
    fixture.site.rename_over(SIGNATURE, &signature);
    server.until_health("reload", "failed");
    fixture.site.rename_over(FILE, &third);
    fixture.until_served(&server).await;
    // It goes, while its component serves; the next start would refuse it as well.
    fixture.site.remove(SIGNATURE);
    server.until_health("reload", "failed");
    fixture.refuses("is not signed");
    // A signature of a key that is not trusted.
    fixture.deploy(fixture.signed("other", 1, "9"));
    fixture.refuses("which is not among the trusted ones");
    fixture.deploy((third, signature));
    server.until_health("reload", "ok");
    fixture.until_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signature_restarts_nothing() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.keys.make("old"), fixture.keys.make("new"));
    fixture.deploy(fixture.signed("old", 1, "1"));
    let server = fixture.start(&format!("verify: [{old}, {new}]"));
    fixture.until_kept(1).await;
    let folder = fixture.desk.path().join("data/versions");
    let name = digest(&fixture.site.file(FILE))["sha256:".len()..].to_owned();
    let kept = || fs::read(folder.join(&name).with_extension("minisig")).unwrap();
    // The key is replaced: the same component with another signature.
    let (_, signature) = fixture.signed("new", 1, "1");
    assert_ne!(kept(), signature);
    fixture.site.rename_over(SIGNATURE, &signature);
    let reloaded = run(command(&["reload", fixture.site.path().to_str().unwrap(), "--json"]));
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    within("the new signature", async {
        while kept() != signature {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It is the same period of service.
    let history = fixture.jackfield(&["history", "versioned", "--json"]).json();
    assert_eq!(history["plugins"][0]["versions"].as_array().map(Vec::len), Some(1), "{history}");
    drop(server);
    let _server = fixture.start(&format!("verify: [{new}]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_only_to_versions_that_are_signed() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.keys.make("old"), fixture.keys.make("new"));
    let both = format!("verify: [{old}, {new}], refuse_downgrades: true");
    fixture.deploy(fixture.signed("old", 1, "1"));
    let first = digest(&fixture.site.file(FILE));
    let server = fixture.start(&both);
    server.logged("only plugins that one of these keys has signed are loaded");
    fixture.until_kept(1).await;
    fixture.deploy(fixture.signed("new", 2, "2"));
    fixture.until_served(&server).await;
    fixture.until_kept(2).await;
    // The operator may return to a lower number; the pin holds over a restart.
    let rolled = fixture.jackfield(&["rollback", "versioned"]);
    assert_eq!(rolled.code, Some(0), "{rolled:?}");
    until_version(&server, "versioned", &first).await;
    for change in ["disable", "enable"] {
        assert_eq!(fixture.jackfield(&[change, "versioned"]).code, Some(0));
    }
    drop(server);
    let server = fixture.start(&both);
    until_version(&server, "versioned", &first).await;
    drop(server);
    // A key that is trusted no longer, whose signature is that of the pinned version.
    fixture.refuses_to_start(&format!("verify: [{new}]"), "which is not among the trusted ones");
    // A kept signature that was changed.
    let folder = fixture.desk.path().join("data/versions");
    let kept = folder.join(&first["sha256:".len()..]).with_extension("minisig");
    fs::write(&kept, "").unwrap();
    fixture.refuses_to_start(&both, "is not a signature of minisign");
    fs::remove_file(&kept).unwrap();
    fixture.refuses_to_start(&both, "is not signed");
    fixture.deploy(fixture.signed("new", 3, "3"));
    let server = fixture.start(&both);
    fixture.until_served(&server).await;
    let refused = fixture.jackfield(&["rollback", "versioned", &first]);
    assert!(refused.code == Some(1) && refused.out.contains("is not signed"), "{refused:?}");
    // It names the version, as the file of the site has a signature.
    let named = format!("the kept version {first}, which serves instead of this file, is not");
    assert!(refused.out.contains(&named), "{refused:?}");
    fixture.until_served(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_numbers_between_a_pinned_version_and_the_newest() {
    let fixture = Fixture::new();
    let key = fixture.keys.make("own");
    fixture.deploy(fixture.signed("own", 1, "1"));
    let server = fixture.start(&format!("verify: [{key}], refuse_downgrades: true"));
    fixture.until_kept(1).await;
    fixture.deploy(fixture.signed("own", 2, "5"));
    fixture.until_served(&server).await;
    fixture.until_kept(2).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    fixture.deploy(fixture.signed("own", 3, "3"));
    fixture.refuses("has the number 3, and the plugin `versioned` has had 5");
    fixture.deploy(fixture.signed("own", 4, "6"));
    fixture.until_served(&server).await;
    // A promoted version is the newest one, although no file of the site has it.
    let _signed = fixture.signed("own", 5, "9");
    let file = fixture.desk.path().join("versioned.wasm");
    let promoted = digest(&file);
    let placed = fixture.jackfield(&["shadow", "versioned", file.to_str().unwrap()]);
    assert_eq!(placed.code, Some(0), "{placed:?}");
    let done = fixture.jackfield(&["promote", "versioned"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    until_version(&server, "versioned", &promoted).await;
    fixture.deploy(fixture.signed("own", 6, "8"));
    fixture.refuses("has the number 8, and the plugin `versioned` has had 9");
    // Candidates need a signature as well.
    let unsigned = fixture.desk.path().join("unsigned.wasm");
    fs::write(&unsigned, component(7)).unwrap();
    for (command, share) in [("shadow", &[][..]), ("canary", &["--share", "10%"])] {
        let arguments = [&[command, "versioned", unsigned.to_str().unwrap()], share].concat();
        let refused = fixture.jackfield(&arguments);
        let said = format!("{}{}", refused.out, refused.err);
        assert!(
            refused.code != Some(0) && said.contains("is not signed"),
            "{command}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_downgrades_across_removals_and_restarts() {
    let fixture = Fixture::new();
    let key = fixture.keys.make("own");
    let settings = format!("verify: [{key}], refuse_downgrades: true");
    let old = fixture.signed("own", 1, "10");
    fixture.deploy(old.clone());
    let server = fixture.start(&settings);
    fixture.deploy(fixture.signed("own", 2, "11"));
    fixture.until_served(&server).await;
    let second = digest(&fixture.site.file(FILE));
    fixture.deploy(old.clone());
    fixture.refuses("is refused as a downgrade: its signature has the number 10, and the plugin `versioned` has had 11");
    until_version(&server, "versioned", &second).await;
    // Neither an absence nor a restart makes it new.
    fixture.site.remove("v");
    let reloaded = run(command(&["reload", fixture.site.path().to_str().unwrap()]));
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    fixture.site.bundle("v", ROUTES, &[]);
    fixture.deploy(old.clone());
    fixture.refuses("is refused as a downgrade");
    drop(server);
    fixture.refuses_to_start(&settings, "is refused as a downgrade");
    // Signed again, it is a release like any other.
    fixture.deploy(fixture.signed("own", 1, "12"));
    let server = fixture.start(&settings);
    fixture.until_served(&server).await;
    drop(server);
    // A table that cannot be read is no empty one.
    let table = fixture.desk.path().join("data/signatures/highest.json");
    fs::write(&table, "{").unwrap();
    fixture.refuses_to_start(&settings, "are damaged");
    no_data_folder(fixture.site.path(), &settings);
}

/// Without a data folder, downgrades are not noticed: the server does not start.
fn no_data_folder(site: &Path, plugins: &str) {
    let config = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    fs::write(config.path(), format!("plugins: {{ {plugins} }}\n")).unwrap();
    let (site, config) = (site.to_str().unwrap(), config.path().to_str().unwrap());
    let mut command = command(&["serve", site, "--listen", "127.0.0.1:0", "--config", config]);
    for name in ["STATE_DIRECTORY", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    // A file in the place of a folder.
    command.env("HOME", config).env("XDG_CACHE_HOME", jackfield_tests::build::cache());
    let refused = run(command);
    let text = "`plugins.refuse_downgrades` needs a data folder";
    assert!(refused.code == Some(1) && refused.err.contains(text), "{refused:?}");
}
