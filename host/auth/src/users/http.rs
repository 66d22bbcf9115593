//! Users behind an address of the application's.
//!
//! It is asked with GET, the name percent-encoded in the place of `{username}`, and answers 404
//! for a name that it does not know, or 200 with
//!
//! ```json
//! { "id": 7, "username": "admin", "password": "$2y$13$…", "roles": ["ROLE_ADMINISTRATOR"],
//!   "organization": 1, "enabled": true, "claims": { "locale": "en" } }
//! ```
//!
//! of which only `id` has to be there; `password` is the hash as it is stored, without which no
//! ticket of that user is good. Any other response, and none, is an error: a user
//! that is not in the cache is refused then. Concurrent clients of one user share one request.

mod cache;
mod request;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::HttpSettings;
use crate::error::SetupError;
use crate::user::User;

use super::{Anew, UsersError};
use cache::Cache;
use request::Asker;

/// How many names are asked for at a time, waiting for their turn included. Each is some hundred
/// bytes and one waiting task; beyond, clients are better off coming back later.
const MAX_FLIGHTS: usize = 1_024;
/// How long the application is left alone after it could not be asked. So a storm of clients does
/// not become a storm of attempts, and users who are remembered come in without waiting.
const PAUSE: Duration = Duration::from_secs(1);
/// What is younger than this is not asked for anew because of a digest that did not fit, so that
/// made-up tickets do not become questions.
const YOUNG: Duration = Duration::from_secs(5);

/// Users behind an address of the application's.
#[derive(Debug)]
pub struct HttpUsers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    settings: HttpSettings,
    /// One permit for each request under way.
    requests: Semaphore,
    /// A std mutex: nothing is awaited and nothing else is locked while it is held.
    state: Mutex<State>,
}

type Outcome = Result<Option<Arc<User>>, UsersError>;

#[derive(Debug)]
struct State {
    known: Cache<Arc<User>>,
    /// A cache of its own, so that invented names evict no user.
    unknown: Cache<()>,
    /// The questions that are being asked.
    flights: HashMap<String, watch::Receiver<Option<Outcome>>>,
    /// What the last question failed of, and until when no other is asked.
    down: Option<(UsersError, Instant)>,
}

/// What to do about a name.
enum Next {
    Answer(Outcome),
    Wait(watch::Receiver<Option<Outcome>>),
}

impl HttpUsers {
    /// Users that are asked for by these settings. Asks for nothing yet.
    ///
    /// # Errors
    /// When the address or the token is not what it has to be.
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

    pub(super) async fn find_anew(&self, username: &str) -> Result<Anew, UsersError> {
        let learned = self.0.state().known.get(username).map(|(_, learned)| learned);
        if learned.is_some_and(|learned| learned.elapsed() < YOUNG) {
            return Ok(Anew::Same);
        }
        self.ask(username).await.map(Anew::Now)
    }

    /// Asks the application, or waits for who is asking already.
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
        // The asking task has ended without an answer, which happens only when the server ends.
        self.0.state().flights.remove(username);
        Err(self.0.asker.unreachable("the question was given up".to_owned()))
    }

    fn next(&self, username: &str) -> Next {
        let mut state = self.0.state();
        if let Some(flight) = state.flights.get(username) {
            return Next::Wait(flight.clone());
        }
        if let Some((error, until)) = &state.down
            && Instant::now() < *until
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
        // A task of its own, since the first client may disconnect before the answer.
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

    /// What is remembered of this name and is new enough.
    fn remembered(&self, username: &str) -> Option<Outcome> {
        let state = self.state();
        if let Some((user, learned)) = state.known.get(username)
            && learned.elapsed() < self.settings.cache.get()
        {
            return Some(Ok(Some(user)));
        }
        let ((), learned) = state.unknown.get(username)?;
        (learned.elapsed() < self.settings.unknown_cache.get()).then_some(Ok(None))
    }

    /// Who is remembered of this name and is new enough for when the application cannot be asked.
    fn in_grace(&self, username: &str) -> Option<Arc<User>> {
        let (user, learned) = self.state().known.get(username)?;
        let most = self.settings.cache.get() + self.settings.grace.get();
        (learned.elapsed() < most).then_some(user)
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
        let now = Instant::now();
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
            // It answers, if only nonsense about this one.
            Err(UsersError::Answer { .. } | UsersError::Busy { .. }) => state.down = None,
        }
        let is_down = state.down.is_some();
        drop(state);
        match outcome {
            Err(error) if is_down && !was_down => {
                warn!("{error}; users who are remembered come in for {}", self.settings.grace);
            }
            _ if was_down && !is_down => {
                info!("the users at {} can be asked again", self.asker.place());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
