//! Second judgement of an authenticated client, after its users, keys or settings have changed.

use crate::basis::{Basis, Fingerprint};
use crate::open::Auth;
use crate::users::UsersError;

impl Auth {
    /// Returns whether a client would still be authenticated with the same identity, except for the
    /// age of its credential. Users over HTTP are asked without the cache.
    ///
    /// # Errors
    /// If the source of users cannot answer.
    pub async fn still_admits(&self, basis: &Basis) -> Result<bool, UsersError> {
        match basis {
            // Listeners keep their settings until the next start.
            Basis::Certificate => Ok(true),
            // A plugin says beforehand how long its answer holds; another one does not know of it.
            Basis::Plugin { authenticator } => {
                Ok(self.authenticator.as_deref() == Some(&**authenticator))
            }
            Basis::Ticket { secret, user, roles } => {
                let Some((tickets, users)) = &self.tickets else { return Ok(false) };
                if tickets.fingerprint() != *secret {
                    return Ok(false);
                }
                match user {
                    None => Ok(tickets.anonymous_roles() == Some(roles)),
                    Some((name, fingerprint)) => {
                        let found = users.find_now(name).await?;
                        Ok(found.is_some_and(|it| Fingerprint::of_user(&it) == *fingerprint))
                    }
                }
            }
            Basis::Principal { name, fingerprint } => {
                let principals = self.principals.as_ref();
                Ok(principals.is_some_and(|it| it.still_has(name, *fingerprint)))
            }
            Basis::Token { key, rules } => {
                let Some(jwt) = &self.jwt else { return Ok(false) };
                Ok(jwt.has_key(*key) && jwt.rules().admit_all_of(rules))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_of_a_plugin_stays_while_the_plugin_is_the_authenticator() {
        let basis = Basis::Plugin { authenticator: "acme.login".into() };
        for (authenticator, stays) in
            [(Some("acme.login"), true), (Some("acme.other"), false), (None, false)]
        {
            let auth = Auth {
                tickets: None,
                jwt: None,
                principals: None,
                authenticator: authenticator.map(str::to_owned),
            };
            assert_eq!(auth.still_admits(&basis).await.unwrap(), stays, "{authenticator:?}");
        }
    }
}
