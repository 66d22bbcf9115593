//! Settings of the sandbox: the command line of the compiler process, which is the running program
//! itself as `jackfield compile` (`cli::compile`), and the folder of compiled components.

use std::path::PathBuf;

use jackfield_config::Plugins;
use jackfield_sandbox::{CompileCommand, CompileLimits, SandboxSettings};

/// The name of the subcommand.
pub(crate) const NAME: &str = "compile";

/// jemalloc's own threads would have normal priority: they start before the process can lower it.
const ALLOCATOR: [&str; 2] = ["_RJEM_MALLOC_CONF", "background_thread:false"];

/// The running program, even if its file has been replaced since the start.
const SELF: &str = "/proc/self/exe";

/// Returns the settings of the sandbox. A missing folder for compiled components is logged as a
/// warning.
pub(crate) fn sandbox_settings(plugins: &Plugins) -> SandboxSettings {
    let cache = plugins.cache.clone().or_else(user_cache);
    if cache.is_none() {
        tracing::warn!(
            name: "compile.cache_unusable",
            "plugins are compiled at each start: there is no place to keep them, as neither \
             XDG_CACHE_HOME nor HOME is set; set `plugins.cache`"
        );
    }
    let compile = (!plugins.compile_in_process).then(|| command(plugins.compile));
    let (instance_memory, in_flight) = (Some(plugins.instance_memory), Some(plugins.in_flight));
    SandboxSettings { cache, compile, instance_memory, in_flight }
}

/// Returns the user's cache directory. XDG Base Directory Specification.
fn user_cache() -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let caches = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")))?;
    Some(caches.join("jackfield"))
}

/// Returns the command that starts a compiler process with these limits.
fn command(limits: CompileLimits) -> CompileCommand {
    CompileCommand {
        program: PathBuf::from(SELF),
        fallback: std::env::current_exe().ok(),
        subcommand: NAME.to_owned(),
        environment: vec![ALLOCATOR.map(str::to_owned).into()],
        limits,
    }
}
