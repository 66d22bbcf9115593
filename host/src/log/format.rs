//! Log line format: text or JSON. It escapes and truncates every message and every value, so that
//! untrusted text cannot forge a line.
//!
//! In the text format, each line of a message of several lines begins with the time and the level.

use std::fmt::{self, Write as _};

use jackfield_text::Untrusted;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::{ConnectionScope, DIAGNOSIS, LISTS, PLUGIN, Reader};

/// The maximum size of a message, and of a value.
const MAX_VALUE_BYTES: usize = 8 << 10;
/// The maximum size of a diagnosis.
const MAX_DIAGNOSIS_BYTES: usize = 64 << 10;

const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text, with colors on a terminal.
    Text { colors: bool, reader: Reader },
    /// One JSON object for each line.
    Json,
}

impl Format {
    /// Formats a line about the log itself.
    pub(super) fn notice(self, message: &str) -> String {
        let mut line = String::new();
        let message = Untrusted::new(message).to_string();
        // Writing to a string cannot fail.
        let _written = match self {
            Self::Text { .. } => {
                writeln!(line, "{} {} jackfield::log: {message}", now(), label(Level::WARN))
            }
            Self::Json => {
                let fields = Map::from_iter([("message".to_owned(), Value::from(message))]);
                writeln!(
                    line,
                    "{}",
                    object(Level::WARN, None, fields, "jackfield::log", Vec::new())
                )
            }
        };
        line
    }

    /// Formats the fields of a connection, as the formatter of `tracing` does for spans.
    fn fields(self, fields: &[(&'static str, String)]) -> String {
        match self {
            Self::Text { .. } => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                fields.join(" ")
            }
            Self::Json => {
                let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
                fields.collect::<Value>().to_string()
            }
        }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let spans = context.event_scope().into_iter().flat_map(Scope::from_root);
        let spans = spans.map(|span| {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map(|it| it.fields.clone());
            (span.name(), fields.unwrap_or_default())
        });
        let connection = ConnectionScope::current().map(|it| ("connection", self.fields(&it)));
        let spans = connection.into_iter().chain(spans);
        match self {
            Self::Text { reader: Reader::Author, .. } if target == PLUGIN => {
                let mut text = Text { target, is_of_plugin: true, ..Text::default() };
                event.record(&mut text);
                let Text { message, plugin, fields, .. } = text;
                // Where it was, for lines that are more than a message.
                let (level, fields) = match level {
                    Level::WARN | Level::ERROR => (format!("{level} "), fields),
                    _ => (String::new(), String::new()),
                };
                writeln!(writer, "{plugin} │ {level}{message}{fields}")
            }
            Self::Text { .. } => {
                let mut head = head(level, writer.has_ansi_escapes());
                for (name, fields) in spans {
                    let fields = Untrusted::new(fields);
                    write!(head, "{name}{{{fields}}}: ")?;
                }
                let mut text = Text { target, ..Text::default() };
                event.record(&mut text);
                write!(head, "{target}: ")?;
                let Text { message, fields, .. } = text;
                let mut lines = message.lines();
                write!(writer, "{head}{}", lines.next().unwrap_or_default())?;
                lines.try_for_each(|line| write!(writer, "\n{head}{line}"))?;
                writeln!(writer, "{fields}")
            }
            Self::Json => {
                let fields = fields(event);
                let spans = spans.map(|(name, fields)| {
                    // The formatter of `tracing` has written them as an object.
                    let mut span: Map<_, _> = serde_json::from_str(&fields).unwrap_or_default();
                    span.insert("name".to_owned(), Value::from(name));
                    Value::Object(span)
                });
                let name = name(event.metadata());
                writeln!(writer, "{}", object(level, name, fields, target, spans.collect()))
            }
        }
    }
}

/// Formats the time and the level, in the format of `tracing`.
fn head(level: Level, colors: bool) -> String {
    if !colors {
        return format!("{} {} ", now(), label(level));
    }
    let color = match level {
        Level::TRACE => "\u{1b}[35m",
        Level::DEBUG => "\u{1b}[34m",
        Level::INFO => "\u{1b}[32m",
        Level::WARN => "\u{1b}[33m",
        Level::ERROR => "\u{1b}[31m",
    };
    format!("{DIM}{}{PLAIN} {color}{}{PLAIN} ", now(), label(level))
}

fn now() -> String {
    let mut time = String::new();
    // Without a time, the line is still useful.
    let _written = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}

/// Formats the level, padded to five characters to align the text after it.
fn label(level: Level) -> String {
    format!("{level:>5}")
}

/// Returns the name of an event, if the source gives it one. Otherwise the name is its place there.
fn name(metadata: &Metadata<'static>) -> Option<&'static str> {
    Some(metadata.name()).filter(|name| !name.starts_with("event "))
}

fn object(
    level: Level,
    name: Option<&str>,
    fields: Map<String, Value>,
    target: &str,
    spans: Vec<Value>,
) -> String {
    let mut line = Map::from_iter([
        ("timestamp".to_owned(), Value::from(now())),
        ("level".to_owned(), Value::from(level.as_str())),
    ]);
    line.extend(name.map(|name| ("event".to_owned(), Value::from(name))));
    line.insert("fields".to_owned(), Value::Object(fields));
    line.insert("target".to_owned(), Value::from(target));
    if !spans.is_empty() {
        line.insert("spans".to_owned(), Value::Array(spans));
    }
    jackfield_text::json(&Value::Object(line).to_string()).into_owned()
}

/// Returns the escaped and truncated message of an event with this target.
fn message(target: &str, text: impl fmt::Display) -> String {
    let message = Untrusted::new(text);
    if target == DIAGNOSIS {
        message.at_most(MAX_DIAGNOSIS_BYTES).with_lines().to_string()
    } else {
        message.at_most(MAX_VALUE_BYTES).to_string()
    }
}

fn value(text: impl fmt::Display) -> impl fmt::Display {
    Untrusted::new(text).at_most(MAX_VALUE_BYTES)
}

/// Returns an event's message and fields as JSON, escaped and truncated.
pub(super) fn fields(event: &Event<'_>) -> Map<String, Value> {
    let mut fields = Json { target: event.metadata().target(), fields: Map::new() };
    event.record(&mut fields);
    fields.fields
}

/// An event's message and fields as text.
#[derive(Default)]
struct Text {
    target: &'static str,
    message: String,
    /// Whether the field `plugin` is apart from the others.
    is_of_plugin: bool,
    plugin: String,
    /// ` name=value` for each.
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, debug: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = message(self.target, format_args!("{debug:?}"));
        } else {
            let (name, value) = (field.name(), value(format!("{debug:?}")));
            // Writing to a string cannot fail.
            let _written = write!(self.fields, " {name}={value}");
        }
    }

    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = message(self.target, text);
        } else if self.is_of_plugin && field.name() == "plugin" {
            self.plugin = value(text).to_string();
        } else {
            self.record_debug(field, &text);
        }
    }
}

/// An event's message and fields as JSON values.
struct Json {
    target: &'static str,
    fields: Map<String, Value>,
}

impl Json {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Json {
    fn record_debug(&mut self, field: &Field, debug: &dyn fmt::Debug) {
        if field.name() == "message" {
            let message = message(self.target, format_args!("{debug:?}"));
            self.insert(field, message);
        } else if LISTS.contains(&field.name())
            && let Ok(list) = serde_json::from_str::<Vec<Value>>(&format!("{debug:?}"))
        {
            self.insert(field, list);
        } else {
            self.insert(field, value(format_args!("{debug:?}")).to_string());
        }
    }

    fn record_str(&mut self, field: &Field, text: &str) {
        let text = match field.name() {
            "message" => message(self.target, text),
            // JSON escapes the text itself, and programs need the original.
            _ if text.len() <= MAX_VALUE_BYTES => text.to_owned(),
            _ => value(text).to_string(),
        };
        self.insert(field, text);
    }

    fn record_f64(&mut self, field: &Field, number: f64) {
        self.insert(field, number);
    }

    fn record_i64(&mut self, field: &Field, number: i64) {
        self.insert(field, number);
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        self.insert(field, number);
    }

    fn record_i128(&mut self, field: &Field, number: i128) {
        match i64::try_from(number) {
            Ok(number) => self.insert(field, number),
            Err(_) => self.insert(field, number.to_string()),
        }
    }

    fn record_u128(&mut self, field: &Field, number: u128) {
        match u64::try_from(number) {
            Ok(number) => self.insert(field, number),
            Err(_) => self.insert(field, number.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, truth: bool) {
        self.insert(field, truth);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{IpAddr, SocketAddr};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::log::NamedListener;

    const HOSTILE: &str =
        "\u{1b}[31mx\n2026-01-01T00:00:00Z ERROR x: forged\r\u{9b}\u{202e}\u{2028}";

    const TEXT: Format = Format::Text { colors: false, reader: Reader::Operator };

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        match format {
            Format::Text { colors, .. } => {
                let lines = lines.with_ansi(colors).event_format(format);
                tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
            }
            Format::Json => {
                let lines = lines.json().event_format(format);
                tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
            }
        }
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn hostile_events() {
        let _span = tracing::info_span!("connection", peer = HOSTILE).entered();
        tracing::warn!(text = HOSTILE, shown = %HOSTILE, debug = ?[HOSTILE], "{HOSTILE}");
        tracing::warn!(target: DIAGNOSIS, "x.yml:1:1: error: {}\n  = help: y", "\u{1b}\u{202e}");
        tracing::error!("{}", "x".repeat(1 << 20));
    }

    #[test]
    fn text_lines_begin_with_a_timestamp_and_hold_no_control_character() {
        let text = written(TEXT, hostile_events);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        for line in lines {
            assert!(line.starts_with("20") && line.get(10..11) == Some("T"), "{line}");
            assert!(line.chars().all(jackfield_text::is_printable), "{line}");
            assert!(line.contains("WARN connection{peer=") || line.contains("ERROR "), "{line}");
            assert!(line.len() < MAX_VALUE_BYTES + 1_000, "{} bytes", line.len());
        }
    }

    #[test]
    fn lines_of_a_connection_name_it_and_its_client() {
        struct Web;
        impl NamedListener for Web {
            fn name(&self) -> Option<&str> {
                Some("web")
            }
            fn url(&self) -> &'static str {
                "unix:/run/web.sock"
            }
        }
        let log = |peer: Option<SocketAddr>, client: Option<IpAddr>| {
            move || {
                let scope = ConnectionScope::new(peer, Arc::new(Web));
                let _entered = ConnectionScope::enter(Some(Arc::new(scope)));
                ConnectionScope::name_client(client);
                tracing::warn!("x");
            }
        };
        let peer = "192.0.2.1:5000".parse().ok();
        let text = written(TEXT, log(peer, "198.51.100.7".parse().ok()));
        let shown =
            " WARN connection{peer=192.0.2.1:5000 listener=web client=198.51.100.7}: jackfield";
        assert!(text.contains(shown), "{text}");
        let text = written(Format::Json, log(None, None));
        let line: Value = serde_json::from_str(&text).unwrap();
        let span = serde_json::json!({"peer": "unix:/run/web.sock", "listener": "web",
            "client": "unknown", "name": "connection"});
        assert_eq!(line["spans"], serde_json::json!([span]));
        let text = written(TEXT, || tracing::warn!("x"));
        assert!(!text.contains("connection{"), "the scope has been left: {text}");
    }

    #[test]
    fn json_keeps_values_and_escapes_control_characters() {
        let text = written(Format::Json, || {
            hostile_events();
            let realms = crate::log::list(["realm1", HOSTILE]);
            tracing::info!(took_ms = 7_u128, ok = true, n = -1, ?realms, text = ?["x"], "done");
        });
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(text.chars().all(|c| c == '\n' || jackfield_text::is_printable(c)), "{text}");
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0]["fields"]["text"], HOSTILE);
        assert_eq!(lines[0]["spans"][0]["name"], "connection");
        assert_eq!(lines[0]["spans"][0]["peer"], HOSTILE);
        assert_eq!(lines[1]["fields"]["message"].as_str().unwrap().lines().count(), 2);
        let fields = serde_json::json!({"message": "done", "took_ms": 7, "ok": true, "n": -1,
            "realms": ["realm1", HOSTILE], "text": "[\"x\"]"});
        assert_eq!(lines[3]["fields"], fields);
        assert_eq!(lines[3]["level"], "INFO");
        assert!(lines[3].get("spans").is_none());
    }

    #[test]
    fn writes_values_unchanged() {
        let text = written(TEXT, || {
            tracing::info!(plugin = "chat", count = 2, address = %"::1", "ready");
        });
        assert!(
            text.ends_with("format::tests: ready plugin=\"chat\" count=2 address=::1\n"),
            "{text}"
        );
    }

    #[test]
    fn shows_authors_the_plugin_and_its_message() {
        let format = Format::Text { colors: false, reader: Reader::Author };
        let text = written(format, || {
            let (plugin, topic) = ("acme-chat", HOSTILE);
            tracing::info!(target: PLUGIN, plugin, topic, "joined");
            tracing::warn!(target: PLUGIN, plugin, topic = "a", "slow");
            tracing::info!(plugin, "not by the plugin");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "acme-chat │ joined");
        assert_eq!(lines[1], "acme-chat │ WARN slow topic=\"a\"");
        assert!(lines[2].starts_with("20") && lines.len() == 3, "{text}");
    }

    #[test]
    fn formats_a_notice_like_other_lines() {
        let text =
            Format::Text { colors: true, reader: Reader::Operator }.notice("2 log lines lost\n");
        assert!(text.ends_with("  WARN jackfield::log: 2 log lines lost\\n\n"), "{text}");
        let json: Value = serde_json::from_str(&Format::Json.notice("x")).unwrap();
        assert_eq!(json["fields"]["message"], "x");
    }
}
