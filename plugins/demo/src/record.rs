//! Handler `demo.record`: records that are read and saved by calls, and kept in the store.
//!
//! It publishes no changes. The page that has saved a record publishes it, as a back end would, on
//! `oro/data/update`.

use jackfield_plugin::{Event, Handler, Refusal, Request, store};
use serde::{Deserialize, Serialize};

/// Maximum length of each field, in characters.
const MAX_BYTES: usize = 200;

const STATES: [&str; 3] = ["open", "packed", "sent"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    title: String,
    status: String,
    note: String,
    /// 0 for a record that was never saved.
    version: u64,
    saved_by: Option<String>,
}

/// Keyword arguments of `save`.
#[derive(Deserialize)]
struct Change {
    title: String,
    status: String,
    note: String,
    by: String,
}

pub(crate) fn handler() -> Handler {
    Handler::new("demo.record").summary("reads and saves a record").on_call(
        |_state, request, event| match request.attribute_text("method") {
            Some("read") => Ok(Event::of(&read(request)?)?),
            Some("save") => Ok(Event::of(&save(request, event.kwargs()?)?)?),
            _ => Err(Refusal::no_such_procedure(request.topic())),
        },
    )
}

fn read(request: &Request) -> Result<Record, Refusal> {
    let id: u32 = request.attribute("id")?;
    Ok(store::get(&key(id))?.unwrap_or_else(|| Record {
        title: format!("Order {id}"),
        status: "open".to_owned(),
        note: "Deliver before noon.".to_owned(),
        version: 0,
        saved_by: None,
    }))
}

fn save(request: &Request, change: Change) -> Result<Record, Refusal> {
    let Change { title, status, note, by } = change;
    let fields = [("title", &title), ("note", &note), ("name", &by)];
    if let Some((name, _)) = fields.iter().find(|(_, text)| text.chars().count() > MAX_BYTES) {
        let message = format!("The {name} has {MAX_BYTES} characters at most.");
        return Err(Refusal::invalid_argument(message));
    }
    if title.trim().is_empty() {
        return Err(Refusal::invalid_argument("The order has to have a title."));
    }
    if !STATES.contains(&status.as_str()) {
        let message = format!("An order is {}.", STATES.join(", or "));
        return Err(Refusal::invalid_argument(message));
    }
    let version = read(request)?.version + 1;
    let record = Record { title, status, note, version, saved_by: Some(by) };
    store::set(&key(request.attribute("id")?), &record)?;
    Ok(record)
}

fn key(id: u32) -> String {
    format!("record/{id}")
}

#[cfg(test)]
mod tests {
    use jackfield_plugin::{
        SessionId, Value, json,
        testing::{Failure, Harness, User},
    };

    use crate::plugin;

    use super::*;

    fn site() -> (Harness, SessionId) {
        let mut site = Harness::new(plugin);
        site.route("demo/record/{id}/{method}", "demo.record");
        let visitor = site.join(User::anonymous());
        (site, visitor)
    }

    fn save(site: &mut Harness, by: SessionId, change: &Value) -> Result<Value, Failure> {
        let event = Event::empty().with_kwargs(change).unwrap();
        Ok(site.call(by, "demo/record/7/save", event)?.single().unwrap())
    }

    fn read(site: &mut Harness, by: SessionId, id: u32) -> Value {
        let procedure = format!("demo/record/{id}/read");
        site.call(by, &procedure, Event::empty()).unwrap().single().unwrap()
    }

    #[test]
    fn a_new_version_reads_saved_records() {
        let (mut site, ann) = site();
        assert_eq!(read(&mut site, ann, 7)["version"], 0);
        let change = json!({"title": "Order 7b", "status": "sent", "note": "", "by": "Ann"});
        let saved = save(&mut site, ann, &change).unwrap();
        assert_eq!((&saved["version"], &saved["saved_by"]), (&json!(1), &json!("Ann")));
        site.reload(plugin).unwrap();
        assert_eq!(read(&mut site, ann, 7), saved);
        assert_eq!(read(&mut site, ann, 8)["title"], "Order 8");
    }

    #[test]
    fn rejects_invalid_records() {
        let (mut site, ann) = site();
        let check = |site: &mut Harness, change: Value, expect: &str| {
            let failure = save(site, ann, &change).unwrap_err();
            assert!(failure.message().contains(expect), "{failure}");
        };
        let long = "x".repeat(201);
        let change =
            |title, status, note| json!({"title": title, "status": status, "note": note, "by": ""});
        check(&mut site, change(" ", "open", ""), "has to have a title");
        check(&mut site, change("x", "lost", ""), "open, or packed, or sent");
        check(&mut site, change("x", "open", &long), "The note has 200 characters at most");
        check(&mut site, json!({"title": "x"}), "missing field");
        assert_eq!(read(&mut site, ann, 7)["version"], 0);
    }
}
