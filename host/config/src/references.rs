//! Unresolved references to variables in settings, `${ORO_SECRET}` or `%env(ORO_SECRET)%`: files
//! for Compose and Symfony use them, but they are not resolved here.

use jackfield_auth::reference::{reference, variable};
use jackfield_yaml::{Kind, Origin, Path, Step, Value, ValueError};

/// The setting with free text: a statement may contain anything.
const FREE: &str = "auth.users.sql.query";
/// Settings that can name a variable, as the ends of their keys.
const SECRETS: [&str; 5] = [
    "auth.tickets.secret",
    "auth.users.sql.url",
    "auth.users.http.token",
    "auth.jwt.keys.secret",
    ".token",
];

/// Returns an error for each unresolved reference, in the order of the file.
pub(super) fn unexpanded(tree: &Value) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    walk(tree, &mut Path::default(), &mut wrongs);
    wrongs
}

fn walk(node: &Value, path: &mut Path, wrongs: &mut Vec<ValueError>) {
    match &node.kind {
        Kind::Null | Kind::Bool(_) | Kind::Number(..) => {}
        Kind::Text(text) | Kind::Typed(text) => {
            let key = path.to_string();
            if let Some(written) = reference(text).filter(|_| key != FREE) {
                let message =
                    format!("`{key}` holds `{written}`, a reference that is never resolved");
                let help = advice(&key, path, variable(written), &node.origin);
                let wrong = ValueError { path: path.clone(), ..ValueError::at("", message, &help) };
                wrongs.push(ValueError { origin: Some(node.origin.clone()), ..wrong });
            }
        }
        Kind::List(items) => {
            for (at, item) in items.iter().enumerate() {
                path.0.push(Step::Element(at));
                walk(item, path, wrongs);
                path.0.pop();
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                path.0.push(Step::Key(entry.key.clone()));
                walk(&entry.value, path, wrongs);
                path.0.pop();
            }
        }
    }
}

fn advice(key: &str, path: &Path, name: &str, origin: &Origin) -> String {
    let in_list = path.0.iter().any(|step| matches!(step, Step::Element(_)));
    if SECRETS.iter().any(|secret| key.ends_with(secret)) {
        format!("name the variable that has the whole text: `{{ env: {name} }}`")
    } else if in_list || matches!(origin, Origin::Set(_)) {
        "write the value itself".to_owned()
    } else {
        let variable = key.to_uppercase().replace('.', "__");
        format!("write the value itself, or set it by the variable JACKFIELD__{variable}")
    }
}

#[cfg(test)]
mod tests {
    use crate::Settings;

    #[test]
    fn reports_references_to_variables_once() {
        let check = |file: &str, expect: &str, help: &str| {
            let error = Settings::validated(file, &[]).expect_err(file);
            assert!(error.starts_with(expect), "{file}\n{error}\n{expect}");
            assert!(error.contains(help), "{error}\n{help}");
            assert_eq!(error.matches("error: ").count(), 1, "{error}");
        };
        let users = "users: { file: users.yml }";
        check(
            &format!("auth: {{ tickets: {{ secret: '${{ORO_SECRET}}' }}, {users} }}"),
            "j.yml:1:28: error: `auth.tickets.secret` holds `${ORO_SECRET}`, a reference",
            "= help: name the variable that has the whole text: `{ env: ORO_SECRET }`",
        );
        check(
            &format!("auth: {{ tickets: {{ secret: '%env(ORO_SECRET)%' }}, {users} }}"),
            "j.yml:1:28: error: `auth.tickets.secret` holds `%env(ORO_SECRET)%`",
            "`{ env: ORO_SECRET }`",
        );
        check(
            "auth: { tickets: { secret: x }, users: { sql: { url: 'postgres://u:${PW}@h/d' } } }",
            "j.yml:1:54: error: `auth.users.sql.url` holds `${PW}`",
            "`{ env: PW }`",
        );
        check(
            "auth: { tickets: { secret: x }, users: { http: { url: 'https://${H}/{username}' } } }",
            "j.yml:1:55: error: `auth.users.http.url` holds `${H}`",
            "JACKFIELD__AUTH__USERS__HTTP__URL",
        );
        check(
            "api: { tokens: [{ name: a, token: $TOKEN_OF_API }] }",
            "j.yml:1:35: error: `api.tokens.token` holds `$TOKEN_OF_API`",
            "`{ env: TOKEN_OF_API }`",
        );
        check(
            "listen: '${LISTEN}'",
            "j.yml:1:9: error: `listen` holds `${LISTEN}`",
            "JACKFIELD__LISTEN",
        );
        check(
            "access: { origins: ['${HOST}'] }",
            "j.yml:1:21: error: `access.origins` holds `${HOST}`",
            "write the value itself",
        );
        let error = Settings::validated("", &["listen=$LISTEN"]).unwrap_err();
        assert!(error.starts_with("--set listen: error: `listen` holds `$LISTEN`"), "{error}");
    }

    #[test]
    fn ignores_texts_that_only_resemble_references() {
        let users = "users: { file: users.yml }";
        let text = |secret: &str| format!("auth: {{ tickets: {{ secret: '{secret}' }}, {users} }}");
        for secret in ["pa$word", "$2y$13$abc", "100%", "a%env"] {
            Settings::validated(&text(secret), &[]).unwrap();
        }
        let query = "auth: { tickets: { secret: x }, users: { sql: { url: 'postgres://u@h/d', \
                     query: 'SELECT ${x} // y' } } }";
        Settings::validated(query, &[]).unwrap();
    }
}
