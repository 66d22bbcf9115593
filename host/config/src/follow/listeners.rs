//! Running values of listeners that have changed: of each listener, those keys alone that differ.

use jackfield_tls::TlsFiles;
use jackfield_wamp::dialect::Dialect;

use crate::listener_tls::{CertificateUsers, UserName};
use crate::listeners::{ListenerPlace, ListenerRules, ListenerSettings};

/// Returns the running values, as the settings name them. Where listeners were added, removed or moved,
/// these are the places.
pub(super) fn running_values(running: &[ListenerSettings], next: &[ListenerSettings]) -> String {
    let places = |of: &[ListenerSettings]| -> Vec<String> {
        of.iter().map(|it| it.place.to_string()).collect()
    };
    let before = places(running);
    if before.is_empty() {
        return "none".to_owned();
    }
    if before != places(next) {
        return before.join(", ");
    }
    let changed = running.iter().zip(next).filter(|(running, next)| running != next);
    let shown = changed.map(|(running, next)| {
        let place = running.name.clone().unwrap_or_else(|| running.place.to_string());
        format!("{place}: {}", differences(running, next).join(", "))
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Returns the keys that differ, with the running values.
fn differences(running: &ListenerSettings, next: &ListenerSettings) -> Vec<String> {
    let ListenerSettings { name, place, rules, tls, users } = running;
    let ListenerRules { path, origins, protocols, rawsocket, compression, anonymous, methods } =
        rules;
    let of_access = || "as in `access`".to_owned();
    let mut found = Vec::new();
    let mut key = |key: &str, differs: bool, value: String| {
        if differs {
            found.push(format!("{key} {value}"));
        }
    };
    key("name", *name != next.name, name.clone().unwrap_or_else(|| "none".to_owned()));
    key("path", *path != next.rules.path, path.clone().unwrap_or_else(of_access));
    let shown = if origins.is_some() { "the earlier list".to_owned() } else { of_access() };
    key("origins", *origins != next.rules.origins, shown);
    let spoken: Vec<&str> = protocols.iter().map(Dialect::subprotocol).collect();
    key("protocols", *protocols != next.rules.protocols, spoken.join(" "));
    let shown = rawsocket.map_or_else(of_access, |it| it.to_string());
    key("rawsocket", *rawsocket != next.rules.rawsocket, shown);
    let shown = compression.map_or_else(of_access, |it| it.to_string());
    key("compression", *compression != next.rules.compression, shown);
    let shown = anonymous.map_or_else(of_access, |it| it.to_string());
    key("auth.anonymous", *anonymous != next.rules.anonymous, shown);
    let shown = methods.as_ref().map_or_else(
        || "all".to_owned(),
        |it| it.iter().map(|it| it.key()).collect::<Vec<&str>>().join(" "),
    );
    key("auth.methods", *methods != next.rules.methods, shown);
    if let ListenerPlace::Socket { mode, .. } = place {
        key("mode", *place != next.place, format!("{mode:04o}"));
    }
    let is_other = *tls != next.tls || *users != next.users;
    key(
        "tls",
        is_other,
        tls.as_ref().map_or_else(|| "off".to_owned(), |it| files(it, users.as_ref())),
    );
    found
}

/// The files of TLS, and the users of clients with a certificate.
fn files(tls: &TlsFiles, users: Option<&CertificateUsers>) -> String {
    let mut shown: Vec<String> = tls.paths().map(|path| path.display().to_string()).collect();
    if let (Some(clients), Some(CertificateUsers { name, roles })) = (&tls.clients, users) {
        let name = match name {
            UserName::CommonName => "common_name",
            UserName::Email => "email",
            UserName::Dns => "dns",
            UserName::Uri => "uri",
        };
        let required = if clients.required { "required" } else { "not required" };
        shown.push(format!("({required}, user {name}, roles {})", roles.join(" ")));
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    #[test]
    fn names_the_keys_that_differ() {
        let read = |text: &str| Settings::validated(text, &[]).unwrap();
        let check = |before: &str, after: &str, expect: &str| {
            let of = |listener: &str| read(&format!("listeners: [{listener}]"));
            let followed = of(before).follow(of(after));
            let running = followed.restart.iter().find(|it| it.setting == "listeners").unwrap();
            assert_eq!(running.running, expect);
        };
        let tls = "tls: { certificate: a.crt, key: a.key }";
        check("", "{ socket: /a }", "none");
        check("{ socket: /a }, { socket: /b }", "{ socket: /a }", "/a, /b");
        check("{ name: x, socket: /a, path: /ws }", "{ name: x, socket: /a }", "x: path /ws");
        check("{ socket: /a }", "{ socket: /a, path: /ws }", "/a: path as in `access`");
        check(&format!("{{ socket: /a, {tls} }}"), "{ socket: /a }", "/a: tls a.crt a.key");
        check(
            "{ socket: /a, protocols: [wamp], auth: { anonymous: true } }, { socket: /b }",
            "{ socket: /a }, { socket: /b, path: /c }",
            "/a: protocols wamp, auth.anonymous true; /b: path as in `access`",
        );
        check("{ socket: /a }", "{ socket: /a, mode: '0600' }", "/a: mode 0660");
        let clients = "client_certificates: { authorities: ca, roles: [m] }";
        check(
            &format!("{{ socket: /a, tls: {{ certificate: c, key: k, {clients} }} }}"),
            &format!("{{ socket: /a, {tls} }}"),
            "/a: tls c k ca (required, user common_name, roles m)",
        );
    }
}
