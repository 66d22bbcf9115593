//! Routing files through the public interface: text in, answers or problems out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "tests may be blunt"
)]

mod diagnoses;
mod explain;
mod generate;
mod grammar;
mod imports;
mod matching;
mod oro;
mod round_trip;
mod schemas;
mod superset;
mod threads;
mod warnings;

use jackfield_routing::{Diagnosis, NoFiles, RouteTable, SourceFile, load};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn try_table(text: &str) -> Result<RouteTable, Vec<Diagnosis>> {
    load(&[file("r.yml", text)], &NoFiles)
}

fn table(text: &str) -> RouteTable {
    try_table(text).unwrap_or_else(|problems| {
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{text}\n{}", shown.join("\n"))
    })
}

/// The route that takes a topic and its attributes in one line, or `-`.
fn found(table: &RouteTable, topic: &str) -> String {
    let Some(found) = table.find(topic) else { return "-".to_owned() };
    let mut shown = found.route.name.clone();
    for (name, value) in found.attributes {
        shown.push_str(&format!(" {name}={value}"));
    }
    shown
}
