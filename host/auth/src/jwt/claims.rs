//! Identity claims of tokens, with configurable names.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::basis::Basis;
use crate::identity::{Authenticated, Method};

use super::JwtError;

/// Names of identity claims. Each is the name of a claim or, if no claim has that name, a path with
/// dots such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    /// The user's id: text or an integer. Required.
    pub id: String,
    /// The user's name; if a token has none, its id.
    pub username: String,
    /// The user's roles: a list of texts, or one text separated by commas or spaces.
    pub roles: String,
    /// The user's organization: text or an integer.
    pub organization: String,
}

/// No valid name has control characters; in a log or a terminal they could forge other output.
const HAS_CONTROL: &str = "has control characters";

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
    /// Returns the client's identity. Other claims are kept in [`Authenticated::claims`].
    pub(super) fn identity(
        &self,
        mut claims: Map<String, Value>,
        basis: Basis,
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
            expires: None,
            basis,
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
        Some(Value::String(text)) if text.contains(char::is_control) => {
            Err(wrong(name, HAS_CONTROL))
        }
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => {
            Ok(Some(number.to_string()))
        }
        Some(_) => Err(wrong(name, "is neither text nor a whole number")),
    }
}

fn roles(claims: &Map<String, Value>, name: &str) -> Result<Vec<String>, JwtError> {
    let not_text = || wrong(name, "is neither a list of texts nor a text");
    let text = |role: &Value| role.as_str().map(str::to_owned).ok_or_else(not_text);
    let roles: Vec<String> = match find(claims, name) {
        None => Vec::new(),
        Some(Value::String(text)) => {
            let roles = text.split([',', ' ']).filter(|role| !role.is_empty());
            roles.map(str::to_owned).collect()
        }
        Some(Value::Array(list)) => list.iter().map(text).collect::<Result<_, _>>()?,
        // A list as PHP writes it after the removal of an element.
        Some(Value::Object(list)) => list.values().map(text).collect::<Result<_, _>>()?,
        Some(_) => return Err(not_text()),
    };
    if roles.iter().any(|role| role.contains(char::is_control)) {
        return Err(wrong(name, HAS_CONTROL));
    }
    Ok(roles)
}

fn wrong(claim: &str, wrong: &'static str) -> JwtError {
    JwtError::Claim { claim: claim.to_owned(), wrong }
}
