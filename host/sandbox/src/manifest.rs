//! Manifest of a plugin: the validated result of `describe`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use jackfield_text::is_printable;
use serde::{Deserialize, Serialize};

use crate::contract::{AccessDescription, authenticator, handler};

/// Name, version and handlers of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the plugin and its store: 1 to 128 bytes of printable characters.
    pub name: String,
    /// The author's version, for messages.
    pub version: String,
    /// At least one, with different names.
    pub handlers: Vec<HandlerDescription>,
    /// Whether the plugin needs nothing of an instance's memory from one call to the next.
    pub is_stateless: bool,
    /// The number of the layout of its store.
    pub schema: u32,
    /// The handlers that authenticate, by name.
    pub authenticators: BTreeMap<String, Authentication>,
}

/// How a handler authenticates clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Whether it verifies tickets.
    pub verifies_tickets: bool,
    /// Examples of principals: unknown names get challenges of their form. Each is the text of a JSON
    /// object, not validated.
    pub models: Vec<String>,
}

/// One handler of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerDescription {
    /// The name used by routes: 1 to 128 bytes of printable characters.
    pub name: String,
    /// The hooks that are called.
    pub hooks: Hooks,
    /// Default interval of its timer hook.
    pub timer: Option<Duration>,
    /// One line for the operator.
    pub summary: String,
}

/// A set of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hooks(u16);

/// A hook of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A session wants to subscribe.
    Subscribe,
    /// A session has left.
    Unsubscribe,
    /// An event is published.
    Publish,
    /// A procedure is called.
    Call,
    /// Time has passed.
    Timer,
    /// A request of HTTP is answered.
    Response,
    /// A call of the plugin has a result.
    Result,
    /// A session attempts an action that a rule refers to the plugin.
    Authorize,
    /// A client authenticates itself.
    Authenticate,
}

/// Longest name of a plugin or handler, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Longest version and summary, in characters; longer ones are cut.
const MAX_TEXT_CHARS: usize = 200;
/// Most handlers of one plugin.
const MAX_HANDLERS: usize = 1_000;
/// Most models of principals of one handler.
const MAX_MODELS: usize = 100;
/// Valid timer intervals, as in routing files.
const TIMER_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(24 * 365);

impl Manifest {
    /// The description of the handler, if the plugin has it.
    pub fn handler(&self, name: &str) -> Option<&HandlerDescription> {
        self.handlers.iter().find(|h| h.name == name)
    }

    /// The handlers that decide about access.
    pub fn access_handlers(&self) -> impl Iterator<Item = &HandlerDescription> {
        self.handlers.iter().filter(|it| it.hooks.iter().any(Hook::is_of_access))
    }

    /// Validates the result of `describe`, and the names of the handlers that decide about access.
    pub(crate) fn parse(
        (raw, access): (handler::Manifest, AccessDescription),
    ) -> Result<Self, String> {
        let handler::Manifest { name, version, handlers, stateless, schema } = raw;
        let name = self::name("the name of the plugin", name)?;
        if handlers.is_empty() {
            return Err("it offers no handler".to_owned());
        }
        if handlers.len() > MAX_HANDLERS {
            return Err(format!(
                "it offers {} handlers; at most {MAX_HANDLERS} are allowed",
                handlers.len()
            ));
        }
        let mut handlers = handlers
            .into_iter()
            .map(|h| {
                let name = self::name("the name of a handler", h.name)?;
                Ok(HandlerDescription {
                    timer: h.timer.map(|timer| interval(&name, timer)).transpose()?,
                    name,
                    hooks: Hooks::parse(h.hooks),
                    summary: line(&h.summary),
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        let mut seen = HashSet::new();
        if let Some(twice) = handlers.iter().find(|h| !seen.insert(h.name.as_str())) {
            return Err(format!("it offers the handler {:?} twice", twice.name));
        }
        let AccessDescription { authorizers, authenticators: described } = access;
        if authorizers.len().max(described.len()) > handlers.len() {
            return Err("it describes more handlers for access than it offers".to_owned());
        }
        let mut add = |name: &str, hook: Hook| {
            let own = handlers.iter_mut().find(|handler| handler.name == name);
            let own =
                own.ok_or_else(|| format!("{:?}, for {hook}, is no handler of it", line(name)))?;
            if own.hooks.contains(hook) {
                return Err(format!("it describes {hook} of the handler {name:?} twice"));
            }
            own.hooks = own.hooks.iter().chain([hook]).collect();
            Ok::<(), String>(())
        };
        authorizers.iter().try_for_each(|name| add(name, Hook::Authorize))?;
        let mut authenticators = BTreeMap::new();
        for authenticator::Description { handler, verifies_tickets, models } in described {
            add(&handler, Hook::Authenticate)?;
            if models.len() > MAX_MODELS {
                return Err(format!(
                    "{handler:?} has {} models of principals; at most {MAX_MODELS} are allowed",
                    models.len()
                ));
            }
            authenticators.insert(handler, Authentication { verifies_tickets, models });
        }
        Ok(Self {
            name,
            version: line(&version),
            handlers,
            is_stateless: stateless,
            schema,
            authenticators,
        })
    }
}

impl Hooks {
    /// Whether the hook is in the set.
    pub fn contains(self, hook: Hook) -> bool {
        self.0 & hook.bit() != 0
    }

    /// The hooks of the set.
    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL.into_iter().filter(move |&hook| self.contains(hook))
    }

    fn parse(raw: handler::Hooks) -> Self {
        let is_wanted = |hook: &Hook| hook.flag().is_some_and(|flag| raw.contains(flag));
        let wanted = Hook::ALL.into_iter().filter(is_wanted);
        Self(wanted.fold(0, |set, hook| set | hook.bit()))
    }
}

impl FromIterator<Hook> for Hooks {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        Self(hooks.into_iter().fold(0, |set, hook| set | hook.bit()))
    }
}

impl Hook {
    /// Every hook that handlers declare, in the order of the contract. The others are called with
    /// the answers of the plugin's own effects.
    pub const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Call,
        Self::Timer,
        Self::Authorize,
        Self::Authenticate,
    ];

    /// The number of all hooks, with those for answers.
    pub(crate) const COUNT: usize = 9;

    /// Every hook, with those for answers, in the order of their numbers.
    pub(crate) const EVERY: [Self; Self::COUNT] = [
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Publish,
        Self::Call,
        Self::Timer,
        Self::Response,
        Self::Result,
        Self::Authorize,
        Self::Authenticate,
    ];

    /// Its name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "on-subscribe",
            Self::Unsubscribe => "on-unsubscribe",
            Self::Publish => "on-publish",
            Self::Call => "on-call",
            Self::Timer => "on-timer",
            Self::Response => "on-response",
            Self::Result => "on-result",
            Self::Authorize => "authorize",
            Self::Authenticate => "authenticate",
        }
    }

    /// Whether it receives the answer of an effect.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Response | Self::Result)
    }

    /// Whether it decides about access: it acts on nothing, and is not observed.
    pub fn is_of_access(self) -> bool {
        matches!(self, Self::Authorize | Self::Authenticate)
    }

    fn bit(self) -> u16 {
        1 << self as u8
    }

    /// The flag with which handlers declare it.
    fn flag(self) -> Option<handler::Hooks> {
        match self {
            Self::Subscribe => Some(handler::Hooks::SUBSCRIBE),
            Self::Unsubscribe => Some(handler::Hooks::UNSUBSCRIBE),
            Self::Publish => Some(handler::Hooks::PUBLISH),
            Self::Call => Some(handler::Hooks::CALL),
            Self::Timer => Some(handler::Hooks::TIMER),
            Self::Response | Self::Result | Self::Authorize | Self::Authenticate => None,
        }
    }
}

/// The name of the hook in the contract.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn name(label: &str, text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{label} is empty"));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(format!(
            "{label} is {} bytes long; at most {MAX_NAME_BYTES} are allowed",
            text.len()
        ));
    }
    if !text.chars().all(is_printable) {
        return Err(format!(
            "{label}, {text:?}, contains control characters or others that cannot be shown"
        ));
    }
    Ok(text)
}

fn interval(handler: &str, milliseconds: u64) -> Result<Duration, String> {
    let timer = Duration::from_millis(milliseconds);
    if TIMER_RANGE.contains(&timer) {
        Ok(timer)
    } else {
        Err(format!(
            "the handler {handler:?} wants its timer every {milliseconds} ms; the interval must be 10 ms \
             to a year"
        ))
    }
}

/// A text as one line of bounded length.
fn line(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, handlers: &[&str], expected: Result<(), &str>) {
        let raw = handler::Manifest {
            name: name.to_owned(),
            version: "1".to_owned(),
            handlers: handlers
                .iter()
                .map(|name| handler::HandlerDescription {
                    name: (*name).to_owned(),
                    hooks: handler::Hooks::PUBLISH | handler::Hooks::TIMER,
                    timer: None,
                    summary: "two\nlines".to_owned(),
                })
                .collect(),
            stateless: false,
            schema: 0,
        };
        match (Manifest::parse((raw, AccessDescription::default())), expected) {
            (Ok(manifest), Ok(())) => {
                for handler in &manifest.handlers {
                    assert_eq!(handler.summary, "two lines");
                    assert!(handler.hooks.iter().eq([Hook::Publish, Hook::Timer]));
                }
            }
            (Err(text), Err(part)) if text.contains(part) => {}
            (found, _) => panic!("{name} {handlers:?} gave {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn rejects_invalid_descriptions_of_access() {
        let check = |authorizers: &[&str], authenticators: &[&str], expected: Option<&str>| {
            let handlers = ["a", "b"].map(|name| handler::HandlerDescription {
                name: name.to_owned(),
                hooks: handler::Hooks::empty(),
                timer: None,
                summary: String::new(),
            });
            let raw = handler::Manifest {
                name: "chat".to_owned(),
                version: "1".to_owned(),
                handlers: handlers.to_vec(),
                stateless: false,
                schema: 0,
            };
            let described = authenticators.iter().map(|name| authenticator::Description {
                handler: (*name).to_owned(),
                verifies_tickets: true,
                models: Vec::new(),
            });
            let access = AccessDescription {
                authorizers: authorizers.iter().map(|name| (*name).to_owned()).collect(),
                authenticators: described.collect(),
            };
            let error = Manifest::parse((raw, access)).err();
            assert_eq!(error.as_deref(), expected, "{authorizers:?} {authenticators:?}");
        };
        check(&["a", "b"], &["b"], None);
        check(&["a", "a"], &[], Some("it describes authorize of the handler \"a\" twice"));
        check(&[], &["b", "b"], Some("it describes authenticate of the handler \"b\" twice"));
        let many = Some("it describes more handlers for access than it offers");
        check(&["a", "b", "a"], &[], many);
        check(&[], &["a", "b", "a"], many);
        check(&["c"], &[], Some("\"c\", for authorize, is no handler of it"));
        let long = "c".repeat(10_000);
        let shown = format!("{:?}, for authorize, is no handler of it", line(&long));
        check(&[&long], &[], Some(&shown));
        assert!(shown.len() < 1_000, "the name is cut");
    }

    #[test]
    fn rejects_invalid_manifests() {
        check("chat", &["chat"], Ok(()));
        check("chat", &["a", "b", "été"], Ok(()));
        check("", &["a"], Err("the name of the plugin is empty"));
        check("a\nb", &["a"], Err("control characters"));
        check("a\u{202e}b", &["a"], Err("\"a\\u{202e}b\", contains control characters"));
        check(&"x".repeat(129), &["a"], Err("129 bytes long"));
        check("chat", &[], Err("no handler"));
        check("chat", &["a", ""], Err("the name of a handler is empty"));
        check("chat", &["a", "b", "a"], Err("\"a\" twice"));
        check("chat", &["a"; 1_001], Err("1001 handlers"));
    }

    #[test]
    fn rejects_timers_out_of_range() {
        let check = |milliseconds, expected: Option<Duration>| {
            assert_eq!(interval("a", milliseconds).ok(), expected, "{milliseconds}");
        };
        check(0, None);
        check(9, None);
        check(10, Some(Duration::from_millis(10)));
        check(50_000, Some(Duration::from_secs(50)));
        check(31_536_000_000, Some(Duration::from_hours(24 * 365)));
        check(31_536_000_001, None);
        check(u64::MAX, None);
        let text = interval("acme.clock", 5).unwrap_err();
        assert!(text.contains("\"acme.clock\" wants its timer every 5 ms"), "{text}");
    }
}
