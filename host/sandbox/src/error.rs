//! Why a sandbox cannot be made or a plugin cannot be loaded. The reader is an operator: each text
//! completes "failed to …", names the file, and says what to do.

use std::io;

use crate::fault::Fault;

/// Why a sandbox cannot be made or a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "fields are named after what they hold, and the text explains them"
)]
pub enum Error {
    #[error("prepare the WebAssembly engine: {text}")]
    Engine { text: String },
    #[error("start the thread that counts the time of calls: {source}")]
    Ticker { source: io::Error },
    #[error("load {file}: it is not WebAssembly; put a component there, or remove it")]
    NotWasm { file: String },
    #[error(
        "load {file}: it is a core module, not a component; build it with \
         `cargo build --release --target wasm32-wasip2`"
    )]
    CoreModule { file: String },
    #[error(
        "load {file}: it is incomplete, {have} bytes of at least {need}; wait until it has been \
         copied, or copy it again"
    )]
    Truncated { file: String, have: usize, need: usize },
    #[error("load {file}: it is not a valid component, build it again: {text}")]
    Invalid { file: String, text: String },
    #[error(
        "load {file}: it has asynchronous functions (async lift or lower of the component model), \
         which plugins cannot have; build it with synchronous ones (componentize-qjs: `--sync`; \
         wit-bindgen: without `async`)"
    )]
    Async { file: String },
    #[error(
        "compile {file}: {text}\n  = help: build a simpler component; one that a compiler made \
         stays far below these bounds"
    )]
    TooComplex { file: String, text: String },
    #[error(
        "compile {file}: the compiler exceeded its {what} limit ({key} = {limit})\n  = help: \
         build a smaller component, or raise `{key}`; the file is compiled again when it changes \
         or a limit does"
    )]
    CompileLimit { file: String, what: &'static str, key: &'static str, limit: String },
    #[error("compile {file}: the compiler failed: {text}")]
    Compiler { file: String, text: String },
    #[error(
        "load {file}: it imports `{import}`, which is not granted; grant `{interface}` to the \
         plugin, or use one that does without"
    )]
    NotGranted { file: String, import: String, interface: &'static str },
    #[error(
        "load {file}: it imports `{import}`, which plugins are not offered; remove what needs it \
         from the plugin"
    )]
    UnknownImport { file: String, import: String },
    #[error(
        "load {file}: it was built for version {found} of the plugin contract, and this host \
         speaks {spoken}; build it with the SDK of this version"
    )]
    OtherVersion { file: String, found: String, spoken: &'static str },
    #[error(
        "load {file}: it is a component, but not a plugin: it does not export `{expected}`; build \
         it with the plugin SDK"
    )]
    NotAPlugin { file: String, expected: String },
    #[error(
        "load {file}: it does not fit the plugin contract; build it with the plugin SDK: {text}"
    )]
    Mismatch { file: String, text: String },
    #[error("load {file}: {fault}")]
    Describe { file: String, fault: Box<Fault> },
    #[error("load {file}: what it says of itself in `describe` is wrong: {text}")]
    Manifest { file: String, text: String },
    #[error(
        "configure plugin {plugin} for route {route}: it offers no handler `{handler}`, but {offered}"
    )]
    UnknownHandler { plugin: String, route: String, handler: String, offered: String },
    #[error("configure plugin {plugin} for route {route}: {text}")]
    Refused { plugin: String, route: String, handler: String, text: String },
    #[error("start plugin {plugin}: {fault}")]
    Start { plugin: String, fault: Box<Fault> },
}

impl Error {
    /// Why the engine does not compile a component. Asynchronous functions are switched off in this
    /// engine, and its validator names the feature that it misses.
    pub(crate) fn not_compiled(file: &str, text: &str) -> Self {
        let file = file.to_owned();
        if text.contains("component model async feature") {
            return Self::Async { file };
        }
        Self::Invalid { file, text: text.to_owned() }
    }
}
