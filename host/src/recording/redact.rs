//! Redaction of recordings: texts and numbers of users become `x` and `1` of the same length.
//!
//! The shape stays, so that a redacted call can be replayed: both versions get the same redacted
//! event. Kept are structure, `true`, `false` and `null`, and the names of members that look like
//! names of a program. Not redacted are topics, attributes, the identity and roles of a session, keys
//! of a store, servers, procedures and error URIs. Values of HTTP headers are redacted apart, as they
//! mostly are credentials.

use jackfield_sandbox::{
    Acceptance, AnswerContent, CallInput, CallOutcome, EffectAnswer, FaultRecord, FetchRecord,
    FetchedResponse, HookAnswer, HookRefusal, HostAnswers, HttpError, PluginEvent, StoreValue,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The parts that are redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redaction {
    /// Events, results, messages, paths and bodies of HTTP, and values of a store.
    pub(crate) payload: bool,
    /// The claims of sessions.
    pub(crate) claims: bool,
    /// The values of HTTP headers.
    #[serde(default)]
    pub(crate) headers: bool,
}

/// Members of an outcome that are no payload.
const KEPT: &[&str] = &[
    "call",
    "eligible",
    "exclude",
    "fault",
    "handler",
    "key",
    "kind",
    "method",
    "origin",
    "plugin",
    "procedure",
    "reason",
    "session",
    "timeout_ms",
    "topic",
    "ttl_ms",
    "uri",
];
/// Texts that mostly are JSON, whose shape stays.
const JSON_TEXTS: &[&str] = &["args", "body", "context", "kwargs", "value"];
/// The longest name of a member that is kept, in bytes.
const MAX_NAME_BYTES: usize = 32;
/// The maximum number of digits in a name that is kept: `sha256` and `line_2` are names, and with more
/// digits it may be a token, a number of a phone or an id.
const MAX_NAME_DIGITS: usize = 4;

impl Redaction {
    /// Whether any part is redacted.
    pub(crate) const fn is_any(self) -> bool {
        self.payload || self.claims || self.headers
    }

    /// Redacts a request.
    pub(super) fn input(self, mut input: CallInput) -> CallInput {
        if self.claims
            && let Some(session) = &mut input.session
        {
            session.claims = json_text(&session.claims);
        }
        if self.payload {
            input.args = json_text(&input.args);
            input.kwargs = json_text(&input.kwargs);
        }
        input.answer = input.answer.map(|answer| self.effect_answer(answer));
        input
    }

    /// Redacts the answer to an effect.
    fn effect_answer(self, answer: EffectAnswer) -> EffectAnswer {
        let EffectAnswer { number, context, received } = answer;
        let value = |value: StoreValue| if self.payload { stored(&value) } else { value };
        let received = match received {
            AnswerContent::Response { status, headers, body } => AnswerContent::Response {
                status,
                headers: headers.into_iter().map(|it| self.header(it)).collect(),
                body: value(body),
            },
            AnswerContent::NoResponse { error } => {
                AnswerContent::NoResponse { error: self.http_error(error) }
            }
            AnswerContent::Result(event) if self.payload => {
                let (args, kwargs) = event.into_parts();
                AnswerContent::Result(PluginEvent::of_host(json_text(&args), json_text(&kwargs)))
            }
            AnswerContent::Result(event) => AnswerContent::Result(event),
            AnswerContent::Error(HookRefusal { uri, message: text }) => {
                AnswerContent::Error(HookRefusal { uri, message: self.message(text) })
            }
        };
        EffectAnswer { number, context: value(context), received }
    }

    /// Redacts the name and the value of a header.
    fn header(self, (name, value): (String, StoreValue)) -> (String, StoreValue) {
        let text = || crossed(&String::from_utf8_lossy(&value.0));
        let shown = if self.headers { StoreValue(text().into_bytes()) } else { value };
        (if self.headers || self.payload { member_name(name) } else { name }, shown)
    }

    fn message(self, text: String) -> String {
        if self.payload { crossed(&text) } else { text }
    }

    fn http_error(self, error: HttpError) -> HttpError {
        match error {
            HttpError::Denied(text) => HttpError::Denied(self.message(text)),
            HttpError::Invalid(text) => HttpError::Invalid(self.message(text)),
            HttpError::Unreachable(text) => HttpError::Unreachable(self.message(text)),
            HttpError::Broken(text) => HttpError::Broken(self.message(text)),
            error @ (HttpError::Busy | HttpError::Timeout | HttpError::TooLarge) => error,
        }
    }

    fn fetched(self, fetched: FetchRecord) -> FetchRecord {
        match fetched {
            FetchRecord::Response(FetchedResponse { status, headers, body }) => {
                let headers = headers.into_iter().map(|it| self.header(it)).collect();
                let body = if self.payload { stored(&body) } else { body };
                FetchRecord::Response(FetchedResponse { status, headers, body })
            }
            FetchRecord::Failed(error) => FetchRecord::Failed(self.http_error(error)),
        }
    }

    /// Redacts answers of the host.
    pub(super) fn answers(self, mut answers: HostAnswers) -> HostAnswers {
        if self.payload {
            for value in answers.store.values.values_mut().flatten() {
                *value = stored(value);
            }
        }
        let accepted = &mut answers.accepted;
        for answer in accepted.requests.iter_mut().chain(&mut accepted.calls) {
            if let Acceptance::Denied(text) = answer {
                *text = self.message(std::mem::take(text));
            }
        }
        let fetched = std::mem::take(&mut answers.fetched);
        answers.fetched =
            fetched.into_iter().map(|(server, it)| (server, self.fetched(it))).collect();
        answers
    }

    /// Redacts an outcome.
    pub(super) fn outcome(self, outcome: CallOutcome) -> CallOutcome {
        if !self.payload && !self.headers {
            return outcome;
        }
        let redacted = serde_json::to_value(&outcome).map(|value| self.members(value, ""));
        // A type of ours, whose shape stays.
        redacted.and_then(serde_json::from_value).unwrap_or_else(|_| nothing())
    }

    /// Redacts the members of an outcome that are payload, whatever further ones there may be.
    fn members(self, value: Value, name: &str) -> Value {
        match value {
            value if KEPT.contains(&name) => value,
            value if name == "headers" => self.header_values(value),
            Value::Object(map) => {
                let member = |(name, value): (String, Value)| {
                    let value = self.members(value, &name);
                    (name, value)
                };
                Value::Object(map.into_iter().map(member).collect())
            }
            Value::Array(items) => items.into_iter().map(|item| self.members(item, name)).collect(),
            Value::String(text) if !self.payload => Value::String(text),
            Value::String(text) if JSON_TEXTS.contains(&name) => Value::String(json_text(&text)),
            Value::String(text) => Value::String(crossed(&text)),
            other => other,
        }
    }

    /// Redacts the values of headers, which are pairs of a name and a text, or an object if they
    /// are no UTF-8.
    fn header_values(self, headers: Value) -> Value {
        if !self.headers {
            return headers;
        }
        let Value::Array(headers) = headers else { return Value::Array(Vec::new()) };
        let header = |header: Value| {
            let (name, value) = (header.get(0).and_then(Value::as_str), header.get(1));
            let name = member_name(name.unwrap_or_default().to_owned());
            let value = match value {
                Some(Value::String(text)) => crossed(text),
                Some(other) => crossed(&other.to_string()),
                None => String::new(),
            };
            Value::from(vec![name, value])
        };
        headers.into_iter().map(header).collect()
    }
}

fn nothing() -> CallOutcome {
    let fault = FaultRecord { fault: "redacted".to_owned(), message: String::new() };
    CallOutcome { answer: HookAnswer::Fault(fault), effects: Vec::new(), writes: Vec::new() }
}

fn stored(value: &StoreValue) -> StoreValue {
    let text = String::from_utf8_lossy(&value.0);
    StoreValue(json_text(&text).into_bytes())
}

/// The text of JSON with redacted values; another text is redacted as a whole.
fn json_text(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(value) => shape(value).to_string(),
        Err(_) => crossed(text),
    }
}

fn shape(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        Value::Number(number) => Value::Number(ones(&number)),
        Value::String(text) => Value::String(crossed(&text)),
        Value::Array(items) => items.into_iter().map(shape).collect(),
        Value::Object(map) => {
            let member = |(name, value): (String, Value)| (member_name(name), shape(value));
            Value::Object(map.into_iter().map(member).collect::<Map<_, _>>())
        }
    }
}

/// A name that could be data, such as that of a user, is redacted.
fn member_name(name: String) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let is_short = name.len() <= MAX_NAME_BYTES && digits <= MAX_NAME_DIGITS;
    if starts && is_short && name.chars().all(is_name) { name } else { crossed(&name) }
}

fn crossed(text: &str) -> String {
    "x".repeat(text.chars().count())
}

/// A number of the same sign and length.
fn ones(number: &Number) -> Number {
    let digits = |text: String| text.replace(|c: char| c.is_ascii_digit(), "1");
    if let Some(whole) = number.as_i64() {
        digits(whole.to_string()).parse::<i64>().unwrap_or(1).into()
    } else if let Some(whole) = number.as_u64() {
        digits(whole.to_string()).parse::<u64>().unwrap_or(1).into()
    } else {
        let sign = if number.as_f64().is_some_and(|it| it < 0.0) { -1.5 } else { 1.5 };
        Number::from_f64(sign).unwrap_or_else(|| 1.into())
    }
}

#[cfg(test)]
mod tests;
