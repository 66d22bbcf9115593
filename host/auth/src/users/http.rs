//! User source: an HTTP endpoint of the application.
//!
//! One GET request per user, with the percent-encoded name in place of `{username}`. The response
//! is 404 for an unknown name, or 200 with
//!
//! ```json
//! { "id": 7, "username": "admin", "password": "$2y$13$…", "roles": ["ROLE_ADMINISTRATOR"],
//!   "organization": 1, "enabled": true, "claims": { "locale": "en" } }
//! ```
//!
//! Only `id` is required. `password` is the stored hash; without it, all tickets of the user are
//! refused. Any other response, or none, is an error: a user that is not in the cache is refused
//! then. Concurrent lookups of one user share one request.

mod cache;
mod clock;
mod request;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use crate::config::HttpSettings;
use crate::error::SetupError;
use crate::user::User;

use super::{Refresh, UsersError};
use cache::Cache;
use clock::{age, now};
use request::Asker;

/// Maximum number of names looked up at a time, waiting ones included. Each takes some hundred
/// bytes and one waiting task; above it, clients had better retry later.
const MAX_FLIGHTS: usize = 1_024;
/// Circuit breaker: the pause of requests after an unreachable endpoint. It prevents a storm of
/// attempts, and cached users connect without waiting.
const PAUSE: Duration = Duration::from_secs(1);
/// Minimum age of a cached user before a wrong digest causes another request, so that forged
/// tickets cause none.
const YOUNG: Duration = Duration::from_secs(5);

/// Users behind an HTTP endpoint of the application.
#[derive(Debug)]
pub struct HttpUsers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    settings: HttpSettings,
    /// One permit for each active request.
    requests: Semaphore,
    /// A std mutex: nothing is awaited and nothing else is locked while it is held.
    state: Mutex<State>,
}

type Outcome = Result<Option<Arc<User>>, UsersError>;

#[derive(Debug)]
struct State {
    known: Cache<Arc<User>>,
    /// A separate cache, so that invented names evict no user.
    unknown: Cache<()>,
    /// The active lookups.
    flights: HashMap<String, watch::Receiver<Option<Outcome>>>,
    /// The error of the last request, and the end of the pause after it.
    down: Option<(UsersError, Instant)>,
}

/// Next step of a lookup.
enum Next {
    Answer(Outcome),
    Wait(watch::Receiver<Option<Outcome>>),
}

impl HttpUsers {
    /// Creates a user source. Sends no request yet.
    ///
    /// # Errors
    /// If the address or the token is invalid.
    pub fn new(settings: &HttpSettings) -> Result<Self, SetupError> {
        let state = State {
            known: Cache::new(settings.capacity),
            unknown: Cache::new(settings.capacity),
            flights: HashMap::new(),
            down: None,
        };
        let requests = settings.parallel.get().min(Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Inner {
            asker: Asker::new(settings)?,
            settings: settings.clone(),
            requests: Semaphore::new(requests),
            state: Mutex::new(state),
        })))
    }

    pub(super) async fn find(&self, username: &str) -> Outcome {
        if let Some(remembered) = self.0.remembered(username) {
            return remembered;
        }
        let outcome = self.ask(username).await;
        outcome.or_else(|error| self.0.in_grace(username).map(Some).ok_or(error))
    }

    pub(super) async fn refresh(&self, username: &str) -> Result<Refresh, UsersError> {
        let learned = self.0.state().known.get(username).map(|(_, learned)| learned);
        if learned.is_some_and(|learned| age(learned) < YOUNG) {
            return Ok(Refresh::Same);
        }
        self.ask(username).await.map(Refresh::Now)
    }

    /// Looks up a user in the application, or waits for a lookup that is active already.
    async fn ask(&self, username: &str) -> Outcome {
        let mut answer = match self.next(username) {
            Next::Answer(outcome) => return outcome,
            Next::Wait(answer) => answer,
        };
        if let Ok(outcome) = answer.wait_for(Option::is_some).await
            && let Some(outcome) = outcome.clone()
        {
            return outcome;
        }
        // The lookup ended without an answer, which happens only when the server stops.
        self.0.state().flights.remove(username);
        Err(self.0.asker.unreachable("the question was given up".to_owned()))
    }

    fn next(&self, username: &str) -> Next {
        let mut state = self.0.state();
        if let Some(flight) = state.flights.get(username) {
            return Next::Wait(flight.clone());
        }
        if let Some((error, until)) = &state.down
            && now() < *until
        {
            return Next::Answer(Err(error.clone()));
        }
        if state.flights.len() >= MAX_FLIGHTS {
            let (place, waiting) = (self.0.asker.place(), state.flights.len());
            return Next::Answer(Err(UsersError::Busy { place, waiting }));
        }
        let (sender, receiver) = watch::channel(None);
        state.flights.insert(username.to_owned(), receiver.clone());
        let inner = Arc::clone(&self.0);
        let username = username.to_owned();
        // A separate task, since the first client may disconnect before the response.
        tokio::spawn(async move {
            let outcome = inner.ask(&username).await;
            inner.learn(&username, &outcome);
            sender.send_replace(Some(outcome));
        });
        Next::Wait(receiver)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cached result, if it is fresh.
    fn remembered(&self, username: &str) -> Option<Outcome> {
        let state = self.state();
        if let Some((user, learned)) = state.known.get(username)
            && age(learned) < self.settings.cache.get()
        {
            return Some(Ok(Some(user)));
        }
        let ((), learned) = state.unknown.get(username)?;
        (age(learned) < self.settings.unknown_cache.get()).then_some(Ok(None))
    }

    /// Returns the cached user, if within the grace period for failed lookups.
    fn in_grace(&self, username: &str) -> Option<Arc<User>> {
        let (user, learned) = self.state().known.get(username)?;
        let most = self.settings.cache.get() + self.settings.grace.get();
        (age(learned) < most).then_some(user)
    }

    async fn ask(&self, username: &str) -> Outcome {
        let limit = self.settings.timeout.get();
        let asked = tokio::time::timeout(limit, async {
            let _permit = self.requests.acquire().await;
            self.asker.ask(username).await
        });
        let Ok(outcome) = asked.await else {
            let reason = format!("it took longer than {}", self.settings.timeout);
            return Err(self.asker.unreachable(reason));
        };
        outcome.map(|user| user.map(Arc::new))
    }

    fn learn(&self, username: &str, outcome: &Outcome) {
        let now = now();
        let mut state = self.state();
        state.flights.remove(username);
        let was_down = state.down.is_some();
        match outcome {
            Ok(Some(user)) => {
                state.unknown.remove(username);
                state.known.put(username, Arc::clone(user), now);
                state.down = None;
            }
            Ok(None) => {
                state.known.remove(username);
                state.unknown.put(username, (), now);
                state.down = None;
            }
            Err(error @ UsersError::Unreachable { .. }) => {
                state.down = Some((error.clone(), now + PAUSE));
            }
            // The endpoint is reachable, even if its response is invalid.
            Err(UsersError::Answer { .. } | UsersError::Busy { .. }) => state.down = None,
        }
        let is_down = state.down.is_some();
        drop(state);
        match outcome {
            Err(error) if is_down && !was_down => {
                warn!(name: "users.unavailable", "{error}; cached users are admitted for {}", self.settings.grace);
            }
            _ if was_down && !is_down => {
                info!(name: "users.available", "the users at {} can be asked again", self.asker.place());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
