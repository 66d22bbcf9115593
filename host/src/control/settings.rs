//! Settings in answers: the readings of the settings, and those that need a restart. No value of a
//! secret is among them.

use jackfield_config::RestartNeeded;
use jackfield_text::Untrusted;
use serde_json::{Value, json};

use crate::settings::{SettingsRecord, SettingsReloader};
use crate::timestamp::time;

/// The maximum number of names in a list.
const MAX_NAMES: usize = 50;
/// The maximum number of problems of each reading.
const MAX_PROBLEMS: usize = 10;
/// The maximum size of a text.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The state of the settings, for the status.
pub(super) fn state(settings: &SettingsReloader) -> Value {
    let state = settings.state();
    let history = settings.history();
    json!({
        "problem_count": state.problems.len(),
        "problems": problems(&state.problems),
        "failed_since": state.failed_since.map(time),
        "restart_needed": restart(&state.restart),
        "reloads": history.iter().map(|record| reload(record)).collect::<Vec<_>>(),
    })
}

/// One reading of the settings.
pub(super) fn reload(record: &SettingsRecord) -> Value {
    let changed = record.changed.iter().take(MAX_NAMES);
    json!({
        "at": time(record.at),
        "cause": record.cause.label(),
        "result": record.result.label(),
        "took_seconds": record.took.as_secs_f64(),
        "changed": changed.map(shown).collect::<Vec<_>>(),
        "restart_needed": restart(&record.restart),
        "problem_count": record.problem_count,
        "problems": problems(&record.problems),
    })
}

fn problems(problems: &[String]) -> Vec<Value> {
    problems.iter().take(MAX_PROBLEMS).map(|text| json!({ "text": shown(text) })).collect()
}

fn restart(restart: &[RestartNeeded]) -> Vec<Value> {
    let one = |it: &RestartNeeded| json!({ "setting": shown(&it.setting), "running": shown(&it.running) });
    restart.iter().take(MAX_NAMES).map(one).collect()
}

fn shown(text: &String) -> String {
    Untrusted::new(text).at_most(MAX_TEXT_BYTES).with_lines().to_string()
}
