//! `log`: log lines with the plugin, handler and topic. stdout and stderr are logged the same way.
//!
//! A rate limit over all instances of a plugin suppresses excess lines; one line reports their
//! number.

use std::time::Instant;

use jackfield_text::Untrusted;
use tracing::Level;

use crate::contract::log;
use crate::current_request::Text;
use crate::host_state::HostState;

/// Longest message, in bytes; longer ones are cut.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

impl log::Host for HostState {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::TRACE,
            log::Level::Debug => Level::DEBUG,
            log::Level::Info => Level::INFO,
            log::Level::Warn => Level::WARN,
            log::Level::Error => Level::ERROR,
        };
        self.log_line(level, &message);
        Ok(())
    }
}

impl HostState {
    /// Logs each line of a text, and the number of discarded bytes.
    pub(crate) fn log_text(&self, level: Level, text: &str, lost: usize) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.log_line(level, line);
        }
        if lost > 0 {
            self.log_line(level, &format!("({lost} more bytes left out)"));
        }
    }

    /// Reports suppressed lines, once per interval.
    pub(crate) fn log_suppressed(&self) {
        if let Some(lines) = self.context.log_rate_limit(|t| t.report(Instant::now())) {
            self.emit(Level::WARN, &format!("{lines} log lines suppressed by the rate limit"));
        }
    }

    pub(super) fn log_line(&self, level: Level, message: &str) {
        if self.context.log_rate_limit(|t| t.admit(Instant::now())) {
            let line = Untrusted::new(message).at_most(MAX_MESSAGE_BYTES).to_string();
            self.emit(level, &line);
        }
    }

    fn emit(&self, level: Level, message: &str) {
        let plugin = self.context.label.as_str();
        let request = &self.call.request;
        let (handler, topic) = (request.text(Text::Handler), request.text(Text::Topic));
        // The level of a tracing event is part of its static description.
        macro_rules! emit {
            ($level:ident) => {
                tracing::event!(
                    target: "jackfield::plugin",
                    Level::$level,
                    plugin,
                    handler,
                    topic,
                    "{message}"
                )
            };
        }
        match level {
            Level::TRACE => emit!(TRACE),
            Level::DEBUG => emit!(DEBUG),
            Level::INFO => emit!(INFO),
            Level::WARN => emit!(WARN),
            Level::ERROR => emit!(ERROR),
        }
    }
}
