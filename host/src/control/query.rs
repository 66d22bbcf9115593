//! Query of a request: its parameters, each at most once.

use std::borrow::Cow;

use jackfield_wamp::id::SessionId;

use super::problem::Problem;

/// The parameters of a query, each at most once.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<_> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        for (number, (key, _)) in pairs.iter().enumerate() {
            let is_double = pairs.iter().take(number).any(|(other, _)| other == key);
            if is_double || !known.contains(&&**key) {
                return Err(Problem::invalid(match known {
                    [] => "this endpoint takes no query".to_owned(),
                    known => {
                        let known = known.join("`, `");
                        format!("the query has the keys `{known}`, each at most once")
                    }
                }));
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    pub(super) fn plugin(&self) -> &str {
        self.get("plugin").unwrap_or_default()
    }

    pub(super) fn is_set(&self, key: &str) -> Result<bool, Problem> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(format!("`{key}` is `true` or `false`"))),
        }
    }

    /// The number of entries that are asked for.
    pub(super) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        match self.get("limit").map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::invalid(format!("`limit` is a number, 1 to {max}"))),
        }
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let invalid = |_error| Problem::invalid(format!("`{key}` is a number"));
        text.parse().map(Some).map_err(invalid)
    }

    /// The id of a session.
    pub(super) fn session(&self, key: &str) -> Result<Option<SessionId>, Problem> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let id = text.parse().ok().and_then(SessionId::new);
        let invalid = || Problem::invalid(format!("`{key}` is the id of a session, a number"));
        id.map(Some).ok_or_else(invalid)
    }
}
