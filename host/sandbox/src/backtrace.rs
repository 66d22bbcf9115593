//! Where in a plugin a call failed, as its author knows it: the functions of the plugin's own code,
//! the innermost first, in one line.
//!
//! Left out are the functions of the language's runtime, and the glue between the host's calls and
//! the author's code.

use std::fmt::Write as _;

use wasmtime::{FrameInfo, WasmBacktrace};

/// Frames that are shown.
const MAX_FRAMES: usize = 8;
/// Bytes of a function's name that are shown.
const MAX_NAME_BYTES: usize = 200;

/// Functions of the runtime and of the glue, by the beginnings of their names.
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
/// … and by what stands within them.
const GLUE: &[&str] = &["jackfield:plugin/", "::_export_", "_cabi", "__export_"];

/// The functions, or none if the engine knows of none. Where none is the author's, those of the
/// glue are shown (the compiler may have inlined the author's code into them), or else the innermost
/// of all, as in interpreters of other languages.
pub(crate) fn shown(backtrace: &WasmBacktrace) -> Option<String> {
    let places: Vec<_> = backtrace.frames().iter().flat_map(places).collect();
    in_one_line(&places)
}

/// A function and the place within it, where the component has debugging information.
struct Place {
    function: String,
    place: Option<String>,
}

/// The function of a frame, after those that were inlined into it.
fn places(frame: &FrameInfo) -> Vec<Place> {
    let whole = frame.func_name().map(readable);
    if frame.symbols().is_empty() {
        let function = whole.unwrap_or_else(|| format!("function {}", frame.func_index()));
        return vec![Place { function, place: None }];
    }
    let place = |symbol: &wasmtime::FrameSymbol| {
        let function = symbol.name().map(readable).or_else(|| whole.clone());
        let place = symbol.file().map(|file| match symbol.line() {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        });
        Place { function: function.unwrap_or_else(|| "an inlined function".to_owned()), place }
    };
    frame.symbols().iter().map(place).collect()
}

/// The name as it stands in the source, without the compiler's digest.
fn readable(name: &str) -> String {
    let mut readable = format!("{:#}", rustc_demangle::demangle(name));
    readable.truncate(readable.floor_char_boundary(MAX_NAME_BYTES));
    readable
}

fn in_one_line(places: &[Place]) -> Option<String> {
    if places.is_empty() {
        return None;
    }
    let origins = || places.iter().map(|place| Origin::of(&place.function));
    let nearest = origins().max().unwrap_or(Origin::Runtime);
    let chosen = places.iter().zip(origins()).filter(|(_, origin)| *origin == nearest);
    let mut line = String::new();
    for (number, (Place { function, place }, _)) in chosen.take(MAX_FRAMES).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{function}", if number > 0 { " < " } else { "" });
        if let Some(place) = place {
            let _ = write!(line, " ({place})");
        }
    }
    Some(line)
}

/// Where a function comes from, the nearest to the author last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Runtime,
    Glue,
    Author,
}

impl Origin {
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
        let places = |names: &[&str]| {
            let place = |name: &&str| Place { function: readable(name), place: None };
            in_one_line(&names.iter().map(place).collect::<Vec<_>>())
        };
        let expect = "acme::bid::check < <acme::Auction as \
                      acme::exports::jackfield::plugin::handler::Guest>::on_publish";
        assert_eq!(places(&names).as_deref(), Some(expect));
        let inlined = "acme::exports::_export_on_publish_cabi::<acme::Auction>";
        assert_eq!(places(&["abort", inlined]).as_deref(), Some(inlined));
        assert_eq!(places(&["abort", "_start"]).as_deref(), Some("abort < _start"));
        assert_eq!(places(&[]), None);
        let many = places(&["f"; 100]).unwrap();
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
