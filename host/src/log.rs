//! Logging to stderr: filter, rate limit, format and writer thread.
//!
//! The path of an event: `RUST_LOG` filters it, [`rate_limit`] bounds the number of events of each
//! kind, [`mod@format`] escapes untrusted text and formats the line, and [`sink`] writes it on a
//! thread of its own. [`mod@scope`] has the connection that a line is about. [`mod@plugin_log`] keeps the last lines of plugins. Every client can cause events: a flood must neither fill the disk nor hide
//! other lines, and a log that cannot be written must not block the server.
//!
//! Called by `cli::serve`. See decision 26.

pub(crate) mod backoff;
pub(crate) mod capture;
mod format;
mod plugin_log;
mod rate_limit;
mod scope;
mod sink;

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};

use jackfield_config::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use format::Format;
pub(crate) use plugin_log::{PluginLine, PluginLog};
use rate_limit::RateLimit;
pub(crate) use scope::{ConnectionScope, NamedListener};
use sink::{Queue, Sink};

/// The target of events whose message is a diagnosis of several lines. Their line breaks are kept,
/// as quoted text in them is already escaped, and they are not rate-limited.
pub(crate) const DIAGNOSIS: &str = "jackfield::diagnosis";

/// The target of the lines that say who has changed what of the running server. They are not
/// rate-limited: the operator alone can cause them, and an audit has no gaps.
pub(crate) const AUDIT: &str = "jackfield::audit";

/// The target of log lines of plugins, which the sandbox limits for each plugin.
const PLUGIN: &str = "jackfield::plugin";

/// Fields whose values are made by [`list`]; the JSON format writes them as arrays.
const LISTS: &[&str] = &["realms", "tokens"];

/// Formats a list of strings as the value of one of the fields [`LISTS`].
pub(crate) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> impl fmt::Debug {
    struct Shown(String);
    impl fmt::Debug for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }
    let texts = texts.into_iter().map(|text| serde_json::Value::from(text.as_ref()));
    Shown(serde_json::Value::Array(texts.collect()).to_string())
}

/// Keeps the log open; dropping it writes the queued lines, with a time limit.
#[must_use = "the log ends when this is dropped"]
pub(crate) struct Guard {
    _sink: Sink,
    plugin_log: PluginLog,
}

impl Guard {
    /// The last lines of plugins.
    pub(crate) fn plugin_log(&self) -> PluginLog {
        self.plugin_log.clone()
    }
}

/// The queue of the log, for [`flush`].
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Writes the queued lines, with a time limit: before the process ends without dropping its [`Guard`].
pub(crate) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush_lines();
    }
}

/// The person who reads the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Of a server: every line has the time, the level and the place.
    Operator,
    /// Of a plugin: a line of the plugin is its name and the message.
    Author,
}

/// The events `cluster.…` say what the client of NATS reports, with fewer lines while a server is away.
const DEFAULT_FILTER: &str = "info,async_nats=off";

/// Starts the log. `RUST_LOG` sets the filter; the default is the level INFO.
///
/// # Errors
/// When the process has a log already.
pub(crate) fn start(format: LogFormat, reader: Reader) -> Result<Guard, TryInitError> {
    let format = match format {
        LogFormat::Text => Format::Text { colors: io::stderr().is_terminal(), reader },
        LogFormat::Json => Format::Json,
    };
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    jackfield_sandbox::set_log_context(ConnectionScope::carried);
    let limit = Arc::new(RateLimit::default());
    let sink = Sink::start(io::stderr(), format, Arc::clone(&limit));
    // A process has one log, so this is the first.
    let _first = QUEUE.set(sink.writer()).is_ok();
    let lines = tracing_subscriber::fmt::layer().with_writer(sink.writer());
    let plugin_log = PluginLog::default();
    let registry = tracing_subscriber::registry().with(filter).with(rate_limit::Filter(limit));
    let registry = registry.with(plugin_log.clone());
    match format {
        Format::Text { colors, .. } => {
            registry.with(lines.with_ansi(colors).event_format(format)).try_init()?;
        }
        Format::Json => registry.with(lines.json().event_format(format)).try_init()?,
    }
    Ok(Guard { _sink: sink, plugin_log })
}
