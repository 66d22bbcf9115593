//! Errors of making a sandbox and loading a plugin. Each text completes "failed to …", names the
//! file, and says what to do.

use std::fmt;
use std::io;

use jackfield_text::Untrusted;

use crate::fault::{Fault, FaultKind};
use crate::policy::Grant;

/// A sandbox cannot be made, or a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts describe the fields")]
pub enum SandboxError {
    #[error("prepare the WebAssembly engine: {}", shown(.text))]
    Engine { text: String },
    #[error("start the thread that counts the time of calls: {source}")]
    Ticker { source: io::Error },
    #[error("load {}: it is not WebAssembly; put a component there, or remove it", shown(.file))]
    NotWasm { file: String },
    #[error(
        "load {}: it is a core module, not a component; build it with \
         `cargo build --release --target wasm32-wasip2`",
        shown(.file)
    )]
    CoreModule { file: String },
    #[error(
        "load {}: it is incomplete, {have} bytes of at least {need}; wait until it has been \
         copied, or copy it again",
        shown(.file)
    )]
    Truncated { file: String, have: usize, need: usize },
    #[error("load {}: it is not a valid component, build it again: {}", shown(.file), shown(.text))]
    Invalid { file: String, text: String },
    #[error(
        "load {}: it has asynchronous functions (async lift or lower of the component model), \
         which plugins cannot have; build it with synchronous ones (componentize-qjs: `--sync`; \
         wit-bindgen: without `async`)",
        shown(.file)
    )]
    Async { file: String },
    #[error(
        "compile {}: {}\n  = help: build a simpler component; compilers stay far below \
         these bounds",
        shown(.file), shown(.text)
    )]
    TooComplex { file: String, text: String },
    #[error(
        "compile {}: the compiler exceeded its {what} limit ({key} = {limit})\n  = help: \
         build a smaller component, or raise `{key}`; the file is compiled again when it changes \
         or a limit does",
        shown(.file)
    )]
    CompileLimit { file: String, what: &'static str, key: &'static str, limit: String },
    #[error("compile {}: the compiler failed: {}", shown(.file), shown(.text))]
    Compiler { file: String, text: String },
    #[error(
        "load {}: it imports `{}`, which is not granted\n  = help: grant `{interface}` to the plugin\
         {}, or use one that does without",
        shown(.file), shown(.import), shown_line(line.as_deref())
    )]
    NotGranted {
        file: String,
        import: String,
        interface: &'static str,
        /// The line of the settings that grants it.
        line: Option<String>,
    },
    #[error(
        "load {}: it imports `{}`, which plugins are not offered; remove what needs it \
         from the plugin",
        shown(.file), shown(.import)
    )]
    UnknownImport { file: String, import: String },
    #[error(
        "load {}: it was built for version {} of the plugin contract, and this server loads \
         {loaded}\n  = help: {advice}",
        shown(.file), shown(.found)
    )]
    OtherVersion { file: String, found: String, loaded: String, advice: String },
    #[error(
        "load {}: it imports or exports `{}`, and its handler is of version {version} of the plugin \
         contract\n  = help: build it again from a clean folder, with one version of the SDK",
        shown(.file), shown(.name)
    )]
    MixedVersions { file: String, name: String, version: String },
    #[error(
        "load {}: it needs `{}`, which this server does not have\n  = help: update the server, \
         or build the plugin without it",
        shown(.file), shown(.name)
    )]
    UnknownInterface { file: String, name: String },
    #[error(
        "load {}: it is a component, but not a plugin: it does not export `{expected}`; build \
         it with the plugin SDK",
        shown(.file)
    )]
    NotAPlugin { file: String, expected: String },
    #[error(
        "load {}: it does not fit the plugin contract; build it with the plugin SDK: {}",
        shown(.file), shown(.text)
    )]
    Mismatch { file: String, text: String },
    #[error("load {}: {fault}", shown(.file))]
    Describe { file: String, fault: Box<Fault> },
    #[error(
        "load {}: the description returned by `describe` is invalid: {}",
        shown(.file), shown(.text)
    )]
    Manifest { file: String, text: String },
    #[error(
        "configure plugin {} for route {}: it offers no handler `{}`, but {}",
        shown(.plugin), shown(.route), shown(.handler), shown(.offered)
    )]
    UnknownHandler { plugin: String, route: String, handler: String, offered: String },
    #[error("configure plugin {} for route {}: {}", shown(.plugin), shown(.route), shown(.text))]
    Refused { plugin: String, route: String, handler: String, text: String },
    #[error(
        "load {}: the store of plugin {} cannot be read: {}",
        shown(.file), shown(.plugin), shown(.text)
    )]
    Store { file: String, plugin: String, text: String },
    #[error("start the thread that saves the store: {source}")]
    Writer { source: io::Error },
    #[error("start plugin {}: {fault}", shown(.plugin))]
    Start { plugin: String, fault: Box<Fault> },
}

impl SandboxError {
    /// Adds the line of the settings that grants an import to the plugin of this name, which has
    /// `granted` already.
    #[must_use]
    pub fn with_grant_help(mut self, plugin: &str, granted: Grant) -> Self {
        if let Self::NotGranted { interface, line, .. } = &mut self {
            let setting = match *interface {
                "http" => "http: { allow: [\"https://HOST\"] }".to_owned(),
                // The list of servers may be there already.
                "fetch" if granted.http => "http: { blocking: true }".to_owned(),
                "fetch" => "http: { allow: [\"https://HOST\"], blocking: true }".to_owned(),
                "calls" => "calls: { allow: [\"PROCEDURE\"] }".to_owned(),
                other => {
                    let is_listed = |name: &&str| !matches!(*name, "http" | "fetch" | "calls");
                    let names = granted.names().filter(is_listed).chain([other]);
                    format!("grant: [{}]", names.collect::<Vec<_>>().join(", "))
                }
            };
            let name = serde_json::Value::from(plugin);
            *line = Some(format!("plugins: {{ named: {{ {name}: {{ {setting} }} }} }}"));
        }
        self
    }

    /// Whether a start failed only because other plugins used the CPU.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Start { fault, .. } if matches!(fault.kind, FaultKind::Busy(_)))
    }

    /// The failure of the store, if a start failed because of it.
    pub(crate) fn store_failure(&self) -> Option<&FaultKind> {
        match self {
            Self::Start { fault, .. } => {
                Some(&fault.kind).filter(|kind| matches!(kind, FaultKind::StoreFailed(_)))
            }
            _ => None,
        }
    }

    /// The error for a component that does not compile. Asynchronous functions are disabled in this
    /// engine; its validator's message names the feature.
    pub(crate) fn not_compiled(file: &str, text: &str) -> Self {
        let file = file.to_owned();
        if text.contains("component model async feature") {
            return Self::Async { file };
        }
        Self::Invalid { file, text: text.to_owned() }
    }
}

/// Escapes a text of a file, which is untrusted.
/// The line of the settings, if it is known.
fn shown_line(line: Option<&str>) -> impl fmt::Display {
    let line = line.map(|line| format!(" (`{line}` in the settings)"));
    Untrusted::new(line.unwrap_or_default())
}

fn shown(text: &str) -> impl fmt::Display {
    Untrusted::new(text)
}
