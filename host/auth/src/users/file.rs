//! Users that a file names, in YAML or JSON:
//!
//! ```yaml
//! users:
//!     admin:
//!         id: 1
//!         password: '$2y$13$…'        # the hash, as the application stores it
//!         roles: [ROLE_ADMINISTRATOR]
//!         organization: 1
//!         claims: { locale: en }
//!     former:
//!         id: 2
//!         enabled: false
//! ```
//!
//! The text comes from the host, which also notices when it changes: it calls
//! [`FileUsers::replace`], and if the new text is wrong the users before it stay.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::problem::Problem;
use crate::user::{PasswordHash, User, WrittenHash, WrittenId};

/// The users that a file names.
#[derive(Debug)]
pub struct FileUsers(ArcSwap<Known>);

#[derive(Debug)]
struct Known {
    users: HashMap<String, Arc<User>>,
    /// What is probably not meant, each with its place.
    doubts: Vec<String>,
}

/// Characters of the shortest text that is taken for a hash: fewer cannot be told from a password.
const MIN_HASH_BYTES: usize = 20;

/// How many users whose passwords are doubtful are named.
const MAX_DOUBTS: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    users: BTreeMap<String, WrittenUser>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUser {
    id: Spanned<WrittenId>,
    #[serde(default)]
    password: Option<Spanned<WrittenHash>>,
    #[serde(default)]
    roles: WrittenRoles,
    #[serde(default)]
    organization: Option<WrittenId>,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// A list of roles. What serde says by itself of something else repeats it, and it may be anything.
#[derive(Default)]
struct WrittenRoles(Vec<String>);

impl<'de> Deserialize<'de> for WrittenRoles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RolesVisitor)
    }
}

struct RolesVisitor;

impl RolesVisitor {
    const WRONG: &'static str = "roles are a list: write [ROLE_X], also for a single one";
}

impl<'de> Visitor<'de> for RolesVisitor {
    type Value = WrittenRoles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of roles: [ROLE_X]")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<WrittenRoles, E> {
        Err(E::custom(Self::WRONG))
    }

    fn visit_unit<E: Error>(self) -> Result<WrittenRoles, E> {
        Ok(WrittenRoles::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WrittenRoles, A::Error> {
        let mut roles = Vec::new();
        while let Some(role) = list.next_element()? {
            roles.push(role);
        }
        Ok(WrittenRoles(roles))
    }
}

fn enabled() -> bool {
    true
}

impl FileUsers {
    /// The users in `text`; `path` is how problems call it.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(path: &str, text: &str) -> Result<Self, Problem> {
        Ok(Self(ArcSwap::from_pointee(read(path, text)?)))
    }

    /// Puts the users in `text` in the place of those before, for everybody who asks from now on.
    ///
    /// # Errors
    /// The first mistake, with its place; the users before stay.
    pub fn replace(&self, path: &str, text: &str) -> Result<(), Problem> {
        self.0.store(Arc::new(read(path, text)?));
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load().users.len()
    }

    /// What is probably not meant, each complete with its place.
    pub fn doubts(&self) -> Vec<String> {
        self.0.load().doubts.clone()
    }

    pub(super) fn find(&self, username: &str) -> Option<Arc<User>> {
        self.0.load().users.get(username).cloned()
    }
}

fn read(path: &str, text: &str) -> Result<Known, Problem> {
    let mut lines = text.lines().map(str::trim_start);
    if lines.all(|line| line.is_empty() || line.starts_with('#')) {
        // Half-written files are empty at first, and nobody means to lock everybody out by one.
        let problem = Problem::new(path, None, "the file is empty");
        return Err(problem.help(
            "write `users: { NAME: { id: 1, password: 'HASH' } }`, or `users: {}` if there are to be \
             no users",
        ));
    }
    let written: Written = serde_saphyr::from_str(text).map_err(|error| {
        // What is wrong with a value is no help if it only ends elsewhere than was meant.
        match serde_saphyr::from_str::<IgnoredAny>(text) {
            Ok(IgnoredAny) => Problem::yaml(path, &error),
            Err(broken) => Problem::broken_yaml(path, &broken),
        }
    })?;
    let mut holders: HashMap<String, String> = HashMap::new();
    let (mut users, mut doubts) = (HashMap::new(), Vec::new());
    for (username, written) in written.users {
        let place = Some(written.id.referenced);
        if !super::is_name(&username) {
            let problem = Problem::new(path, place, format!("{username:?} is no user name"));
            return Err(problem.help("it has 1 to 255 bytes and no control characters"));
        }
        let id = written.id.value.0;
        if let Some(other) = holders.insert(id.clone(), username.clone()) {
            let message = format!("the users `{other}` and `{username}` have the same id, {id}");
            return Err(Problem::new(path, place, message).help("give each an id of its own"));
        }
        let password = written.password.and_then(|hash| {
            let (place, hash) = (hash.referenced, hash.value.0?);
            doubts.extend(doubt(&hash).map(|why| {
                let (line, column) = (place.line(), place.column());
                format!(
                    "{path}:{line}:{column}: warning: the password of {username:?} is no hash: \
                     {why}\n  = help: write what the application has stored, such as $2y$13$ and 53 \
                     characters more"
                )
            }));
            Some(hash)
        });
        let user = User {
            id,
            username: username.clone(),
            password,
            roles: written.roles.0,
            organization: written.organization.map(|id| id.0),
            enabled: written.enabled,
            claims: written.claims,
        };
        users.insert(username, Arc::new(user));
    }
    if let Some(more @ 1..) = doubts.len().checked_sub(MAX_DOUBTS) {
        doubts.truncate(MAX_DOUBTS);
        doubts.push(format!("{path}: warning: and so for {more} more"));
    }
    Ok(Known { users, doubts })
}

/// Why a text is hardly the hash of a password. Applications may store what they like, so this is
/// not for sure.
fn doubt(hash: &PasswordHash) -> Option<&'static str> {
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
        check("users:\n  a: { id: 1, roles: 7 }", "write a list of roles: [ROLE_X]");
        check("users:\n  a: { id: 1, roles: { a: b } }", "write a list of roles: [ROLE_X]");
        for broken in ["password: [ }", "password: [", "roles: [A", "password: 'x"] {
            check(&format!("users:\n  a: {{ id: 1, {broken}"), "error: this is broken YAML: ");
        }
        for empty in ["", "  \n", "# nothing\n"] {
            check(empty, "users.yml: error: the file is empty\n  = help: write `users: { NAME:");
        }
    }

    #[test]
    fn warns_of_passwords_that_are_no_hash() {
        let check = |password: &str, expect: Option<&str>| {
            let text = format!("users:\n  a:\n    id: 1\n    password: {password}");
            let doubts = FileUsers::parse("users.yml", &text).unwrap().doubts();
            match expect {
                None => assert_eq!(doubts, [""; 0], "{password}"),
                Some(expect) => {
                    let place = "users.yml:4:15: warning: the password of \"a\" is no hash: ";
                    assert!(doubts[0].starts_with(&format!("{place}{expect}\n")), "{doubts:?}");
                    assert!(!doubts[0].contains("hunter2"), "{doubts:?}");
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
        assert_eq!(users.doubts().len(), 1);
        users.replace("users.yml", "users: { a: { id: 1 } }").unwrap();
        assert_eq!(users.doubts(), [""; 0]);
        let user = |id: usize| format!("  u{id}: {{ id: {id}, password: x }}\n");
        let many: String = (0..MAX_DOUBTS + 3).map(user).collect();
        users.replace("users.yml", &format!("users:\n{many}")).unwrap();
        let doubts = users.doubts();
        assert_eq!(doubts.len(), MAX_DOUBTS + 1);
        assert_eq!(doubts[MAX_DOUBTS], "users.yml: warning: and so for 3 more");
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
            "users:\n  a: { id: 1, password: !!int x4711 }",
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
