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
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::problem::Problem;
use crate::user::{User, WrittenHash, WrittenId};

/// The users that a file names.
#[derive(Debug)]
pub struct FileUsers(ArcSwap<HashMap<String, Arc<User>>>);

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
    password: WrittenHash,
    #[serde(default)]
    roles: Vec<String>,
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
        self.0.load().len()
    }

    pub(super) fn find(&self, username: &str) -> Option<Arc<User>> {
        self.0.load().get(username).cloned()
    }
}

fn read(path: &str, text: &str) -> Result<HashMap<String, Arc<User>>, Problem> {
    if text.trim().is_empty() {
        // Half-written files are empty at first, and nobody means to lock everybody out by one.
        let problem = Problem::new(path, None, "the file is empty");
        return Err(problem.help("write `users: {}` if there are to be no users"));
    }
    let written: Written =
        serde_saphyr::from_str(text).map_err(|error| Problem::yaml(path, &error))?;
    let mut holders: HashMap<String, String> = HashMap::new();
    let mut users = HashMap::new();
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
        let user = User {
            id,
            username: username.clone(),
            password: written.password.0,
            roles: written.roles,
            organization: written.organization.map(|id| id.0),
            enabled: written.enabled,
            claims: written.claims,
        };
        users.insert(username, Arc::new(user));
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::PasswordHash;

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
    fn users_are_read() {
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
    fn json_is_read_too() {
        let json = r#"{"users": {"admin": {"id": "1", "password": "$2y$", "roles": ["A"]}}}"#;
        let users = FileUsers::parse("users.json", json).unwrap();
        assert_eq!(users.find("admin").unwrap().id, "1");
    }

    #[test]
    fn a_wrong_text_changes_nothing() {
        let users = FileUsers::parse("users.yml", FILE).unwrap();
        users.replace("users.yml", "users: { admin: { id: } }").unwrap_err();
        users.replace("users.yml", "").unwrap_err();
        assert_eq!(users.count(), 2);
        users.replace("users.yml", "users: { other: { id: 3 } }").unwrap();
        assert_eq!(users.find("admin"), None);
        assert_eq!(users.find("other").unwrap().id, "3");
    }

    #[test]
    fn mistakes_are_located() {
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
        check("# nothing\n", "users.yml");
        check("", "the file is empty");
    }

    #[test]
    fn no_mistake_repeats_a_hash() {
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
