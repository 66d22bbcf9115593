//! The values that the predecessors' files have: channel, handler, requirements, defaults, options.

use serde_json::Value;

use super::{Pattern, Reader, Settings, get, put_all};
use crate::channel::{self, DefaultValue, Written};
use crate::diagnosis::Place;
use crate::keys;
use crate::requirement::strip_anchors;
use crate::route::Handler;
use crate::yaml::{Kind, Node};

impl Reader<'_> {
    pub(super) fn channel(&mut self, node: &Node) -> Option<Written> {
        let text = self.text(node, "the channel")?;
        match channel::parse(text) {
            Ok(written) => Some(written),
            Err(faults) => {
                for fault in faults {
                    let place = node.place_within(self.source, fault.range);
                    self.problems.push(place.problem(fault.message).with_help(fault.help));
                }
                None
            }
        }
    }

    /// The handler, the place of its name, and the place of its arguments.
    pub(super) fn handler(&mut self, node: &Node) -> Option<(Handler, Place, Option<Place>)> {
        match &node.kind {
            Kind::Text(_) => {
                let callback = self.callback(node)?;
                let handler = Handler { callback, args: Value::Null };
                Some((handler, node.place(self.source), None))
            }
            Kind::Map(entries) => {
                self.unknown_keys(entries, &["callback", "args"], &[]);
                let Some((_, name)) = get(entries, "callback") else {
                    let message = format!("the handler of {} has no `callback`", self.subject);
                    self.tell(
                        node,
                        message,
                        "add the name that a plugin offers: `callback: 'acme.chat'`",
                    );
                    return None;
                };
                let callback = self.callback(name)?;
                let args = get(entries, "args").map(|(_, args)| args);
                let handler = Handler { callback, args: args.map_or(Value::Null, Node::to_json) };
                let args = args.map(|args| args.place(self.source));
                Some((handler, name.place(self.source), args))
            }
            Kind::List(_) => self.several_handlers(node),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) => {
                let message =
                    format!("a handler is a name or a map, but this is {}", node.describe());
                self.tell(node, message, "write the name that a plugin offers, in quotes");
                None
            }
        }
    }

    fn callback(&mut self, node: &Node) -> Option<String> {
        if matches!(node.kind, Kind::List(_)) {
            return self.several_handlers(node);
        }
        let name = self.text(node, "`callback`")?;
        if name.is_empty() {
            self.tell(node, "the handler's name is empty", "write the name that a plugin offers");
            return None;
        }
        Some(name.to_owned())
    }

    fn several_handlers<T>(&mut self, node: &Node) -> Option<T> {
        let message = format!("{} lists several handlers; a route has one", self.subject);
        self.tell(node, message, "keep one name; a handler that needs another's work can publish to a topic of that other's route");
        None
    }

    /// The part that routes and imports share.
    pub(super) fn settings(&mut self, entries: &[(Node, Node)], of_route: bool) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in self.section(entries, "requirements") {
            if let Some(name) = self.variable_name(key)
                && let Some(mut pattern) = self.requirement(name, value)
            {
                pattern.of_route = of_route.then(|| key.place(self.source));
                settings.requirements.push((name.to_owned(), pattern));
            }
        }
        for (key, value) in self.section(entries, "defaults") {
            if let Some(name) = self.variable_name(key)
                && let Some(default) = self.default_value(name, value)
            {
                settings.defaults.push((name.to_owned(), default));
            }
        }
        for (key, value) in self.section(entries, "options") {
            settings.options.insert(key.spelling(), value.to_json());
        }
        if settings.options.get("utf8").is_some_and(|value| !value.is_boolean())
            && let Some((_, node)) = get(entries, "options")
        {
            self.tell(node, "the option `utf8` is `true` or `false`", "write `utf8: true`");
        }
        settings
    }

    /// Requirements and defaults from inside the braces, overridden by those under their own keys.
    pub(super) fn with_inline(
        &mut self,
        channel: &Written,
        node: &Node,
        written: Settings,
    ) -> Settings {
        let mut settings = Settings::default();
        for inline in &channel.inline {
            if let Some((text, range)) = &inline.requirement {
                let place = node.place_within(self.source, range.clone());
                let start = node.verbatim.map(|start| start + range.start);
                if let Some(mut pattern) = self.pattern(&inline.name, text, false, place, start) {
                    pattern.of_route = Some(node.place(self.source));
                    settings.requirements.push((inline.name.clone(), pattern));
                }
            }
            if let Some(default) = &inline.default {
                settings.defaults.push((inline.name.clone(), default.clone()));
            }
        }
        put_all(&mut settings.requirements, &written.requirements);
        put_all(&mut settings.defaults, &written.defaults);
        settings.options = written.options;
        settings
    }

    fn requirement(&mut self, variable: &str, node: &Node) -> Option<Pattern> {
        match &node.kind {
            Kind::Text(text) => {
                self.pattern(variable, text, false, node.place(self.source), node.verbatim)
            }
            Kind::Map(entries) => {
                self.unknown_keys(entries, &["pattern", "wildcard"], &[]);
                let wildcard =
                    get(entries, "wildcard").is_some_and(|(_, value)| self.wildcard(value));
                let Some((_, pattern)) = get(entries, "pattern") else {
                    let message = format!("the requirement of `{variable}` has no `pattern`");
                    self.tell(node, message, "add one: `pattern: '\\d+'`");
                    return None;
                };
                let text = self.text(pattern, &format!("the pattern of `{variable}`"))?;
                let place = pattern.place(self.source);
                self.pattern(variable, text, wildcard, place, pattern.verbatim)
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::List(_) => {
                let message = format!(
                    "the requirement of `{variable}` is a pattern, but this is {}",
                    node.describe()
                );
                self.tell(node, message, "write a regular expression in single quotes: '\\d+'");
                None
            }
        }
    }

    fn pattern(
        &mut self,
        variable: &str,
        written: &str,
        wildcard: bool,
        place: Place,
        start: Option<usize>,
    ) -> Option<Pattern> {
        let kept = strip_anchors(written);
        let text_start = start.map(|start| start + kept.start);
        let text = written.get(kept).unwrap_or_default().to_owned();
        if text.is_empty() {
            let problem = place.problem(format!("the requirement of `{variable}` is empty"));
            self.problems.push(problem.with_help("write a regular expression, or remove the requirement; a variable without one takes a whole segment"));
            return None;
        }
        Some(Pattern { text, wildcard, place, text_start, of_route: None })
    }

    fn wildcard(&mut self, node: &Node) -> bool {
        match &node.kind {
            Kind::Null => false,
            Kind::Bool(value) => *value,
            Kind::Number(number, _) if matches!(number.as_u64(), Some(0 | 1)) => {
                number.as_u64() == Some(1)
            }
            Kind::Number(..) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
                let message =
                    format!("`wildcard` is true or false, but this is {}", node.describe());
                self.tell(node, message, "`true` also admits the text `*`");
                false
            }
        }
    }

    fn default_value(&mut self, variable: &str, node: &Node) -> Option<DefaultValue> {
        match &node.kind {
            Kind::Null => Some(None),
            Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) => Some(Some(node.spelling())),
            Kind::List(_) | Kind::Map(_) => {
                let message =
                    format!("the default of `{variable}` is text, but this is {}", node.describe());
                self.tell(
                    node,
                    message,
                    "attributes of a topic are text; put structures into `handler.args`",
                );
                None
            }
        }
    }

    fn variable_name<'n>(&mut self, key: &'n Node) -> Option<&'n str> {
        let name = key.text();
        if name.is_none() {
            let message = format!("a variable's name is text, but this is {}", key.describe());
            self.tell(key, message, "write the name that stands between the braces of the channel");
        }
        name
    }

    /// The entries of a map that may be missing or empty.
    fn section<'n>(&mut self, entries: &'n [(Node, Node)], name: &str) -> &'n [(Node, Node)] {
        let Some((_, node)) = get(entries, name) else { return &[] };
        match &node.kind {
            Kind::Null => &[],
            Kind::Map(entries) => entries,
            // PHP writes an empty map and an empty list the same.
            Kind::List(items) if items.is_empty() => &[],
            Kind::List(_) | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) => {
                let message = format!(
                    "`{name}` of {} is a map, but this is {}",
                    self.subject,
                    node.describe()
                );
                self.tell(node, message, format!("write `{name}: {{ name: value }}`"));
                &[]
            }
        }
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            let message = format!("{what} is text, but this is {}", node.describe());
            let help = match &node.kind {
                Kind::Bool(_) | Kind::Number(..) => {
                    format!("put it in quotes: '{}'", node.spelling())
                }
                Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
                    "write one value in quotes".to_owned()
                }
            };
            self.tell(node, message, help);
        }
        text
    }

    /// One text or a list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        match &node.kind {
            Kind::List(items) => {
                items.iter().filter_map(|item| self.text(item, what).map(str::to_owned)).collect()
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) | Kind::Map(_) => {
                self.text(node, what).map(str::to_owned).into_iter().collect()
            }
        }
    }
}

/// Advice for a requirement or default whose variable the channel does not have.
pub(crate) fn no_such_variable(name: &str, variables: &[&str]) -> String {
    if variables.is_empty() {
        "the channel has no variables: remove it".to_owned()
    } else {
        keys::advice(name, variables)
    }
}
