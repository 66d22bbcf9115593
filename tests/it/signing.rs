//! Signed plugins: `jackfield sign` beside the stock `minisign`, and a server that loads only what a
//! trusted key has signed.

mod candidates;
mod server;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::control::{Output, command, digest, run};
use crate::reload::component;
use jackfield_tests::build;
use jackfield_tests::packages::installed;

const ROUTES: &str =
    "test.versioned:\n    channel: 'v/{name}'\n    handler: { callback: 'versioned' }\n";

/// A folder with keys.
struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key without a password. Returns the public one.
    fn make(&self, name: &str) -> String {
        let key = self.path(&format!("{name}.key"));
        let made =
            jackfield(&["sign", "--new-key", "--no-password", "--json", "--key", text(&key)]);
        assert_eq!(made.code, Some(0), "{made:?}");
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// Signs a component or a bundle with a key.
    fn sign(&self, name: &str, target: &Path, more: &[&str]) -> Output {
        let key = self.path(&format!("{name}.key"));
        jackfield(&[&["sign", text(target), "--key", text(&key)], more].concat())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn jackfield(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    command.env("XDG_CACHE_HOME", build::cache());
    run(command)
}

/// Runs the stock tool. It reads passwords from its input if that is no terminal.
fn minisign(arguments: &[&str], input: &str) -> (bool, String) {
    installed("minisign", "minisign");
    let mut command = Command::new("minisign");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A bundle with one component.
fn bundle(folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("websocket_routing.yml"), ROUTES).unwrap();
    let component_file = folder.join("versioned.wasm");
    fs::write(&component_file, component(1)).unwrap();
    component_file
}

/// Returns whether a site with this key is valid, and the output of the check.
fn check(site: &Path, key: &str) -> (bool, String) {
    let set = format!("plugins.verify=[{key}]");
    let checked = jackfield(&["check", text(site), "--set", &set]);
    (checked.code == Some(0), checked.out)
}

#[test]
fn the_stock_tool_verifies_the_signatures_of_jackfield() {
    let (keys, site) = (Keys::new(), tempfile::tempdir().unwrap());
    let file = bundle(site.path());
    let key = keys.make("own");
    let signed = keys.sign("own", site.path(), &["--json", "--number", "7"]);
    assert_eq!(signed.code, Some(0), "{signed:?}");
    let entry = signed.json()["signed"][0].clone();
    assert_eq!((&entry["plugin"], &entry["number"]), (&json!("versioned"), &json!(7)), "{entry}");
    let sha256 = digest(&file);
    let (good, said) = minisign(&["-Vm", text(&file), "-p", text(&keys.path("own.pub"))], "");
    assert!(
        good && said.contains("Trusted comment: jackfield plugin=versioned version="),
        "{said}"
    );
    assert!(said.contains("number=7") && said.contains(&format!("digest={sha256}")), "{said}");
    assert!(minisign(&["-Vm", text(&file), "-P", &key], "").0);
    let (good, said) = check(site.path(), &key);
    assert!(
        good && said.contains("versioned.wasm: signed for the plugin versioned with the key"),
        "{said}"
    );
    assert!(
        said.contains(&format!(" ({key}), number 7\n")),
        "it has the key of the settings: {said}"
    );
    // Mode 0600, and no second key under the same name.
    let mode =
        Command::new("stat").args(["-c", "%a", text(&keys.path("own.key"))]).output().unwrap();
    assert_eq!(mode.stdout, b"600\n");
    let again = keys.path("own.key");
    let again = jackfield(&["sign", "--new-key", "--no-password", "--key", text(&again)]);
    assert!(again.code == Some(1) && again.err.contains("exists already"), "{again:?}");
}

#[test]
fn a_full_disk_leaves_no_part_of_a_key() {
    let keys = Keys::new();
    let made = command(&["sign", "--new-key", "--no-password", "--key", text(&keys.path("a.key"))]);
    // No file may have a byte; the signal about it is ignored.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    limited.arg(made.get_program()).args(made.get_args());
    let failed = run(limited);
    assert!(failed.code == Some(1) && failed.err.contains("a.key: "), "{failed:?}");
    assert_eq!(keys.folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn jackfield_uses_the_keys_and_accepts_the_signatures_of_the_stock_tool() {
    let (keys, site) = (Keys::new(), tempfile::tempdir().unwrap());
    let file = bundle(site.path());
    for (name, password) in [("plain", None), ("locked", Some("correct horse"))] {
        let (public, secret) =
            (keys.path(&format!("{name}.pub")), keys.path(&format!("{name}.key")));
        let pair = ["-G", "-p", text(&public), "-s", text(&secret)];
        let input = password.map(|it| format!("{it}\n{it}\n")).unwrap_or_default();
        let without: &[&str] = if password.is_none() { &["-W"] } else { &[] };
        let (made, said) = minisign(&[&pair, without].concat(), &input);
        assert!(made, "{said}");
        let key = fs::read_to_string(&public).unwrap().lines().nth(1).unwrap().to_owned();
        let password_file = keys.path("password");
        fs::write(&password_file, format!("{}\n", password.unwrap_or_default())).unwrap();
        let with = ["--password-file", text(&password_file)];
        let signed = keys.sign(name, &file, if password.is_some() { &with } else { &[] });
        assert_eq!(signed.code, Some(0), "{signed:?}");
        assert!(minisign(&["-Vm", text(&file), "-P", &key], "").0);
        assert!(check(site.path(), &key).0);
        if password.is_some() {
            fs::write(&password_file, "wrong\n").unwrap();
            let refused = keys.sign(name, &file, &with);
            assert!(refused.err.contains("the password is wrong"), "{refused:?}");
            // Without a terminal, there is nobody to ask.
            let mut command = Command::new("setsid");
            command.args(["-w", text(build::jackfield()), "sign", text(&file)]);
            command.args(["--key", text(&secret)]).stdin(Stdio::null());
            let refused = run(command);
            assert!(
                refused.code == Some(1) && refused.err.contains("--password-file"),
                "{refused:?}"
            );
        }
        // The other direction: the stock tool signs, with a comment that names the plugin.
        let sign = |comment: &str| {
            let sign = ["-S", "-s", text(&secret), "-m", text(&file), "-t", comment];
            let (signed, said) = minisign(&sign, &input);
            assert!(signed, "{said}");
        };
        sign("jackfield plugin=versioned");
        assert!(check(site.path(), &key).0);
        for (comment, reason) in [
            ("a release", "does not begin with `jackfield plugin=`"),
            (
                "jackfield plugin=other",
                "is for the plugin `other`, and it is the plugin `versioned`",
            ),
        ] {
            sign(comment);
            let (good, said) = check(site.path(), &key);
            assert!(!good && said.contains(reason), "{said}");
        }
    }
}

#[test]
fn keys_of_jackfield_with_a_password_are_those_of_the_stock_tool() {
    let (keys, site) = (Keys::new(), tempfile::tempdir().unwrap());
    let file = bundle(site.path());
    let (secret, password) = (keys.path("own.key"), keys.path("password"));
    fs::write(&password, "correct horse\n").unwrap();
    let made = jackfield(&[
        "sign",
        "--new-key",
        "--key",
        text(&secret),
        "--password-file",
        text(&password),
    ]);
    assert!(made.code == Some(0) && made.out.contains("plugins:\n  verify: [RW"), "{made:?}");
    let sign = ["-S", "-s", text(&secret), "-m", text(&file)];
    let (signed, said) = minisign(&sign, "correct horse\n");
    assert!(signed, "{said}");
    assert!(minisign(&["-Vm", text(&file), "-p", text(&keys.path("own.pub"))], "").0);
}

#[test]
fn check_names_the_reason_for_each_refusal() {
    let (keys, site) = (Keys::new(), tempfile::tempdir().unwrap());
    let (key, other) = (keys.make("own"), keys.make("other"));
    let file = bundle(site.path());
    let signature = site.path().join("versioned.wasm.minisig");
    let refused = |key: &str, reason: &str| {
        let (good, said) = check(site.path(), key);
        assert!(!good && said.contains(reason), "{said}\nlacks {reason}");
    };
    refused(&key, "is not signed: there is no versioned.wasm.minisig\n  = help: sign it with");
    assert_eq!(keys.sign("own", &file, &[]).code, Some(0));
    assert!(check(site.path(), &key).0);
    refused(&other, "which is not among the trusted ones");
    assert!(check(site.path(), &format!("{other}, {key}")).0, "both keys during a rotation");
    refused(&format!("{{ key: {key}, plugins: [acme-*] }}"), "may not sign the plugin `versioned`");
    let good = fs::read(&signature).unwrap();
    for bad in [&b""[..], &good[..good.len() / 2], b"\xff\xfe\n\n\n", &vec![b'a'; 1 << 20]] {
        fs::write(&signature, bad).unwrap();
        refused(&key, "is refused: its signature versioned.wasm.minisig is ");
        // It is nothing to a server that verifies no signatures.
        assert_eq!(jackfield(&["check", text(site.path())]).code, Some(0));
    }
    fs::write(&signature, good).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).unwrap();
    refused(&key, "does not match: the component or the signature was changed");
    // The signature of another plugin.
    fs::write(site.path().join("websocket_routing.yml"), "").unwrap();
    fs::copy(build::guest("methods"), &file).unwrap();
    refused(&key, "does not match");
    let checked = jackfield(&[
        "check",
        text(site.path()),
        "--json",
        "--set",
        &format!("plugins.verify=[{key}]"),
    ]);
    let problem = checked.json()["problems"][0].clone();
    assert!(problem.as_str().unwrap().contains("does not match"), "{checked:?}");
}
