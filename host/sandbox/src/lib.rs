//! Sandbox for plugins: runs WebAssembly components.
//!
//! The only crate that names wasmtime. It knows nothing of sockets, WAMP messages, subscriptions or
//! routing files: the host calls a hook, and gets the plugin's answer with a list of [`Effect`]s.
//!
//! In reading order:
//!
//! - [`Sandbox`], made once: engine, linker and stores. [`Sandbox::load`] turns bytes into a
//!   [`Plugin`] or a [`SandboxError`]; a child process compiles them, see [`CompileCommand`];
//! - [`Plugin::start`] makes [`Lanes`]: configured instances, each in a [`Lane`], which runs one
//!   call at a time;
//! - a [`Lane`]'s hooks take a [`HookRequest`] and return a [`HookOutcome`], or a [`Fault`], after
//!   which the lane gets a fresh instance;
//! - [`CallRecord`]: all that a call saw and did; [`Differences`] between two outcomes of a call;
//! - [`PluginPolicy`]: limits and grant of a plugin; [`Imports`]: the grant that it needs; [`Audience`]: queries of hooks to the broker.
//!
//! Inside: `interfaces` reads the version of the contract that a component was built for, `contract`
//! has the generated types of each version and `exports` the functions of a plugin of any version.
//! `compile` turns components into code within limits, `engine` is the configuration shared with the
//! compiler, `plugin_runtime` makes instances, `instance` runs calls and classifies
//! faults, `host_state` is the host's side of one instance, `imports` and `wasi` are the functions
//! that plugins can call, `denied` those that always refuse, `outgoing` has effects with an answer and requests that wait, `store` keeps state, `ticker`
//! interrupts calls, `cpu` schedules slow calls, `scheduling` has the priorities of threads, `circuit_breaker` refuses calls that keep failing,
//! `handler_metrics` counts, and `log_rate_limit` bounds log lines.

mod access;
mod answer_matcher;
mod audience;
mod authentication;
mod backtrace;
mod byte_size;
mod call_record;
mod circuit_breaker;
mod compile;
mod component;
mod console;
mod contract;
mod cpu;
mod current_request;
mod denied;
mod difference;
mod effect;
mod engine;
mod error;
mod event;
mod exports;
mod fault;
mod fetch_record;
mod handler_metrics;
mod host_state;
mod imports;
mod instance;
mod interfaces;
mod lane;
mod log_rate_limit;
mod manifest;
mod memory;
mod observer;
mod outcome;
mod outgoing;
mod plugin;
mod plugin_runtime;
mod policy;
mod probe;
mod refusal;
mod request;
mod route_config;
mod sandbox;
mod scheduling;
mod slow_threads;
mod spin_mutex;
mod stderr_tail;
mod store;
mod store_value;
mod ticker;
mod verdict;
mod wasi;

pub use audience::{Audience, NoSubscribers, RealmId};

pub use access::{
    AccessAction, AccessAttempt, AccessDecision, AccessOptions, AccessPermission, AccessPolicy,
    Keep, KeepFor,
};
pub use answer_matcher::AnswerMatcher;
pub use authentication::{AuthenticationAttempt, AuthenticationMethod, PluginPrincipal};
pub use call_record::{
    Acceptance, AnswerContent, CallCost, CallInput, CallOutcome, CallRecord, CallerRecord,
    EffectAnswer, EffectsAccepted, FaultRecord, HookAnswer, HostAnswers, ListedRange,
    PluginVersion, StoreSeen, StoreWrite,
};
pub use circuit_breaker::{CircuitState, CircuitStatus};
pub use compile::{CompileCommand, CompileLimits, CompileTask, Compiling, run_compile_task};
pub use difference::{Difference, Differences, MAX_DIFFERENCES};
pub use effect::Effect;
pub use error::SandboxError;
pub use event::PluginEvent;
pub use fault::{CallSite, CircuitScope, Fault, FaultKind};
pub use fetch_record::{FetchRecord, FetchedResponse};
pub use handler_metrics::{HandlerCounts, SandboxMetrics};
pub use interfaces::Imports;
pub use lane::{Lane, Lanes};
pub use manifest::{Authentication, HandlerDescription, Hook, Hooks, Manifest};
pub use memory::InstanceMemory;
pub use observer::{CallObserver, CallObservers, Observation};
pub use outcome::{HookOutcome, Passage};
pub use outgoing::ReplyTo;
pub use outgoing::call::{AllowedProcedures, OutgoingCall};
pub use outgoing::deferred::{Completion, Later};
pub use outgoing::origin::{AllowedOrigin, Host, HttpOrigin, Scheme};
pub use outgoing::policy::{CallPolicy, HttpPolicy, LaterPolicy, OutgoingPolicy};
pub use outgoing::request::{HttpError, HttpRequest, HttpResponse, OutgoingRequest};
pub use outgoing::sender::{HttpSender, PendingResponse};
pub use outgoing::tally::{OutgoingCount, OutgoingKind, Permit};
pub use plugin::Plugin;
pub use policy::{BreakerPolicy, Grant, Limits, LogRate, PluginPolicy, StateMode};
pub use probe::Replayed;
pub use refusal::{CallResult, HookRefusal};
pub use request::{Caller, HookRequest, LoginFrom};
pub use route_config::RouteConfig;
pub use sandbox::{Sandbox, SandboxSettings};
pub use slow_threads::{EnterLogContext, set_log_context};
pub use store::entry::{
    MAX_KEY_BYTES, MAX_VALUE_BYTES, StoreEntry, StoreFault, StoreImported, StorePage, StoreRange,
};
pub use store::history::LostMoment;
pub use store::moment::StoreMoment;
pub use store::plugin_store::PluginStore;
pub use store::plugin_stores::PluginStores;
pub use store::take_over::{TakeOverError, Taken};
pub use store_value::StoreValue;
pub use verdict::{CallAnswer, Delivery, PublishVerdict, SubscribeVerdict};
