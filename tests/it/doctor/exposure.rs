//! `jackfield doctor`: installations that are open to more users, pages or machines than they should be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::{Installation, expect};

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// An installation whose folders all users can enter.
fn entered() -> Installation {
    let installation = Installation::good();
    set_mode(installation.folder.path(), 0o755);
    set_mode(installation.site.path(), 0o755);
    installation
}

fn finding(installation: &Installation, check: &str, settings: &[&str]) -> Value {
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    installation.finding(check, &set)
}

#[test]
fn finds_secrets_that_all_users_can_read() {
    let installation = entered();
    let file = installation.path("secret");
    std::fs::write(&file, TOKEN).unwrap();
    set_mode(&file, 0o640);
    let token = format!("metrics={{enabled: true, token: {{file: {file}}}}}");
    let closed = "no file with secrets can be read by all users";
    expect(&finding(&installation, "secrets", &[&token]), "ok", closed, "");
    set_mode(&file, 0o644);
    let open = finding(&installation, "secrets", &[&token]);
    expect(&open, "warning", &format!("{file} (mode 644)"), "`chmod 600 FILE`");
    // The folder above keeps other users out.
    set_mode(installation.folder.path(), 0o750);
    expect(&finding(&installation, "secrets", &[&token]), "ok", closed, "");

    // A secret in the configuration file itself, and the hashes of users.
    let config = installation.site.path().join("jackfield.yml");
    std::fs::write(&config, format!("metrics: {{ enabled: true, token: {TOKEN} }}\n")).unwrap();
    set_mode(&config, 0o644);
    let open = finding(&installation, "secrets", &[]);
    expect(&open, "warning", "/jackfield.yml (mode 644)", "a credential of systemd");
    set_mode(&config, 0o600);
    expect(&finding(&installation, "secrets", &[]), "ok", closed, "");
    let users = installation.site.path().join("users.yml");
    std::fs::write(&users, "users: {}\n").unwrap();
    set_mode(&users, 0o644);
    let auth = format!(
        "auth={{tickets: {{secret: {{env: NONE}}}}, users: {{file: {}}}}}",
        users.display()
    );
    expect(&finding(&installation, "secrets", &[&auth]), "warning", "/users.yml (mode 644)", "");
}

#[test]
fn finds_writers_who_decide_about_plugins() {
    let installation = entered();
    let ignored = "other users cannot change the site; signatures are ignored";
    expect(&finding(&installation, "writers", &[]), "ok", ignored, "");
    set_mode(installation.site.path(), 0o777);
    let open = finding(&installation, "writers", &[]);
    expect(&open, "warning", "(mode 777)", "`chmod o-w PATH`");
    set_mode(installation.site.path(), 0o755);

    // Keys in the site hold back no writer of it.
    let verify = format!("plugins.verify=[{KEY}]");
    let inside = finding(&installation, "writers", &[&verify]);
    expect(&inside, "warning", "can remove `plugins.verify`", "--config FILE");
    let outside = installation.path("jackfield.yml");
    std::fs::write(&outside, format!("plugins: {{ verify: [{KEY}] }}\n")).unwrap();
    let found = installation.finding("writers", &["--config", &outside]);
    expect(&found, "ok", "signed plugins alone are loaded", "");
    set_mode(&outside, 0o666);
    let found = installation.finding("writers", &["--config", &outside]);
    expect(&found, "warning", "/jackfield.yml (mode 666)", "`chmod o-w PATH`");
}

#[test]
fn finds_clients_without_authentication() {
    let installation = Installation::good();
    let local = "clients of this machine need no authentication";
    expect(&finding(&installation, "clients", &[]), "ok", local, "");
    let open = "clients need no authentication, and pages of all hosts may connect";
    for public in ["listen=0.0.0.0:8080", "access.proxies=[127.0.0.1]"] {
        expect(&finding(&installation, "clients", &[public]), "warning", open, "access: { origins");
        let listed = finding(&installation, "clients", &[public, "access.origins=[example.com]"]);
        expect(&listed, "ok", "pages of `access.origins`", "");
        let jwt = format!("auth.jwt={{keys: {{secret: {TOKEN}}}}}");
        let proven = finding(&installation, "clients", &[public, &jwt]);
        expect(&proven, "ok", "all clients authenticate", "");
        let both = finding(&installation, "clients", &[public, &jwt, "access.anonymous=true"]);
        expect(&both, "warning", open, "");
    }
}

#[test]
fn finds_an_admin_listener_that_other_machines_reach() {
    let installation = Installation::good();
    expect(&finding(&installation, "admin", &[]), "ok", "off", "");
    let tokens = format!("tokens: [{{name: console, token: {TOKEN}}}]");
    let at = |listen: &str| {
        let admin = format!("admin={{listen: '{listen}', {tokens}}}");
        finding(&installation, "admin", &[&admin])
    };
    expect(&at("127.0.0.1:9090"), "ok", "this machine alone reaches 127.0.0.1:9090", "");
    let warned = at("[::]:9090");
    expect(&warned, "warning", "at [::]:9090, without encryption", "#the-admin-listener");
    let socket = format!("admin.listen={}", installation.path("admin.sock"));
    expect(&finding(&installation, "admin", &[&socket]), "ok", "a Unix socket", "");
}
