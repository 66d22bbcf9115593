//! Logging: lines in the operator's log, with the plugin's name, the handler and the topic.
//!
//! ```
//! use jackfield_plugin::log;
//!
//! let room = "kitchen";
//! log::info!("{room} is open");
//! ```

use std::fmt;

use crate::host;
pub use crate::level::Level;
#[doc(inline)]
pub use crate::{
    __debug as debug, __error as error, __info as info, __trace as trace, __warn as warn,
};

/// Writes one line; the macros of this module are shorter.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    host::log(level, message.as_str().map_or_else(|| message.to_string(), str::to_owned));
}

// Not generated: a macro that a macro defines cannot be re-exported under a path.

/// Writes one line at the level `trace`, formatted as `format!` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __trace {
    ($($part:tt)+) => {
        $crate::log::log($crate::log::Level::Trace, ::core::format_args!($($part)+))
    };
}

/// Writes one line at the level `debug`, formatted as `format!` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($part:tt)+) => {
        $crate::log::log($crate::log::Level::Debug, ::core::format_args!($($part)+))
    };
}

/// Writes one line at the level `info`, formatted as `format!` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($part:tt)+) => {
        $crate::log::log($crate::log::Level::Info, ::core::format_args!($($part)+))
    };
}

/// Writes one line at the level `warn`, formatted as `format!` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($part:tt)+) => {
        $crate::log::log($crate::log::Level::Warn, ::core::format_args!($($part)+))
    };
}

/// Writes one line at the level `error`, formatted as `format!` does.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($part:tt)+) => {
        $crate::log::log($crate::log::Level::Error, ::core::format_args!($($part)+))
    };
}
