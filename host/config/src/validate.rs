//! Validation of several settings together: a setting that has no effect, or that refuses all
//! clients, because another one is missing.

use std::path::Path;

use jackfield_auth::AuthSettings;
use jackfield_yaml::{Kind, Value, ValueError};

use super::cluster::Cluster;
use super::control::{self, ControlSocket};
use super::data::DataFolder;
use super::settings::Settings;
use super::{admin, api, cluster, listeners, rules, traces};

/// Keys of file paths besides those of tokens of the API.
const PATHS: [&str; 14] = [
    "auth.tickets.secret.file",
    "auth.users.file",
    "auth.users.sql.url.file",
    "auth.users.http.token.file",
    "auth.users.http.ca",
    "auth.jwt.keys.secret.file",
    "auth.jwt.keys.pem",
    "auth.jwt.keys.jwks",
    "auth.principals",
    "metrics.token.file",
    "cluster.nats.credentials.file",
    "cluster.nats.tls.ca",
    "cluster.nats.tls.certificate",
    "cluster.nats.tls.key",
];

impl Settings {
    /// Validates and completes the settings. Relative paths are resolved against `base`, the folder
    /// of the file.
    pub(super) fn settle(&mut self, base: &Path) {
        let contents = self.contents();
        if !contents.is_empty() {
            // Not opened, since an error would quote a part of the content.
            self.config.auth = AuthSettings::default();
            self.config.api.tokens.clear();
            self.config.admin.tokens.clear();
            self.config.metrics.token = None;
            self.config.traces.headers.clear();
            self.config.cluster = Cluster::default();
        }
        // Where some tokens are invalid, the indexes of the others are unknown.
        if self.config.api.tokens.len() != self.written_tokens("api") {
            self.config.api.tokens.clear();
        }
        if self.config.admin.tokens.len() != self.written_tokens("admin") {
            self.config.admin.tokens.clear();
        }
        for path in contents {
            let message =
                "the value is a file path, but looks like the content of a file".to_owned();
            let help = "put it into a file, and write the file's path";
            self.report(ValueError::at(&path, message, help));
        }
        for wrong in self.mistakes() {
            self.report(wrong);
        }
        self.config.settle(base);
    }

    /// Returns the error of the authenticator, if there is one.
    fn wrong_authenticator(&self, has_principals: bool) -> Option<ValueError> {
        let name = self.config.auth.authenticator.as_ref()?;
        let (message, help) = if name.is_empty() {
            ("`auth.authenticator` is empty", "write the name of a handler of a plugin")
        } else if has_principals {
            let message = "there are `auth.principals` and `auth.authenticator`: both answer the same \
                           methods";
            (message, "remove one of them: the plugin can know the principals of the file")
        } else {
            return None;
        };
        Some(ValueError::at("auth.authenticator", message.to_owned(), help))
    }

    /// Returns the errors. A setting counts as present even if its value is invalid, so that each
    /// error is reported once.
    fn mistakes(&self) -> Vec<ValueError> {
        let has =
            |key: &str| self.tree.at(key).is_some_and(|node| !matches!(node.kind, Kind::Null));
        let (tickets, users) = (has("auth.tickets"), has("auth.users"));
        let access = &self.config.access;
        let (principals, authenticator) = (has("auth.principals"), has("auth.authenticator"));
        let mut wrongs: Vec<_> = self.wrong_authenticator(principals).into_iter().collect();
        let mut wrong = |key: &str, message: &str, help: &str| {
            wrongs.push(ValueError::at(key, message.to_owned(), help));
        };
        if users && !tickets {
            let message = "there are `auth.users` and no `auth.tickets`: users would never \
                           be looked up";
            wrong("auth.users", message, "add `auth.tickets`, or remove `auth.users`");
        }
        let has_method = tickets || has("auth.jwt") || principals || authenticator;
        if access.anonymous == Some(false) && !has_method {
            let message = "no client could connect: `anonymous: false` requires authentication, and \
                           `auth` has no method";
            let help = "configure an authentication method in `auth`, or remove the key";
            wrong("access.anonymous", message, help);
        }
        let has_tls = self.config.listeners.iter().any(|it| it.tls.is_some());
        if access.https && !self.names_proxies() && !has_tls {
            let message = "no client could connect: `https: true` relies on the headers of \
                           `access.proxies`, which is empty";
            let help = "list the proxy's addresses in `access.proxies`, or add `tls` to a listener";
            wrong("access.https", message, help);
        }
        if self.config.plugins.refuse_downgrades && !has("plugins.verify") {
            let message =
                "no signature has a number to compare: there are no keys in `plugins.verify`";
            wrong("plugins.refuse_downgrades", message, "add `plugins.verify`, or remove the key");
        } else if self.config.plugins.refuse_downgrades && self.config.data == DataFolder::Off {
            let message =
                "the numbers of signatures cannot be compared: with `data: off`, nothing is kept";
            wrong(
                "plugins.refuse_downgrades",
                message,
                "set `data` to a folder, or remove the key",
            );
        }
        if has("metrics.token") && !self.config.metrics.enabled {
            let message = "`metrics.token` has no effect: metrics are not served on this port";
            wrong("metrics.token", message, "add `metrics.enabled: true`, or remove the token");
        }
        let named = self.config.plugins.named.iter();
        let named = named.map(|(name, policy)| (format!("plugins.named.{name}"), policy));
        let default = ("plugins.default".to_owned(), &self.config.plugins.default);
        for (key, policy) in std::iter::once(default).chain(named) {
            let keys = ["pause", "max_pause"].map(|it| format!("{key}.circuit_breaker.{it}"));
            let breaker = &policy.limits.breaker;
            if breaker.pause > breaker.max_pause
                && let Some(key) = keys.iter().find(|key| has(key))
            {
                let message = "the first pause is longer than `max_pause`, the longest one";
                wrong(key, message, "lower `pause`, or raise `max_pause`");
            }
        }
        let limits = &self.config.limits;
        let totals = [
            (
                ["limits.incomplete", "limits.message"],
                limits.incomplete_bytes,
                limits.message_bytes,
            ),
            (
                ["limits.outbox.total", "limits.outbox.bytes"],
                limits.outbox_total_bytes,
                limits.outbox.bytes,
            ),
        ];
        for (keys, total, single) in totals {
            if total < single
                && let Some(key) = keys.iter().find(|key| has(key))
            {
                let [total, single] = keys;
                let message = format!("`{total}`, for all clients, is below `{single}`, for one");
                wrong(key, &message, "lower the one, or raise the other");
            }
        }
        wrongs.extend(traces::mistakes(&self.config.traces, has));
        wrongs.extend(cluster::mistakes(&self.config.cluster, has));
        wrongs.extend(api::mistakes(&self.config.api.tokens, &self.config.realms));
        wrongs.extend(rules::mistakes(&self.config.rules, &self.config.realms));
        let written = admin::Written {
            listen: self.tree.at("admin.listen").is_some_and(|value| !is_off(value)),
            tokens: self.tree.at("admin.tokens").is_some_and(is_given),
        };
        wrongs.extend(admin::mistakes(&self.config, written, has));
        wrongs.extend(listeners::mistakes(&self.config, has));
        if let ControlSocket::At(path) = &self.config.control.socket {
            wrongs.extend(control::socket_error("control.socket", path));
        }
        wrongs
    }

    /// Returns whether proxies are configured, valid or not.
    fn names_proxies(&self) -> bool {
        self.tree.at("access.proxies").is_some_and(is_given)
    }

    /// Returns the number of tokens of a section, valid or not.
    fn written_tokens(&self, section: &str) -> usize {
        self.tree.at(&format!("{section}.tokens")).map_or(0, Value::count)
    }

    /// Returns the keys of paths whose value seems to be the content of a file, which is secret.
    fn contents(&self) -> Vec<String> {
        let tokens = ["api", "admin"].into_iter().flat_map(|section| {
            let all = 0..self.written_tokens(section);
            all.map(move |at| format!("{section}.tokens.{at}.token.file"))
        });
        let listeners = 0..self.tree.at("listeners").map_or(0, Value::count);
        let listeners = listeners.map(|at| format!("listeners.{at}.tls"));
        let pairs = listeners.chain(["admin.tls".to_owned()]).flat_map(|tls| {
            let more = self.tree.at(&format!("{tls}.certificates"));
            let more = 0..more.map_or(0, Value::count);
            let more: Vec<_> = more.map(|pair| format!("{tls}.certificates.{pair}")).collect();
            std::iter::once(tls).chain(more)
        });
        let files = pairs.flat_map(|pair| [format!("{pair}.certificate"), format!("{pair}.key")]);
        let paths = PATHS.map(str::to_owned).into_iter().chain(tokens).chain(files);
        paths.filter(|path| self.tree.at(path).is_some_and(is_content)).collect()
    }
}

/// Returns whether a list has elements, or is no list.
fn is_given(list: &Value) -> bool {
    list.count() > 0 || matches!(list.kind, Kind::Text(_) | Kind::Typed(_))
}

/// Returns whether a value turns a listener off.
fn is_off(value: &Value) -> bool {
    matches!(&value.kind, Kind::Text(text) | Kind::Typed(text) if text == "off")
}

/// Returns whether a text looks like the content of a file rather than a path.
fn is_content(node: &Value) -> bool {
    match &node.kind {
        Kind::Text(text) | Kind::Typed(text) => {
            let text = text.trim_start();
            text.starts_with("-----") || text.starts_with(['{', '[']) || text.contains(['\n', '\r'])
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::List(_) | Kind::Map(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    #[test]
    fn rejects_settings_without_effect() {
        let check = |text: &str, expect: &str| {
            let error = Settings::validated(text, &[]).expect_err(text);
            assert!(error.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
            assert_eq!(error.matches("error: ").count(), 1, "{error}");
        };
        let users = "auth:\n  users: { file: users.yml }\n";
        check(users, "j.yml:2:10: error: there are `auth.users` and no `auth.tickets`");
        check("access: { anonymous: false }", "j.yml:1:22: error: no client could connect: `anony");
        check(
            "access:\n  https: true",
            "j.yml:2:10: error: no client could connect: `https: true` relies on the headers of \
             `access.proxies`, which is empty\n  |\n2 |   https: true\n",
        );
        check(
            "plugins: { default: { circuit_breaker: { pause: 2m } } }",
            "j.yml:1:49: error: the first pause is longer than `max_pause`",
        );
        check(
            "plugins: { named: { a-b: { circuit_breaker: { max_pause: 1ms } } } }",
            "j.yml:1:58: error: the first pause is longer than `max_pause`",
        );
        check(
            "limits: { incomplete: 512 KiB }",
            "j.yml:1:23: error: `limits.incomplete`, for all clients, is below `limits.message`, for one",
        );
        check("limits: { message: 300 MiB }", "j.yml:1:20: error: `limits.incomplete`, for all");
        check("limits: { outbox: { total: 1 MiB } }", "j.yml:1:28: error: `limits.outbox.total`");
        check(
            "auth: { jwt: { keys: { pem: '-----BEGIN' } } }",
            "j.yml:1:29: error: `auth.jwt.keys.pem`: the value is a file path, but looks like",
        );
        // Each error is reported once, although it makes other settings useless.
        check(
            "auth: { tickets: { secret: x, ttl: x }, users: { file: u } }",
            "j.yml:1:36: error: ",
        );
        check("auth: { tickets: { secret: x }, users: { fil: u } }", "j.yml:1:42: error: ");
        check("access: { https: true, proxies: [] }", "j.yml:1:18: error: no client could connect");
        check("access: { https: true, proxies: x }", "j.yml:1:33: error: ");
        for good in [
            "auth: { tickets: { secret: x }, users: { file: users.yml } }",
            "auth: { jwt: { keys: { jwks: keys.json } } }\naccess: { anonymous: false }",
            "access: { https: true, proxies: [127.0.0.1], anonymous: true }",
            "limits: { incomplete: 1 MiB, message: 1 MiB }",
        ] {
            Settings::validated(good, &[]).unwrap();
        }
        // Overrides count like the file.
        let proven = "auth={ tickets: { secret: x }, users: { file: users.yml } }";
        Settings::validated("access: { anonymous: false }", &[proven]).unwrap();
        Settings::validated("access: { https: true }", &["access.proxies=[127.0.0.1]"]).unwrap();
        let error = Settings::validated("", &["auth={ users: { file: users.yml } }"]).unwrap_err();
        assert!(error.starts_with("--set auth: error: there are `auth.users`"), "{error}");
        let tokens = "api.tokens=[{ name: a, token: { file: '-----BEGIN hunter2' } }]";
        let error = Settings::validated("", &[tokens]).unwrap_err();
        assert!(
            error.contains("looks like the content of a file") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
