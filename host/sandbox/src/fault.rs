//! What went wrong in a call. A fault is the host's reason to refuse; it says nothing to clients
//! by itself, and everything to the operator.

use std::fmt;
use std::time::{Duration, Instant};

use jackfield_text::Untrusted;

use crate::compile::size;
use crate::engine::address_space;
use crate::manifest::Hook;

/// A call that failed. Its effects are dropped, what it wrote to the store is taken back, and the
/// next call meets a fresh instance.
///
/// `Display` gives one line without the backtrace.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Fault {
    /// The name of the plugin, or its file while it has not been described.
    pub plugin: String,
    /// What was called. Boxed, so that results stay small.
    pub call_site: Box<CallSite>,
    /// What went wrong.
    pub kind: FaultKind,
    /// Where in the plugin, the innermost function first, in one line; only for what went wrong
    /// while its code ran.
    pub backtrace: Option<String>,
    /// The message of a panic, or else the end of what the call wrote to stderr, in one line.
    pub stderr: Option<String>,
}

/// Which function of the plugin was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallSite {
    /// `describe`, or what a component runs when it is instantiated.
    Describe,
    /// `configure`, for this route.
    Configure {
        /// The handler that the route names.
        handler: String,
        /// The name of the route.
        route: String,
    },
    /// A hook.
    Hook {
        /// Which one.
        hook: Hook,
        /// The handler that the route names.
        handler: String,
        /// The topic it was about.
        topic: String,
    },
}

/// What went wrong in a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The plugin's code failed; the text is the runtime's.
    #[error("trapped: {}", Untrusted::new(.0))]
    Trap(String),
    /// The plugin ended its process.
    #[error("called exit with code {0}")]
    Exit(i32),
    /// The call took longer than the limit.
    #[error("did not return within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The plugin wanted more memory than the limit, in bytes, and failed without it.
    #[error("needs more than its {0} bytes of memory")]
    Memory(usize),
    /// All instances of all plugins together would hold more memory than the limit, in bytes.
    #[error(
        "needs more memory than is left of what all plugins together may hold \
         (plugins.instance_memory = {size})", size = size(*.0)
    )]
    InstanceMemory(usize),
    /// The operating system gave the server no memory for the plugin.
    #[error("cannot be given memory by the operating system: {0}")]
    HostMemory(String),
    /// The answer and the effects together are larger than the limit, in bytes.
    #[error("gave more than its {0} bytes of output")]
    Output(usize),
    /// There were more effects than the limit.
    #[error("gave more than its {0} effects")]
    Effects(usize),
    /// The answer or an effect is not what the contract asks for; the text says how.
    #[error("gave a bad answer: {}", Untrusted::new(.0))]
    BadAnswer(String),
    /// The plugin called something that plugins are not given, and that cannot answer "no"; the text
    /// names it.
    #[error("called {0}, which plugins are not given: there is no network")]
    Denied(String),
    /// No fresh instance could be made after an earlier fault.
    #[error("cannot be restarted: {}", Untrusted::new(.0))]
    Restart(String),
    /// The handler failed so often that it is not called for a while.
    #[error("is not called for {scope} after repeated faults")]
    OnHold {
        /// When it is called again.
        until: Instant,
        /// The calls that are refused.
        scope: HoldScope,
    },
    /// The call got no turn within this time, beside other slow calls.
    #[error("got no turn within {} s beside other slow calls", .0.as_secs())]
    Busy(Duration),
    /// The plugin offers no handler of this name.
    #[error("has no such handler")]
    UnknownHandler,
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
pub enum HoldScope {
    /// Calls of the client, for its own faults.
    Client,
    /// All calls about the topic.
    Topic,
    /// All calls of the handler.
    Handler,
}

impl fmt::Display for HoldScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "this client",
            Self::Topic => "this topic",
            Self::Handler => "any client",
        })
    }
}

impl FaultKind {
    /// Says why the operating system has no memory, where that is known.
    pub(crate) fn host_memory(error: &wasmtime::Error) -> Self {
        let cause = error.root_cause();
        Self::HostMemory(match address_space() {
            Some(limit) => format!(
                "{cause}; the address space of the server's process is limited to {} \
                 (`ulimit -v`), raise that limit or have fewer plugins",
                size(usize::try_from(limit).unwrap_or(usize::MAX))
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
            Self::OnHold { .. } => "on_hold",
            Self::Busy(_) => "busy",
            Self::UnknownHandler => "unknown_handler",
        }
    }
}
