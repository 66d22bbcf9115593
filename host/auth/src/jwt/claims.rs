//! Which claims say who it is. Issuers call them by many names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::{Authenticated, Method};

use super::JwtError;

/// Which claims say who it is. Each is the name of a claim or, where no claim has that name, a
/// path with dots, such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    /// What the application calls the user: text or a whole number. A token has to have it.
    pub id: String,
    /// The user's name; where a token has none, it is the id.
    pub username: String,
    /// What the user may be: a list of texts, or one text with commas or spaces between them.
    pub roles: String,
    /// The organization that the user works for: text or a whole number.
    pub organization: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            id: "sub".to_owned(),
            username: "preferred_username".to_owned(),
            roles: "roles".to_owned(),
            organization: "organization".to_owned(),
        }
    }
}

impl ClaimNames {
    /// Who it is by these claims. What is not used here stays in [`Authenticated::claims`].
    pub(super) fn identity(
        &self,
        mut claims: Map<String, Value>,
    ) -> Result<Authenticated, JwtError> {
        let id = text(&claims, &self.id)?.ok_or_else(|| wrong(&self.id, "is missing"))?;
        let username = text(&claims, &self.username)?.unwrap_or_else(|| id.clone());
        let roles = roles(&claims, &self.roles)?;
        let organization = text(&claims, &self.organization)?;
        for used in [&self.id, &self.username, &self.roles, &self.organization] {
            claims.shift_remove(used);
        }
        Ok(Authenticated {
            id: Some(id),
            username,
            roles,
            organization,
            method: Method::Jwt,
            claims,
        })
    }
}

fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = claims.get(name).or_else(|| {
        let mut path = name.split('.');
        let first = claims.get(path.next()?)?;
        path.try_fold(first, |value, key| value.get(key))
    });
    found.filter(|value| !value.is_null())
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, JwtError> {
    match find(claims, name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => {
            Ok(Some(number.to_string()))
        }
        Some(_) => Err(wrong(name, "is neither text nor a whole number")),
    }
}

fn roles(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, JwtError> {
    let not_text = || wrong(name, "is neither a list of texts nor a text");
    match find(claims, name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => {
            let roles = text.split([',', ' ']).filter(|role| !role.is_empty());
            Ok(roles.map(str::to_owned).collect())
        }
        Some(Value::Array(list)) => {
            list.iter().map(|role| role.as_str().map(str::to_owned).ok_or_else(not_text)).collect()
        }
        Some(_) => Err(not_text()),
    }
}

fn wrong(claim: &str, wrong: &'static str) -> JwtError {
    JwtError::Claim { claim: claim.to_owned(), wrong }
}
