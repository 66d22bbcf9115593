//! Results of reading the settings again, for people.

use serde_json::Value;

use crate::count::count;

/// The maximum number of lines about settings that need a restart.
const MAX_RESTARTS: usize = 20;

/// The lines about one reading, of `jackfield reload`. None if the server has not told about it.
pub(super) fn reload(settings: &Value) -> Vec<String> {
    let Some(result) = settings.get("result").and_then(Value::as_str) else { return Vec::new() };
    let mut lines = Vec::new();
    if result == "refused" {
        let problems = list(&settings["problems"]).iter();
        lines.extend(problems.map(|it| format!("{}\n", text(&it["text"]))));
        let problems = count(settings["problem_count"].as_u64().unwrap_or_default(), "problem");
        lines.push(format!("settings refused: {problems}; the running settings stay"));
    } else if result == "applied" {
        let changed = list(&settings["changed"]).iter();
        let changed: Vec<&str> = changed.map(text).collect();
        lines.push(format!("settings changed: {}", changed.join(", ")));
    }
    lines.extend(restarts(settings));
    lines
}

/// The lines about settings that need a restart.
pub(super) fn restarts(settings: &Value) -> impl Iterator<Item = String> {
    let needed = list(&settings["restart_needed"]).iter().take(MAX_RESTARTS);
    needed.map(|it| {
        let (setting, running) = (text(&it["setting"]), text(&it["running"]));
        format!("`{setting}` has changed and needs a restart; running: {running}")
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_what_has_changed_and_what_has_not() {
        let applied = json!({
            "result": "applied",
            "changed": ["limits.message", "access.blocked"],
            "restart_needed": [{ "setting": "listen", "running": "127.0.0.1:8080" }],
        });
        let expect = [
            "settings changed: limits.message, access.blocked",
            "`listen` has changed and needs a restart; running: 127.0.0.1:8080",
        ];
        assert_eq!(reload(&applied), expect);
        let refused = json!({
            "result": "refused", "problem_count": 2,
            "problems": [{ "text": "j.yml:1:1: error: a" }, { "text": "j.yml:2:1: error: b" }],
        });
        let expect = [
            "j.yml:1:1: error: a\n",
            "j.yml:2:1: error: b\n",
            "settings refused: 2 problems; the running settings stay",
        ];
        assert_eq!(reload(&refused), expect);
        assert_eq!(reload(&json!({ "result": "unchanged" })), [""; 0]);
        assert_eq!(reload(&Value::Null), [""; 0]);
    }
}
