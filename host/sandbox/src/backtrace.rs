//! Backtrace of a fault: the functions of the plugin's own code, the innermost first, in one line.
//!
//! Functions of the language's runtime, and the glue between the host's calls and the author's
//! code, are left out.

use std::fmt::Write as _;

use wasmtime::{FrameInfo, WasmBacktrace};

/// Frames in a backtrace.
const MAX_FRAMES: usize = 8;
/// Bytes of a function's name in a backtrace.
const MAX_NAME_BYTES: usize = 200;

/// Name prefixes of runtime and glue functions.
const RUNTIME: &[&str] = &[
    "std::",
    "core::",
    "alloc::",
    "dlmalloc::",
    "wit_bindgen",
    "wasi",
    "jackfield_plugin::",
    "cabi_",
    "rust_",
    "__",
    "_start",
    "abort",
    "exit",
];
/// Name parts of glue functions.
const GLUE: &[&str] = &["jackfield:plugin/", "::_export_", "_cabi", "__export_"];

/// The backtrace, or none if the engine has no frames, or no names of functions: numbers alone say
/// nothing. Without a function of the author's, glue functions are shown (the author's code may be
/// inlined into them), or else the innermost of all, as in interpreters.
pub(crate) fn shown(backtrace: &WasmBacktrace) -> Option<String> {
    let has_name = |frame: &FrameInfo| frame.func_name().is_some() || !frame.symbols().is_empty();
    if !backtrace.frames().iter().any(has_name) {
        return None;
    }
    let locations: Vec<_> = backtrace.frames().iter().flat_map(locations).collect();
    in_one_line(&locations)
}

/// A function, and its source location where the component has debugging information.
struct Location {
    function: String,
    location: Option<String>,
}

/// The function of a frame, after those that were inlined into it.
fn locations(frame: &FrameInfo) -> Vec<Location> {
    let whole = frame.func_name().map(readable);
    if frame.symbols().is_empty() {
        let function = whole.unwrap_or_else(|| format!("function {}", frame.func_index()));
        return vec![Location { function, location: None }];
    }
    let location = |symbol: &wasmtime::FrameSymbol| {
        let function = symbol.name().map(readable).or_else(|| whole.clone());
        let location = symbol.file().map(|file| match symbol.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        });
        Location {
            function: function.unwrap_or_else(|| "an inlined function".to_owned()),
            location,
        }
    };
    frame.symbols().iter().map(location).collect()
}

/// The demangled name, without the compiler's hash.
fn readable(name: &str) -> String {
    let mut readable = format!("{:#}", rustc_demangle::demangle(name));
    readable.truncate(readable.floor_char_boundary(MAX_NAME_BYTES));
    readable
}

fn in_one_line(locations: &[Location]) -> Option<String> {
    if locations.is_empty() {
        return None;
    }
    let origins = || locations.iter().map(|location| FrameOrigin::of(&location.function));
    let nearest = origins().max().unwrap_or(FrameOrigin::Runtime);
    let chosen = locations.iter().zip(origins()).filter(|(_, origin)| *origin == nearest);
    let mut line = String::new();
    for (number, (Location { function, location }, _)) in chosen.take(MAX_FRAMES).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{function}", if number > 0 { " < " } else { "" });
        if let Some(location) = location {
            let _ = write!(line, " ({location})");
        }
    }
    Some(line)
}

/// Origin of a function, the author's last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FrameOrigin {
    Runtime,
    Glue,
    Author,
}

impl FrameOrigin {
    fn of(function: &str) -> Self {
        // `<core::option::Option<T> as core::clone::Clone>::clone` is the runtime's, too.
        let name = function.trim_start_matches(['<', '&', '*', ' ']);
        if GLUE.iter().any(|part| function.contains(part)) {
            Self::Glue
        } else if RUNTIME.iter().any(|start| name.starts_with(start)) {
            Self::Runtime
        } else {
            Self::Author
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_authors_functions_alone() {
        let names = [
            "std::panicking::panic_with_hook",
            "__rustc::rust_begin_unwind",
            "core::panicking::panic_fmt",
            "_RNvNtCs1234_4core9panicking9panic_fmt",
            "<core::option::Option<T> as core::clone::Clone>::clone",
            "acme::bid::check",
            "<acme::Auction as acme::exports::jackfield::plugin::handler::Guest>::on_publish",
            "core::ops::function::FnOnce::call_once",
            "jackfield_plugin::component::on_publish",
            "acme::exports::jackfield::plugin::handler::_export_on_publish_cabi::<acme::Auction>",
            "jackfield:plugin/handler@0.1.0#on-publish",
        ];
        let locations = |names: &[&str]| {
            let location = |name: &&str| Location { function: readable(name), location: None };
            in_one_line(&names.iter().map(location).collect::<Vec<_>>())
        };
        let expect = "acme::bid::check < <acme::Auction as \
                      acme::exports::jackfield::plugin::handler::Guest>::on_publish";
        assert_eq!(locations(&names).as_deref(), Some(expect));
        let inlined = "acme::exports::_export_on_publish_cabi::<acme::Auction>";
        assert_eq!(locations(&["abort", inlined]).as_deref(), Some(inlined));
        assert_eq!(locations(&["abort", "_start"]).as_deref(), Some("abort < _start"));
        assert_eq!(locations(&[]), None);
        let many = locations(&["f"; 100]).unwrap();
        assert_eq!(many.matches('f').count(), MAX_FRAMES);
    }

    #[test]
    fn strips_digests_from_names_and_bounds_their_length() {
        assert_eq!(
            readable("_ZN13guest_hostile7recurse17h0123456789abcdefE"),
            "guest_hostile::recurse"
        );
        assert_eq!(readable(&"f".repeat(10_000)).len(), MAX_NAME_BYTES);
    }
}
