//! User source: a file in YAML or JSON.
//!
//! ```yaml
//! users:
//!     admin:
//!         id: 1
//!         password: '$2y$13$…'  # the hash, as the application stores it
//!         roles: [ROLE_ADMINISTRATOR]
//!         organization: 1
//!         claims: { locale: en }
//!     former:
//!         id: 2
//!         enabled: false
//! ```
//!
//! The host reads the file and watches it for changes. It calls [`FileUsers::replace`]; if the new
//! text is invalid, the previous users stay.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_yaml::{Diagnosis, Entry, Value as Located};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::named_entries::{NamedEntries, WrittenRoles};
use crate::user::{PasswordHash, User, WrittenHash, WrittenId};

/// Users of a file.
#[derive(Debug)]
pub struct FileUsers(ArcSwap<Known>);

#[derive(Debug)]
struct Known {
    users: HashMap<String, Arc<User>>,
    /// Warnings, each with its place.
    warnings: Vec<String>,
}

/// Minimum length of a hash, in bytes: a shorter text may be a plain password.
const MIN_HASH_BYTES: usize = 20;

/// Maximum number of users with a warning about their password.
const MAX_WARNINGS: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUser {
    id: WrittenId,
    #[serde(default)]
    password: Option<WrittenHash>,
    #[serde(default)]
    roles: WrittenRoles,
    #[serde(default)]
    organization: Option<WrittenId>,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default)]
    claims: Map<String, Value>,
}

fn enabled() -> bool {
    true
}

impl FileUsers {
    /// Parses users; errors name `path`.
    ///
    /// # Errors
    /// The first error, with its place.
    pub fn parse(path: &str, text: &str) -> Result<Self, Diagnosis> {
        Ok(Self(ArcSwap::from_pointee(read(path, text)?)))
    }

    /// Replaces all users by those in `text`.
    ///
    /// # Errors
    /// The first error, with its place; the previous users stay.
    pub fn replace(&self, path: &str, text: &str) -> Result<(), Diagnosis> {
        self.0.store(Arc::new(read(path, text)?));
        Ok(())
    }

    /// Returns the number of users.
    pub fn count(&self) -> usize {
        self.0.load().users.len()
    }

    /// Returns the warnings, each complete with its place.
    pub fn warnings(&self) -> Vec<String> {
        self.0.load().warnings.clone()
    }

    pub(super) fn find(&self, username: &str) -> Option<Arc<User>> {
        self.0.load().users.get(username).cloned()
    }
}

fn read(path: &str, text: &str) -> Result<Known, Diagnosis> {
    let file = NamedEntries { path, text, key: "users" };
    // A file that is being written is empty at first. Accepting it would lock out all users.
    let root = file.root(
        "write `users: { NAME: { id: 1, password: 'HASH' } }`, or `users: {}` if there are to be \
         no users",
    )?;
    let mut known = Known { users: HashMap::new(), warnings: Vec::new() };
    let (mut holders, mut doubtful) = (HashMap::new(), 0_usize);
    for Entry { key: username, origin, value } in file.entries(&root)? {
        let user = user(&file, username, value)?;
        let place = value.get("id").map_or(origin, |id| &id.origin);
        if !super::is_name(username) {
            let problem = file.problem(place, format!("{username:?} is no user name"));
            return Err(problem.with_help("it has 1 to 255 bytes and no control characters"));
        }
        if let Some(other) = holders.insert(user.id.clone(), username) {
            let id = &user.id;
            let message = format!("the users `{other}` and `{username}` have the same id, {id}");
            return Err(file.problem(place, message).with_help("give each an id of its own"));
        }
        if let Some(why) = user.password.as_ref().and_then(warning) {
            doubtful += 1;
            if doubtful <= MAX_WARNINGS {
                let place = value.get("password").map_or(origin, |password| &password.origin);
                let message = format!("the password of {username:?} is no hash: {why}");
                let help = "write what the application has stored, such as $2y$13$ and 53 \
                            characters more";
                let warning = file.problem(place, message).with_help(help);
                known.warnings.push(warning.warning().to_string());
            }
        }
        known.users.insert(username.clone(), Arc::new(user));
    }
    if let Some(more @ 1..) = doubtful.checked_sub(MAX_WARNINGS) {
        known.warnings.push(format!("{path}: warning: and so for {more} more"));
    }
    Ok(known)
}

fn user(file: &NamedEntries<'_>, username: &str, value: &Located) -> Result<User, Diagnosis> {
    let raw: RawUser = file.parse(value)?;
    Ok(User {
        id: raw.id.0,
        username: username.to_owned(),
        password: raw.password.and_then(|hash| hash.0),
        roles: raw.roles.0,
        organization: raw.organization.map(|id| id.0),
        enabled: raw.enabled,
        claims: raw.claims,
    })
}

/// Returns why a text is probably not a password hash. Applications choose the format, so this is
/// not certain.
fn warning(hash: &PasswordHash) -> Option<&'static str> {
    let text = hash.reveal();
    if !text.is_ascii() {
        Some("hashes have ASCII characters only")
    } else if text.len() < MIN_HASH_BYTES {
        Some("it is too short for one")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r"
users:
    admin:
        id: 1
        password: '$2y$13$abc'
        roles: [ROLE_ADMINISTRATOR, ROLE_USER]
        organization: 7
        claims: { locale: en, limits: [1, 2.5, null] }
    former: { id: u-2, enabled: false }
";

    fn problem(text: &str) -> String {
        FileUsers::parse("users.yml", text).unwrap_err().to_string()
    }

    #[test]
    fn reads_users() {
        let users = FileUsers::parse("users.yml", FILE).unwrap();
        let admin = users.find("admin").unwrap();
        assert_eq!(admin.id, "1");
        assert_eq!(admin.username, "admin");
        assert_eq!(admin.password, PasswordHash::new("$2y$13$abc".to_owned()));
        assert_eq!(admin.roles, ["ROLE_ADMINISTRATOR", "ROLE_USER"]);
        assert_eq!(admin.organization.as_deref(), Some("7"));
        assert!(admin.enabled);
        let claims = serde_json::to_string(&admin.claims).unwrap();
        assert_eq!(claims, r#"{"locale":"en","limits":[1,2.5,null]}"#);
        let former = users.find("former").unwrap();
        assert_eq!((former.id.as_str(), former.enabled), ("u-2", false));
        assert_eq!(former.password, None);
        assert_eq!(users.find("Admin"), None);
        assert_eq!(users.count(), 2);
    }

    #[test]
    fn reads_json() {
        let json = r#"{"users": {"admin": {"id": "1", "password": "$2y$", "roles": ["A"]}}}"#;
        let users = FileUsers::parse("users.json", json).unwrap();
        assert_eq!(users.find("admin").unwrap().id, "1");
    }

    #[test]
    fn an_invalid_file_changes_nothing() {
        let users = FileUsers::parse("users.yml", FILE).unwrap();
        users.replace("users.yml", "users: { admin: { id: } }").unwrap_err();
        users.replace("users.yml", "").unwrap_err();
        assert_eq!(users.count(), 2);
        users.replace("users.yml", "users: { other: { id: 3 } }").unwrap();
        assert_eq!(users.find("admin"), None);
        assert_eq!(users.find("other").unwrap().id, "3");
    }

    #[test]
    fn errors_have_their_place() {
        let check = |text: &str, expect: &str| {
            let problem = problem(text);
            assert!(problem.contains(expect), "{problem}");
        };
        check(
            "users:\n  admin: { id: 1, rolls: [A] }",
            "users.yml:2:19: error: unknown key `rolls`",
        );
        check("users:\n  admin: { id: 1, rolls: [A] }", "did you mean `roles`?");
        check("users:\n  a: { id: 1 }\n  b: { id: 1 }", "users.yml:3:");
        check("users:\n  a: { id: 1 }\n  b: { id: '1' }", "`a` and `b` have the same id, 1");
        check("users:\n  a: { id: 1 }\n  a: { id: 2 }", "users.yml:3:");
        check("users:\n  a: {}", "users.yml:2:");
        check("users:\n  a: { id: 1, enabled: maybe }", "users.yml:2:");
        check("users:\n  '': { id: 1 }", "users.yml:2:");
        check("people: {}", "unknown key `people`");
        check(
            "users:\n  a: { id: 1, roles: ROLE_X }",
            "users.yml:2:22: error: roles are a list: write [ROLE_X]",
        );
        check(
            "users:\n  a: { id: 1, roles: 7 }",
            "`roles` takes a list of roles: [ROLE_X], not a number",
        );
        check(
            "users:\n  a: { id: 1, roles: { a: b } }",
            "takes a list of roles: [ROLE_X], not a map",
        );
        for broken in ["password: [ }", "password: [", "roles: [A", "password: 'x"] {
            check(&format!("users:\n  a: {{ id: 1, {broken}"), "error: not valid YAML: ");
        }
        for empty in ["", "  \n", "# nothing\n"] {
            check(empty, "users.yml: error: the file is empty\n  = help: write `users: { NAME:");
        }
    }

    #[test]
    fn warns_of_passwords_that_are_no_hash() {
        let check = |password: &str, expect: Option<&str>| {
            let text = format!("users:\n  a:\n    id: 1\n    password: {password}");
            let warnings = FileUsers::parse("users.yml", &text).unwrap().warnings();
            match expect {
                None => assert_eq!(warnings, [""; 0], "{password}"),
                Some(expect) => {
                    let place = "users.yml:4:15: warning: the password of \"a\" is no hash: ";
                    assert!(warnings[0].starts_with(&format!("{place}{expect}\n")), "{warnings:?}");
                    assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
                }
            }
        };
        check("'$2y$13$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234'", None);
        check("5f4dcc3b5aa765d61d8327deb882cf99", None);
        check("''", None);
        check("~", None);
        check("'$2y$13$…'", Some("hashes have ASCII characters only"));
        check("hunter2", Some("it is too short for one"));
        let users = FileUsers::parse("users.yml", "users: { a: { id: 1, password: x } }").unwrap();
        assert_eq!(users.warnings().len(), 1);
        users.replace("users.yml", "users: { a: { id: 1 } }").unwrap();
        assert_eq!(users.warnings(), [""; 0]);
        let user = |id: usize| format!("  u{id}: {{ id: {id}, password: x }}\n");
        let many: String = (0..MAX_WARNINGS + 3).map(user).collect();
        users.replace("users.yml", &format!("users:\n{many}")).unwrap();
        let warnings = users.warnings();
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert_eq!(warnings[MAX_WARNINGS], "users.yml: warning: and so for 3 more");
    }

    #[test]
    fn errors_repeat_no_hash() {
        for text in [
            "users:\n  a: { id: 1, password: 4711 }",
            "users:\n  a: { id: 1, password: [4711] }",
            "users:\n  a: { id: 1, password: { x: 4711 } }",
            "users:\n  a: { id: 1, password: '4711', x: 1 }",
            "users:\n  a: { id: 1, enabled: '4711' }",
            "users:\n  a: { id: 1, password: '4711 }",
            "users:\n  a: { id: 1, password: \"\\q4711\" }",
            "users:\n  a: { id: 1, password: *x4711 }",
            "users:\n  a:\n    id: 1\n   password: 4711",
            "users:\n  a: { id: 1, roles: 4711 }",
        ] {
            let problem = problem(text);
            assert!(!problem.contains("4711"), "{problem}");
        }
    }
}
