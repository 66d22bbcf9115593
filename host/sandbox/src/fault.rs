//! Faults of calls: the host refuses the request; the operator reads the details.

use std::fmt;
use std::time::{Duration, Instant};

use jackfield_text::Untrusted;

use crate::byte_size::byte_size;
use crate::engine::address_space;
use crate::manifest::Hook;

/// A failed call. Its effects are dropped, its writes to the store are rolled back, and the next
/// call gets a fresh instance.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Fault {
    /// The plugin's name, or its file before it is described.
    pub plugin: String,
    /// The function called. Boxed, so that results stay small.
    pub call_site: Box<CallSite>,
    /// The kind of fault.
    pub kind: FaultKind,
    /// The plugin's functions, the innermost first, in one line; only for faults while its code
    /// ran.
    pub backtrace: Option<String>,
    /// The message of a panic, or else the end of stderr, in one line.
    pub stderr: Option<String>,
}

/// A function of the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallSite {
    /// `describe`, or a start function.
    Describe,
    /// `configure` of a route.
    Configure {
        /// The route's handler.
        handler: String,
        /// The name of the route.
        route: String,
    },
    /// A hook.
    Hook {
        /// The hook.
        hook: Hook,
        /// The handler that the route names.
        handler: String,
        /// The topic.
        topic: String,
    },
}

/// A kind of fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The plugin's code trapped; the text is the engine's.
    #[error("trapped: {}", Untrusted::new(.0))]
    Trap(String),
    /// The plugin ended its process.
    #[error("called exit with code {0}")]
    Exit(i32),
    /// The call took longer than the limit.
    #[error("did not return within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The plugin exceeded its memory limit, in bytes.
    #[error("needs more than its {0} bytes of memory")]
    Memory(usize),
    /// All instances together exceed the memory limit, in bytes.
    #[error(
        "needs more memory than is left of what all plugins together may hold \
         (plugins.instance_memory = {size})", size = byte_size(*.0)
    )]
    InstanceMemory(usize),
    /// The operating system refused memory.
    #[error("cannot be given memory by the operating system: {0}")]
    HostMemory(String),
    /// Answer and effects exceed the output limit, in bytes.
    #[error("gave more than its {0} bytes of output")]
    Output(usize),
    /// The effects exceed their limit.
    #[error("gave more than its {0} effects")]
    Effects(usize),
    /// The answer or an effect is invalid; the text has the reason.
    #[error("gave a bad answer: {}", Untrusted::new(.0))]
    BadAnswer(String),
    /// The plugin called a denied function that cannot return an error.
    #[error("called {0}, which plugins are not given: there is no network")]
    Denied(String),
    /// No fresh instance could be made after an earlier fault.
    #[error("cannot be restarted: {}", Untrusted::new(.0))]
    Restart(String),
    /// A circuit of the handler is open.
    #[error("is not called for {scope} after repeated faults")]
    CircuitOpen {
        /// When it is called again.
        until: Instant,
        /// The calls that are refused.
        scope: CircuitScope,
    },
    /// The call got no turn within this time, beside other slow calls.
    #[error("got no turn within {} s beside other slow calls", .0.as_secs())]
    Busy(Duration),
    /// What the call saw in the store cannot be saved, and is undone; the text has the reason.
    #[error("is not called, or has no effect, as its store cannot be saved: {}", Untrusted::new(.0))]
    StoreFailed(String),
    /// The plugin has no handler of this name.
    #[error("has no such handler")]
    UnknownHandler,
    /// The lane was not started for this route.
    #[error("was not configured for this route")]
    UnknownRoute,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}, {}: {}", Untrusted::new(&self.plugin), self.call_site, self.kind)?;
        match &self.stderr {
            Some(text) => write!(f, " ({})", Untrusted::new(text)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Describe => f.write_str("describe"),
            Self::Configure { handler, route } => {
                let (handler, route) = (Untrusted::new(handler), Untrusted::new(route));
                write!(f, "configure of handler {handler} for route {route}")
            }
            Self::Hook { hook, handler, topic } => {
                let (handler, topic) = (Untrusted::new(handler), Untrusted::new(topic));
                write!(f, "{hook} of handler {handler} for topic {topic}")
            }
        }
    }
}

/// The calls that a circuit breaker refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitScope {
    /// Calls of the client, for its own faults.
    Client,
    /// All calls about the topic.
    Topic,
    /// All calls of the handler.
    Handler,
}

impl fmt::Display for CircuitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "this client",
            Self::Topic => "this topic",
            Self::Handler => "any client",
        })
    }
}

impl FaultKind {
    /// [`FaultKind::HostMemory`] with the likely cause.
    pub(crate) fn host_memory(error: &wasmtime::Error) -> Self {
        let cause = error.root_cause();
        Self::HostMemory(match address_space() {
            Some(limit) => format!(
                "{cause}; the address space of the server's process is limited to {} \
                 (`ulimit -v`), raise that limit or have fewer plugins",
                byte_size(usize::try_from(limit).unwrap_or(usize::MAX))
            ),
            None => format!("{cause}"),
        })
    }

    /// A short name of the kind, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Exit(_) => "exit",
            Self::Deadline(_) => "deadline",
            Self::Memory(_) => "memory",
            Self::InstanceMemory(_) => "instance_memory",
            Self::HostMemory(_) => "host_memory",
            Self::Output(_) => "output",
            Self::Effects(_) => "effects",
            Self::BadAnswer(_) => "bad_answer",
            Self::Denied(_) => "denied",
            Self::Restart(_) => "restart",
            Self::CircuitOpen { .. } => "on_hold",
            Self::Busy(_) => "busy",
            Self::StoreFailed(_) => "store_failed",
            Self::UnknownHandler => "unknown_handler",
            Self::UnknownRoute => "unknown_route",
        }
    }
}
