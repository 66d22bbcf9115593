//! HTTP API: publishing and calling for backends that have no WebSocket, by `POST /api/publish` and
//! `POST /api/call`; and reading histories, by `GET /api/topics/…`.
//!
//! Both are handled as a client's PUBLISH and CALL ([`crate::dispatch`]): route, `allow`, the
//! handler's hook. Called by [`crate::http`]. [`tokens`] authenticates; [`publish`] and [`call`]
//! read the request, in JSON ([`body`]); [`idempotency`] answers a repeated request without
//! handling it again; [`problem`] has the errors.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Method, Request};
use jackfield_config::{Config, Limits, OpenToken};
use jackfield_otlp::Parent;
use jackfield_text::Untrusted;
use jackfield_wamp::error_uri;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::http::response::Answer;
use crate::realms::Realms;
use crate::shutdown::Shutdown;
use crate::trace;
use crate::transport::ConnectionTotals;

mod body;
mod call;
mod idempotency;
mod problem;
mod publish;
mod tokens;
mod topics;

use idempotency::{Claim, Repeats};
use problem::Problem;
pub(crate) use tokens::session_without_connection;
use tokens::{Token, Tokens};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// W3C Trace Context, section 3.2.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header of a repeated answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The maximum size of a client's text in a log line.
const MAX_LOGGED_BYTES: usize = 128;

/// The maximum size of an idempotency key.
const MAX_KEY_BYTES: usize = 255;

/// The API of a server with tokens.
pub(crate) struct Api {
    tokens: Tokens,
    repeats: Arc<Repeats>,
    /// Each handled request has a permit, which bounds the memory of bodies.
    places: Arc<Semaphore>,
    max_requests: usize,
    context: Arc<Context>,
    shutdown: Arc<Shutdown>,
    body: usize,
    body_timeout: Duration,
}

/// The parts that a request of the API may reach, and its limits.
pub(crate) struct Context {
    pub(crate) realms: Arc<Realms>,
    /// The memory of all connections together: bodies count as messages that wait for handlers.
    pub(crate) totals: Arc<ConnectionTotals>,
    /// The maximum nesting of lists and dictionaries in a payload.
    pub(crate) depth: usize,
    /// The maximum time for which an answer waits for slow subscribers.
    pub(crate) publisher_delay: Duration,
    /// The maximum number of publications in one request.
    pub(crate) batch: usize,
}

impl Api {
    /// Creates the API. `None` without tokens.
    ///
    /// # Errors
    /// When the operating system cannot provide random bytes.
    pub(crate) fn new(
        tokens: Vec<OpenToken>,
        config: &Config,
        realms: Arc<Realms>,
        totals: Arc<ConnectionTotals>,
        shutdown: Arc<Shutdown>,
    ) -> Result<Option<Self>, getrandom::Error> {
        if tokens.is_empty() {
            return Ok(None);
        }
        let jackfield_config::Api { body, batch, requests, body_timeout, .. } = config.api;
        let Limits { depth, publisher_delay, outbox, .. } = config.limits;
        Ok(Some(Self {
            tokens: Tokens::new(tokens, outbox)?,
            repeats: Arc::default(),
            places: Arc::new(Semaphore::new(requests)),
            max_requests: requests,
            context: Arc::new(Context { realms, totals, depth, publisher_delay, batch }),
            shutdown,
            body,
            body_timeout,
        }))
    }

    /// Takes the place of another API: repeated requests are still known, and the requests of both are
    /// counted together.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        self.repeats = Arc::clone(&before.repeats);
        if self.max_requests == before.max_requests {
            self.places = Arc::clone(&before.places);
        }
        self
    }

    /// Returns the names of all tokens.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tokens.names().map(str::to_owned).collect()
    }
}

/// Answers a request below `/api/` if the configuration names no token.
pub(crate) fn switched_off() -> Answer {
    Problem::switched_off().answer()
}

/// Answers a request below `/api/` before the first generation.
pub(crate) fn starting() -> Answer {
    Problem::starting().answer()
}

impl Api {
    /// Answers a request below `/api/`.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let answer = match request.uri().path() {
            "/api/publish" => self.serve(Work::Publish, request).await,
            "/api/call" => self.serve(Work::Call, request).await,
            path if path.starts_with(topics::PREFIX) => self.read_topic(request).await,
            path => Err(Problem::not_found(path)),
        };
        answer.unwrap_or_else(Problem::answer)
    }

    async fn serve(&self, work: Work, request: Request<Incoming>) -> Result<Answer, Problem> {
        if request.method() != Method::POST {
            return Err(Problem::method_not_allowed());
        }
        let token = self.tokens.find(request.headers());
        let token = token.inspect_err(|problem| tell(problem, request.headers()))?;
        check_kind(request.headers())?;
        let key = repeat_key(request.headers())?;
        if self.shutdown.is_requested() {
            return Err(Problem::stopping());
        }
        // A body is not read while too much of its client waits for handlers. This precedes the
        // permit, so that other clients get the permits.
        let room = self.context.totals.room(token.session.client);
        timeout(self.body_timeout, room).await.map_err(|_elapsed| Problem::too_many_waiting())?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_full| Problem::too_many())?;
        let parent = parent_of(request.headers());
        let body = self.read(request).await?;
        let task = Task { context: Arc::clone(&self.context), token, work, body, place, parent };
        match key {
            Some(key) => self.once(key, task).await,
            // A separate task completes the request, even if its client stops waiting.
            None => tokio::spawn(task.run()).await.map_err(|_panic| Problem::failed()),
        }
    }

    async fn read_topic(&self, request: Request<Incoming>) -> Result<Answer, Problem> {
        if request.method() != Method::GET {
            return Err(Problem::use_get());
        }
        let token = self.tokens.find(request.headers());
        let token = token.inspect_err(|problem| tell(problem, request.headers()))?;
        // It has no body, but the answer may be long.
        let place = self.places.try_acquire();
        let _place = place.map_err(|_full| Problem::too_many())?;
        let uri = request.into_parts().0.uri;
        topics::answer(&self.context, &token, uri.path(), uri.query()).await
    }

    /// Handles a request once: a repeated one gets the first answer again.
    async fn once(&self, key: String, task: Task) -> Result<Answer, Problem> {
        let key = (task.token.name.clone(), key);
        let digest = Sha256::new_with_prefix([task.work as u8]).chain_update(&task.body);
        let digest = digest.finalize().into();
        match self.repeats.claim(&key, digest, Instant::now()) {
            Claim::New(number, answered) => {
                let repeats = Arc::clone(&self.repeats);
                let waiting = answered.subscribe();
                tokio::spawn(async move {
                    let answer = task.run().await;
                    repeats.settle(&key, number, &answer);
                    answered.send_replace(Some(answer));
                });
                wait(waiting).await
            }
            Claim::Again(answered) => Ok(wait(answered).await?.with(REPLAYED, "true")),
            Claim::Other => Err(Problem::key_reused()),
        }
    }

    /// Reads the whole body.
    async fn read(&self, request: Request<Incoming>) -> Result<Bytes, Problem> {
        let limit = self.body;
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if announced.and_then(|it| it.parse().ok()).is_some_and(|length: usize| length > limit) {
            return Err(Problem::too_large(limit));
        }
        let body = timeout(self.body_timeout, Limited::new(request, limit).collect()).await;
        match body {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
            Ok(Err(error)) => Err(Problem::unreadable(&error.to_string())),
            Err(_elapsed) => Err(Problem::too_slow(self.body_timeout)),
        }
    }
}

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
enum Work {
    Publish,
    Call,
}

/// An authorized request with its body.
struct Task {
    context: Arc<Context>,
    token: Arc<Token>,
    work: Work,
    body: Bytes,
    place: OwnedSemaphorePermit,
    /// The span of the client.
    parent: Option<Parent>,
}

impl Task {
    async fn run(self) -> Answer {
        let Self { context, token, work, body, place, parent } = self;
        let work = pin!(async {
            match work {
                Work::Publish => publish::publish(&context, &token, &body).await,
                Work::Call => call::call(&context, &token, &body).await,
            }
        });
        let work = context.totals.backlog.counted(token.session.client, body.len(), work);
        let answer = trace::within(parent, work).await;
        drop(place);
        answer.unwrap_or_else(Problem::answer)
    }
}

/// Logs an unknown token: a mistake, or a guess. The log has the address of the peer anyway; behind
/// a proxy, only the request has that of the client.
fn tell(problem: &Problem, headers: &HeaderMap) {
    if problem.is_wrong_token() {
        let forwarded = headers.get_all(FORWARDED_FOR).iter().next_back();
        let forwarded = forwarded.map_or_else(|| "none".to_owned(), |it| format!("{it:?}"));
        let forwarded_for = Untrusted::new(forwarded).at_most(MAX_LOGGED_BYTES);
        warn!(name: "api.unknown_token", %forwarded_for, "a request to the HTTP API is refused: its token is unknown");
    }
}

async fn wait(mut answered: watch::Receiver<Option<Answer>>) -> Result<Answer, Problem> {
    let answer = answered.wait_for(Option::is_some).await.map_err(|_gone| Problem::failed())?;
    answer.clone().ok_or_else(Problem::failed)
}

/// Checks that the body is JSON without compression.
fn check_kind(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") && !headers.contains_key(CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(Problem::unsupported(kind))
    }
}

/// Returns the span of the client, if it names one.
fn parent_of(headers: &HeaderMap) -> Option<Parent> {
    Parent::parse(headers.get(TRACE_PARENT)?.to_str().ok()?)
}

/// Returns the idempotency key, if the client sent one.
fn repeat_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let message = format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} ASCII characters");
            Err(Problem::bad_request(error_uri::INVALID_ARGUMENT, message))
        }
    }
}
