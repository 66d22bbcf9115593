//! Tests of changes. `schema/reference/effect.rs` tries each setting.

use crate::Settings;

use super::*;

fn config(text: &str) -> Config {
    Settings::of(text, &[]).result().unwrap()
}

#[test]
fn a_setting_that_needs_a_restart_keeps_its_value_and_is_named() {
    let running = config("listen: 127.0.0.1:1\nlimits: { connections: 5 }");
    let next = config("listen: 127.0.0.1:2\nlimits: { connections: 6 }\nrealms: [a, b]");
    let Followed { config: followed, changed, restart } = running.follow(next);
    assert_eq!(changed, ["limits.connections"]);
    assert_eq!(followed.limits.connections, 6);
    assert_eq!((followed.listen, &followed.realms), (running.listen, &running.realms));
    let expect = [("listen", "127.0.0.1:1"), ("realms", "realm1")].map(|(setting, running)| {
        RestartNeeded { setting: setting.to_owned(), running: running.to_owned() }
    });
    assert_eq!(restart, expect);
}

#[test]
fn equal_settings_are_no_change() {
    let texts = ["", "listen: 127.0.0.1:8080", "# a comment", "plugins: { named: { a: {} } }"];
    for text in texts {
        let Followed { changed, restart, .. } = config("").follow(config(text));
        assert_eq!(restart, [], "{text}");
        assert_eq!(changed, [""; 0], "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let before = config(
        "api: { tokens: [{ name: a, token: hunter2hunter2hunter2 }] }\n\
         auth: { jwt: { keys: { secret: hunter2 } } }",
    );
    let after = config(
        "api: { tokens: [{ name: a, token: hunter3hunter3hunter3 }] }\n\
         auth: { tickets: { secret: hunter3 }, users: { file: u } }",
    );
    let Followed { changed, restart, .. } = before.follow(after);
    assert_eq!(changed, ["auth.tickets", "auth.users", "auth.jwt", "api.tokens"]);
    assert!(!format!("{changed:?} {restart:?}").contains("hunter"));
}

#[test]
fn rules_that_move_to_a_listener_wait_with_it() {
    let running = config(
        "access: { anonymous: false, origins: [a.example], https: true, proxies: [192.0.2.9] }\n\
         listeners: [{ address: '[::]:9' }]",
    );
    let next = config(
        "access: { anonymous: true, blocked: [192.0.2.1] }\n\
         listeners: [{ address: '[::]:9', origins: [a.example], auth: { anonymous: false } }]",
    );
    let followed = running.follow(next);
    assert_eq!(followed.changed, ["access.blocked"]);
    assert_eq!(followed.config.access.anonymous, Some(false));
    assert_eq!(followed.config.access.origins, running.access.origins);
    let waiting: Vec<&str> = followed.restart.iter().map(|it| it.setting.as_str()).collect();
    let access = ["access.origins", "access.proxies", "access.https", "access.anonymous"];
    assert_eq!(waiting, [&["listeners"], &access[..]].concat());
}
