//! The effect of a changed setting in a running server, found by trial: each setting gets values that fit
//! its type, and [`Config::follow`] names the difference.

use crate::{Config, Settings};

/// A key of minisign, for `plugins.verify`.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

/// A token of the HTTP API or of the admin listener.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Settings beside which others can be given.
const BASES: [(&str, &str); 8] = [
    ("auth.tickets.secret", ""),
    ("auth.tickets.", "auth: { tickets: { secret: x } }"),
    ("auth.users.http.url", ""),
    ("auth.users.http.", "auth: { users: { http: { url: 'https://a.example/{username}' } } }"),
    ("auth.users.sql.url", ""),
    ("auth.users.sql.", "auth: { users: { sql: { url: 'postgres://u@h/d' } } }"),
    ("auth.jwt.keys.", ""),
    ("auth.jwt.", "auth: { jwt: { keys: { jwks: keys.json } } }"),
];

/// Returns `now` or `restart`.
///
/// # Panics
/// If no value makes a difference, or the difference has the name of another setting.
pub(super) fn effect(setting: &str, kind: &str) -> &'static str {
    let mut found = None;
    for (before, after) in pairs(setting, kind) {
        let (Some(before), Some(after)) = (before, after) else { continue };
        let followed = before.follow(after);
        let names = |name: &str| {
            let name = name.replace(".acme", ".NAME");
            let rest = setting.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        for name in &followed.changed {
            // A named plugin inherits from the default.
            if names(name) {
                assert!(found.is_none_or(|found| found == "now"), "{setting} has two effects");
                found = Some("now");
            }
        }
        for needed in &followed.restart {
            if names(&needed.setting) {
                assert!(found.is_none_or(|found| found == "restart"), "{setting} has two effects");
                assert!(!needed.running.is_empty(), "{setting} has no value to show");
                found = Some("restart");
            }
        }
        // Nothing is left that would change at the restart alone.
        let again = before.follow(followed.config);
        assert!(again.restart.is_empty(), "{setting} would change without a restart");
    }
    found.unwrap_or_else(|| panic!("{setting} ({kind}) makes no difference"))
}

/// The keys of TLS with this value among them.
fn element_of_tls(field: &str, value: &str) -> String {
    let pair = |field: &str, value: &str| match field {
        "certificate" => format!("certificate: {value}, key: /x/k"),
        _ => format!("certificate: /x/c, {field}: {value}"),
    };
    let own = pair("key", "/x/k");
    if let Some(field) = field.strip_prefix("certificates[].") {
        return format!("{own}, certificates: [{{ {} }}]", pair(field, value));
    }
    match field.strip_prefix("client_certificates.") {
        Some("authorities") => format!("{own}, client_certificates: {{ authorities: {value} }}"),
        Some(field) => {
            format!("{own}, client_certificates: {{ authorities: /x/a, {field}: {value} }}")
        }
        None => pair(field, value),
    }
}

/// Configurations that differ in this setting alone.
fn pairs(setting: &str, kind: &str) -> Vec<(Option<Config>, Option<Config>)> {
    let base = BASES.iter().find(|(prefix, _)| setting.starts_with(prefix)).map_or("", |it| it.1);
    let key = setting.replace("NAME", "acme");
    if let Some(field) = key.strip_prefix("listeners[].") {
        let element = |value: &str| match field.split_once('.') {
            Some(("tls", field)) => {
                format!("address: '[::]:9', tls: {{ {} }}", element_of_tls(field, value))
            }
            Some((section, field)) => {
                format!("address: '[::]:9', {section}: {{ {field}: {value} }}")
            }
            None if field == "mode" => format!("socket: /x/y, mode: {value}"),
            None if field == "address" || field == "socket" => format!("{field}: {value}"),
            None => format!("address: '[::]:9', {field}: {value}"),
        };
        let read = |value: String| read("", &format!("listeners=[{{ {} }}]", element(&value)));
        return values(kind).into_iter().map(|it| (self::read("", ""), read(it))).collect();
    }
    if let Some(field) = key.strip_prefix("admin.tls.") {
        let base =
            format!("admin: {{ listen: '[::1]:1', tokens: [{{ name: a, token: {TOKEN} }}] }}");
        let tls = |value: &str| format!("admin.tls={{ {} }}", element_of_tls(field, value));
        let values = values(kind).into_iter();
        return values.map(|it| (read(&base, ""), read(&base, &tls(&it)))).collect();
    }
    if let Some(field) = key.strip_prefix("rules[].") {
        let element = |value: &str| match field.split_once('.') {
            Some((section, field)) => format!("uri: com.a, {section}: {{ {field}: {value} }}"),
            None if field == "uri" => format!("uri: {value}, allow: {{}}"),
            None if field == "allow" => format!("uri: com.a, allow: {value}"),
            None => format!("uri: com.a, allow: {{}}, {field}: {value}"),
        };
        let read = |value: String| read("", &format!("rules=[{{ {} }}]", element(&value)));
        return values(kind).into_iter().map(|it| (self::read("", ""), read(it))).collect();
    }
    if let Some((list, field)) = key.split_once("[].") {
        let element = |value: &str| {
            let given = match field {
                "name" | "token" => String::new(),
                _ => format!(", {field}: {value}"),
            };
            let name = if field == "name" { value } else { "a" };
            let token = if field == "token" { value } else { TOKEN };
            format!("{list}=[{{ name: {name}, token: {token}{given} }}]")
        };
        let plain = format!("{list}=[{{ name: a, token: {TOKEN} }}]");
        let values = values(kind).into_iter();
        return values.map(|it| (read(base, &plain), read(base, &element(&it)))).collect();
    }
    let values = values(kind).into_iter();
    let pair = |value: String| (read(base, ""), read(base, &format!("{key}={value}")));
    values.map(pair).collect()
}

fn read(base: &str, set: &str) -> Option<Config> {
    let set: Vec<&str> = std::iter::once(set).filter(|it| !it.is_empty()).collect();
    Settings::of(base, &set).result().ok()
}

/// Values of a type; not all of them suit each setting of the type.
fn values(kind: &str) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect();
    match kind {
        _ if kind.starts_with("a list of roles") => texts(&["[staff]"]),
        _ if kind.starts_with("list of") => texts(&["[log]", "[tickets]"]),
        _ if kind.starts_with("list") => {
            let key = format!("[{KEY}]");
            let lists =
                ["[x]", "[wamp]", "['192.0.2.1']", "['https://a.example']", "['nats://a.example']"];
            texts(&[&lists[..], &[&key]].concat())
        }
        _ if kind.starts_with("number") => texts(&["7", "0.5"]),
        _ if kind.starts_with("size") => texts(&["7 KiB"]),
        _ if kind.starts_with("duration") => texts(&["7s"]),
        _ if kind.starts_with("text in quotes") => texts(&["another-0123456789abcdef-0123456789"]),
        _ if kind.starts_with('`') => {
            let choices = kind.split('`').skip(1).step_by(2);
            choices.map(str::to_owned).collect()
        }
        _ => texts(&["'0600'", "127.0.0.1:1", "/x/y", "other", "https://b.example/{username}"]),
    }
}
