//! The log: what reaches stderr while a site is served, in which form and how much of it.
//!
//! An event takes this way: `RUST_LOG` chooses it, [`rate_limit`] lets a bounded number of a kind
//! pass, [`mod@format`] escapes what others wrote and makes lines of it, and [`sink`] writes them on a
//! thread of its own. Anybody who can connect can cause events: a flood must neither fill the disk
//! nor hide other lines, and a log that cannot be written must stop nothing.
//!
//! Called by `cli::serve`. See decision 26.

pub(crate) mod backoff;
mod format;
mod rate_limit;
mod sink;

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use jackfield_config::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use format::Format;
use rate_limit::RateLimit;
use sink::Sink;

/// The target of events whose message is a diagnosis of several lines, made by us, with every
/// quotation in it escaped: its line breaks are kept, and each problem of a site is shown, however
/// many there are.
pub(crate) const DIAGNOSIS: &str = "jackfield::diagnosis";

/// The target of lines of plugins, which the sandbox counts for each plugin.
const PLUGIN: &str = "jackfield::plugin";

/// Fields whose values are lists, by [`list`]: in JSON they are lists, too.
const LISTS: &[&str] = &["realms", "tokens"];

/// A list of texts as the value of a field that is one of [`LISTS`].
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

/// Writes what waits when it is dropped, as far as it can be written in a moment.
#[must_use = "the log ends when this is dropped"]
pub(crate) struct Guard(#[expect(dead_code, reason = "it is dropped, that is all")] Sink);

/// Starts the log. `RUST_LOG` chooses what is logged; without it, what operators need to know.
///
/// # Errors
/// When the process has a log already.
pub(crate) fn start(format: LogFormat) -> Result<Guard, TryInitError> {
    let format = match format {
        LogFormat::Text => Format::Text { colors: io::stderr().is_terminal() },
        LogFormat::Json => Format::Json,
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let limit = Arc::new(RateLimit::default());
    let sink = Sink::start(io::stderr(), format, Arc::clone(&limit));
    let lines = tracing_subscriber::fmt::layer().with_writer(sink.writer());
    let registry = tracing_subscriber::registry().with(filter).with(rate_limit::Filter(limit));
    match format {
        Format::Text { colors } => {
            registry.with(lines.with_ansi(colors).event_format(format)).try_init()?;
        }
        Format::Json => registry.with(lines.json().event_format(format)).try_init()?,
    }
    Ok(Guard(sink))
}
